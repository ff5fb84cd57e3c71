/*
 * How kernels are launched and how they begin. Kernels are compiled by nvcc and, for tests, by the
 * host compiler on a simulated GPU, whose cuda_runtime.h has forms of its own of what a host
 * compiler cannot parse.
 *
 * From compute capability 9.0 on a kernel may begin before the one before it has ended
 * (programmatic dependent launch), so that the gap between two is filled. Two rules make that
 * right:
 *
 *  - Every thread of every kernel calls await_previous() before it touches memory that any kernel
 *    may write, and before it ends. It returns when the kernel before has ended and what that wrote
 *    can be seen. So no kernel ends before the one before it has, and it is enough to wait for that
 *    one: all earlier ones have ended, too. Nothing is written early either, so what others still
 *    read stays.
 *  - What is read before it was not written by a kernel that may still run: only weights are read
 *    then (gemv.cu), which are copied to the device. unpack.cu computes some, behind which a
 *    fence is launched.
 *
 * Between a kernel and anything else (copies, events, products of cuBLAS, NCCL, graphs as a whole)
 * order is the stream's, as ever: only a kernel launched by SW_LAUNCH begins early, and only where
 * what is before it is a kernel. Recorded launches keep this in graphs.
 *
 * No pointer is __restrict__ here, and nothing is read by __ldg: what the compiler takes for
 * constant it may read before the wait, and by way of a cache that does not see it change.
 */
#ifndef SW_KERNELS_CUDA_LAUNCH_CUH
#define SW_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

namespace sw
{

/* The first thing a kernel does; gemv.cu asks for weights before. The next kernel may be brought
 * to the device from here on: its threads wait in their own call. */
static __device__ inline void await_previous()
{
#if defined(SW_SIMGPU) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
    cudaTriggerProgrammaticLaunchCompletion();
    cudaGridDependencySynchronize();
#endif
}

/* What comes after this begins when all before it has ended, weights early or not. launch.cu */
cudaError_t launch_fence(cudaStream_t stream);

} // namespace sw

namespace sw
{

/* May kernels begin early on the current device? The code has to wait by itself, and
 * SPILLWAY_EARLY=0 has not ruled it out. launch.cu */
bool kernels_await();

/*
 * The kernels of a file, tables of them whole, for sw_gpu_load_kernels: one `static const` of it in
 * each, which lasts. Every kernel must be named there; a simulated GPU ends the process over one
 * that was not (SIMGPU_LOADED).
 */
class listed_kernels
{
  public:
    template <class... K> explicit listed_kernels(const K &...of_file) : next(first)
    {
        (add(of_file), ...);
        first = this;
    }
    listed_kernels(const listed_kernels &) = delete;
    listed_kernels &operator=(const listed_kernels &) = delete;

    static const listed_kernels *first; /* of all files'; launch.cu */
    const listed_kernels *const next;
    const void *kernels[48];
    int n = 0;

  private:
    template <class... P> void add(void (*kernel)(P...))
    {
        kernels[n++] = reinterpret_cast<const void *>(kernel);
    }
    template <class T, size_t size> void add(const T (&table)[size])
    {
        for (const T &kernel : table)
            add(kernel);
    }
};

} // namespace sw

/* A template kernel whose arguments have commas goes in parentheses: SW_LAUNCH((gemv<T, 4>), …).
 * At least one argument. SW_LAUNCH_IN_ORDER: one that begins when all before it has ended. */
#ifdef SW_SIMGPU
#define SW_LAUNCH(kernel, ...) SIMGPU_LAUNCH(::sw::kernels_await(), kernel, __VA_ARGS__)
#define SW_LAUNCH_IN_ORDER(kernel, ...) SIMGPU_LAUNCH(false, kernel, __VA_ARGS__)
#define SW_SHARED_DYNAMIC(type, name) SIMGPU_SHARED_DYNAMIC(type, name)
#else
namespace sw
{

template <class... P, class... A>
static inline void launch(bool early, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                          cudaStream_t stream, A... args)
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    if (early && kernels_await()) {
        config.attrs = &attribute;
        config.numAttrs = 1;
    }
    (void)cudaLaunchKernelEx(&config, kernel, args...); /* cudaGetLastError tells, too */
}

} // namespace sw

#define SW_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    ::sw::launch(true, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define SW_LAUNCH_IN_ORDER(kernel, grid, block, shared_bytes, stream, ...)                         \
    ::sw::launch(false, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
/* Dynamic shared memory as a pointer; 16-byte aligned. One array under all names and types, because
 * nvcc takes declarations of one name with two types for a conflict. */
#define SW_SHARED_DYNAMIC(type, name)                                                              \
    extern __shared__ __align__(16) unsigned char sw_shared_dynamic[];                             \
    type *const name = reinterpret_cast<type *>(sw_shared_dynamic)
#endif

#endif
