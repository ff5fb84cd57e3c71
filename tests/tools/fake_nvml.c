/*
 * A stand-in for the part of NVIDIA's driver that knows free memory without a context: four of its
 * functions, for cli/test_contexts.sh. All of a simulated GPU counts as free.
 */
#include <stdlib.h>
#include <string.h>

struct memory {
    unsigned long long total, free, used;
};
static int device_handle;

int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void);
int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device)
{
    *device = &device_handle;
    return strlen(bus_id) == strlen("0000:10:00.0") ? 0 : 2; /* invalid argument */
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *out);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *out)
{
    const char *size = getenv("SIMGPU_MEMORY"); /* "2G", "512M", "65536" */
    char *unit = "";
    const unsigned long long n = size ? strtoull(size, &unit, 10) : 1ull << 30;
    out->total = out->free = n << (*unit == 'G' ? 30 : *unit == 'M' ? 20 : 0);
    out->used = 0;
    return device == &device_handle ? 0 : 2;
}
