// Devices: which there are, what they are, which one a thread uses.
#include "runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

namespace simgpu
{
std::mutex &lock = *new std::mutex;
std::condition_variable &changed = *new std::condition_variable;

static thread_local int device_of_thread;
static bool peer[max_devices][max_devices];
// A process has one context on a device, which the runtime holds once it has used it; others may
// too.
static bool runtime_holds[max_devices];
static int holders[max_devices], made[max_devices];
static std::map<const void *, int> &dynamic_limits = *new std::map<const void *, int>;
// By device: code is loaded when it is asked for or first used.
static std::set<std::pair<int, const void *>> &loaded = *new std::set<std::pair<int, const void *>>;

// Shared memory a block may have when it asks for it, and multiprocessors of a GPU of its kind.
static const struct Kind {
    int arch, shared_optin, multiprocessors;
    const char *name;
} kinds[] = {
    {75, 64 << 10, 72, "Simulated Turing"},   {80, 163 << 10, 108, "Simulated Ampere"},
    {86, 99 << 10, 84, "Simulated Ampere"},   {89, 99 << 10, 128, "Simulated Ada"},
    {90, 227 << 10, 132, "Simulated Hopper"}, {120, 99 << 10, 170, "Simulated Blackwell"},
};

static const Kind &kind()
{
    const Kind *best = &kinds[0];
    for (const Kind &k : kinds)
        if (k.arch <= settings().arch)
            best = &k;
    return *best;
}

int current_device()
{
    return device_of_thread;
}

void set_thread_device(int device)
{
    device_of_thread = device;
}

static cudaError_t hold(int device)
{
    if (holders[device] == 0) {
        if (!machine_take(machine_number(device), settings().context))
            return cudaErrorMemoryAllocation;
        made[device]++;
    }
    holders[device]++;
    return cudaSuccess;
}

static cudaError_t let_go(int device)
{
    if (holders[device] == 0)
        return cudaErrorIllegalState;
    if (--holders[device] == 0)
        machine_give(machine_number(device), settings().context);
    return cudaSuccess;
}

void end_context(int device)
{
    if (runtime_holds[device])
        let_go(device);
    runtime_holds[device] = false;
}

cudaError_t retain_context(int device)
{
    if (device < 0 || device >= device_count())
        return cudaErrorInvalidDevice;
    watch_process();
    const std::lock_guard<std::mutex> guard(lock);
    return hold(device);
}

cudaError_t release_context(int device)
{
    const std::lock_guard<std::mutex> guard(lock);
    return let_go(device);
}

int device_count()
{
    return static_cast<int>(settings().visible.size());
}

static bool exists(int device)
{
    return device >= 0 && device < device_count();
}

int machine_number(int device)
{
    return settings().visible[static_cast<size_t>(device)];
}

cudaError_t use_device(int *device)
{
    const int d = device_of_thread;
    if (device_count() == 0)
        return note(cudaErrorNoDevice);
    if (sticky(d))
        return note(sticky(d));
    *device = d;
    watch_process();
    const std::lock_guard<std::mutex> guard(lock);
    if (!runtime_holds[d] && hold(d) != cudaSuccess)
        return note(cudaErrorMemoryAllocation);
    runtime_holds[d] = true;
    return cudaSuccess;
}

bool peers(int device, int other)
{
    return device == other || peer[device][other];
}

size_t shared_limit(const void *kernel)
{
    const std::lock_guard<std::mutex> guard(lock);
    const auto found = dynamic_limits.find(kernel);
    return found == dynamic_limits.end() ? 48 << 10 : static_cast<size_t>(found->second);
}

bool load_kernel(int device, const void *kernel)
{
    const std::lock_guard<std::mutex> guard(lock);
    return loaded.insert({device, kernel}).second;
}

size_t shared_optin()
{
    return static_cast<size_t>(kind().shared_optin);
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
int simgpu_contexts_made(int device)
{
    const std::lock_guard<std::mutex> guard(lock);
    return made[device];
}

int simgpu_has_context(int device)
{
    const std::lock_guard<std::mutex> guard(lock);
    return holders[device] > 0;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = settings().driver;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    SIMGPU_ENTER();
    if (settings().driver / 1000 < CUDART_VERSION / 1000)
        return note(cudaErrorInsufficientDriver);
    if (device_count() == 0)
        return note(cudaErrorNoDevice); /* leaves *count alone, as the real one */
    *count = device_count();
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    SIMGPU_ENTER();
    if (!exists(device))
        return note(device_count() ? cudaErrorInvalidDevice : cudaErrorNoDevice);
    device_of_thread = device;
    int used;
    return use_device(&used); /* since CUDA 12 it makes the context */
}

cudaError_t cudaGetDevice(int *device)
{
    *device = device_of_thread;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned)
{
    return cudaSuccess;
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned)
{
    return exists(device) ? cudaSuccess : note(cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int len, int device)
{
    if (!exists(device))
        return note(cudaErrorInvalidDevice);
    if (len < 13)
        return note(cudaErrorInvalidValue);
    snprintf(id, static_cast<size_t>(len), "0000:%02X:00.0", 0x10 + machine_number(device));
    return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int *device, const char *id)
{
    char own[16];
    for (int d = 0; d < device_count(); d++) {
        cudaDeviceGetPCIBusId(own, sizeof own, d);
        if (strcasecmp(own, id) == 0) {
            *device = d;
            return cudaSuccess;
        }
    }
    return note(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    SIMGPU_ENTER();
    if (!exists(device))
        return note(cudaErrorInvalidDevice);
    memset(prop, 0, sizeof *prop);
    snprintf(prop->name, sizeof prop->name, "%s GPU", kind().name);
    prop->totalGlobalMem = settings().memory;
    prop->sharedMemPerBlock = 48 << 10;
    prop->sharedMemPerBlockOptin = shared_optin();
    prop->sharedMemPerMultiprocessor = shared_optin() + 1024;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = 1024;
    prop->maxThreadsPerMultiProcessor = settings().arch == 75 ? 1024 : 1536;
    prop->major = settings().arch / 10;
    prop->minor = settings().arch % 10;
    prop->multiProcessorCount = kind().multiprocessors;
    prop->l2CacheSize = 4 << 20;
    prop->memoryBusWidth = 384;
    prop->asyncEngineCount = 2;
    prop->concurrentKernels = prop->canMapHostMemory = prop->unifiedAddressing = 1;
    prop->pciBusID = 0x10 + machine_number(device);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    struct cudaDeviceProp p;
    const cudaError_t error = cudaGetDeviceProperties(&p, device);
    if (error)
        return error;
    const struct {
        enum cudaDeviceAttr attr;
        int value;
    } attributes[] = {
        {cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
        {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(p.sharedMemPerBlock)},
        {cudaDevAttrWarpSize, p.warpSize},
        {cudaDevAttrClockRate, 1000000},
        {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
        {cudaDevAttrIntegrated, 0},
        {cudaDevAttrCanMapHostMemory, 1},
        {cudaDevAttrConcurrentKernels, 1},
        {cudaDevAttrPciBusId, p.pciBusID},
        {cudaDevAttrPciDeviceId, 0},
        {cudaDevAttrMemoryClockRate, 1000000},
        {cudaDevAttrGlobalMemoryBusWidth, p.memoryBusWidth},
        {cudaDevAttrL2CacheSize, p.l2CacheSize},
        {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
        {cudaDevAttrAsyncEngineCount, p.asyncEngineCount},
        {cudaDevAttrPciDomainId, 0},
        {cudaDevAttrComputeCapabilityMajor, p.major},
        {cudaDevAttrComputeCapabilityMinor, p.minor},
        {cudaDevAttrMaxSharedMemoryPerMultiprocessor,
         static_cast<int>(p.sharedMemPerMultiprocessor)},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<int>(p.sharedMemPerBlockOptin)},
        {cudaDevAttrHostRegisterSupported, 1},
        {cudaDevAttrMemoryPoolsSupported, 1},
    };
    for (const auto &a : attributes)
        if (a.attr == attr) {
            *value = a.value;
            return cudaSuccess;
        }
    return note(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int other)
{
    if (!exists(device) || !exists(other))
        return note(cudaErrorInvalidDevice);
    *can = device != other;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int other, unsigned flags)
{
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (!exists(other) || other == device)
        return note(cudaErrorInvalidDevice);
    if (flags)
        return note(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> guard(lock);
    if (peer[device][other])
        return note(cudaErrorPeerAccessAlreadyEnabled);
    peer[device][other] = true;
    return cudaSuccess;
}

cudaError_t cudaDeviceDisablePeerAccess(int other)
{
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    const std::lock_guard<std::mutex> guard(lock);
    if (!exists(other) || !peer[device][other])
        return note(cudaErrorPeerAccessNotEnabled);
    peer[device][other] = false;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *out, const void *func)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (!out || !func)
        return note(cudaErrorInvalidDeviceFunction);
    *out = {0, 1024, settings().arch, settings().arch};
    load_kernel(device, func);
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value)
{
    SIMGPU_ENTER();
    if (attr == cudaFuncAttributePreferredSharedMemoryCarveout)
        return cudaSuccess;
    if (!func || attr != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<size_t>(value) > shared_optin())
        return note(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> guard(lock);
    dynamic_limits[func] = value;
    return cudaSuccess;
}

/* By threads and shared memory alone: registers are not simulated. */
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *func,
                                                          int block_size_, size_t dynamic_shared_)
{
    struct cudaDeviceProp p;
    const cudaError_t error = cudaGetDeviceProperties(&p, current_device());
    if (error)
        return error;
    if (!func || block_size_ < 1)
        return note(cudaErrorInvalidValue);
    const int by_threads = p.maxThreadsPerMultiProcessor / block_size_;
    const size_t by_shared = p.sharedMemPerMultiprocessor / (dynamic_shared_ + 1024);
    *blocks = std::min(by_threads, static_cast<int>(std::min<size_t>(by_shared, 32)));
    return cudaSuccess;
}
}
