/*
 * What tests may ask the simulated GPU itself. Devices are numbered as cudaSetDevice has them.
 */
#ifndef SIMGPU_H
#define SIMGPU_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes this process has, and had at most, on a device. */
size_t simgpu_used(int device);
size_t simgpu_peak(int device);
void simgpu_reset_peak(int device);
/* Contexts this process has made on a device so far, and whether it has one now. Since CUDA 12
 * cudaSetDevice makes one, which the runtime keeps. */
int simgpu_contexts_made(int device);
int simgpu_has_context(int device);
/* How often a runtime or cuBLAS function was called so far, by whatever thread; names as
 * simgpu_fail has them. A launch that a graph repeats is no call. */
unsigned long simgpu_calls(const char *function);
/* Looks at the guard zones of all allocations; ends the process with a message if one is damaged.
 * Also done by every free and synchronisation, and at exit. */
void simgpu_check(void);
/* From now on every call for this device gives `error`, as after a fault of the real one; until
 * cudaDeviceReset. */
void simgpu_break(int device, cudaError_t error);
/* Call number `nth` (1: the next) of the named runtime or cuBLAS function gives `error` instead
 * of doing anything; for the name "launch" a launch does, and for "operation" what a stream runs:
 * the device is broken from then on. Also by SIMGPU_FAIL="cudaMalloc:3:2", several separated by
 * commas. */
void simgpu_fail(const char *function, int nth, int error);

#ifdef __cplusplus
}
#endif
#endif
