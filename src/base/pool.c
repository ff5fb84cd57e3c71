/*
 * The thread pool. Each thread has a lane: a contiguous part of a run's chunks. It takes chunks
 * from the front of its lane, so that it reads memory in order, and when that is empty from the
 * back of other lanes. A lane is one 64-bit word that contains the run's number, so a late thread
 * cannot take a chunk of a run that it has not read.
 *
 * A bound pool counts the time in which a thread had work but did not run: the caller's own, and
 * that in which it waited for others. pool_rest.c decides from it which threads rest.
 */
#include "base/pool.h"

#include "base/pool_loss.h"
#include "base/pool_rest.h"
#include "base/thread_fail.h"
#include "base/thread_start.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPIN_WORKER_NS 60000 /* covers the short serial operations between two matrix products */
#define SPIN_CALLER_NS 20000
#define CALLER_SLEEP_NS 500000 /* the caller's sleep before it checks whether the workers run */

struct worker {
    struct sw_pool *pool;
    pthread_t thread;
    int index;
};

/* Run number << 32 | first free unit << 16 | end of the units. */
struct lane {
    _Alignas(64) _Atomic uint64_t word;
};
#define LANE_MAX 65535 /* units */

struct sw_pool {
    int n;
    _Atomic uint32_t active; /* threads from this index on rest; futex of resting threads */
    struct lane *lanes;      /* (n) */
    /* The job; written only while all lanes are empty. `unit`: chunks per unit. */
    _Alignas(64) _Atomic(sw_pool_fn *) fn;
    _Atomic(void *) ctx;
    _Atomic uint32_t n_chunks, unit;
    _Atomic uint32_t run;                 /* number of the newest run; set when lanes are filled */
    _Alignas(64) _Atomic uint32_t undone; /* units not finished; futex of the caller */
    _Atomic uint32_t caller_sleeps;
    _Alignas(64) _Atomic uint32_t bell; /* counts runs; futex of the workers */
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
    _Alignas(64) struct worker *workers; /* (n - 1) */
    int n_started;
    /* Used by the caller only. */
    int *cores;        /* (n), one for each thread; NULL: threads are not bound */
    bool is_bound;     /* each thread is bound to its own core now */
    pthread_t creator; /* thread 0 */
    struct sw_pool_rest rest;
    struct sw_pool_caller caller;
    struct sw_pool_runner *runners; /* (n - 1) */
};

/* Waits. False: the time `limit` (NULL: none) is over. */
static bool futex_wait(_Atomic uint32_t *address, uint32_t expected, const struct timespec *limit)
{
    return syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, expected, limit, NULL, 0) == 0 ||
           errno != ETIMEDOUT;
}

static void futex_wake(_Atomic uint32_t *address, int n)
{
    syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void pool_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t pool_now_ns(void)
{
    return sw_pool_clock_ns(CLOCK_MONOTONIC);
}

/* The cores that thread `index` of n may use: see pool.h. */
static void pool_cores_of(int index, int n, const int *cores, int n_cores, cpu_set_t *set)
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

/* Computes one unit from the front (of the own lane) or the back of a lane. False: it is empty. */
static bool pool_work_lane(struct sw_pool *pool, int lane, int worker)
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
        /* Read before the exchange: if that succeeds, they belong to the run of this word. */
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
        return true;
    } while (true);
}

static bool pool_is_active(struct sw_pool *pool, int worker)
{
    return (uint32_t)worker < atomic_load_explicit(&pool->active, memory_order_relaxed);
}

/* Computes the own lane, then what is left in the others. What it has done it says once: the run
 * cannot end before that, and a count for each unit would take a cache line from the others. */
static void pool_work(struct sw_pool *pool, int worker)
{
    uint32_t done = 0;
    for (int i = 0; i < pool->n; i++)
        while (pool_is_active(pool, worker) && pool_work_lane(pool, (worker + i) % pool->n, worker))
            done++;
    if (!done)
        return;
    const uint32_t undone = atomic_fetch_sub_explicit(&pool->undone, done, memory_order_seq_cst);
    if (undone == done && worker &&
        atomic_load_explicit(&pool->caller_sleeps, memory_order_seq_cst))
        futex_wake(&pool->undone, 1);
}

/* Whether there is a run that the worker has not seen. */
static bool pool_has_work(struct sw_pool *pool, uint32_t seen)
{
    return atomic_load_explicit(&pool->run, memory_order_acquire) != seen ||
           atomic_load_explicit(&pool->stop, memory_order_acquire);
}

