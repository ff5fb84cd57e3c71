/*
 * Owns the short measurements of memory and arithmetic. Threads work in small pieces until the
 * time is over and count what they did, so a thread that started late counts less, not wrong.
 */
#include "probe/measure.h"

#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PIECE (256 << 10) /* bytes read between two looks at the clock */
#define HUGE_PAGE (2u << 20)

double sw_probe_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

struct sw_stream {
    struct sw_pool *pool;
    size_t bytes, part; /* part: a thread's own, a multiple of PIECE */
    char *data;
    double seconds;
    bool enough; /* was touched to be more than the caches hold */
    struct worked {
        _Alignas(64) double amount, seconds;
        size_t touched; /* bytes of the thread's part that have memory, a multiple of PIECE */
        uint64_t sink;  /* keeps the reads from being optimised away */
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
    const struct sw_stream *stream = ctx;
    struct worked *w = &stream->worked[chunk];
    const double until = sw_probe_now() + stream->seconds;
    for (w->touched = 0; w->touched < stream->part; w->touched += PIECE) {
        memset(stream->data + (size_t)chunk * stream->part + w->touched, 1, PIECE);
        if (sw_probe_now() > until && w->touched + PIECE < stream->part) {
            w->touched += PIECE;
            return;
        }
    }
}

enum sw_status sw_stream_create(struct sw_pool *pool, size_t bytes, double seconds,
                                struct sw_stream **out)
{
    const size_t n = (size_t)threads_of(pool);
    struct sw_stream *stream = calloc(1, sizeof *stream);
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

/* Several chains, so that loads and not additions are what is waited for. */
static uint64_t read_portable(const char *data, size_t bytes)
{
    uint64_t sums[8] = {0}, words[8];
    for (size_t at = 0; at + sizeof words <= bytes; at += sizeof words) {
        memcpy(words, data + at, sizeof words);
        for (int i = 0; i < 8; i++)
            sums[i] += words[i];
    }
    for (int i = 1; i < 8; i++)
        sums[0] += sums[i];
    return sums[0];
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_avx2(const char *data, size_t bytes)
{
    __m256i sums[8];
    uint64_t lanes[4];
    for (int i = 0; i < 8; i++)
        sums[i] = _mm256_setzero_si256();
    for (size_t at = 0; at + 256 <= bytes; at += 256)
        for (int i = 0; i < 8; i++)
            sums[i] = _mm256_add_epi64(
                sums[i], _mm256_loadu_si256((const __m256i *)(const void *)(data + at) + i));
    for (int i = 1; i < 8; i++)
        sums[0] = _mm256_add_epi64(sums[0], sums[i]);
    memcpy(lanes, &sums[0], sizeof lanes);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
#endif

static void read_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    struct sw_stream *stream = ctx;
    struct worked *w = &stream->worked[chunk];
    const char *part = stream->data + (size_t)chunk * stream->part;
    uint64_t (*reader)(const char *, size_t) = read_portable;
#if defined(__x86_64__)
    if (sw_cpu_isa() != SW_ISA_PORTABLE)
        reader = read_avx2;
#endif
    const double begin = sw_probe_now();
    double time = begin;
    w->amount = 0;
    for (size_t at = 0; time < begin + stream->seconds; at = (at + PIECE) % w->touched) {
        w->sink += reader(part + at, PIECE);
        w->amount += PIECE;
        time = sw_probe_now();
    }
    w->seconds = time - begin;
}

double sw_stream_read(struct sw_stream *stream, double seconds)
{
    const int n = threads_of(stream->pool);
    if (!stream->enough)
        return 0;
    stream->seconds = seconds;
    sw_pool_run(stream->pool, read_part, stream, n);
    return total(stream->worked, n);
}

void sw_stream_free(struct sw_stream *stream)
{
    if (!stream)
        return;
    free(stream->data);
    free(stream->worked);
    free(stream);
}

#define CHAINS 10 /* multiply-adds under way at once: latency 4 or 5, two units */
#define STEPS 2000

/* Each does STEPS * CHAINS vector multiply-adds and returns how many operations that were. */
static double compute_portable(float *out)
{
    float sums[64] = {0}, x = out[0], y = out[1];
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < 64; i++)
            sums[i] += x * y;
    for (int i = 0; i < 64; i++)
        out[2] += sums[i];
    return 2.0 * 64 * STEPS;
}

#if defined(__x86_64__)
/* Written out, so that the sums stay in registers whatever the optimiser thinks of loops. */
#define COMPUTE(name, isa, vector, input, zero, fill, step, sum, operations)                       \
    __attribute__((target(isa))) static double name(float *out)                                    \
    {                                                                                              \
        const input x = fill(out[0]), y = fill(out[1]);                                            \
        vector a = zero(), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;          \
        for (int s = 0; s < STEPS; s++) {                                                          \
            a = step(a, x, y), b = step(b, x, y), c = step(c, x, y), d = step(d, x, y);            \
            e = step(e, x, y), f = step(f, x, y), g = step(g, x, y), h = step(h, x, y);            \
            i = step(i, x, y), j = step(j, x, y);                                                  \
            __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e));                    \
        }                                                                                          \
        a = sum(sum(sum(a, b), sum(c, d)), sum(sum(e, f), sum(g, h)));                             \
        a = sum(a, sum(i, j));                                                                     \
        memcpy(out + 2, &a, sizeof a);                                                             \
        return (operations) * (double)CHAINS * STEPS;                                              \
    }

