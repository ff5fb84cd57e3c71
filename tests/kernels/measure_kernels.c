/*
 * Measures the CPU backend beside the machine's limits, in short interleaved slices so that other
 * people's work on the machine weighs on both alike. Not a test. --help lists its options.
 */
#include "backend/cpu_measure.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/many.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROWS 512
#define MAX_COLS 5632

static clockid_t clock_used = CLOCK_MONOTONIC;

/* With one thread its own time: then a busy machine takes away little but cache. */
static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

struct bench {
    struct sw_backend *b;
    int samples;
    struct sw_cpu_buffer buffer;
    float *x, *y;
};

static double read_rate(struct bench *bench)
{
    const double start = seconds_now();
    sw_cpu_read_once(bench->b, &bench->buffer);
    return (double)bench->buffer.bytes / (seconds_now() - start);
}

static double peak_rate(struct bench *bench, enum sw_format_id format)
{
    if (clock_used == CLOCK_MONOTONIC)
        return sw_cpu_measure_peak(bench->b, format, 0.01);
    float out[16] = {0};
    const double start = seconds_now();
    const double flops = sw_spin_for(sw_cpu_backend_isa(bench->b), format)(200000, out);
    return flops / (seconds_now() - start);
}

static void *device(struct bench *bench, size_t bytes)
{
    void *p;
    if (bench->b->ops->alloc(bench->b, bytes, "measurement", &p) != SW_OK) {
        fprintf(stderr, "%s\n", sw_error_message());
        exit(1);
    }
    return p;
}

/* About normal, as weights are: exponents that no weight has would be measured in bits of anything.
 */
static float weight_of(uint32_t *state)
{
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525 + 1013904223;
        sum += (int32_t)(*state >> 12) - (1 << 19);
    }
    return (float)sum * 0x1p-25f;
}

/* One panel of rows, encoded, and copies of it, at d_data. */
static struct sw_matrix random_blocks(struct bench *bench, enum sw_format_id format, int64_t rows,
                                      int64_t cols, void *d_data)
{
    static float w[SW_PANEL * MAX_COLS];
    uint32_t state = 1;
    for (int64_t i = 0; i < SW_PANEL * cols; i++)
        w[i] = weight_of(&state);
    struct sw_matrix m = {format, rows, cols, d_data, NULL};
    struct sw_matrix first = {format, SW_PANEL, cols, m.d_data, NULL};
    const struct sw_matrix_rows all = {w, SW_F32, 0, SW_PANEL, cols, 1, NULL, false};
    bench->b->ops->matrix_clear(bench->b, &m);
    if (rows % SW_PANEL || bench->b->ops->matrix_put(bench->b, &first, &all) != SW_OK)
        exit(1);
    const size_t panel = sw_matrix_bytes(format, SW_PANEL, cols);
    for (int64_t i = 1; i < rows / SW_PANEL; i++)
        memcpy((char *)m.d_data + (size_t)i * panel, m.d_data, panel);
    return m;
}

static struct sw_matrix random_matrix(struct bench *bench, enum sw_format_id format, int64_t rows,
                                      int64_t cols, void *d_data)
{
    const size_t bytes = sw_matrix_bytes(format, rows, cols);
    if (sw_format_is_quantized(format) && format != SW_FORMAT_INT8)
        return random_blocks(bench, format, rows, cols, d_data);
    struct sw_matrix m = {format, rows, cols, d_data, NULL};
    uint16_t *p = m.d_data; /* small numbers in f32, f16, bf16 and int8 alike */
    for (size_t i = 0; i < bytes / 2; i++)
        p[i] =
            (uint16_t)(format == SW_FORMAT_F32 && !(i & 1) ? i
                                                           : 0x3800 + (i * 2654435761u >> 9) % 512);
    float *scales = sw_matrix_scales(format, m.d_data, rows, cols);
    for (int64_t i = 0; scales && i < rows; i++)
        scales[i] = 0.01f;
    return m;
}

