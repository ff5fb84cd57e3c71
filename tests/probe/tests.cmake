# The same program with another version, for test_preflight.sh.
add_executable(other_spillway ${PROJECT_SOURCE_DIR}/src/main.c tools/other_version.c)
target_link_libraries(other_spillway PRIVATE sw_cmd)
set_property(TEST probe.preflight APPEND PROPERTY LABELS hosts) # pretend hosts (tests/hosts.sh; root)
slow(probe.preflight 105)
slow(probe.probe 15)
slow(probe.gpu 6)
