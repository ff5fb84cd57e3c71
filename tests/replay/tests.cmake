# The replay of routes of experts, and the caches that it compares.
set(replay_sources replay/cache_policies.c replay/cache_lists.c replay/route_lines.c)
add_executable(replay_routes replay/replay_routes.c ${replay_sources})
target_include_directories(replay_routes PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(replay_routes PRIVATE sw_base PkgConfig::JANSSON m)
foreach(name caches look_ahead)
  if(TARGET test_replay_${name})
    target_sources(test_replay_${name} PRIVATE ${replay_sources})
  endif()
endforeach()
# From made-up routes to a table; and lines that are no routes.
add_test(NAME replay.table COMMAND ${BASH} -c
  "set -o pipefail; $<TARGET_FILE:replay_routes> --make --steps 50 | \
   $<TARGET_FILE:replay_routes> --capacity 64,256 - | tee /dev/stderr | \
   grep -q '^     256 100.0%.* 9[0-9]' && ! $<TARGET_FILE:replay_routes> - <<<'{}'")
set_tests_properties(replay.table PROPERTIES LABELS "replay")
