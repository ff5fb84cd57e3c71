// Kernels for the simulated GPU's own tests; sim_kernels.h says what they do.
#include "simgpu/sim_kernels.h"

#include "kernels/cuda/mma.cuh"

#include <cuda_fp16.h>
#include <string.h>

template <int WIDTH> __device__ float warp_sum(float v)
{
    for (int m = WIDTH / 2; m; m >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, m);
    return v;
}

__global__ void __launch_bounds__(1024) sum(const float *__restrict__ x, int n, float *out)
{
    __shared__ float part[32];
    float v = 0;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < static_cast<unsigned>(n);
         i += gridDim.x * blockDim.x)
        v += __ldg(x + i);
    v = warp_sum<32>(v);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = warp_sum<32>(threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0);
        if (threadIdx.x == 0)
            out[blockIdx.x] = v;
    }
}

__global__ void reverse(const int *x, int *y)
{
    SW_SHARED_DYNAMIC(int, held);
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    held[threadIdx.x] = x[i];
    __syncthreads();
    y[i] = held[blockDim.x - 1 - threadIdx.x];
}

__global__ void count(const int *x, int n, int *counts, int *highest, unsigned *tickets)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) {
        atomicAdd(&counts[x[i]], 1);
        atomicMax(highest, x[i]);
    }
    if (threadIdx.x == 0)
        atomicInc(tickets, gridDim.x - 1);
}

__global__ void warp(int *out, int width)
{
    const int me = static_cast<int>(threadIdx.x);
    out += me * TEST_WARP_VALUES;
    out[0] = __shfl_sync(0xffffffffu, me, 3, width);
    out[1] = __shfl_xor_sync(0xffffffffu, me, 5, width);
    out[2] = __shfl_down_sync(0xffffffffu, me, 2, width);
    out[3] = __shfl_up_sync(0xffffffffu, me, 2, width);
    out[4] = static_cast<int>(__ballot_sync(0xffffffffu, me % 3 == 0));
    out[5] = __any_sync(0xffffffffu, me == 7) * 2 + __all_sync(0xffffffffu, me < 32);
    // Two halves of a warp on ways of their own.
    if (me & 16)
        out[6] = __shfl_xor_sync(0xffff0000u, me, 8);
    else
        out[6] = __shfl_xor_sync(0x0000ffffu, me, 1) + __shfl_xor_sync(0x0000ffffu, me, 2);
    __syncwarp();
    out[7] = __shfl_sync(0xffffffffu, out[6], 31 - me % 32);
}

// The PTX manual's places of elements, pair by pair.
__global__ void product(const uint16_t *a, const uint16_t *b, float *c, bool all)
{
    const unsigned lane = threadIdx.x, g = lane / 4, t = lane % 4;
    if (!all && lane == 31)
        return;
    unsigned a_words[4], b_words[2];
    float sums[4];
    for (unsigned i = 0; i < 4; i++) {
        const uint16_t *const two = a + (g + i % 2 * 8) * 16 + i / 2 * 8 + t * 2;
        a_words[i] = two[0] | static_cast<unsigned>(two[1]) << 16;
        sums[i] = c[(g + i / 2 * 8) * 8 + t * 2 + i % 2];
    }
    for (unsigned i = 0; i < 2; i++) {
        const uint16_t *const two = b + (i * 8 + t * 2) * 8 + g;
        b_words[i] = two[0] | static_cast<unsigned>(two[8]) << 16;
    }
    sw::multiply(sums, a_words, b_words);
    for (unsigned i = 0; i < 4; i++)
        c[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = sums[i];
}

__global__ void vector(float *y, int offset)
{
    *reinterpret_cast<float4 *>(reinterpret_cast<char *>(y) + 4 * offset) = make_float4(1, 2, 3, 4);
}

__global__ void votes(int *out)
{
    const bool p = threadIdx.x % 3 == 0;
    const int any = __syncthreads_or(p), all = __syncthreads_and(p),
              number = __syncthreads_count(p);
    out[threadIdx.x] = number * 4 + (any != 0) * 2 + (all != 0);
}

__global__ void add(int *y, int n, int a)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] += a;
}

