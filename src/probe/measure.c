/*
 * Owns the short measurements of memory and arithmetic. Threads work in small pieces until the time
 * is over and count their work, so a thread that started late has counted less, but correctly.
 */
#include "probe/measure.h"
#include "base/clock.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/many.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define PIECE (256 << 10) /* bytes read between two readings of the clock */
#define HUGE_PAGE (2u << 20)

struct sw_read_block {
    struct sw_pool *pool;
    size_t bytes; /* of the whole block */
    size_t part;  /* bytes of one thread's part, a multiple of PIECE */
    char *data;
    double seconds; /* for touching or reading the block */
    bool enough;    /* at least 5/8 of the block has memory, more than the caches hold */
    bool flushes;   /* not enough, but what lies in caches is put out of them before it is read */
    struct worked {
        _Alignas(64) double amount, seconds;
        size_t touched; /* bytes of the thread's part that have memory, a multiple of PIECE */
        float sink;     /* keeps the reads from being optimised away */
    } * worked;         /* one a thread */
};

static int pool_threads_or_one(struct sw_pool *pool)
{
    return pool ? sw_pool_threads(pool) : 1;
}

static double worked_rate(const struct worked *worked, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        if (worked[i].seconds > 0)
            sum += worked[i].amount / worked[i].seconds;
    return sum;
}

/* Bytes of a block: starting and ending weigh more in less. */
#define FLUSHED_MIN ((size_t)8 << 20)
#define TOUCH_LONGER 9 /* times the time for touching, until there is so much */

#if defined(__x86_64__)
static bool can_flush(void)
{
    unsigned a, b = 0, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_CLFLUSHOPT);
}

__attribute__((target("clflushopt"))) static void flush_lines(char *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_clflushopt(from + i);
    _mm_mfence();
}
#else
static bool can_flush(void)
{
    return false;
}

static void flush_lines(char *from, size_t bytes)
{
    (void)from, (void)bytes;
}
#endif

/* Touches a thread's part until time is up: new memory can be slow in a virtual machine. */
static void read_block_touch(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    const struct sw_read_block *block = ctx;
    struct worked *w = &block->worked[chunk];
    const double until = sw_clock() + block->seconds, late = until + TOUCH_LONGER * block->seconds;
    const size_t least = FLUSHED_MIN / (size_t)pool_threads_or_one(block->pool);
    for (w->touched = 0; w->touched < block->part; w->touched += PIECE) {
        memset(block->data + (size_t)chunk * block->part + w->touched, 1, PIECE);
        const double now = sw_clock();
        if (now > (w->touched + PIECE < least ? late : until) && w->touched + PIECE < block->part) {
            w->touched += PIECE;
            return;
        }
    }
}

enum sw_status sw_read_block_create(struct sw_pool *pool, size_t bytes, double seconds,
                                    struct sw_read_block **out)
{
    const size_t n = (size_t)pool_threads_or_one(pool);
    struct sw_read_block *block = calloc(1, sizeof *block);
    struct worked *worked = aligned_alloc(64, n * sizeof *worked);
    *out = NULL;
    if (!block || !worked)
        goto no_memory;
    memset(worked, 0, n * sizeof *worked);
    block->part = (bytes / n / PIECE + 1) * PIECE;
    block->bytes = (block->part * n + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    block->data = aligned_alloc(HUGE_PAGE, block->bytes);
    if (!block->data)
        goto no_memory;
    madvise(block->data, block->bytes, MADV_HUGEPAGE);
    block->pool = pool;
    block->worked = worked;
    block->seconds = seconds;
    sw_pool_run(pool, read_block_touch, block, (int64_t)n);
    size_t touched = 0;
    for (size_t i = 0; i < n; i++)
        touched += worked[i].touched;
    block->enough = touched >= bytes / 8 * 5;
    block->flushes = !block->enough && touched >= FLUSHED_MIN && can_flush();
    *out = block;
    return SW_OK;
no_memory:
    free(worked);
    free(block);
    return sw_fail(SW_ENOMEM, "no memory to measure with (%zu bytes)", bytes);
}

/* Until time is up; what was put out of the caches no more than once. */
static void read_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    struct sw_read_block *block = ctx;
    struct worked *w = &block->worked[chunk];
    const char *part = block->data + (size_t)chunk * block->part;
    const struct sw_kernels *kernels = sw_kernels_for(sw_cpu_isa());
    const double begin = sw_clock();
    double time = begin;
    for (size_t at = 0; time < begin + block->seconds; at += PIECE) {
        if (at == w->touched && block->flushes)
            break;
        w->sink += kernels->read_memory(part + at % w->touched, PIECE);
        w->amount += PIECE;
        time = sw_clock();
    }
    w->seconds += time - begin;
}

