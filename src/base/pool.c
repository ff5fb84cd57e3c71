/*
 * The thread pool. One 64-bit word holds the run's number and how many chunks are unclaimed, so a
 * thread that comes late can never claim a chunk of a run it has not read.
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

struct sw_pool {
    int n;
    _Alignas(64) _Atomic uint64_t word; /* run number << 32 | unclaimed chunks */
    /* The job; written only while no chunk is unclaimed. */
    _Atomic(sw_pool_fn *) fn;
    _Atomic(void *) ctx;
    _Atomic uint32_t n_chunks;
    _Alignas(64) _Atomic uint32_t undone; /* chunks not finished; the caller's futex */
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

static void bind_self(int core)
{
    cpu_set_t set;
    if (core < 0 || core >= CPU_SETSIZE)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/*
 * Chunks claimed at once: long runs at first, so that a thread goes through memory in order, single
 * ones at the end, so that all finish together.
 */
static uint32_t share(const struct sw_pool *pool, uint32_t unclaimed)
{
    const uint32_t part = unclaimed / (4 * (uint32_t)pool->n);
    return part ? part : 1;
}

/* Claims and does chunks until none is left. */
static void work(struct sw_pool *pool, int worker)
{
    uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
    while ((uint32_t)word) {
        sw_pool_fn *fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&pool->ctx, memory_order_relaxed);
        const uint32_t n = atomic_load_explicit(&pool->n_chunks, memory_order_relaxed);
        const uint32_t first = n - (uint32_t)word, take = share(pool, (uint32_t)word);
        /* Success means that the job read above belongs to this word. */
        if (!atomic_compare_exchange_weak_explicit(&pool->word, &word, word - take,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        for (uint32_t i = 0; i < take; i++)
            fn(ctx, (int64_t)first + i, worker);
        const uint32_t undone =
            atomic_fetch_sub_explicit(&pool->undone, take, memory_order_seq_cst) - take;
        if (!undone && worker && atomic_load_explicit(&pool->caller_sleeps, memory_order_seq_cst))
            futex_wake(&pool->undone, 1);
        word = atomic_load_explicit(&pool->word, memory_order_acquire);
    }
}

static bool has_work(struct sw_pool *pool)
{
    return (uint32_t)atomic_load_explicit(&pool->word, memory_order_acquire) ||
           atomic_load_explicit(&pool->stop, memory_order_acquire);
}

static void wait_for_work(struct sw_pool *pool)
{
    const int64_t until = now_ns() + SPIN_WORKER_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (has_work(pool))
                return;
            relax();
        }
    } while (now_ns() < until);
    const uint32_t bell = atomic_load(&pool->bell);
    atomic_fetch_add(&pool->sleepers, 1);
    if (!has_work(pool))
        futex_wait(&pool->bell, bell);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct sw_pool *pool = self->pool;
    while (!atomic_load_explicit(&pool->stop, memory_order_acquire)) {
        work(pool, self->index);
        wait_for_work(pool);
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
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&pool->n_chunks, n, memory_order_relaxed);
    atomic_store_explicit(&pool->undone, n, memory_order_relaxed);
    const uint64_t run = (atomic_load_explicit(&pool->word, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->word, run << 32 | n);
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
    free(pool);
}

/* The thread is bound by its attributes, so that its stack is already touched on its own node. */
static int start(struct worker *worker, const int *cores)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (cores && cores[worker->index] >= 0 && cores[worker->index] < CPU_SETSIZE) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cores[worker->index], &set);
        pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    }
    int error = pthread_create(&worker->thread, &attributes, worker_main, worker);
    if (error && cores)
        error = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_attr_destroy(&attributes);
    return error;
}

enum sw_status sw_pool_create(int n, const int *cores, struct sw_pool **out)
{
    *out = NULL;
    if (n < 1)
        return sw_fail(SW_EUSAGE, "a thread pool needs at least one thread, %d asked for", n);
    struct sw_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return sw_fail(SW_ENOMEM, "no memory for a pool of %d threads", n);
    *pool = (struct sw_pool){.n = n};
    pool->workers = calloc((size_t)n, sizeof *pool->workers);
    if (!pool->workers) {
        free(pool);
        return sw_fail(SW_ENOMEM, "no memory for a pool of %d threads", n);
    }
    for (int i = 1; i < n; i++) {
        struct worker *worker = &pool->workers[i - 1];
        *worker = (struct worker){.pool = pool, .index = i};
        const int error = start(worker, cores);
        if (error) {
            sw_pool_free(pool);
            return sw_fail(SW_EDEVICE,
                           "thread %d of %d cannot be started (error %d); ask for fewer --threads",
                           i + 1, n, error);
        }
        pool->n_started++;
    }
    if (cores)
        bind_self(cores[0]);
    *out = pool;
    return SW_OK;
}