__global__ void copy(const int *x, int *y, int n)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] = x[i];
}

__global__ void places(int *out)
{
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    const unsigned place[6] = {blockIdx.x,  blockIdx.y,  blockIdx.z,
                               threadIdx.x, threadIdx.y, threadIdx.z};
    for (unsigned i = 0; i < 6; i++)
        out[(block * threads + thread) * 6 + i] = static_cast<int>(place[i]);
}

__global__ void halves(const float *x, uint16_t *y, int n, float *z)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] = __half_as_ushort(__float2half_rn(x[i]));
    if (i < 65536)
        z[i] = __half2float(__ushort_as_half(static_cast<unsigned short>(i)));
}

template <class T> __device__ int clear_bits_of_template()
{
    __shared__ T held[8];
    int clear = 0;
    for (int i = 0; i < 8; i++) {
        clear += 32 - __popc(static_cast<unsigned>(held[i]));
        held[i] = 0;
    }
    return clear;
}

__global__ void unwritten(int *out)
{
    __shared__ int held[8];
    SW_SHARED_DYNAMIC(int, dynamic);
    int clear = 0, clear_dynamic = 0;
    for (int i = 0; i < 8; i++) {
        clear += 32 - __popc(static_cast<unsigned>(held[i]));
        held[i] = 0;
        clear_dynamic += 32 - __popc(static_cast<unsigned>(dynamic[i]));
        dynamic[i] = 0;
    }
    atomicAdd(&out[0], clear);
    atomicAdd(&out[1], clear_bits_of_template<int>() + clear_bits_of_template<unsigned>());
    atomicAdd(&out[2], clear_dynamic);
}

// ---- faults

__global__ void no_barrier(const int *x, int *y)
{
    __shared__ int held[1024];
    held[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = held[blockDim.x - 1 - threadIdx.x];
}

// Whoever comes last, the result is the same; it is a race all the same.
__global__ void race(int *y, bool barrier)
{
    __shared__ int held;
    if (threadIdx.x == 7)
        held = 1;
    if (barrier)
        __syncthreads();
    if (threadIdx.x == 40)
        held = 1;
    __syncthreads();
    y[threadIdx.x] = held;
}

__global__ void write_at(char *p, long offset)
{
    if (threadIdx.x == 5)
        p[offset] = 1;
}

__global__ void divergent_barrier(int *y)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        y[0] = __syncthreads_or(1);
}

__global__ void stuck(int *y)
{
    if (threadIdx.x < 8)
        y[0] = __shfl_xor_sync(0xffffffffu, y[1], 1);
    else
        __syncthreads();
}

__global__ void wrong_mask(int *y)
{
    y[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, y[threadIdx.x], 1);
}

__global__ void ended_lanes(int *y)
{
    if (threadIdx.x >= 8)
        return;
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, y[threadIdx.x], 1);
}

__global__ void foreign_lane(int *y)
{
    if (threadIdx.x < 16)
        y[threadIdx.x] = __shfl_sync(0x0000ffffu, y[threadIdx.x], 20);
}

struct holder {
    long n;
    int *y;
};

struct padded {
    int n;
    int *y;
};

template <class T> __global__ void held(T h)
{
    h.y[0] = static_cast<int>(h.n);
}

__global__ void trap(int *y)
{
    if (threadIdx.x == 3 && y)
        __trap();
}

__device__ __noinline__ int deeper(int depth)
{
    volatile char room[1024];
    room[depth & 1023] = 1;
    return depth ? deeper(depth - 1) + room[depth & 1023] : 0;
}

__global__ void deep(int *y, int depth)
{
    y[0] = deeper(depth);
}

__global__ void nothing(int *y)
{
    if (threadIdx.x == 0)
        y[0] = 1;
}

