# Writes checkpoints of made-up weights; scripts find it beside the program under test.
add_executable(make_checkpoint tools/make_checkpoint.c)
target_link_libraries(make_checkpoint PRIVATE sw_engine)
preloaded(fail_files)   # a chosen call on a file fails: test_io_errors.sh
preloaded(fail_memory)  # a chosen allocation of a chosen rank fails: test_memory_ranks.sh
preloaded(fail_threads) # no more threads can be started: test_limits.sh
# A GPU made of a CPU, for test_gpu.sh; it takes its symbols from the program.
add_library(spillway_fakegpu MODULE tools/fake_gpu_library.c)
target_include_directories(spillway_fakegpu PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
# The driver's monitor, for test_contexts.sh; nothing else is to find it.
add_library(fake_nvml SHARED tools/fake_nvml.c)
set_target_properties(fake_nvml PROPERTIES OUTPUT_NAME nvidia-ml SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/nvml)

set_property(TEST cli.hosts cli.slurm cli.readme APPEND PROPERTY LABELS hosts) # pretend hosts (tests/hosts.sh; root)
set_property(TEST cli.slurm cli.readme APPEND PROPERTY LABELS slurm)
# These start many ranks that compute: fewer other tests beside them.
set_tests_properties(cli.hosts PROPERTIES PROCESSORS 3)
set_tests_properties(cli.stage_links PROPERTIES PROCESSORS 2)
# All of what a quicker test takes a part of: minutes to hours, so only for `ctest -C long`.
foreach(name io_errors=1200 memory_ranks=7200)
  string(REPLACE "=" ";" name ${name})
  list(GET name 1 seconds)
  list(GET name 0 name)
  add_test(NAME cli.${name}_all CONFIGURATIONS long
    COMMAND ${BASH} ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_${name}.sh $<TARGET_FILE:spillway> --all)
  set_tests_properties(cli.${name}_all PROPERTIES LABELS "cli;long" TIMEOUT ${seconds}
    SKIP_RETURN_CODE 77)
endforeach()
slow(cli.serve 92)
slow(cli.readme 40)
slow(cli.serve_page 60)
slow(cli.openai 30)
slow(cli.lm_eval 80)
slow(cli.chat_verb 30)
slow(cli.bundle 42)
slow(cli.gguf 20)
slow(cli.quantize 60)
slow(cli.perplexity 60)
slow(cli.model_names 10)
slow(cli.hosts 500) # 120 s, but of three places, which are free together only at the start
slow(cli.stage_links 300) # 80 s of two places
slow(cli.batch 63)
slow(cli.slurm 205)
slow(cli.pages 16)
slow(cli.disk_layers 35)
slow(cli.experts 15)
slow(cli.gpu_experts 22)
slow(cli.tiers 33)
slow(cli.failures 56)
slow(cli.refused 45)
slow(cli.io_errors 19)
slow(cli.contexts 16)
slow(cli.encoder 15)
slow(cli.layer_kinds 30)
slow(cli.ranks 56)
slow(cli.memory_ranks 33)
slow(cli.limits 31)
slow(cli.long_lines 8)
slow(cli.gpu_script 23)
slow(cli.memory 21)
slow(cli.disk_gpu 15)
slow(cli.checkpoint 24)
slow(cli.score 9)
slow(cli.trace 25)
slow(cli.steered 8)
slow(cli.undefined 5)
