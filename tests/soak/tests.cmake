# The short form; `tests/soak/kills.sh PROGRAM` is the long one. Its ranks compute all the time.
add_test(NAME soak.kills COMMAND ${BASH} ${CMAKE_CURRENT_SOURCE_DIR}/soak/kills.sh
  $<TARGET_FILE:spillway> --runs 4 --lines 600)
set_tests_properties(soak.kills PROPERTIES LABELS "cli;soak" TIMEOUT 1500 PROCESSORS 2)
slow(soak.kills 400)
# The short form of a load on `serve`; `tests/soak/serve.py PROGRAM` is the long one, of ten minutes.
find_program(PYTHON3 python3)
if(PYTHON3 AND MICROHTTPD_FOUND)
  add_test(NAME soak.serve COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/soak/serve.py
    $<TARGET_FILE:spillway> --seconds 12 --clients 24 --idle 3000)
  set_tests_properties(soak.serve PROPERTIES LABELS "cli;soak;long" TIMEOUT 600 PROCESSORS 2)
  slow(soak.serve 290) # 21 s of two places
endif()
