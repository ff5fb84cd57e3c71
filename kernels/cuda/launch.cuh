/*
 * The two things of CUDA that a host compiler cannot parse, as macros: kernels are compiled by nvcc
 * and, for tests, by the host compiler on a simulated GPU, whose cuda_runtime.h has its own forms.
 */
#ifndef SW_KERNELS_CUDA_LAUNCH_CUH
#define SW_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

#ifndef SW_SIMGPU
/* A template kernel whose arguments have commas goes in parentheses: SW_LAUNCH((matvec<T, 4>), …).
 * At least one argument. */
#define SW_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
/* Dynamic shared memory as a pointer; 16-byte aligned. One array under all names and types, because
 * nvcc takes declarations of one name with two types for a conflict. */
#define SW_SHARED_DYNAMIC(type, name)                                                              \
    extern __shared__ __align__(16) unsigned char sw_shared_dynamic[];                             \
    type *const name = reinterpret_cast<type *>(sw_shared_dynamic)
#endif

#endif
