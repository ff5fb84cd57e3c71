/*
 * The thread pool. Each thread has a lane: a contiguous part of a run's chunks, which it takes from
 * the front, so that it goes through memory in order; when its own is empty it takes from the back
 * of others'. A lane is one 64-bit word with the run's number in it, so a thread that comes late
 * can never claim a chunk of a run it has not read.
 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_WORKER_NS 60000 /* covers the short serial operations between two matrix products */
#define SPIN_CALLER_NS 20000

struct worker {
    struct sw_pool *pool;
    pthread_t thread;
    int index;
};

/* Run number << 32 | first unclaimed unit << 16 | the one after the last. */
struct lane {
    _Alignas(64) _Atomic uint64_t word;
};
#define LANE_MAX 65535 /* units */

struct sw_pool {
    int n;
    struct lane *lanes; /* (n) */
    /* The job; written only while no lane has anything. A unit is so many chunks. */
    _Alignas(64) _Atomic(sw_pool_fn *) fn;
    _Atomic(void *) ctx;
    _Atomic uint32_t n_chunks, unit;
    _Atomic uint32_t run;                 /* the newest; written when all lanes are filled */
    _Alignas(64) _Atomic uint32_t undone; /* units not finished; the caller's futex */
    _Atomic uint32_t caller_sleeps;
    _Alignas(64) _Atomic uint32_t bell; /* counts runs; the workers' futex */
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
    struct worker *workers; /* (n - 1) */
    int n_started;
};

static void futex_wait(_Atomic uint32_t *address, uint32_t expected)
{
    syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *address, int n)
{
    syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The cores that thread `index` of n may use: see pool.h. */
static void cores_for(int index, int n, const int *cores, int n_cores, cpu_set_t *set)
{
    const int first = n == n_cores ? index : 0, end = n == n_cores ? index + 1 : n_cores;
    CPU_ZERO(set);
    for (int i = first; i < end; i++)
        if (cores[i] >= 0 && cores[i] < CPU_SETSIZE)
            CPU_SET((size_t)cores[i], set);
}

static uint32_t lane_first(uint64_t word)
{
    return (uint32_t)word >> 16;
}

static uint32_t lane_end(uint64_t word)
{
    return (uint32_t)word & LANE_MAX;
}

/* One unit from the front or the back of a lane, done. False: there was none. */
static bool work_lane(struct sw_pool *pool, int lane, int worker)
{
    _Atomic uint64_t *const at = &pool->lanes[lane].word;
    uint64_t word = atomic_load_explicit(at, memory_order_acquire), rest;
    uint32_t unit;
    do {
        const uint32_t first = lane_first(word), end = lane_end(word);
        if (first >= end)
            return false;
        unit = lane == worker ? first : end - 1;
        rest = lane == worker ? word + LANE_MAX + 1 : word - 1;
        /* Read before the claim: its success means that they belong to this word's run. */
        sw_pool_fn *fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&pool->ctx, memory_order_relaxed);
        const uint32_t n = atomic_load_explicit(&pool->n_chunks, memory_order_relaxed);
        const uint32_t size = atomic_load_explicit(&pool->unit, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(at, &word, rest, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        const uint32_t past = n - unit * size < size ? n : unit * size + size;
        for (uint32_t i = unit * size; i < past; i++)
            fn(ctx, (int64_t)i, worker);
        const uint32_t undone = atomic_fetch_sub_explicit(&pool->undone, 1, memory_order_seq_cst);
        if (undone == 1 && worker &&
            atomic_load_explicit(&pool->caller_sleeps, memory_order_seq_cst))
            futex_wake(&pool->undone, 1);
        return true;
    } while (true);
}

/* Does what is in the own lane, then what is left in the others'. */
static void work(struct sw_pool *pool, int worker)
{
    for (int i = 0; i < pool->n; i++)
        while (work_lane(pool, (worker + i) % pool->n, worker))
            ;
}

/* Is there a run that the worker has not seen? */
static bool has_work(struct sw_pool *pool, uint32_t seen)
{
    return atomic_load_explicit(&pool->run, memory_order_acquire) != seen ||
           atomic_load_explicit(&pool->stop, memory_order_acquire);
}

static void wait_for_work(struct sw_pool *pool, uint32_t seen)
{
    const int64_t until = now_ns() + SPIN_WORKER_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (has_work(pool, seen))
                return;
            relax();
        }
    } while (now_ns() < until);
    const uint32_t bell = atomic_load(&pool->bell);
    atomic_fetch_add(&pool->sleepers, 1);
    if (!has_work(pool, seen))
        futex_wait(&pool->bell, bell);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct sw_pool *pool = self->pool;
    while (!atomic_load_explicit(&pool->stop, memory_order_acquire)) {
        const uint32_t seen = atomic_load_explicit(&pool->run, memory_order_acquire);
        work(pool, self->index);
        wait_for_work(pool, seen);
    }
    return NULL;
}

