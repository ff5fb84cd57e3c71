# The kernels on the simulated GPU, and the same tests with the real ones for a machine with a GPU.
foreach(target ${unit_targets})
  if(target MATCHES "^test_gpu_")
    target_link_libraries(${target} PRIVATE simgpu_kernels)
  endif()
endforeach()
# Once more on newer GPUs, where bf16 is multiplied as such (8.0) and kernels begin before those
# before them have ended (9.0).
foreach(name attend convert delta heads kv products rows)
  once_more(gpu.${name} 90
    "SPILLWAY_GPU_LIBRARY=$<TARGET_FILE:spillway_simgpu>;SIMGPU_MEMORY=256M;SIMGPU_ARCH=90")
endforeach()
long(gpu.attend gpu.attend_90 gpu.products gpu.products_90)
foreach(name attend attend_90) # half a minute: early, so that they are not left at the end
  if(TEST gpu.${name})
    set_property(TEST gpu.${name} PROPERTY COST 30)
  endif()
endforeach()

# Speeds; on the simulated GPU figures mean nothing, but it has to run.
if(TARGET simgpu_kernels)
  add_executable(measure_gpu gpu/measure_gpu.c)
  target_link_libraries(measure_gpu PRIVATE simgpu_kernels)
  add_test(NAME gpu.measure COMMAND measure_gpu --small)
  set_tests_properties(gpu.measure PROPERTIES LABELS "unit;gpu" TIMEOUT ${unit_timeout}
    ENVIRONMENT SIMGPU_ALIKE=0)
endif()

# The tests here, that of gpulib/ which knows nothing of the simulated GPU, and the measurements once
# more with the real kernels and the real library, for tests/gpu.sh on a machine that has a GPU:
# card_test_NAME and card_measure_NAME, built by the target card_tests only.
if(CUDA AND CUNIT_FOUND)
  file(GLOB card_sources CONFIGURE_DEPENDS gpu/test_*.c gpu/measure_gpu.c)
  add_custom_target(card_tests)
  foreach(source ${card_sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(card_${name} EXCLUDE_FROM_ALL ${source} $<TARGET_OBJECTS:cuda_kernels>)
    target_compile_definitions(card_${name} PRIVATE SW_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    target_include_directories(card_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(card_${name} PRIVATE sw_cmd PkgConfig::CUNIT CUDA::cudart_static
      CUDA::cublas)
    add_dependencies(card_tests card_${name})
  endforeach()
  foreach(name test_graphs test_gpu_experts measure_decode measure_memory)
    add_executable(card_${name} EXCLUDE_FROM_ALL gpulib/${name}.c)
    target_compile_definitions(card_${name} PRIVATE SW_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    target_include_directories(card_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(card_${name} PRIVATE sw_cmd PkgConfig::CUNIT)
    add_dependencies(card_${name} spillway_cuda)
    add_dependencies(card_tests card_${name})
  endforeach()
  add_executable(card_nccl_self EXCLUDE_FROM_ALL tools/nccl_self.c)
  target_link_libraries(card_nccl_self PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
  add_dependencies(card_tests card_nccl_self)
endif()
