/*
 * Owns the short measurements of memory and arithmetic. Threads work in small pieces until the
 * time is over and count what they did, so a thread that started late counts less, not wrong.
 */
#include "probe/measure.h"
#include "base/clock.h"

#include "kernels/cpu/cpu_kernels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PIECE (256 << 10) /* bytes read between two looks at the clock */
#define HUGE_PAGE (2u << 20)

struct sw_read_block {
    struct sw_pool *pool;
    size_t bytes, part; /* part: a thread's own, a multiple of PIECE */
    char *data;
    double seconds;
    bool enough; /* was touched to be more than the caches hold */
    struct worked {
        _Alignas(64) double amount, seconds;
        size_t touched; /* bytes of the thread's part that have memory, a multiple of PIECE */
        float sink;     /* keeps the reads from being optimised away */
    } * worked;         /* one a thread */
};

static int threads_of(struct sw_pool *pool)
{
    return pool ? sw_pool_threads(pool) : 1;
}

static double total(const struct worked *worked, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        if (worked[i].seconds > 0)
            sum += worked[i].amount / worked[i].seconds;
    return sum;
}

/* New memory can be slow to come (a virtual machine's host may have to find it): until time is up.
 */
static void touch(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    const struct sw_read_block *stream = ctx;
    struct worked *w = &stream->worked[chunk];
    const double until = sw_clock() + stream->seconds;
    for (w->touched = 0; w->touched < stream->part; w->touched += PIECE) {
        memset(stream->data + (size_t)chunk * stream->part + w->touched, 1, PIECE);
        if (sw_clock() > until && w->touched + PIECE < stream->part) {
            w->touched += PIECE;
            return;
        }
    }
}

enum sw_status sw_read_block_create(struct sw_pool *pool, size_t bytes, double seconds,
                                    struct sw_read_block **out)
{
    const size_t n = (size_t)threads_of(pool);
    struct sw_read_block *stream = calloc(1, sizeof *stream);
    struct worked *worked = aligned_alloc(64, n * sizeof *worked);
    *out = NULL;
    if (!stream || !worked)
        goto no_memory;
    memset(worked, 0, n * sizeof *worked);
    stream->part = (bytes / n / PIECE + 1) * PIECE;
    stream->bytes = (stream->part * n + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    stream->data = aligned_alloc(HUGE_PAGE, stream->bytes);
    if (!stream->data)
        goto no_memory;
    madvise(stream->data, stream->bytes, MADV_HUGEPAGE);
    stream->pool = pool;
    stream->worked = worked;
    stream->seconds = seconds;
    sw_pool_run(pool, touch, stream, (int64_t)n);
    size_t touched = 0;
    for (size_t i = 0; i < n; i++)
        touched += worked[i].touched;
    stream->enough = touched >= bytes / 8 * 5;
    *out = stream;
    return SW_OK;
no_memory:
    free(worked);
    free(stream);
    return sw_fail(SW_ENOMEM, "no memory to measure with (%zu bytes)", bytes);
}

static void read_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    struct sw_read_block *stream = ctx;
    struct worked *w = &stream->worked[chunk];
    const char *part = stream->data + (size_t)chunk * stream->part;
    const struct sw_kernels *kernels = sw_kernels_for(sw_cpu_isa());
    const double begin = sw_clock();
    double time = begin;
    w->amount = 0;
    for (size_t at = 0; time < begin + stream->seconds; at = (at + PIECE) % w->touched) {
        w->sink += kernels->read_memory(part + at, PIECE);
        w->amount += PIECE;
        time = sw_clock();
    }
    w->seconds = time - begin;
}

double sw_read_block_rate(struct sw_read_block *stream, double seconds)
{
    const int n = threads_of(stream->pool);
    if (!stream->enough)
        return 0;
    stream->seconds = seconds;
    sw_pool_run(stream->pool, read_part, stream, n);
    return total(stream->worked, n);
}

void sw_read_block_free(struct sw_read_block *stream)
{
    if (!stream)
        return;
    free(stream->data);
    free(stream->worked);
    free(stream);
}

#define STEPS 20000 /* of multiply-adds between two looks at the clock */

struct computing {
    enum sw_dtype format;
    double seconds;
    struct worked *worked;
};

static void compute_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    const struct computing *computing = ctx;
    struct worked *w = &computing->worked[chunk];
    const struct sw_kernels *kernels = sw_kernels_for(sw_cpu_isa());
    float numbers[16] = {0};
    const double begin = sw_clock();
    double time = begin;
    while (time < begin + computing->seconds) {
        w->amount += kernels->spin(computing->format, STEPS, numbers);
        time = sw_clock();
    }
    w->sink += numbers[0];
    w->seconds = time - begin;
}

double sw_compute_rate(struct sw_pool *pool, enum sw_dtype format, double seconds)
{
    const int n = threads_of(pool);
    struct computing computing = {format, seconds,
                                  aligned_alloc(64, sizeof(struct worked) * (size_t)n)};
    if (!computing.worked)
        return 0;
    memset(computing.worked, 0, sizeof(struct worked) * (size_t)n);
    sw_pool_run(pool, compute_part, &computing, n);
    const double rate = total(computing.worked, n);
    free(computing.worked);
    return rate;
}

#define SPAN 1024 /* positions that a measured tile of queries comes last of */

struct attending {
    const struct sw_attend_shape *shape;
    double seconds;
    struct worked *worked;
};

/* Keys and values of one head at SPAN positions, all different. */
static char *make_keys(const struct sw_attend_shape *shape)
{
    const int n = shape->head_dim;
    char *head = calloc(1, sw_kv_head_bytes(shape->kv, n, SPAN));
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

static void attend_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    const struct attending *a = ctx;
    const struct sw_kernels *kernels = sw_kernels_for(sw_cpu_isa());
    const int dim = a->shape->head_dim, most = sw_attend_rows(dim);
    const int group = a->shape->group < most ? a->shape->group : most;
    const int queries = most / group < SPAN ? most / group : SPAN;
    const int64_t row = (int64_t)group * dim;
    struct worked *w = &a->worked[chunk];
    char *keys = make_keys(a->shape);
    float *q = calloc((size_t)(queries * row), sizeof *q);
    float *out = malloc((size_t)(queries * row) * sizeof *out);
    float *scratch = malloc(SW_THREAD_FLOATS * sizeof *scratch);
    for (int64_t i = 0; q && i < queries * row; i++)
        q[i] = (float)(i % 7) - 3.0f;
    const struct sw_attend_tile tile = {.format = a->shape->kv,
                                        .head_dim = dim,
                                        .group = group,
                                        .n_queries = queries,
                                        .kv = keys,
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
    while (keys && q && out && scratch && time < begin + a->seconds) {
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

double sw_attend_rate(struct sw_pool *pool, const struct sw_attend_shape *shape, double seconds)
{
    const int n = threads_of(pool);
    struct attending a = {shape, seconds, aligned_alloc(64, sizeof(struct worked) * (size_t)n)};
    if (!a.worked)
        return 0;
    memset(a.worked, 0, sizeof(struct worked) * (size_t)n);
    sw_pool_run(pool, attend_part, &a, n);
    const double rate = total(a.worked, n);
    free(a.worked);
    return rate;
}
