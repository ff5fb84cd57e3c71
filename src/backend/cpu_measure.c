/* Measures read bandwidth and register-only peak with the backend's own threads and kernels. */
#include "backend/cpu_measure.h"

#include "backend/cpu_internal.h"
#include "base/checked.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)1 << 20)

enum sw_isa sw_cpu_backend_isa(const struct sw_backend *b)
{
    return ((const struct sw_cpu *)(const void *)b)->kernels->isa;
}

bool sw_cpu_backend_amx(const struct sw_backend *b)
{
    return ((const struct sw_cpu *)(const void *)b)->many != NULL;
}

int sw_cpu_backend_threads(const struct sw_backend *b)
{
    return ((const struct sw_cpu *)(const void *)b)->threads;
}

struct cpu_reading {
    struct sw_cpu *cpu;
    char *data;
    size_t bytes; /* of one chunk */
};

static void touch_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct cpu_reading *r = ctx;
    (void)worker;
    memset(r->data + (size_t)chunk * r->bytes, 0, r->bytes);
}

static void read_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct cpu_reading *r = ctx;
    const float sum = r->cpu->kernels->read_memory(r->data + (size_t)chunk * r->bytes, r->bytes);
    r->cpu->thread_scratch[(int64_t)worker * SW_THREAD_FLOATS] += sum;
}

enum sw_status sw_cpu_buffer_open(struct sw_backend *b, size_t bytes, struct sw_cpu_buffer *out)
{
    *out = (struct sw_cpu_buffer){NULL, (size_t)sw_round_up(bytes, PIECE)};
    SW_TRY(b->ops->alloc(b, out->bytes, "the read test", &out->data));
    struct cpu_reading r = {sw_cpu_of(b), out->data, PIECE};
    sw_pool_run(r.cpu->pool, touch_chunk, &r, (int64_t)(out->bytes / PIECE));
    return SW_OK;
}

void sw_cpu_buffer_close(struct sw_backend *b, struct sw_cpu_buffer *buffer)
{
    b->ops->free(b, buffer->data, buffer->bytes);
    *buffer = (struct sw_cpu_buffer){NULL, 0};
}

double sw_cpu_read_once(struct sw_backend *b, const struct sw_cpu_buffer *buffer)
{
    struct cpu_reading r = {sw_cpu_of(b), buffer->data, PIECE};
    const double start = sw_clock();
    sw_pool_run(r.cpu->pool, read_chunk, &r, (int64_t)(buffer->bytes / r.bytes));
    return (double)buffer->bytes / (sw_clock() - start);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum sw_status sw_cpu_measure_bandwidth(struct sw_backend *b, double *bytes_per_second)
{
    enum { PASSES = 7 };
    double rates[PASSES];
    struct sw_cpu_buffer buffer;
    SW_TRY(sw_cpu_buffer_open(b, SW_MEASURE_BYTES, &buffer));
    sw_cpu_read_once(b, &buffer);
    for (int i = 0; i < PASSES; i++)
        rates[i] = sw_cpu_read_once(b, &buffer);
    sw_cpu_buffer_close(b, &buffer);
    qsort(rates, PASSES, sizeof rates[0], by_size);
    *bytes_per_second = rates[PASSES / 2];
    return SW_OK;
}

struct spinning {
    struct sw_cpu *cpu;
    enum sw_format_id format;
    double seconds;
    double *rates; /* (threads) */
};

static void spin_chunk(void *ctx, int64_t chunk, int worker)
{
    struct spinning *s = ctx;
    float *out = s->cpu->thread_scratch + (int64_t)worker * SW_THREAD_FLOATS;
    memset(out, 0, 16 * sizeof *out);
    const double start = sw_clock();
    double flops = 0, now;
    do
        flops += sw_spin_for(s->cpu->kernels->isa, s->format)(20000, out);
    while ((now = sw_clock()) < start + s->seconds);
    s->rates[chunk] = flops / (now - start);
}

double sw_cpu_measure_peak(struct sw_backend *b, enum sw_format_id format, double seconds)
{
    struct sw_cpu *cpu = sw_cpu_of(b);
    struct spinning s = {cpu, format, seconds, calloc((size_t)cpu->threads, sizeof(double))};
    double sum = 0;
    if (!s.rates)
        return 0;
    sw_pool_run(cpu->pool, spin_chunk, &s, cpu->threads);
    for (int i = 0; i < cpu->threads; i++)
        sum += s.rates[i];
    free(s.rates);
    return sum;
}
