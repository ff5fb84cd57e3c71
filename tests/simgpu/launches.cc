// Launches: the configuration is checked as a device would, then the grid waits for its turn.
#include "runtime.h"
#include "simgpu_launch.h"

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
    cudaError_t error = check_launch(launch);
    if (!error) {
        const std::lock_guard<std::mutex> guard(lock);
        if (stream_device(stream) != device)
            error = cudaErrorInvalidResourceHandle;
    }
    if (!error)
        error = enqueue(stream, launch.name, [launch, device] { run_grid(launch, device); });
    note(error);
}
} // namespace simgpu
