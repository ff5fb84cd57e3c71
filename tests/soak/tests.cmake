# The short form; `tests/soak/kills.sh PROGRAM` is the long one. Its ranks compute all the time.
add_test(NAME soak.kills COMMAND ${BASH} ${CMAKE_CURRENT_SOURCE_DIR}/soak/kills.sh
  $<TARGET_FILE:spillway> --runs 4 --lines 600)
set_tests_properties(soak.kills PROPERTIES LABELS "cli;soak" TIMEOUT 1500 PROCESSORS 2)
slow(soak.kills 400)
