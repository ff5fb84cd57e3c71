# Speeds of encoders; a tool, not a test.
add_executable(measure_encode tensor/measure_encode.c)
target_link_libraries(measure_encode PRIVATE sw_tensor)
