# The deadlines as the header has them, and a date that does not stand still.
add_executable(deadlines tools/deadlines.c)
target_include_directories(deadlines PRIVATE ${PROJECT_SOURCE_DIR}/src)
preloaded(clock_step)
slow(launch.mpirun 127)
slow(launch.sbatch 12)
slow(launch.deadlines 10)
slow(launch.submit 25)
slow(launch.install 25)
