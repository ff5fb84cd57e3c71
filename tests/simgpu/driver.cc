// The driver below the runtime: contexts that are counted, and what can be asked in one.
#include "runtime.h"

#include <cstring>
#include <vector>

namespace simgpu
{
static thread_local std::vector<int> pushed; // devices, by the contexts made current

// A context's address stands for its device.
static char contexts[max_devices];

static int get(int *device, int ordinal)
{
    if (ordinal < 0 || ordinal >= device_count())
        return cudaErrorInvalidDevice;
    *device = ordinal;
    return cudaSuccess;
}

static int retain(void **context, int device)
{
    const cudaError_t error = retain_context(device);
    *context = error ? nullptr : &contexts[device];
    return error;
}

static int release(int device)
{
    return release_context(device);
}

static int push(void *context)
{
    pushed.push_back(static_cast<int>(static_cast<char *>(context) - contexts));
    return cudaSuccess;
}

static int pop(void **context)
{
    if (pushed.empty())
        return cudaErrorIllegalState;
    *context = &contexts[pushed.back()];
    pushed.pop_back();
    return cudaSuccess;
}

static int memory(size_t *free_bytes, size_t *total)
{
    const int fault = planted_fault("cuMemGetInfo");
    if (fault)
        return fault;
    if (pushed.empty())
        return cudaErrorIllegalState;
    const std::lock_guard<std::mutex> guard(lock);
    *free_bytes = machine_free(machine_number(pushed.back()));
    *total = settings().memory;
    return cudaSuccess;
}

static const struct Entry {
    const char *name;
    void *function;
} entries[] = {
    {"cuDeviceGet", reinterpret_cast<void *>(get)},
    {"cuDevicePrimaryCtxRetain", reinterpret_cast<void *>(retain)},
    {"cuDevicePrimaryCtxRelease", reinterpret_cast<void *>(release)},
    {"cuCtxPushCurrent", reinterpret_cast<void *>(push)},
    {"cuCtxPopCurrent", reinterpret_cast<void *>(pop)},
    {"cuMemGetInfo", reinterpret_cast<void *>(memory)},
};
} // namespace simgpu

using namespace simgpu;

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function,
                                                        unsigned, unsigned long long,
                                                        enum cudaDriverEntryPointQueryResult *found)
{
    SIMGPU_ENTER();
    *function = nullptr;
    for (const Entry &e : entries)
        if (strcmp(e.name, symbol) == 0)
            *function = e.function;
    if (found)
        *found = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