#define BF16S(value) (__m512bh) _mm512_set1_epi32(((value) > 0) * 0x3f803f80)
#define FMA256(sum, x, y) _mm256_fmadd_ps(x, y, sum)
#define FMA512(sum, x, y) _mm512_fmadd_ps(x, y, sum)
COMPUTE(compute_avx2, "avx2,fma", __m256, __m256, _mm256_setzero_ps, _mm256_set1_ps, FMA256,
        _mm256_add_ps, 16)
COMPUTE(compute_avx512, "avx512f", __m512, __m512, _mm512_setzero_ps, _mm512_set1_ps, FMA512,
        _mm512_add_ps, 32)
COMPUTE(compute_avx512bf16, "avx512f,avx512bf16", __m512, __m512bh, _mm512_setzero_ps, BF16S,
        _mm512_dpbf16_ps, _mm512_add_ps, 64)
#else
#define compute_avx2 compute_portable
#define compute_avx512 compute_portable
#define compute_avx512bf16 compute_portable
#endif

struct computing {
    double seconds;
    struct worked *worked;
};

static void compute_part(void *ctx, int64_t chunk, int worker)
{
    (void)worker;
    static double (*const by_isa[SW_ISA_COUNT])(float *) = {compute_portable, compute_avx2,
                                                            compute_avx512, compute_avx512bf16};
    const struct computing *computing = ctx;
    struct worked *w = &computing->worked[chunk];
    float numbers[2 + 16] = {1.0f, 0.5f};
    const double begin = sw_probe_now();
    double time = begin;
    while (time < begin + computing->seconds) {
        w->amount += by_isa[sw_cpu_isa()](numbers);
        time = sw_probe_now();
    }
    w->sink += numbers[2] > 0;
    w->seconds = time - begin;
}

double sw_compute_rate(struct sw_pool *pool, double seconds)
{
    const int n = threads_of(pool);
    struct computing computing = {seconds, aligned_alloc(64, sizeof(struct worked) * (size_t)n)};
    if (!computing.worked)
        return 0;
    memset(computing.worked, 0, sizeof(struct worked) * (size_t)n);
    sw_pool_run(pool, compute_part, &computing, n);
    const double rate = total(computing.worked, n);
    free(computing.worked);
    return rate;
}
