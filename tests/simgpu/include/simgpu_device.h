/*
 * The device language: qualifiers, the thread's place, barriers, warp operations, atomics.
 * A thread is a fiber (../blocks.cc); only one block runs at a time, so its state is global.
 */
#ifndef SIMGPU_DEVICE_H
#define SIMGPU_DEVICE_H

#include "vector_types.h"

#include <cstdint>
#include <cstring>

/* Static shared memory is found by its section and filled anew for each block (../shared.cc).
 * One section a declaration: one compiler refuses to mix templates and others in the same. */
#define SIMGPU_TEXT2(x) #x
#define SIMGPU_TEXT(x) SIMGPU_TEXT2(x)
#define __shared__                                                                                 \
    static __attribute__((                                                                         \
        section("simgpu_shared." SIMGPU_TEXT(__LINE__) "." SIMGPU_TEXT(__COUNTER__))))
#define __host__
#define __device__
#define __global__
#define __constant__ static
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#define __restrict__ __restrict
#endif

namespace simgpu
{
struct Place {
    uint3 thread;
    unsigned lane, warp;
};
extern Place *self;
extern uint3 block_index;
extern dim3 block_size, grid_size;
extern void *dynamic_shared;

/* Where in the source a thread calls; threads that meet must have come from one place. */
struct Site {
    const char *what, *file;
    int line;
};
enum Join { JOIN_OR, JOIN_AND, JOIN_COUNT };
int block_barrier(Site site, Join join, int predicate);
/* Gives what lane `source` of the warp brought; source 32: the lane's own. */
uint64_t warp_exchange(Site site, unsigned mask, uint64_t value, unsigned source);
void warp_barrier(Site site, unsigned mask);
/* The lanes of mask that brought a true value. */
unsigned warp_vote(Site site, unsigned mask, bool value);
/* sums += a·b by the whole warp: (16, 16) times (16, 8), f16 with f32 sums. */
void warp_product(Site site, float sums[4], const unsigned a[4], const unsigned b[2]);
void await_grid_before(Site site);
[[noreturn]] void trap(Site site);
unsigned active_lanes();

template <class T> T exchange(Site site, unsigned mask, T value, unsigned source)
{
    static_assert(sizeof(T) <= 8, "a shuffle carries at most 8 bytes");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    word = warp_exchange(site, mask, word, source);
    memcpy(&value, &word, sizeof value);
    return value;
}
} // namespace simgpu

#define threadIdx (::simgpu::self->thread)
#define blockIdx ::simgpu::block_index
#define blockDim ::simgpu::block_size
#define gridDim ::simgpu::grid_size
#define warpSize 32

#define SIMGPU_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SIMGPU_SITE(what)                                                                          \
    ::simgpu::Site                                                                                 \
    {                                                                                              \
        what, file, line                                                                           \
    }

static inline void __syncthreads(SIMGPU_WHERE)
{
    simgpu::block_barrier(SIMGPU_SITE("__syncthreads"), simgpu::JOIN_OR, 0);
}
static inline int __syncthreads_or(int p, SIMGPU_WHERE)
{
    return simgpu::block_barrier(SIMGPU_SITE("__syncthreads_or"), simgpu::JOIN_OR, p);
}
static inline int __syncthreads_and(int p, SIMGPU_WHERE)
{
    return simgpu::block_barrier(SIMGPU_SITE("__syncthreads_and"), simgpu::JOIN_AND, p);
}
static inline int __syncthreads_count(int p, SIMGPU_WHERE)
{
    return simgpu::block_barrier(SIMGPU_SITE("__syncthreads_count"), simgpu::JOIN_COUNT, p);
}
static inline void __syncwarp(unsigned mask = ~0u, SIMGPU_WHERE)
{
    simgpu::warp_barrier(SIMGPU_SITE("__syncwarp"), mask);
}
static inline unsigned __ballot_sync(unsigned mask, int p, SIMGPU_WHERE)
{
    return simgpu::warp_vote(SIMGPU_SITE("__ballot_sync"), mask, p != 0);
}
static inline int __any_sync(unsigned mask, int p, SIMGPU_WHERE)
{
    return simgpu::warp_vote(SIMGPU_SITE("__any_sync"), mask, p != 0) != 0;
}
static inline int __all_sync(unsigned mask, int p, SIMGPU_WHERE)
{
    return simgpu::warp_vote(SIMGPU_SITE("__all_sync"), mask, p != 0) == mask;
}
static inline unsigned __activemask()
{
    return simgpu::active_lanes();
}