static void flush_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    struct sw_read_block *block = ctx;
    flush_lines(block->data + (size_t)chunk * block->part, block->worked[chunk].touched);
}

double sw_read_block_rate(struct sw_read_block *block, double seconds)
{
    const int n = pool_threads_or_one(block->pool);
    if (!block->enough && !block->flushes)
        return 0;
    for (int i = 0; i < n; i++)
        block->worked[i].amount = block->worked[i].seconds = 0;
    block->seconds = seconds;
    const double until = sw_clock() + seconds;
    do {
        if (block->flushes)
            sw_pool_run(block->pool, flush_part, block, n);
        sw_pool_run(block->pool, read_part, block, n);
    } while (sw_clock() < until);
    return worked_rate(block->worked, n);
}

void *sw_read_block_memory(const struct sw_read_block *block, size_t *bytes)
{
    const int n = pool_threads_or_one(block->pool);
    *bytes = 0;
    for (int i = 0; i < n; i++) {
        *bytes += block->worked[i].touched;
        if (block->worked[i].touched < block->part)
            break;
    }
    return block->data;
}

void sw_read_block_free(struct sw_read_block *block)
{
    if (!block)
        return;
    free(block->data);
    free(block->worked);
    free(block);
}

#define STEPS 20000 /* of multiply-adds between two readings of the clock */

struct computing {
    enum sw_format_id format;
    double seconds;
    struct worked *worked;
};

static void compute_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    const struct computing *computing = ctx;
    struct worked *w = &computing->worked[chunk];
    double (*const spin)(int64_t, float *) = sw_spin_for(sw_cpu_isa(), computing->format);
    float numbers[16] = {0};
    const double begin = sw_clock();
    double time = begin;
    while (time < begin + computing->seconds) {
        w->amount += spin(STEPS, numbers);
        time = sw_clock();
    }
    w->sink += numbers[0];
    w->seconds = time - begin;
}

double sw_compute_rate(struct sw_pool *pool, enum sw_format_id format, double seconds)
{
    const int n = pool_threads_or_one(pool);
    struct computing computing = {format, seconds,
                                  aligned_alloc(64, sizeof(struct worked) * (size_t)n)};
    if (!computing.worked)
        return 0;
    memset(computing.worked, 0, sizeof(struct worked) * (size_t)n);
    sw_pool_run(pool, compute_part, &computing, n);
    const double rate = worked_rate(computing.worked, n);
    free(computing.worked);
    return rate;
}

#define SPAN 1024 /* positions, of which the measured tile of queries has the last */

struct attending {
    const struct sw_attend_shape *shape;
    double seconds;
    struct worked *worked;
    struct sw_read_block *block; /* keys of decoded tokens are spread over it; NULL: a prompt's */
};