static void wait_for_rest(struct sw_pool *pool)
{
    const int64_t until = now_ns() + SPIN_CALLER_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (!atomic_load_explicit(&pool->undone, memory_order_acquire))
                return;
            relax();
        }
    } while (now_ns() < until);
    atomic_store(&pool->caller_sleeps, 1);
    uint32_t undone;
    while ((undone = atomic_load(&pool->undone)) != 0)
        futex_wait(&pool->undone, undone);
    atomic_store(&pool->caller_sleeps, 0);
}

static void run_some(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, uint32_t n)
{
    const uint32_t size = (n - 1) / LANE_MAX + 1, units = (n - 1) / size + 1;
    const uint32_t run = atomic_load_explicit(&pool->run, memory_order_relaxed) + 1;
    const uint32_t lanes = (uint32_t)pool->n;
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&pool->n_chunks, n, memory_order_relaxed);
    atomic_store_explicit(&pool->unit, size, memory_order_relaxed);
    atomic_store_explicit(&pool->undone, units, memory_order_relaxed);
    for (uint32_t i = 0; i < lanes; i++) {
        const uint64_t first = (uint64_t)units * i / lanes, end = (uint64_t)units * (i + 1) / lanes;
        atomic_store_explicit(&pool->lanes[i].word, (uint64_t)run << 32 | first << 16 | end,
                              memory_order_release);
    }
    atomic_store(&pool->run, run);
    atomic_fetch_add(&pool->bell, 1);
    if (atomic_load(&pool->sleepers))
        futex_wake(&pool->bell, INT_MAX);
    work(pool, 0);
    wait_for_rest(pool);
}

void sw_pool_run(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, int64_t n_chunks)
{
    if (!pool || pool->n == 1 || n_chunks <= 1 || n_chunks > INT_MAX) {
        for (int64_t i = 0; i < n_chunks; i++)
            fn(ctx, i, 0);
        return;
    }
    run_some(pool, fn, ctx, (uint32_t)n_chunks);
}

int sw_pool_threads(const struct sw_pool *pool)
{
    return pool ? pool->n : 1;
}

void sw_pool_free(struct sw_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->bell, 1);
    futex_wake(&pool->bell, INT_MAX);
    for (int i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    free(pool->lanes);
    free(pool);
}

/* The thread is bound by its attributes, so that its stack is already touched on its own node. */
static int start(struct worker *worker, const cpu_set_t *set)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (CPU_COUNT(set) > 0)
        pthread_attr_setaffinity_np(&attributes, sizeof *set, set);
    int error = pthread_create(&worker->thread, &attributes, worker_main, worker);
    if (error && CPU_COUNT(set) > 0)
        error = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_attr_destroy(&attributes);
    return error;
}

enum sw_status sw_pool_create(int n, const int *cores, int n_cores, struct sw_pool **out)
{
    cpu_set_t set;
    *out = NULL;
    if (n < 1)
        return sw_fail(SW_EUSAGE, "a thread pool needs at least one thread, %d asked for", n);
    struct sw_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return sw_fail(SW_ENOMEM, "no memory for a pool of %d threads", n);
    *pool = (struct sw_pool){.n = n};
    pool->workers = calloc((size_t)n, sizeof *pool->workers);
    pool->lanes = aligned_alloc(64, (size_t)n * sizeof *pool->lanes);
    if (!pool->workers || !pool->lanes) {
        free(pool->workers);
        free(pool->lanes);
        free(pool);
        return sw_fail(SW_ENOMEM, "no memory for a pool of %d threads", n);
    }
    for (int i = 0; i < n; i++)
        atomic_init(&pool->lanes[i].word, 0);
    for (int i = 1; i < n; i++) {
        struct worker *worker = &pool->workers[i - 1];
        *worker = (struct worker){.pool = pool, .index = i};
        cores_for(i, n, cores, cores ? n_cores : 0, &set);
        const int error = start(worker, &set);
        if (error) {
            sw_pool_free(pool);
            return sw_fail(SW_EDEVICE,
                           "thread %d of %d cannot be started (error %d); ask for fewer --threads",
                           i + 1, n, error);
        }
        pool->n_started++;
    }
    cores_for(0, n, cores, cores ? n_cores : 0, &set);
    if (CPU_COUNT(&set) > 0)
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    *out = pool;
    return SW_OK;
}
