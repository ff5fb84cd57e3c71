// Launches: the configuration is checked as a device would, then the grid waits for its turn.
#include "runtime.h"
#include "simgpu_launch.h"

#include <sys/mman.h>

namespace simgpu
{
static cudaError_t check_launch(const Launch &l)
{
    const dim3 g = l.grid, b = l.block;
    const unsigned long long threads = 1ull * b.x * b.y * b.z;
    if (!g.x || !g.y || !g.z || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535 || threads == 0 ||
        threads > 1024 || b.z > 64)
        return cudaErrorInvalidConfiguration;
    if (l.shared > shared_limit(l.kernel))
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

// Memory of the process that the device cannot reach. The pages are asked for only when the value
// looks like an address.
static bool is_host_memory(uint64_t word)
{
    const uint64_t page = word & ~static_cast<uint64_t>(4095), top = word >> 40;
    const void *p = reinterpret_cast<const void *>(word);
    if (top < 0x55 || top > 0x7f || near_allocation(p) || pinned(p, 0))
        return false;
    return msync(reinterpret_cast<void *>(page), 1, MS_ASYNC) == 0 && !near_freed(p);
}

// With the lock held. What the real device would find out by a fault.
static void check_arguments(const Launch &l)
{
    for (const Argument &a : l.arguments)
        for (uint64_t word : a.words)
            if (is_host_memory(word))
                die("kernel %s: argument %d %s %#jx, which is host memory that is not pinned: the "
                    "device cannot reach it",
                    l.name, a.number, a.pointer ? "is" : "holds", static_cast<uintmax_t>(word));
}

void enqueue_launch(Launch launch, cudaStream_t stream)
{
    const int fault = planted_fault("launch");
    if (fault) {
        note(static_cast<cudaError_t>(fault));
        return;
    }
    int device;
    if (use_device(&device))
        return;
    if (load_kernel(device, launch.kernel) && settings().loaded)
        die("kernel %s is loaded when it is first launched, which may wait for the device "
            "(SIMGPU_LOADED)",
            launch.name);
    cudaError_t error = check_launch(launch);
    if (!error) {
        const std::lock_guard<std::mutex> guard(lock);
        if (stream_device(stream) != device)
            error = cudaErrorInvalidResourceHandle;
        else if (settings().strict)
            check_arguments(launch);
    }
    launch.may_begin_early = launch.may_begin_early && settings().arch >= 90;
    if (launch.may_begin_early)
        planted_fault("early launch"); /* only to be counted */
    if (!error) {
        const auto held = std::make_shared<const Launch>(std::move(launch));
        Begin begin;
        if (held->may_begin_early)
            begin = [held]() -> Run {
                const std::shared_ptr<Course> begun = begin_grid(*held);
                return [held, begun] { run_grid(*held, begun.get()); };
            };
        error = enqueue(
            stream, held->name, [held] { run_grid(*held, nullptr); }, nullptr, 0, begin);
    }
    note(error);
}
} // namespace simgpu
