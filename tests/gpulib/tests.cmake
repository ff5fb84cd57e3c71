# The whole GPU library on the simulated GPU: on two GPUs of the oldest kind, whose copies are often
# late. The tests ask the simulated GPU in the library that they open.
foreach(target ${unit_targets})
  if(target MATCHES "^test_gpulib_")
    target_link_libraries(${target} PRIVATE spillway_simgpu)
    target_compile_definitions(${target} PRIVATE
      SW_OTHER_GPU_LIBRARY="$<TARGET_FILE:other_gpu_library>"
      SW_NO_GPU_LIBRARY="$<TARGET_FILE:no_gpu_library>")
    add_dependencies(${target} other_gpu_library no_gpu_library)
    if(CUDA)
      target_compile_definitions(${target} PRIVATE SW_CUDA_LIBRARY="$<TARGET_FILE:spillway_cuda>")
      add_dependencies(${target} spillway_cuda)
    endif()
    string(REPLACE "test_gpulib_" "gpulib." name ${target})
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT SIMGPU_DEVICES=2
      SPILLWAY_GPU_LIBRARY=$<TARGET_FILE:spillway_simgpu> SIMGPU_MEMORY=256M SIMGPU_ARCH=75
      SIMGPU_LOADED=1)
  endif()
endforeach()
if(TARGET spillway_simgpu)
  set(library SPILLWAY_GPU_LIBRARY=$<TARGET_FILE:spillway_simgpu>)
  # Once more on newer GPUs, where bf16 is multiplied as such (8.0) and kernels begin before those
  # before them have ended (9.0).
  foreach(name backend early_kernels graphs gpu_tiers)
    once_more(gpulib.${name} 90 "${library};SIMGPU_MEMORY=256M;SIMGPU_ARCH=90")
  endforeach()
  # And with early kernels ruled out; and with an NCCL whose calls return before they are done.
  once_more(gpulib.early_kernels plain "${library};SIMGPU_ARCH=90;SPILLWAY_EARLY=0")
  once_more(gpulib.gpu_links hasty "${library};SIMGPU_DEVICES=2;SIMGPU_HASTY=1")

  add_executable(measure_decode gpulib/measure_decode.c)
  target_include_directories(measure_decode PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(measure_decode PRIVATE sw_cmd)
  add_test(NAME gpulib.measure COMMAND measure_decode
    ${CMAKE_CURRENT_SOURCE_DIR}/models/tiny/llama31 f16 8)
  set_tests_properties(gpulib.measure PROPERTIES LABELS "unit;gpulib" TIMEOUT ${unit_timeout}
    ENVIRONMENT ${library})
  add_dependencies(measure_decode spillway_simgpu)
  add_executable(measure_memory gpulib/measure_memory.c)
  target_link_libraries(measure_memory PRIVATE sw_cmd)
endif()
if(TEST gpulib.load) # opens libraries that all have the one symbol
  set_property(TEST gpulib.load APPEND PROPERTY ENVIRONMENT ASAN_OPTIONS=detect_odr_violation=0)
endif()
slow(gpulib.pipeline 53)
slow(gpulib.graphs_90 22)
slow(gpulib.graphs 21)
slow(gpulib.whole_model 33)
slow(gpulib.backend_90 28)
slow(gpulib.backend 31)
slow(gpulib.launches 9)
slow(gpulib.gpu_tiers_90 31)
slow(gpulib.gpu_tiers 42)
slow(gpulib.gpu_experts 30)
slow(gpulib.gpu_disk 25)
slow(gpulib.measure 3)
slow(gpulib.graph_faults 19)
slow(gpulib.gpu_links 6)
slow(gpulib.gpu_links_hasty 6)
long(gpulib.backend gpulib.backend_90 gpulib.gpu_links gpulib.gpu_links_hasty gpulib.graphs
  gpulib.graphs_90 gpulib.graph_faults gpulib.launches gpulib.whole_model gpulib.pipeline
  gpulib.gpu_disk gpulib.gpu_experts gpulib.gpu_tiers gpulib.gpu_tiers_90)
