# Speeds beside the machine's limits; a tool, not a test.
add_executable(measure_kernels kernels/measure_kernels.c)
target_link_libraries(measure_kernels PRIVATE sw_backend)