// ---- beginning before the kernel before has ended: y = x + 1

__global__ void awaits(const int *x, int *y, int n)
{
    sw::await_previous();
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] = x[i] + 1;
}

__global__ void reads_before(const int *x, int *y, int n)
{
    __shared__ int held[1024];
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int value = i < n ? x[i] : 0;
    sw::await_previous();
    held[threadIdx.x] = value;
    __syncthreads();
    if (i < n)
        y[i] = held[threadIdx.x] + 1;
}

__global__ void writes_before(const int *x, int *y, int n)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] = 1000;
    sw::await_previous();
    if (i < n)
        y[i] = x[i] + 1;
}

__global__ void leaves_before(const int *x, int *y, int n)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n)
        return;
    sw::await_previous();
    y[i] = x[i] + 1;
}

// ---- launchers

static unsigned up(int n, int by)
{
    return static_cast<unsigned>((n + by - 1) / by);
}

extern "C" {
cudaError_t test_sum(const float *x, int n, float *out, int blocks, int threads, cudaStream_t s)
{
    SW_LAUNCH(sum, static_cast<unsigned>(blocks), static_cast<unsigned>(threads), 0, s, x, n, out);
    return cudaGetLastError();
}

cudaError_t test_sum_in_order(const float *x, int n, float *out, cudaStream_t s)
{
    SW_LAUNCH_IN_ORDER(sum, 1, 96, 0, s, x, n, out);
    return cudaGetLastError();
}

cudaError_t test_reverse(const int *x, int *y, int blocks, int threads, cudaStream_t s)
{
    SW_LAUNCH(reverse, static_cast<unsigned>(blocks), static_cast<unsigned>(threads),
              static_cast<size_t>(threads) * sizeof(int), s, x, y);
    return cudaGetLastError();
}

cudaError_t test_count(const int *x, int n, int *counts, int *highest, unsigned *tickets,
                       cudaStream_t s)
{
    SW_LAUNCH(count, up(n, 96), 96, 0, s, x, n, counts, highest, tickets);
    return cudaGetLastError();
}

cudaError_t test_warp(int *out, int width, int threads, cudaStream_t s)
{
    SW_LAUNCH(warp, 1, static_cast<unsigned>(threads), 0, s, out, width);
    return cudaGetLastError();
}

cudaError_t test_product(const uint16_t *a, const uint16_t *b, float *c, bool all, cudaStream_t s)
{
    SW_LAUNCH(product, 1, 32, 0, s, a, b, c, all);
    return cudaGetLastError();
}

cudaError_t test_votes(int *out, int threads, cudaStream_t s)
{
    SW_LAUNCH(votes, 1, static_cast<unsigned>(threads), 0, s, out);
    return cudaGetLastError();
}

cudaError_t test_add(int *y, int n, int a, cudaStream_t s)
{
    SW_LAUNCH(add, up(n, 64), 64, 0, s, y, n, a);
    return cudaGetLastError();
}

cudaError_t test_copy(const int *x, int *y, int n, cudaStream_t s)
{
    SW_LAUNCH(copy, up(n, 64), 64, 0, s, x, y, n);
    return cudaGetLastError();
}

cudaError_t test_next(enum test_beginning kind, bool in_order, const int *x, int *y, int n,
                      cudaStream_t s)
{
    static void (*const kernels[])(const int *, int *, int) = {awaits, reads_before, writes_before,
                                                               leaves_before};
    const int threads = n > 1000 ? 1024 : 64;
    if (in_order)
        SW_LAUNCH_IN_ORDER(kernels[kind], up(n, threads), static_cast<unsigned>(threads), 0, s, x,
                           y, n);
    else if (kind == TEST_LEAVES_BEFORE) // a name for the message
        SW_LAUNCH(leaves_before, up(n, threads), static_cast<unsigned>(threads), 0, s, x, y, n);
    else
        SW_LAUNCH(kernels[kind], up(n, threads), static_cast<unsigned>(threads), 0, s, x, y, n);
    return cudaGetLastError();
}

cudaError_t test_places(int *out, dim3 grid, dim3 block, cudaStream_t s)
{
    SW_LAUNCH(places, grid, block, 0, s, out);
    return cudaGetLastError();
}

cudaError_t test_halves(const float *x, uint16_t *y, int n, float *z, cudaStream_t s)
{
    SW_LAUNCH(halves, 256, 256, 0, s, x, y, n, z);
    return cudaGetLastError();
}

cudaError_t test_unwritten(int *out, int blocks, cudaStream_t s)
{
    SW_LAUNCH(unwritten, static_cast<unsigned>(blocks), 1, 32, s, out);
    return cudaGetLastError();
}

cudaError_t test_no_barrier(const int *x, int *y, int threads, cudaStream_t s)
{
    SW_LAUNCH(no_barrier, 1, static_cast<unsigned>(threads), 0, s, x, y);
    return cudaGetLastError();
}

cudaError_t test_race(int *y, bool barrier, cudaStream_t s)
{
    SW_LAUNCH(race, 3, 64, 0, s, y, barrier);
    return cudaGetLastError();
}

cudaError_t test_write_at(char *p, long offset, cudaStream_t s)
{
    SW_LAUNCH(write_at, 2, 32, 0, s, p, offset);
    return cudaGetLastError();
}

cudaError_t test_divergent_barrier(int *y, cudaStream_t s)
{
    SW_LAUNCH(divergent_barrier, 1, 64, 0, s, y);
    return cudaGetLastError();
}

cudaError_t test_stuck(int *y, cudaStream_t s)
{
    SW_LAUNCH(stuck, 1, 64, 0, s, y);
    return cudaGetLastError();
}

cudaError_t test_wrong_mask(int *y, cudaStream_t s)
{
    SW_LAUNCH(wrong_mask, 1, 32, 0, s, y);
    return cudaGetLastError();
}

cudaError_t test_ended_lanes(int *y, cudaStream_t s)
{
    SW_LAUNCH(ended_lanes, 1, 32, 0, s, y);
    return cudaGetLastError();
}

cudaError_t test_foreign_lane(int *y, cudaStream_t s)
{
    SW_LAUNCH(foreign_lane, 1, 32, 0, s, y);
    return cudaGetLastError();
}

cudaError_t test_pointer(int *y, bool in_structure, cudaStream_t s)
{
    const holder h = {7, y};
    if (in_structure)
        SW_LAUNCH(held<holder>, 1, 1, 0, s, h);
    else
        SW_LAUNCH(add, 1, 1, 0, s, y, 1, 7);
    return cudaGetLastError();
}

cudaError_t test_padding(int *y, unsigned junk, cudaStream_t s)
{
    padded h;
    h.n = 7;
    h.y = y;
    memcpy(reinterpret_cast<char *>(&h) + sizeof h.n, &junk, sizeof junk);
    SW_LAUNCH(held<padded>, 1, 1, 0, s, h);
    return cudaGetLastError();
}

cudaError_t test_vector(float *y, int offset, cudaStream_t s)
{
    SW_LAUNCH(vector, 1, 1, 0, s, y, offset);
    return cudaGetLastError();
}

cudaError_t test_trap(int *y, cudaStream_t s)
{
    SW_LAUNCH(trap, 1, 32, 0, s, y);
    return cudaGetLastError();
}

cudaError_t test_deep(int *y, int depth, cudaStream_t s)
{
    SW_LAUNCH(deep, 1, 1, 0, s, y, depth);
    return cudaGetLastError();
}

cudaError_t test_big_launch(int *y, int threads, size_t shared, cudaStream_t s)
{
    SW_LAUNCH(nothing, 1, static_cast<unsigned>(threads), shared, s, y);
    return cudaGetLastError();
}

cudaError_t test_allow_shared(int bytes)
{
    return cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}
}
