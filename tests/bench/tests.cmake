# Cables with a delay between pretend hosts, for links.sh.
add_executable(cable tools/cable.c)
slow(bench.scripts 72)
