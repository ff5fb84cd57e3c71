/*
 * Reads a device's free memory by the CUDA driver where NVML cannot (nvml.c). That needs a context.
 * The runtime would keep the one it makes, which takes hundreds of MiB of a GPU that another rank
 * may use, so this makes one by the driver's functions and ends it.
 */
#include "gpu/cuda.h"

#include <string.h>

#define SINCE 12000 /* version of CUDA whose functions are called */

/* The functions return values of cudaError_t. */
struct driver {
    int (*get)(int *device, int ordinal);
    int (*retain)(void **context,
                  int device); /* the context that the runtime uses; counts its users */
    int (*release)(int device);
    int (*push)(void *context);
    int (*pop)(void **context);
    int (*memory)(size_t *free, size_t *total);
};

static cudaError_t context_find(const char *name, void *function, size_t size)
{
    void *symbol = NULL;
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion(name, &symbol, SINCE, cudaEnableDefault, &found);
    memcpy(function, &symbol, size);
    if (error != cudaSuccess)
        return error;
    return found == cudaDriverEntryPointSuccess && symbol ? cudaSuccess : cudaErrorNotSupported;
}

static cudaError_t open_driver(struct driver *driver)
{
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"cuDeviceGet", &driver->get},
        {"cuDevicePrimaryCtxRetain", &driver->retain},
        {"cuDevicePrimaryCtxRelease", &driver->release},
        {"cuCtxPushCurrent", &driver->push},
        {"cuCtxPopCurrent", &driver->pop},
        {"cuMemGetInfo", &driver->memory},
    };
    cudaError_t error = cudaSuccess;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0] && error == cudaSuccess; i++)
        error = context_find(functions[i].name, functions[i].function, sizeof driver->get);
    return error;
}

static int context_query(const struct driver *driver, void *context, size_t *free_bytes,
                         size_t *total)
{
    void *popped;
    int error = driver->push(context);
    if (error)
        return error;
    error = driver->memory(free_bytes, total);
    const int after = driver->pop(&popped);
    return error ? error : after;
}

cudaError_t sw_cuda_driver_memory(int device, uint64_t *free, uint64_t *total)
{
    struct driver driver;
    void *context;
    size_t free_bytes = 0, total_bytes = 0;
    int handle;
    const cudaError_t opened = open_driver(&driver);
    if (opened != cudaSuccess)
        return opened;
    int error = driver.get(&handle, device);
    if (!error)
        error = driver.retain(&context, handle);
    if (error)
        return (cudaError_t)error;
    error = context_query(&driver, context, &free_bytes, &total_bytes);
    const int after = driver.release(handle);
    *free = free_bytes;
    *total = total_bytes;
    return (cudaError_t)(error ? error : after);
}
