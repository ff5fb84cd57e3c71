/*
 * Reads free memory by NVML, a library of the driver. It is opened by dlopen, because nodes without
 * a driver do not have it; only four of its functions are needed.
 */
#include "gpu/cuda.h"

#include <dlfcn.h>
#include <string.h>

struct memory {
    unsigned long long total, free, used;
};

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    int (*by_bus)(const char *bus_id, void **device);
    int (*memory)(void *device, struct memory *out);
};

/* POSIX dlsym returns functions as data pointers, which C cannot convert. */
static bool nvml_find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static bool nvml_query(const struct nvml *nvml, const char *bus_id, struct memory *out)
{
    void *device;
    if (nvml->init() != 0)
        return false;
    const bool known = nvml->by_bus(bus_id, &device) == 0 && nvml->memory(device, out) == 0;
    nvml->shutdown();
    return known;
}

bool sw_cuda_nvml_memory(const struct sw_gpu_info *gpu, uint64_t *free, uint64_t *total)
{
    struct nvml nvml;
    struct memory memory;
    if (strstr(gpu->name, "MIG ")) /* NVML would report the whole GPU */
        return false;
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
    const bool known =
        nvml_find(library, "nvmlInit_v2", &nvml.init, sizeof nvml.init) &&
        nvml_find(library, "nvmlShutdown", &nvml.shutdown, sizeof nvml.shutdown) &&
        nvml_find(library, "nvmlDeviceGetHandleByPciBusId_v2", &nvml.by_bus, sizeof nvml.by_bus) &&
        nvml_find(library, "nvmlDeviceGetMemoryInfo", &nvml.memory, sizeof nvml.memory) &&
        nvml_query(&nvml, gpu->bus_id, &memory);
    if (known) {
        *free = memory.free;
        *total = memory.total;
    }
    dlclose(library);
    return known;
}
