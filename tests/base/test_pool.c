/* The thread pool: every chunk once, nothing torn, from one thread to many and from tiny to long.
 */
#include "base/cpu_info.h"
#include "base/pool.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#define MOST 300

struct job {
    int64_t n, round;
    int64_t written[MOST]; /* plain: the pool must order these writes before its return */
    _Atomic int calls, bad;
    int threads;
};

static void one(void *ctx, int64_t chunk, int worker)
{
    struct job *job = ctx;
    if (chunk < 0 || chunk >= job->n || worker < 0 || worker >= job->threads)
        job->bad++;
    else
        job->written[chunk] = job->round * 1000 + chunk;
    job->calls++;
}

static void every_chunk_is_done_once(void)
{
    for (int threads = 1; threads <= 5; threads++) {
        struct sw_pool *pool;
        CU_ASSERT_EQUAL_FATAL(sw_pool_create(threads, NULL, 0, &pool), SW_OK);
        CU_ASSERT_EQUAL(sw_pool_threads(pool), threads);
        static struct job job;
        int wrong = 0;
        for (int64_t round = 0; round < 2000; round++) {
            job = (struct job){.n = round * 7 % MOST, .round = round, .threads = threads};
            sw_pool_run(pool, one, &job, job.n);
            wrong += job.calls != job.n || job.bad;
            for (int64_t i = 0; i < job.n; i++)
                wrong += job.written[i] != round * 1000 + i;
            if (round % 500 == 0) { /* long enough that the threads fall asleep */
                const struct timespec nap = {0, 2000000};
                nanosleep(&nap, NULL);
            }
        }
        CU_ASSERT_EQUAL(wrong, 0);
        sw_pool_free(pool);
    }
}

/* The job changes at every run, so that a thread that comes late would do the wrong one. */
static void first_kind(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    ((int64_t *)ctx)[chunk] += 1;
}

static void second_kind(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    ((int64_t *)ctx)[chunk] += 1000;
}

static void late_threads_do_no_harm(void)
{
    struct sw_pool *pool;
    int64_t a[3] = {0}, b[40] = {0};
    CU_ASSERT_EQUAL_FATAL(sw_pool_create(4, NULL, 0, &pool), SW_OK);
    for (int i = 0; i < 5000; i++) {
        sw_pool_run(pool, first_kind, a, 3);
        sw_pool_run(pool, second_kind, b, 2 + i % 39);
    }
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(a[i], 5000);
    CU_ASSERT_EQUAL(b[0], 5000000);
    CU_ASSERT_EQUAL(b[39], 1000 * (5000 / 39));
    sw_pool_free(pool);
}

static void pools_come_and_go(void)
{
    for (int i = 0; i < 50; i++) {
        struct sw_pool *pool;
        int64_t a[8] = {0};
        CU_ASSERT_EQUAL_FATAL(sw_pool_create(1 + i % 4, NULL, 0, &pool), SW_OK);
        if (i % 3)
            sw_pool_run(pool, first_kind, a, 8);
        CU_ASSERT_EQUAL(a[7], i % 3 ? 1 : 0);
        sw_pool_free(pool);
    }
    struct sw_pool *none;
    CU_ASSERT_EQUAL(sw_pool_create(0, NULL, 0, &none), SW_EUSAGE);
    CU_ASSERT_PTR_NULL(none);
    sw_pool_free(NULL);
    int64_t a[2] = {0};
    sw_pool_run(NULL, first_kind, a, 2);
    CU_ASSERT_EQUAL(a[1], 1);
}