/* Decode and batched decode: bytes of weights per second as a share of the read test. */
static void few_rows(struct bench *bench, enum sw_format_id format, int64_t rows, int64_t cols,
                     int64_t n)
{
    /* As many copies as outgrow the caches, used in turn, side by side as those of a model are: one
     * by one they would lie in small pages in part. */
    const size_t bytes = (sw_matrix_bytes(format, rows, cols) + 4095) / 4096 * 4096;
    const int many = 1 + (int)((size_t)256 * 1024 * 1024 / bytes), copies = many < 64 ? many : 64;
    struct sw_matrix m[64];
    char *const room = device(bench, bytes * (size_t)copies);
    for (int i = 0; i < copies; i++)
        m[i] = random_matrix(bench, format, rows, cols, room + bytes * (size_t)i);
    double rate[64], share[64];
    for (int s = -1; s < bench->samples; s++) {
        const double limit = read_rate(bench);
        const double start = seconds_now();
        for (int i = 0; i < copies; i++)
            bench->b->ops->matmul(bench->b, &m[i], NULL, bench->x, cols, n, bench->y, rows, false);
        const double got = (double)bytes * copies / (seconds_now() - start);
        const double again = read_rate(bench);
        if (s >= 0) {
            rate[s] = got;
            share[s] = got / ((limit + again) / 2);
        }
    }
    bench->b->ops->free(bench->b, room, bytes * (size_t)copies);
    const double r = median(rate, bench->samples);
    printf("matmul %-4s %3ld x %5ld x %5ld  %7.1f GB/s  %5.1f%% of reading  %7.1f GFLOP/s\n",
           sw_format_of(format)->name, (long)n, (long)cols, (long)rows, r * 1e-9,
           100 * median(share, bench->samples),
           r / (sw_format_bits(format) / 8) * 2 * (double)n * 1e-9);
    fflush(stdout);
}

static void many_rows(struct bench *bench, enum sw_format_id format, int64_t rows, int64_t cols,
                      int64_t n)
{
    struct sw_matrix m = random_matrix(bench, format, rows, cols,
                                       device(bench, sw_matrix_bytes(format, rows, cols)));
    double rate[64], share[64];
    for (int s = -1; s < bench->samples; s++) {
        const double limit = peak_rate(bench, format);
        const double start = seconds_now();
        bench->b->ops->matmul(bench->b, &m, NULL, bench->x, cols, n, bench->y, rows, false);
        const double got = 2.0 * (double)(n * rows * cols) / (seconds_now() - start);
        const double again = peak_rate(bench, format);
        if (s >= 0) {
            rate[s] = got;
            share[s] = got / ((limit + again) / 2);
        }
    }
    bench->b->ops->free(bench->b, m.d_data, sw_matrix_bytes(format, rows, cols));
    printf("matmul %-4s %3ld x %5ld x %5ld  %7.1f GFLOP/s  %5.1f%% of peak\n",
           sw_format_of(format)->name, (long)n, (long)cols, (long)rows,
           median(rate, bench->samples) * 1e-9, 100 * median(share, bench->samples));
    fflush(stdout);
}

