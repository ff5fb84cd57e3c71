/* Launching: arguments are converted and copied at the call, the kernel runs later. */
#ifndef SIMGPU_LAUNCH_H
#define SIMGPU_LAUNCH_H

#include "cuda_runtime_api.h"

#include <functional>
#include <tuple>
#include <utility>

namespace simgpu
{
struct Launch {
    const char *name;
    const void *kernel; /* for its attributes */
    dim3 grid, block;
    size_t shared;
    std::function<void()> thread; /* what one thread runs */
};
/* Checks the configuration and enqueues; what is wrong is the last error, as with <<<>>>. */
void enqueue_launch(Launch launch, cudaStream_t stream);

template <class T> struct Same {
    typedef T type;
};
template <class... P>
void launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
            cudaStream_t stream, typename Same<P>::type... args)
{
    std::tuple<P...> held(args...);
    enqueue_launch({name, reinterpret_cast<const void *>(kernel), grid, block, shared,
                    [kernel, held] { std::apply(kernel, held); }},
                   stream);
}
} // namespace simgpu

/* A template kernel with commas goes in parentheses: SW_LAUNCH((matvec<T, 4>), …). */
#define SW_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    ::simgpu::launch(#kernel, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define SW_SHARED_DYNAMIC(type, name)                                                              \
    type *const name = static_cast<type *>(::simgpu::dynamic_shared)

#endif