static void cores_are_found(void)
{
    int *cores, n;
    CU_ASSERT_EQUAL_FATAL(sw_cpu_cores(NULL, &cores, &n), SW_OK);
    CU_ASSERT(n >= 1);
    char list[16];
    snprintf(list, sizeof list, "%d", cores[0]);
    int *again, m;
    CU_ASSERT_EQUAL_FATAL(sw_cpu_cores(list, &again, &m), SW_OK);
    CU_ASSERT_EQUAL(m, 1);
    CU_ASSERT_EQUAL(again[0], cores[0]);
    free(cores), free(again);
    static const char *const bad[] = {"", "x", "4000", "1--2", "-", "0-1-2", "0,", "99999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(sw_cpu_cores(bad[i], &cores, &n), SW_EUSAGE);
}

static void count_usable(void *ctx, int64_t chunk, int worker)
{
    int *usable = ctx;
    cpu_set_t set;
    (void)chunk;
    if (pthread_getaffinity_np(pthread_self(), sizeof set, &set) == 0)
        usable[worker] = CPU_COUNT(&set);
}

/* One thread a core: each has its own. Fewer or more: two programs of one thread each on a machine
 * of two cores must not share the first. */
static void threads_are_bound(void)
{
    cpu_set_t before;
    int *cores, n;
    CU_ASSERT_EQUAL_FATAL(sw_cpu_cores(NULL, &cores, &n), SW_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    for (int threads = 1; threads <= n + 1; threads++) {
        struct sw_pool *pool;
        int *usable = calloc((size_t)threads, sizeof *usable);
        CU_ASSERT_PTR_NOT_NULL_FATAL(usable);
        CU_ASSERT_EQUAL_FATAL(sw_pool_create(threads, cores, n, &pool), SW_OK);
        sw_pool_run(pool, count_usable, usable, 4096);
        for (int i = 0; i < threads; i++) /* 0: the others were faster */
            CU_ASSERT(usable[i] == (threads == n ? 1 : n) || (i > 0 && usable[i] == 0));
        sw_pool_free(pool);
        free(usable);
        CU_ASSERT_EQUAL(pthread_setaffinity_np(pthread_self(), sizeof before, &before), 0);
    }
    free(cores);
}

/* Threads that a bound thread starts are not bound to its core: those that read weights and pack
 * them would have one core together. */
static void others_use_all_cores(void)
{
    cpu_set_t before;
    int *cores, n, usable[4] = {0};
    struct sw_pool *bound, *pool;
    CU_ASSERT_EQUAL_FATAL(sw_cpu_cores(NULL, &cores, &n), SW_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    CU_ASSERT_EQUAL_FATAL(sw_pool_create(n, cores, n, &bound), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_pool_create(4, NULL, 0, &pool), SW_OK);
    for (int run = 0; run < 100; run++)
        sw_pool_run(pool, count_usable, usable, 4096);
    CU_ASSERT_EQUAL(usable[0], 1); /* the bound thread itself */
    CU_ASSERT(usable[1] == n || usable[2] == n || usable[3] == n);
    for (int i = 1; i < 4; i++)
        CU_ASSERT(usable[i] == n || usable[i] == 0);
    sw_pool_free(pool);
    sw_pool_free(bound);
    CU_ASSERT_EQUAL(pthread_setaffinity_np(pthread_self(), sizeof before, &before), 0);
    free(cores);
}

/* CLOCK_MONOTONIC, in parts of a millisecond. */
static int64_t time_in(int per_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 * per_ms + t.tv_nsec / (1000000 / per_ms);
}

/* A worker that sleeps in a chunk does not run although it has work: others have its core. */
struct lossy {
    _Atomic bool lose;
    _Atomic int by_workers;
    int bound_to[64]; /* cores that a thread may use, when it last ran */
};

static void lose_core(void *ctx, int64_t chunk, int worker)
{
    struct lossy *l = ctx;
    (void)chunk;
    count_usable(l->bound_to, 0, worker < 64 ? worker : 63);
    const struct timespec nap = {0, 2000000};
    const int64_t until = time_in(100) + 1;
    if (worker) {
        l->by_workers++;
        if (l->lose)
            nanosleep(&nap, NULL);
    } else {
        while (time_in(100) < until) /* so that the others get some */
            ;
    }
}

/*
 * Runs of so many chunks until `enough` holds after `least_ms`; when a minute is over it never
 * will. A busy machine needs longer: it may not run this process for seconds.
 */
static bool run_lossy(struct sw_pool *pool, struct lossy *l, int n_chunks, int least_ms,
                      bool (*enough)(const struct lossy *, int runs))
{
    const int64_t least = time_in(1) + least_ms, most = least + 60000;
    l->by_workers = 0;
    for (int runs = 1; time_in(1) < most; runs++) {
        sw_pool_run(pool, lose_core, l, n_chunks);
        if (time_in(1) >= least && enough(l, runs))
            return true;
    }
    return false;
}

static bool others_rest(const struct lossy *l, int runs)
{
    return l->by_workers > 0 && l->by_workers * 10 < runs && l->bound_to[0] == 2;
}

static bool others_work(const struct lossy *l, int runs)
{
    return l->by_workers * 2 > runs;
}

/* Thread 1 works again, on its own core. With pauses, so that a busy machine takes no core away. */
static void run_until_bound(struct sw_pool *pool, struct lossy *l)
{
    const struct timespec pause = {0, 1000000};
    const int64_t end = time_in(1) + 60000;
    l->by_workers = 0;
    while (!(l->by_workers && l->bound_to[1] == 1) && time_in(1) < end) {
        sw_pool_run(pool, lose_core, l, 16);
        nanosleep(&pause, NULL);
    }
    CU_ASSERT(l->by_workers > 0);
    CU_ASSERT_EQUAL(l->bound_to[0], 1);
    CU_ASSERT_EQUAL(l->bound_to[1], 1);
}

/* With a thread a core. Otherwise the system moves the threads, and all go on. */
static void a_thread_without_its_core_rests(void)
{
    cpu_set_t before;
    int *cores, n;
    CU_ASSERT_EQUAL_FATAL(sw_cpu_cores(NULL, &cores, &n), SW_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    static struct lossy l;
    struct sw_pool *pool;
    if (n > 1) {
        CU_ASSERT_EQUAL_FATAL(sw_pool_create(2, cores, 2, &pool), SW_OK);
        l.lose = true;
        CU_ASSERT(run_lossy(pool, &l, 16, 800, others_rest));
        l.lose = false;
        run_until_bound(pool, &l);
        sw_pool_free(pool);
    }
    CU_ASSERT_EQUAL_FATAL(sw_pool_create(n + 1, cores, n, &pool), SW_OK);
    l.lose = true;
    CU_ASSERT(run_lossy(pool, &l, 1000, 400, others_work));
    sw_pool_free(pool);
    CU_ASSERT_EQUAL(pthread_setaffinity_np(pthread_self(), sizeof before, &before), 0);
    free(cores);
}

static void instruction_sets_have_names(void)
{
    for (int i = 0; i < SW_ISA_COUNT; i++) {
        enum sw_isa isa = SW_ISA_COUNT;
        CU_ASSERT_EQUAL(sw_isa_by_name(sw_isa_name((enum sw_isa)i), &isa), SW_OK);
        CU_ASSERT_EQUAL(isa, (enum sw_isa)i);
    }
    enum sw_isa isa;
    CU_ASSERT_EQUAL(sw_isa_by_name(NULL, &isa), SW_OK);
    CU_ASSERT_EQUAL(isa, sw_cpu_isa());
    CU_ASSERT_EQUAL(sw_isa_by_name("mmx", &isa), SW_EUSAGE);
}

SW_UNIT_TESTS({"every chunk is done once", every_chunk_is_done_once},
              {"late threads do no harm", late_threads_do_no_harm},
              {"pools come and go", pools_come_and_go}, {"cores are found", cores_are_found},
              {"threads are bound", threads_are_bound},
              {"others use all cores", others_use_all_cores},
              {"a thread without its core rests", a_thread_without_its_core_rests},
              {"instruction sets have names", instruction_sets_have_names})