/* n queries at the end of `context` keys; 32 heads of 64 over n_kv. */
static void attention(struct bench *bench, enum sw_dtype format, int n_kv, int64_t context,
                      int64_t n)
{
    const int heads = 32, dim = 64;
    struct sw_kv kv = {format, 1, n_kv, dim, context, NULL, 0};
    const size_t bytes = sw_kv_bytes(format, 1, n_kv, dim, context);
    kv.d_data = device(bench, bytes);
    memset(kv.d_data, 0, bytes);
    const struct sw_span span = {0, context - n, 0, n};
    const struct sw_attention a = {.n_heads = heads,
                                   .scale = 0.125f,
                                   .d_q = bench->x,
                                   .q_ld = heads * dim,
                                   .q_head = dim,
                                   .d_out = bench->y,
                                   .out_ld = heads * dim};
    double time[64];
    for (int s = -1; s < bench->samples; s++) {
        const double start = seconds_now();
        bench->b->ops->attend(bench->b, &a, &kv, &span, 1);
        if (s >= 0)
            time[s] = seconds_now() - start;
    }
    bench->b->ops->free(bench->b, kv.d_data, bytes);
    const double t = median(time, bench->samples);
    const double flops = 4.0 * (double)n * heads * dim * (double)(context - (n - 1) / 2);
    printf("attend %-4s %3ld queries, %6ld keys, %2d KV heads  %9.1f us  %6.1f GB/s  %7.1f "
           "GFLOP/s\n",
           sw_dtype_info(format)->name, (long)n, (long)context, n_kv, t * 1e6,
           (double)bytes / t * 1e-9, flops / t * 1e-9);
    fflush(stdout);
}

static double per_call(double start, int n)
{
    return (seconds_now() - start) / n * 1e6;
}

static void small_ones(struct bench *bench, int64_t n)
{
    const struct sw_backend_ops *o = bench->b->ops;
    static float cos_sin[64 * 2 * 512], weight[5632];
    const struct sw_span span = {0, 0, 0, n};
    const size_t bytes = sw_kv_bytes(SW_F16, 1, 1, 64, 512);
    struct sw_kv kv = {SW_F16, 1, 1, 64, 512, NULL, 0};
    const struct sw_heads heads = {.d_q = bench->x,
                                   .d_k = bench->y,
                                   .d_v = bench->y,
                                   .ld = 2048,
                                   .q_head = 64,
                                   .kv_head = 64,
                                   .n_heads = 31,
                                   .rope = {.rotary_dim = 64, .d_cos_sin = cos_sin}};
    const int calls = n > 8 ? 20 : 2000;
    double t = seconds_now();
    for (int i = 0; i < calls; i++)
        o->norm(bench->b, SW_NORM_RMS, 1e-5f, bench->x, 2048, n, 2048, weight, NULL, bench->y,
                2048);
    printf("%3ld rows, us a call: norm %.2f", (long)n, per_call(t, calls));
    if (o->alloc(bench->b, bytes, "keys and values", &kv.d_data) != SW_OK)
        exit(1);
    t = seconds_now();
    for (int i = 0; i < calls; i++)
        o->place_heads(bench->b, &heads, &kv, &span, 1);
    printf("  heads %.2f", per_call(t, calls));
    o->free(bench->b, kv.d_data, bytes);
    static const char *const names[] = {"relu", "gelu", "gelu_tanh", "silu"};
    for (int k = 0; k < 4; k++) {
        t = seconds_now();
        for (int i = 0; i < calls; i++)
            o->activate(bench->b, (enum sw_activation)k, false, bench->x, 5632, n, 5632, bench->y,
                        5632);
        printf("  %s %.2f", names[k], per_call(t, calls));
    }
    t = seconds_now();
    for (int i = 0; i < calls; i++)
        o->add(bench->b, 1, bench->x, 2048, n, 2048, bench->y, 2048);
    printf("  add %.2f\n", per_call(t, calls));
}