/* Keys and values of one head at SPAN positions, all different. */
static char *make_keys(const struct sw_attend_shape *shape)
{
    const int n = shape->head_dim;
    char *head = calloc(1, sw_kv_bytes(shape->kv, 1, 1, n, SPAN));
    float *row = malloc((size_t)n * sizeof *row);
    unsigned number = 1;
    for (int64_t i = 0; head && row && i < SPAN; i++) {
        for (int d = 0; d < n; d++) {
            number = number * 1664525u + 1013904223u;
            row[d] = (float)(int32_t)number * 0x1p-31f;
        }
        sw_kv_put(shape->kv, n, head, i, row, row);
    }
    if (!row) {
        free(head);
        head = NULL;
    }
    free(row);
    return head;
}

/* Fills a thread's part of a block with copies of the keys; returns how many. */
static size_t spread_keys(const struct sw_read_block *block, int64_t chunk, const char *keys,
                          size_t bytes, char **part)
{
    const size_t n = block->worked[chunk].touched / bytes;
    *part = block->data + (size_t)chunk * block->part;
    for (size_t i = 0; i < n; i++)
        memcpy(*part + i * bytes, keys, bytes);
    return n;
}

static void attend_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    const struct attending *a = ctx;
    const struct sw_kernels *kernels = sw_kernels_for(sw_cpu_isa());
    const int dim = a->shape->head_dim, most = sw_attend_rows(dim, 0);
    const int group = a->shape->group < most ? a->shape->group : most;
    const int queries = a->block ? 1 : most / group < SPAN ? most / group : SPAN;
    const int64_t row = (int64_t)group * dim;
    struct worked *w = &a->worked[chunk];
    char *keys = make_keys(a->shape);
    float *q = calloc((size_t)(queries * row), sizeof *q);
    float *out = malloc((size_t)(queries * row) * sizeof *out);
    float *scratch = malloc(SW_THREAD_FLOATS * sizeof *scratch);
    for (int64_t i = 0; q && i < queries * row; i++)
        q[i] = (float)(i % 7) - 3.0f;
    const size_t bytes = sw_kv_bytes(a->shape->kv, 1, 1, dim, SPAN);
    char *from = keys;
    const size_t copies = a->block && keys ? spread_keys(a->block, chunk, keys, bytes, &from) : 1;
    struct sw_attend_tile tile = {.format = a->shape->kv,
                                  .head_dim = dim,
                                  .group = group,
                                  .n_queries = queries,
                                  .position = SPAN - queries,
                                  .scale = 1.0f / (float)dim,
                                  .q = q,
                                  .q_ld = row,
                                  .q_head = dim,
                                  .out = out,
                                  .out_ld = row,
                                  .scratch = scratch};
    const double seen = queries * (SPAN - (queries - 1) / 2.0);
    const double begin = sw_clock();
    double time = begin;
    for (size_t i = 0; keys && q && out && scratch && copies && time < begin + a->seconds; i++) {
        tile.kv = from + i % copies * bytes;
        kernels->attend(&tile);
        w->amount += 4.0 * dim * group * seen;
        time = sw_clock();
    }
    w->seconds = time - begin;
    free(keys);
    free(q);
    free(out);
    free(scratch);
}

static double attend_rate(struct sw_pool *pool, const struct sw_attend_shape *shape, double seconds,
                          struct sw_read_block *block)
{
    const int n = pool_threads_or_one(pool);
    struct attending a = {shape, seconds, aligned_alloc(64, sizeof(struct worked) * (size_t)n),
                          block};
    if (!a.worked)
        return 0;
    memset(a.worked, 0, sizeof(struct worked) * (size_t)n);
    sw_pool_run(pool, attend_part, &a, n);
    const double rate = worked_rate(a.worked, n);
    free(a.worked);
    return rate;
}

double sw_attend_rate(struct sw_pool *pool, const struct sw_attend_shape *shape, double seconds)
{
    return attend_rate(pool, shape, seconds, NULL);
}

double sw_attend_decode_rate(struct sw_read_block *block, const struct sw_attend_shape *shape,
                             double seconds)
{
    return block->enough ? attend_rate(block->pool, shape, seconds, block) : 0;
}
