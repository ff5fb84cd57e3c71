/*
 * How kernels are launched and how they begin. Kernels are compiled by nvcc and, for tests, by the
 * host compiler on a simulated GPU, whose cuda_runtime.h replaces what a host compiler cannot
 * parse.
 *
 * From compute capability 9.0 on a kernel may begin before the previous one has ended (programmatic
 * dependent launch), which fills the gap between the two. Two rules keep that correct:
 *
 *  - Every thread of every kernel calls await_previous() before it accesses memory that any kernel
 *    may write, and before it ends. The call returns when the previous kernel has ended and its
 *    writes are visible. So kernels end in order, and waiting for the previous one means waiting
 *    for all earlier ones. Nothing is written before the call, so earlier kernels read what they
 *    expect.
 *  - Memory read before the call must not be written by a kernel that may still run. Only weights
 *    are read then (gemv.cuh), and they are copied to the device. sw_gpu_unpack computes some, and
 *    launches a fence after that.
 *
 * Between a kernel and anything else (copies, events, cuBLAS, NCCL, whole graphs) the stream's
 * order holds: only a kernel launched by SW_LAUNCH begins early, and only directly after a kernel.
 * Captured launches keep this in graphs.
 *
 * No pointer is __restrict__ here, and nothing is read by __ldg: the compiler may read constant
 * data before the wait, and by a cache that does not see changes.
 */
#ifndef SW_KERNELS_CUDA_LAUNCH_CUH
#define SW_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

namespace sw
{

/* A kernel calls this first; GEMV only starts to load weights before. From here on the next
 * kernel may start: its threads wait in their own call. */
static __device__ inline void await_previous()
{
#if defined(SW_SIMGPU) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
    cudaTriggerProgrammaticLaunchCompletion();
    cudaGridDependencySynchronize();
#endif
}

/* A kernel after the fence begins, and reads weights, only when all before it has ended. launch.cu
 */
cudaError_t launch_fence(cudaStream_t stream);

} // namespace sw

namespace sw
{

/* Whether kernels may begin early on the current device: the code for it must call the wait, and
 * SPILLWAY_EARLY is not 0. launch.cu */
bool kernels_await();

/*
 * The list of a file's kernels, single ones and tables, for sw_gpu_load_kernels. Each file has one
 * `static const` object of this class, which must name every kernel: the simulated GPU ends the
 * process at the launch of one that was not named (SIMGPU_LOADED).
 */
class listed_kernels
{
  public:
    template <class... K> explicit listed_kernels(const K &...of_file) : next(first)
    {
        static_assert((0 + ... + count<K>::kernels) <= most,
                      "more kernels than a list has room for");
        (add(of_file), ...);
        first = this;
    }
    listed_kernels(const listed_kernels &) = delete;
    listed_kernels &operator=(const listed_kernels &) = delete;

    static const listed_kernels *first; /* the lists of all files; launch.cu */
    const listed_kernels *const next;
    static constexpr int most = 48;
    const void *kernels[most];
    int n = 0;

  private:
    template <class K> struct count {
        static constexpr int kernels = 1;
    };
    template <class T, size_t size> struct count<T[size]> {
        static constexpr int kernels = (int)size * count<T>::kernels;
    };
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

/* SW_LAUNCH launches a kernel with at least one argument; a name with commas is put in parentheses:
 * SW_LAUNCH((gemv<T, 4>), …). SW_LAUNCH_IN_ORDER: the kernel begins when all before it has ended.
 */
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
    (void)cudaLaunchKernelEx(&config, kernel,
                             args...); /* cudaGetLastError returns its error, too */
}

} // namespace sw

#define SW_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    ::sw::launch(true, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define SW_LAUNCH_IN_ORDER(kernel, grid, block, shared_bytes, stream, ...)                         \
    ::sw::launch(false, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
  /* A pointer to dynamic shared memory, aligned to 16 bytes. All uses share one array, because nvcc
   * rejects declarations of one name with two types. */
#define SW_SHARED_DYNAMIC(type, name)                                                              \
    extern __shared__ __align__(16) unsigned char sw_shared_dynamic[];                             \
    type *const name = reinterpret_cast<type *>(sw_shared_dynamic)
#endif

#endif