static void measure(struct bench *bench, const char *only, const char *format)
{
    for (int i = 0; i < SW_FORMAT_COUNT; i++) {
        const enum sw_format_id f = (enum sw_format_id)i;
        if (format && strcmp(format, sw_format_of(f)->name) != 0)
            continue;
        if (!only || !strcmp(only, "decode")) {
            few_rows(bench, f, 2560, 2048, 1);
            few_rows(bench, f, 11264, 2048, 1);
            few_rows(bench, f, 2048, 5632, 1);
            few_rows(bench, f, 32000, 2048, 1);
        }
        if (!only || !strcmp(only, "batch"))
            for (int64_t n = 2; n <= 32; n *= 2)
                few_rows(bench, f, 11264, 2048, n);
        if (!only || !strcmp(only, "prefill")) {
            many_rows(bench, f, 2560, 2048, 64);
            many_rows(bench, f, 2560, 2048, 512);
            many_rows(bench, f, 11264, 2048, 512);
            many_rows(bench, f, 2048, 5632, 512);
        }
        if (!sw_format_is_quantized(f) && (!only || !strcmp(only, "attend"))) {
            attention(bench, sw_format_of(f)->dtype, 4, 512, 512);
            attention(bench, sw_format_of(f)->dtype, 4, 512, 1);
            attention(bench, sw_format_of(f)->dtype, 4, 32768, 1);
            attention(bench, sw_format_of(f)->dtype, 32, 512, 512);
            attention(bench, sw_format_of(f)->dtype, 32, 8192, 1);
        }
    }
    if (!only || !strcmp(only, "small")) {
        small_ones(bench, 1);
        small_ones(bench, 512);
    }
}

static const char help[] =
    "Usage: measure_kernels [OPTIONS]\n\n"
    "Kernels of the CPU beside what the machine can read and multiply.\n\n"
    "  --threads N    compute threads (default: one for each core)\n"
    "  --isa NAME     portable, avx2, avx512 or avx512bf16 (default: the best there is)\n"
    "  --quick        5 samples of each instead of 15\n"
    "  --format NAME  one format of weights alone\n"
    "  --only WHAT    decode, batch, prefill, attend or small\n";

int main(int argc, char **argv)
{
    struct sw_cpu_options options = {.max_rows = MAX_ROWS, .max_cols = MAX_COLS};
    const char *only = NULL, *format = NULL;
    struct bench bench = {.samples = 15};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(help, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--quick")) {
            bench.samples = 5;
        } else if (i + 1 < argc && !strcmp(argv[i], "--threads")) {
            options.threads = atoi(argv[++i]);
        } else if (i + 1 < argc && !strcmp(argv[i], "--isa")) {
            options.isa = argv[++i];
        } else if (i + 1 < argc && !strcmp(argv[i], "--only")) {
            only = argv[++i];
        } else if (i + 1 < argc && !strcmp(argv[i], "--format")) {
            format = argv[++i];
        } else {
            fprintf(stderr, "measure_kernels: '%s' is no option, or lacks its value; see --help\n",
                    argv[i]);
            return 2;
        }
    }
    if (sw_backend_cpu_open(&options, &bench.b) != SW_OK ||
        sw_cpu_buffer_open(bench.b, (size_t)256 << 20, &bench.buffer) != SW_OK) {
        fprintf(stderr, "%s\n", sw_error_message());
        return 1;
    }
    if (sw_cpu_backend_threads(bench.b) == 1)
        clock_used = CLOCK_PROCESS_CPUTIME_ID;
    bench.x = device(&bench, sizeof(float) * MAX_ROWS * MAX_COLS);
    bench.y = device(&bench, sizeof(float) * MAX_ROWS * 32000);
    for (int64_t i = 0; i < MAX_ROWS * MAX_COLS; i++)
        bench.x[i] = (float)(i % 17) * 0.01f - 0.08f;
    double rates[7];
    for (int i = 0; i < 7; i++)
        rates[i] = read_rate(&bench);
    printf("%s%s, %d threads: reads %.1f GB/s, peak bf16 %.0f f32 %.0f int8 %.0f GFLOP/s\n",
           sw_isa_name(sw_cpu_backend_isa(bench.b)), sw_cpu_backend_amx(bench.b) ? " with AMX" : "",
           sw_cpu_backend_threads(bench.b), median(rates, 7) * 1e-9,
           peak_rate(&bench, SW_FORMAT_BF16) * 1e-9, peak_rate(&bench, SW_FORMAT_F32) * 1e-9,
           peak_rate(&bench, SW_FORMAT_INT8) * 1e-9);
    measure(&bench, only, format);
    sw_cpu_buffer_close(bench.b, &bench.buffer);
    bench.b->ops->close(bench.b);
    return 0;
}
