# libspillway_cuda.so: the GPU library, built next to the program, which opens it where there is a GPU.
if(NOT NVCC AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  message(FATAL_ERROR "CUDA=ON, but there is no nvcc in PATH, CUDA_PATH or /usr/local/cuda. Install "
    "the CUDA Toolkit (12.8 or newer) or name its compiler (-DCMAKE_CUDA_COMPILER=…), or configure "
    "with -DCUDA=OFF to compute on CPUs alone.")
endif()
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${NVCC})
endif()
# Turing to Blackwell. 90 and 120 also as PTX, from which drivers make code for what has none here: 10.x
# and 11.x (B100, GB200, Thor) from 90's, whatever comes later from 120's. PTX is there anyway while
# compiling, so it costs a little size; code for 100 would cost as much as each of the others.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90 120)
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
enable_language(CUDA)
find_package(CUDAToolkit 12.8 REQUIRED) # knows 120
# Edges between GPUs; NCCL comes without any description for CMake or pkg-config.
option(NCCL "Join ranks' GPUs by NCCL, where it is installed" ON)
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
if(NCCL AND NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
  set(with_nccl ON)
else()
  message(STATUS "Without NCCL (not installed, or NCCL=OFF): ranks' GPUs exchange data through host memory")
endif()

# The kernels as objects: for the library, and for the tests on a real GPU (tests/gpu.sh).
file(GLOB kernel_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
add_library(cuda_kernels OBJECT ${kernel_sources})
target_include_directories(cuda_kernels PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_compile_options(cuda_kernels PRIVATE -Werror=all-warnings -Xcompiler=-Wall,-Wextra,-Werror)
set_target_properties(cuda_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON
  CUDA_VISIBILITY_PRESET hidden CUDA_SEPARABLE_COMPILATION OFF)

file(GLOB gpu_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/gpu/*.c)
if(with_nccl)
  list(REMOVE_ITEM gpu_sources ${PROJECT_SOURCE_DIR}/src/gpu/nccl_stub.c)
else()
  list(REMOVE_ITEM gpu_sources ${PROJECT_SOURCE_DIR}/src/gpu/nccl.c)
endif()
# With a version.c of its own, so that it knows the sources it was built from.
add_library(spillway_cuda SHARED ${gpu_sources} $<TARGET_OBJECTS:cuda_kernels>
  ${PROJECT_BINARY_DIR}/version.c)
target_include_directories(spillway_cuda PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_link_libraries(spillway_cuda PRIVATE CUDA::cudart_static CUDA::cublas ${CMAKE_DL_LIBS})
if(with_nccl)
  target_include_directories(spillway_cuda PRIVATE ${NCCL_INCLUDE_DIR})
  target_link_libraries(spillway_cuda PRIVATE ${NCCL_LIBRARY})
endif()
# All but the one symbol stays inside, the static runtime's too.
target_link_options(spillway_cuda PRIVATE LINKER:--exclude-libs,ALL)
set_target_properties(spillway_cuda PROPERTIES C_VISIBILITY_PRESET hidden
  CUDA_RUNTIME_LIBRARY Static
  INSTALL_RPATH "$ORIGIN;${CUDAToolkit_LIBRARY_DIR}")
# Not CMAKE_INSTALL_LIBDIR: the program looks in ../lib.
install(TARGETS spillway_cuda LIBRARY DESTINATION lib)
