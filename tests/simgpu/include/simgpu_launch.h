/* Launching: arguments are converted and copied at the call, the kernel runs later. */
#ifndef SIMGPU_LAUNCH_H
#define SIMGPU_LAUNCH_H

#include "cuda_runtime_api.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace simgpu
{
/* An argument that is or may hold pointers: they must lead where the device can go. */
struct Argument {
    int number;
    bool pointer; /* else a structure */
    std::vector<uint64_t> words;
};
struct Launch {
    const char *name;
    const void *kernel; /* for its attributes */
    dim3 grid, block;
    size_t shared;
    std::function<void()> thread; /* what one thread runs */
    std::vector<Argument> arguments;
    bool may_begin_early; /* programmatic stream serialization; where the device has it */
};
/* Checks the configuration and enqueues; what is wrong is the last error, as with <<<>>>. */
void enqueue_launch(Launch launch, cudaStream_t stream);

/* Padding may hold anything, such as half of an old address: where it cannot be cleared,
 * structures that have some are not looked at. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define SIMGPU_CLEAR_PADDING(p) __builtin_clear_padding(p)
#endif
#endif
template <class T> void add_argument(std::vector<Argument> *to, int number, T value)
{
    if constexpr (std::is_pointer<T>::value || std::is_class<T>::value) {
#ifdef SIMGPU_CLEAR_PADDING
        SIMGPU_CLEAR_PADDING(&value);
#else
        if (!std::has_unique_object_representations<T>::value)
            return;
#endif
        Argument a = {number, std::is_pointer<T>::value, {}};
        a.words.resize(sizeof(T) / sizeof(uint64_t));
        memcpy(a.words.data(), static_cast<const void *>(&value),
               a.words.size() * sizeof(uint64_t));
        to->push_back(a);
    }
}

template <class T> struct Same {
    typedef T type;
};
template <class... P>
void launch(const char *name, bool early, void (*kernel)(P...), dim3 grid, dim3 block,
            size_t shared, cudaStream_t stream, typename Same<P>::type... args)
{
    std::vector<Argument> arguments;
    int number = 0;
    (add_argument(&arguments, ++number, args), ...);
    std::tuple<P...> held(args...);
    enqueue_launch({name, reinterpret_cast<const void *>(kernel), grid, block, shared,
                    [kernel, held] { std::apply(kernel, held); }, arguments, early},
                   stream);
}
} // namespace simgpu

/* What kernels/cuda/launch.cuh makes its own of. early: it may begin before the kernel before it
 * ends. */
#define SIMGPU_LAUNCH(early, kernel, grid, block, shared_bytes, stream, ...)                       \
    ::simgpu::launch(#kernel, early, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define SIMGPU_SHARED_DYNAMIC(type, name)                                                          \
    type *const name = static_cast<type *>(::simgpu::dynamic_shared)

#endif
