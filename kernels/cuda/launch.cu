/* Whether kernels may begin early on a device, the fence that none begins before, and loading. */
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/launch.cuh"

#include <atomic>
#include <stdlib.h>
#include <string.h>

namespace
{

__global__ void nothing(int)
{
    sw::await_previous();
}

const sw::listed_kernels all(nothing);

} // namespace

/* ------------------------------------------------------------------------------------------- */

const sw::listed_kernels *sw::listed_kernels::first;

cudaError_t sw::launch_fence(cudaStream_t stream)
{
    SW_LAUNCH_IN_ORDER(nothing, 1, 1, 0, stream, 0);
    return cudaGetLastError();
}

/* Reading a kernel's attributes loads it. */
cudaError_t sw_gpu_load_kernels(void)
{
    cudaFuncAttributes a;
    for (const sw::listed_kernels *file = sw::listed_kernels::first; file; file = file->next)
        for (int i = 0; i < file->n; i++) {
            const cudaError_t error = cudaFuncGetAttributes(&a, file->kernels[i]);
            if (error != cudaSuccess)
                return error;
        }
    return cudaSuccess;
}

/*
 * This depends on the code, not on the device: where a new device runs PTX of an old architecture,
 * kernels do not wait. All kernels are compiled for the same architectures, so one is enough to
 * check. The result is kept, because this runs at every launch.
 */
static bool awaits()
{
    cudaFuncAttributes a;
    const char *early = getenv("SPILLWAY_EARLY");
    if (early && strcmp(early, "0") == 0)
        return false;
    if (cudaFuncGetAttributes(&a, reinterpret_cast<const void *>(nothing)) == cudaSuccess)
        return a.ptxVersion >= 90;
    (void)cudaGetLastError(); /* the launch reports it */
    return false;
}

bool sw::kernels_await()
{
    enum { UNKNOWN, NO, YES };
    static std::atomic<signed char> known[64];
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess || device < 0 || device >= 64)
        return false;
    signed char answer = known[device].load(std::memory_order_relaxed);
    if (answer == UNKNOWN) {
        answer = awaits() ? YES : NO;
        known[device].store(answer, std::memory_order_relaxed);
    }
    return answer == YES;
}
