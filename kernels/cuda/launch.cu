/* Whether kernels may begin early on a device, and the fence behind which none does. */
#include "kernels/cuda/launch.cuh"

#ifndef SW_SIMGPU
#include <atomic>
#endif

namespace
{

__global__ void nothing(int)
{
    sw::await_previous();
}

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw::launch_fence(cudaStream_t stream)
{
    SW_LAUNCH_IN_ORDER(nothing, 1, 1, 0, stream, 0);
    return cudaGetLastError();
}

#ifndef SW_SIMGPU

/*
 * What counts is the code, not the device: where a new device runs code that was made for an old
 * architecture, from its PTX, kernels do not wait. All are compiled for the same ones, so one of
 * them tells; and asking is remembered, because launching is what this is to make cheap.
 */
static bool awaits()
{
    cudaFuncAttributes a;
    if (cudaFuncGetAttributes(&a, nothing) == cudaSuccess)
        return a.ptxVersion >= 90;
    (void)cudaGetLastError(); /* the launch will tell */
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

#endif