static void pool_wait_for_work(struct sw_pool *pool, uint32_t seen)
{
    const int64_t until = pool_now_ns() + SPIN_WORKER_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (pool_has_work(pool, seen))
                return;
            pool_relax();
        }
    } while (pool_now_ns() < until);
    const uint32_t bell = atomic_load(&pool->bell);
    atomic_fetch_add(&pool->sleepers, 1);
    if (!pool_has_work(pool, seen))
        futex_wait(&pool->bell, bell, NULL);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void pool_rest_while_inactive(struct sw_pool *pool, int worker)
{
    uint32_t active;
    while ((active = atomic_load(&pool->active)) <= (uint32_t)worker)
        futex_wait(&pool->active, active, NULL);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct sw_pool *pool = self->pool;
    while (!atomic_load_explicit(&pool->stop, memory_order_acquire)) {
        pool_rest_while_inactive(pool, self->index);
        const uint32_t seen = atomic_load_explicit(&pool->run, memory_order_acquire);
        pool_work(pool, self->index);
        pool_wait_for_work(pool, seen);
    }
    return NULL;
}

/* Returns the time that was lost because no worker ran. */
static int64_t pool_sleep_until_done(struct sw_pool *pool)
{
    static const struct timespec patience = {0, CALLER_SLEEP_NS};
    const struct timespec *limit = pool->cores ? &patience : NULL;
    int64_t marked = 0;
    atomic_store(&pool->caller_sleeps, 1);
    uint32_t undone;
    while ((undone = atomic_load(&pool->undone)) != 0)
        if (!futex_wait(&pool->undone, undone, limit)) {
            limit = NULL;
            marked = sw_pool_mark(pool->runners, pool->n_started);
        }
    atomic_store(&pool->caller_sleeps, 0);
    return marked ? sw_pool_lost_since(pool->runners, pool->n_started, marked) : 0;
}

/* How the caller waited in a run. */
struct wait {
    int64_t awake_until; /* time at which all was done or the caller fell asleep */
    int64_t lost_ns;     /* time in which no worker ran */
};

static struct wait pool_wait_until_done(struct sw_pool *pool)
{
    int64_t now = pool_now_ns();
    const int64_t until = now + SPIN_CALLER_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (!atomic_load_explicit(&pool->undone, memory_order_acquire))
                return (struct wait){now, 0};
            pool_relax();
        }
    } while ((now = pool_now_ns()) < until);
    return (struct wait){now, pool_sleep_until_done(pool)};
}

static struct wait pool_run_active(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, uint32_t n)
{
    const uint32_t size = (n - 1) / LANE_MAX + 1, units = (n - 1) / size + 1;
    const uint32_t run = atomic_load_explicit(&pool->run, memory_order_relaxed) + 1;
    const uint32_t active = atomic_load_explicit(&pool->active, memory_order_relaxed);
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&pool->n_chunks, n, memory_order_relaxed);
    atomic_store_explicit(&pool->unit, size, memory_order_relaxed);
    atomic_store_explicit(&pool->undone, units, memory_order_relaxed);
    for (uint32_t i = 0; i < (uint32_t)pool->n; i++) { /* lanes of resting threads get nothing */
        const uint64_t from = i < active ? i : active, to = i < active ? i + 1 : active;
        const uint64_t first = units * from / active, end = units * to / active;
        atomic_store_explicit(&pool->lanes[i].word, (uint64_t)run << 32 | first << 16 | end,
                              memory_order_release);
    }
    atomic_store(&pool->run, run);
    atomic_fetch_add(&pool->bell, 1);
    if (atomic_load(&pool->sleepers))
        futex_wake(&pool->bell, INT_MAX);
    pool_work(pool, 0);
    return pool_wait_until_done(pool);
}

/* Binds each thread to its own core, or all threads to all cores. */
static void pool_bind(struct sw_pool *pool, bool bound)
{
    cpu_set_t set;
    for (int i = 0; i < pool->n; i++) {
        pool_cores_of(i, bound ? pool->n : 0, pool->cores, pool->n, &set);
        if (CPU_COUNT(&set) > 0)
            pthread_setaffinity_np(i ? pool->workers[i - 1].thread : pool->creator, sizeof set,
                                   &set);
    }
    pool->is_bound = bound;
}