/* Sources as the PTX manual has them: within segments of `width` lanes, own value beyond. */
template <class T> T __shfl_sync(unsigned mask, T v, int source, int width = 32, SIMGPU_WHERE)
{
    const unsigned w = static_cast<unsigned>(width), lane = simgpu::self->lane;
    const unsigned from = (lane & ~(w - 1)) | (static_cast<unsigned>(source) & (w - 1));
    return simgpu::exchange(SIMGPU_SITE("__shfl_sync"), mask, v, from);
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, SIMGPU_WHERE)
{
    const unsigned w = static_cast<unsigned>(width), lane = simgpu::self->lane;
    const unsigned from = lane ^ static_cast<unsigned>(bits);
    const bool within = from < 32 && (from & ~(w - 1)) <= (lane & ~(w - 1));
    return simgpu::exchange(SIMGPU_SITE("__shfl_xor_sync"), mask, v, within ? from : 32);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, SIMGPU_WHERE)
{
    const unsigned w = static_cast<unsigned>(width), lane = simgpu::self->lane;
    const bool within = (lane & (w - 1)) + delta < w;
    return simgpu::exchange(SIMGPU_SITE("__shfl_down_sync"), mask, v, within ? lane + delta : 32);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, SIMGPU_WHERE)
{
    const unsigned w = static_cast<unsigned>(width), lane = simgpu::self->lane;
    const bool within = (lane & (w - 1)) >= delta;
    return simgpu::exchange(SIMGPU_SITE("__shfl_up_sync"), mask, v, within ? lane - delta : 32);
}

/* mma.m16n8k16 of the PTX manual, row times column, in its layout of fragments. */
static inline void simgpu_mma_m16n8k16(float sums[4], const unsigned a[4], const unsigned b[2],
                                       SIMGPU_WHERE)
{
    simgpu::warp_product(SIMGPU_SITE("mma"), sums, a, b);
}

/* Programmatic dependent launch. Whoever is launched so begins at times without being let. */
static inline void cudaTriggerProgrammaticLaunchCompletion()
{
}
static inline void cudaGridDependencySynchronize(SIMGPU_WHERE)
{
    simgpu::await_grid_before(SIMGPU_SITE("cudaGridDependencySynchronize"));
}

static inline void __threadfence()
{
}
static inline void __threadfence_block()
{
}
static inline void __threadfence_system()
{
}
static inline void __trap(SIMGPU_WHERE)
{
    simgpu::trap(SIMGPU_SITE("__trap"));
}

/* Atomics on integers only: sums of floats would depend on time. */
#define SIMGPU_ATOMIC(T)                                                                           \
    static inline T atomicAdd(T *p, T v)                                                           \
    {                                                                                              \
        return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);                                         \
    }                                                                                              \
    static inline T atomicAnd(T *p, T v)                                                           \
    {                                                                                              \
        return __atomic_fetch_and(p, v, __ATOMIC_RELAXED);                                         \
    }                                                                                              \
    static inline T atomicOr(T *p, T v)                                                            \
    {                                                                                              \
        return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);                                          \
    }                                                                                              \
    static inline T atomicXor(T *p, T v)                                                           \
    {                                                                                              \
        return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED);                                         \
    }                                                                                              \
    static inline T atomicExch(T *p, T v)                                                          \
    {                                                                                              \
        return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);                                        \
    }                                                                                              \
    static inline T atomicCAS(T *p, T expected, T v)                                               \
    {                                                                                              \
        __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);   \
        return expected;                                                                           \
    }                                                                                              \
    static inline T atomicMax(T *p, T v)                                                           \
    {                                                                                              \
        T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                              \
        while (!__atomic_compare_exchange_n(p, &old, old > v ? old : v, false, __ATOMIC_RELAXED,   \
                                            __ATOMIC_RELAXED))                                     \
            ;                                                                                      \
        return old;                                                                                \
    }                                                                                              \
    static inline T atomicMin(T *p, T v)                                                           \
    {                                                                                              \
        T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                              \
        while (!__atomic_compare_exchange_n(p, &old, old < v ? old : v, false, __ATOMIC_RELAXED,   \
                                            __ATOMIC_RELAXED))                                     \
            ;                                                                                      \
        return old;                                                                                \
    }
SIMGPU_ATOMIC(int)
SIMGPU_ATOMIC(unsigned)
SIMGPU_ATOMIC(unsigned long long)
#undef SIMGPU_ATOMIC
static inline int atomicSub(int *p, int v)
{
    return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED);
}
static inline unsigned atomicSub(unsigned *p, unsigned v)
{
    return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED);
}
/* Counts up to `last` and starts again at 0: the ticket of the last block to finish. */
static inline unsigned atomicInc(unsigned *p, unsigned last)
{
    unsigned old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(p, &old, old >= last ? 0 : old + 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
    return old;
}

#endif
