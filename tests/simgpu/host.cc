// Pinned host memory: which ranges the device may read and write by itself.
#include "runtime.h"

#include <cstdlib>
#include <cstring>
#include <map>

namespace simgpu
{
struct Range {
    size_t bytes;
    bool allocated; // by cudaHostAlloc, not registered
};
static std::map<uintptr_t, Range> &ranges = *new std::map<uintptr_t, Range>;

bool pinned(const void *p, size_t bytes)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(p);
    auto next = ranges.upper_bound(address);
    if (next == ranges.begin())
        return false;
    --next;
    return address + bytes <= next->first + next->second.bytes;
}

static cudaError_t refuse_now()
{
    const std::lock_guard<std::mutex> guard(lock);
    return refuse_in_capture();
}

static cudaError_t forget(void *p, bool allocated)
{
    const auto found = ranges.find(reinterpret_cast<uintptr_t>(p));
    if (found == ranges.end() || found->second.allocated != allocated)
        return allocated ? cudaErrorInvalidValue : cudaErrorHostMemoryNotRegistered;
    ranges.erase(found);
    return cudaSuccess;
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    *out = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    const cudaError_t refused = refuse_now();
    if (refused)
        return note(refused);
    if (posix_memalign(out, 4096, bytes) != 0) {
        *out = nullptr;
        return note(cudaErrorMemoryAllocation);
    }
    memset(*out, 0xff, bytes);
    const std::lock_guard<std::mutex> guard(lock);
    ranges[reinterpret_cast<uintptr_t>(*out)] = {bytes, true};
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    SIMGPU_ENTER();
    return cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *p)
{
    SIMGPU_ENTER();
    if (!p)
        return cudaSuccess;
    int device;
    cudaError_t error = use_device(&device);
    if (!error)
        error = note(refuse_now());
    if (error)
        return error;
    wait_for_device(device);
    {
        const std::lock_guard<std::mutex> guard(lock);
        error = forget(p, true);
    }
    if (error)
        return note(error);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (!p || bytes == 0)
        return note(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> guard(lock);
    const cudaError_t refused = refuse_in_capture();
    if (refused)
        return note(refused);
    const uintptr_t start = reinterpret_cast<uintptr_t>(p);
    for (const auto &r : ranges)
        if (start < r.first + r.second.bytes && r.first < start + bytes)
            return note(cudaErrorHostMemoryAlreadyRegistered);
    ranges[start] = {bytes, false};
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *p)
{
    SIMGPU_ENTER();
    int device;
    cudaError_t error = use_device(&device);
    if (!error)
        error = note(refuse_now());
    if (error)
        return error;
    wait_for_device(device);
    const std::lock_guard<std::mutex> guard(lock);
    return note(forget(p, false));
}

cudaError_t cudaHostGetDevicePointer(void **out, void *host, unsigned)
{
    const std::lock_guard<std::mutex> guard(lock);
    if (!pinned(host, 1))
        return note(cudaErrorInvalidValue);
    *out = host;
    return cudaSuccess;
}
}