/* Applies what pool_rest.c decided. */
static void pool_apply_rest(struct sw_pool *pool)
{
    const uint32_t active = (uint32_t)pool->rest.active;
    const uint32_t before = atomic_exchange(&pool->active, active);
    if (pool->rest.bound != pool->is_bound)
        pool_bind(pool, pool->rest.bound);
    if (active > before)
        futex_wake(&pool->active, INT_MAX);
}

/* A run of a bound pool: counts lost time and lets threads rest. */
static void pool_run_bound(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, uint32_t n)
{
    const int64_t start = pool_now_ns();
    if (sw_pool_rest_over(&pool->rest, start))
        pool_apply_rest(pool);
    const struct wait wait = pool_run_active(pool, fn, ctx, n);
    const int64_t lost = wait.lost_ns + sw_pool_caller_lost(&pool->caller, start, wait.awake_until);
    if (lost && sw_pool_rest_lost(&pool->rest, pool_now_ns(), lost))
        pool_apply_rest(pool);
}

void sw_pool_run(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, int64_t n_chunks)
{
    if (!pool || pool->n == 1 || n_chunks <= 1 || n_chunks > INT_MAX) {
        for (int64_t i = 0; i < n_chunks; i++)
            fn(ctx, i, 0);
        return;
    }
    if (pool->cores && pthread_equal(pthread_self(), pool->creator))
        pool_run_bound(pool, fn, ctx, (uint32_t)n_chunks);
    else
        pool_run_active(pool, fn, ctx, (uint32_t)n_chunks);
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
    atomic_store(&pool->active, (uint32_t)pool->n);
    futex_wake(&pool->active, INT_MAX);
    for (int i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool->cores);
    free(pool->runners);
    free(pool->workers);
    free(pool->lanes);
    free(pool);
}

/* NULL: no memory. */
static struct sw_pool *pool_alloc(int n, const int *cores, int n_cores)
{
    struct sw_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return NULL;
    *pool = (struct sw_pool){.n = n, .active = (uint32_t)n, .creator = pthread_self()};
    sw_pool_rest_init(&pool->rest, n);
    const bool bound = cores && n == n_cores;
    pool->workers = calloc((size_t)n, sizeof *pool->workers);
    pool->runners = calloc((size_t)n, sizeof *pool->runners);
    pool->lanes = aligned_alloc(64, (size_t)n * sizeof *pool->lanes);
    pool->cores = bound ? calloc((size_t)n, sizeof *pool->cores) : NULL;
    if (!pool->workers || !pool->runners || !pool->lanes || (bound && !pool->cores)) {
        sw_pool_free(pool);
        return NULL;
    }
    if (bound)
        memcpy(pool->cores, cores, (size_t)n * sizeof *cores);
    pool->is_bound = bound;
    for (int i = 0; i < n; i++)
        atomic_init(&pool->lanes[i].word, 0);
    return pool;
}

enum sw_status sw_pool_create(int n, const int *cores, int n_cores, struct sw_pool **out)
{
    cpu_set_t set;
    char what[48];
    *out = NULL;
    if (n < 1)
        return sw_fail(SW_EUSAGE, "a thread pool needs at least one thread, not %d", n);
    struct sw_pool *pool = pool_alloc(n, cores, n_cores);
    if (!pool)
        return sw_fail(SW_ENOMEM, "no memory for a pool of %d threads", n);
    for (int i = 1; i < n; i++) {
        struct worker *worker = &pool->workers[i - 1];
        *worker = (struct worker){.pool = pool, .index = i};
        pool_cores_of(i, n, cores, cores ? n_cores : 0, &set);
        const int error =
            sw_thread_start(&worker->thread, cores ? &set : NULL, worker_main, worker);
        if (error) {
            sw_pool_free(pool);
            snprintf(what, sizeof what, "thread %d of %d", i + 1, n);
            return sw_thread_fail(what, error, "or give fewer --threads");
        }
        pool->n_started++;
        pthread_getcpuclockid(worker->thread, &pool->runners[i - 1].clock);
    }
    pool_cores_of(0, n, cores, cores ? n_cores : 0, &set);
    if (CPU_COUNT(&set) > 0)
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (cores) {
        pool_cores_of(0, 0, cores, n_cores, &set); /* all */
        sw_thread_share_cores(&set);
    }
    *out = pool;
    return SW_OK;
}
