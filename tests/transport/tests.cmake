# Ranks for test_mpi.sh, which finds it beside the program under test.
add_executable(mpi_echo transport/mpi_echo.c)
target_link_libraries(mpi_echo PRIVATE sw_transport)
set_tests_properties(transport.speed PROPERTIES RUN_SERIAL ON) # nothing else should disturb it
set_tests_properties(transport.strangers PROPERTIES PROCESSORS 2) # ranks that must answer in a second
set_property(TEST transport.hosts APPEND PROPERTY LABELS hosts) # pretend hosts (tests/hosts.sh; root)
slow(transport.mpi 57)
slow(transport.hosts 31)
slow(transport.heartbeat 21)
slow(transport.strangers 280) # 20 s of two places
slow(transport.speed 5)
