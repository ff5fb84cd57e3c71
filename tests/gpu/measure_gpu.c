/*
 * Speeds of the kernels on a GPU, compared with its memory and cuBLAS: a tool, not a test. On
 * the simulated GPU the figures mean nothing; `measure_gpu --small` only shows that it runs.
 */
#include "base/checked.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gpu_formats.h"

#include <cublas_v2.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ok(cudaError_t error, int line)
{
    if (error == cudaSuccess)
        return;
    fprintf(stderr, "measure_gpu.c:%d: %s\n", line, cudaGetErrorString(error));
    exit(1);
}
#define OK(call) ok((call), __LINE__)

static cudaStream_t stream;
static cublasHandle_t blas;
static int64_t scale = 1; /* sizes are divided by it */
static int repeats = 20, goes = 3;

/* One element of a format, from -0.5 to 0.5. */
static void put_noise(enum sw_dtype format, uint64_t *state, size_t i, void *out)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    const float f = (float)(*state >> 40) / (float)(1 << 24) - 0.5f;
    switch (format) {
    case SW_F32:
        ((float *)out)[i] = f;
        break;
    case SW_F16:
        ((uint16_t *)out)[i] = sw_f32_to_f16(f);
        break;
    case SW_BF16:
        ((uint16_t *)out)[i] = sw_f32_to_bf16(f);
        break;
    default:
        ((int8_t *)out)[i] = (int8_t)(*state >> 56);
    }
}

/* Device memory of made-up numbers, a few MiB repeated. Zeros would be multiplied faster than a
 * model's numbers. */
static void fill(void *p, enum sw_dtype format, size_t bytes)
{
    enum { BLOCK = 4 << 20 };
    static char block[BLOCK];
    uint64_t state = 1 + (uint64_t)format;
    const size_t element = sw_dtype_info(format)->bits / 8;
    for (size_t i = 0; i < (bytes < BLOCK ? bytes : BLOCK) / element; i++)
        put_noise(format, &state, i, block);
    for (size_t at = 0; at < bytes; at += BLOCK)
        OK(cudaMemcpy((char *)p + at, block, bytes - at < BLOCK ? bytes - at : BLOCK,
                      cudaMemcpyHostToDevice));
}

static void *device(size_t bytes)
{
    void *p = NULL;
    OK(cudaMalloc(&p, bytes));
    OK(cudaMemset(p, 0, bytes));
    return p;
}

static void *filled(enum sw_dtype format, size_t bytes)
{
    void *p = device(bytes);
    fill(p, format, bytes);
    return p;
}

/* Weights: bytes where they are quantized, and some number as scales. */
static void *matrix(enum sw_format_id format, int64_t rows, int64_t cols)
{
    const struct sw_gpu_layout l = sw_gpu_layout_of(format, rows, cols);
    const size_t apart = l.n_parts > 1 ? l.parts[1].at : l.parts[0].row_bytes * (size_t)l.rows;
    const size_t bytes = sw_matrix_bytes(format, rows, cols), scales = bytes - apart;
    char *p = device(bytes);
    fill(p, sw_format_of(format)->dtype, apart);
    if (scales)
        OK(cudaMemset(p + apart, 0x3c, scales)); /* as f16 1.06, as f32 0.0115 */
    return p;
}

/* Seconds of one call of `run`, the fastest of several series of `repeats`. */
static double seconds(void (*run)(void *ctx, int i), void *ctx)
{
    cudaEvent_t start, end;
    double best = INFINITY;
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    run(ctx, 0);
    for (int go = 0; go < goes; go++) {
        float ms = 0;
        OK(cudaEventRecord(start, stream));
        for (int i = 0; i < repeats; i++)
            run(ctx, i);
        OK(cudaEventRecord(end, stream));
        OK(cudaEventSynchronize(end));
        OK(cudaEventElapsedTime(&ms, start, end));
        best = fmin(best, (double)ms / 1e3 / repeats);
    }
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
    return best;
}

/* ---- memory */

struct reading {
    void *p;
    size_t bytes;
    float *out;
};

static void read_once(void *ctx, int i)
{
    const struct reading *r = ctx;
    (void)i;
    OK(sw_gpu_read_memory(r->p, r->bytes, r->out, stream));
}

static double bandwidth(void)
{
    struct reading r = {.bytes = ((size_t)1 << 30) / (size_t)(scale * scale)};
    r.p = filled(SW_F16, r.bytes);
    r.out = device(sizeof(float));
    const double rate = (double)r.bytes / seconds(read_once, &r);
    OK(cudaFree(r.p));
    OK(cudaFree(r.out));
    return rate;
}

/* ---- products. Matrices are taken in turn, so that none is found in the cache. */

#define MOST_COPIES 64
struct shape {
    const char *of;
    int64_t rows, cols;
};
static const struct shape shapes[] = {
    {"7B attention", 4096, 4096}, {"7B up", 11008, 4096},   {"7B down", 4096, 11008},
    {"7B head", 32000, 4096},     {"20B qkv", 18432, 6144}, {"20B up", 24576, 6144},
    {"20B down", 6144, 24576},    {"8B keys", 1024, 4096},
};
static int n_shapes = sizeof shapes / sizeof shapes[0]; /* of them measured */

struct products {
    struct sw_gpu_product p;
    size_t bytes;
    void *w[MOST_COPIES];
    int copies;
};

static void multiply(void *ctx, int i)
{
    struct products *m = ctx;
    m->p.w = m->w[i % m->copies];
    OK(sw_gpu_gemv(&m->p, stream));
}

static void measure_gemv(double memory)
{
    static const int64_t tokens[] = {1, 2, 4, 8};
    printf("\nfew tokens, GB/s of weights (share of memory's)\n%-14s %-5s", "", "");
    for (int t = 0; t < 4; t++)
        printf("       n = %d   ", (int)tokens[t]);
    printf("\n");
    for (int s = 0; s < n_shapes; s++)
        for (int f = 0; f < SW_FORMAT_COUNT; f++) {
            const enum sw_format_id format = (enum sw_format_id)f;
            if (sw_format_of(format)->cpu_only)
                continue;
            const int64_t rows = shapes[s].rows / scale, cols = shapes[s].cols / scale;
            struct products m = {.p = {.format = format, .rows = rows, .cols = cols}};
            m.bytes = sw_matrix_bytes(format, rows, cols);
            m.copies = 1 + (int)(((size_t)512 << 20) / (size_t)(scale * scale) / m.bytes);
            m.copies = m.copies > MOST_COPIES ? MOST_COPIES : m.copies;
            for (int i = 0; i < m.copies; i++)
                m.w[i] = matrix(format, rows, cols);
            float *x = filled(SW_F32, (size_t)(8 * cols) * sizeof *x);
            void *x8 = device(sw_gpu_quantized_bytes(8, cols));
            m.p.x = x;
            m.p.ld_x = cols;
            m.p.y = device((size_t)(8 * rows) * sizeof(float));
            m.p.ld_y = rows;
            printf("%-14s %-5s", shapes[s].of, sw_format_of(format)->name);
            for (int t = 0; t < 4; t++) {
                m.p.n = tokens[t];
                m.p.x8 = sw_gpu_format_of(format)->operand == SW_I8 ? x8 : NULL;
                OK(sw_gpu_quantize(x, cols, m.p.n, cols, x8, stream));
                const double rate = (double)m.bytes / seconds(multiply, &m);
                printf(" %7.0f (%3.0f %%)", rate / 1e9, 100 * rate / memory);
            }
            printf("\n");
            for (int i = 0; i < m.copies; i++)
                OK(cudaFree(m.w[i]));
            OK(cudaFree(x));
            OK(cudaFree(x8));
            OK(cudaFree(m.p.y));
        }
}

/* GEMM: cuBLAS's own rate, and the rate with the rest of src/gpu/gemm.c. */
struct gemm {
    int64_t rows, cols, n;
    void *w, *w8, *w_half, *x_half;
    float *x, *y, *x_scale, *w_scale;
    void *sums; /* f32 or i32 */
};

static void multiply_gemm(const struct gemm *g, const void *w, const void *x, cudaDataType_t type,
                          void *y)
{
    const bool bytes = type == CUDA_R_8I;
    const float one = 1, zero = 0;
    const int32_t whole_one = 1, whole_zero = 0;
    if (cublasGemmEx(blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)g->rows, (int)g->n, (int)g->cols,
                     bytes ? (const void *)&whole_one : &one, w, type, (int)g->cols, x, type,
                     (int)g->cols, bytes ? (const void *)&whole_zero : &zero, y,
                     bytes ? CUDA_R_32I : CUDA_R_32F, (int)g->rows,
                     bytes ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS) {
        fprintf(stderr, "cuBLAS refuses a product\n");
        exit(1);
    }
}

static void f16_alone(void *ctx, int i)
{
    const struct gemm *g = ctx;
    (void)i;
    multiply_gemm(g, g->w, g->x_half, CUDA_R_16F, g->sums);
}

static void f16_whole(void *ctx, int i)
{
    const struct gemm *g = ctx;
    OK(sw_gpu_to_half(SW_F16, g->x, g->cols, g->n, g->cols, g->x_half, g->x_scale, stream));
    f16_alone(ctx, i);
    OK(sw_gpu_finish(g->sums, g->n, g->rows, g->x_scale, NULL, NULL, false, g->y, g->rows, stream));
}

static void bf16_alone(void *ctx, int i)
{
    const struct gemm *g = ctx;
    (void)i;
    multiply_gemm(g, g->w, g->x_half, CUDA_R_16BF, g->y);
}

static void bf16_whole(void *ctx, int i)
{
    const struct gemm *g = ctx;
    OK(sw_gpu_to_half(SW_BF16, g->x, g->cols, g->n, g->cols, g->x_half, g->x_scale, stream));
    bf16_alone(ctx, i);
}

/* Turing has no bf16: its weights become f16. */
static void bf16_converted(void *ctx, int i)
{
    const struct gemm *g = ctx;
    (void)i;
    OK(sw_gpu_to_half(SW_F16, g->x, g->cols, g->n, g->cols, g->x_half, g->x_scale, stream));
    OK(sw_gpu_weights_to_half(SW_F16, SW_FORMAT_BF16, g->w, g->rows, g->cols, 0, g->rows, g->w_half,
                              g->w_scale, stream));
    multiply_gemm(g, g->w_half, g->x_half, CUDA_R_16F, g->sums);
    OK(sw_gpu_finish(g->sums, g->n, g->rows, g->x_scale, g->w_scale, NULL, false, g->y, g->rows,
                     stream));
}

static void int8_alone(void *ctx, int i)
{
    const struct gemm *g = ctx;
    (void)i;
    multiply_gemm(g, g->w8, sw_gpu_quantized_elements(g->x_half, g->n, g->cols), CUDA_R_8I,
                  g->sums);
}

static void int8_whole(void *ctx, int i)
{
    const struct gemm *g = ctx;
    OK(sw_gpu_quantize(g->x, g->cols, g->n, g->cols, g->x_half, stream));
    int8_alone(ctx, i);
    OK(sw_gpu_finish_int8(g->sums, g->rows, g->x, g->cols, g->x_half, g->w8, g->rows, g->cols, 0,
                          g->rows, g->n, NULL, false, g->y, g->rows, stream));
}

/* Every token has outliers in the same few columns, as those of models have. */
static void add_outliers(float *d_x, int64_t n, int64_t cols)
{
    enum { COLUMNS = 12 };
    float *x = malloc((size_t)(n * cols) * sizeof *x);
    if (!x)
        exit(1);
    OK(cudaMemcpy(x, d_x, (size_t)(n * cols) * sizeof *x, cudaMemcpyDeviceToHost));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < COLUMNS; c++)
            x[i * cols + c * cols / COLUMNS] = 20;
    OK(cudaMemcpy(d_x, x, (size_t)(n * cols) * sizeof *x, cudaMemcpyHostToDevice));
    free(x);
}

struct way {
    const char *of;
    void (*alone)(void *ctx, int i), (*whole)(void *ctx, int i);
};

static void measure_gemm(bool turing)
{
    const struct way ways[] = {
        {"f16", f16_alone, f16_whole},
        {"bf16", turing ? f16_alone : bf16_alone, turing ? bf16_converted : bf16_whole},
        {"int8", int8_alone, int8_whole}};
    const int64_t n = 512 / scale;
    printf("\n%d tokens, TFLOP/s: cuBLAS alone, with all around it (share)\n", (int)n);
    for (int s = 0; s < n_shapes; s++) {
        const int64_t rows = shapes[s].rows / scale, cols = shapes[s].cols / scale;
        struct gemm g = {.rows = rows, .cols = cols, .n = n};
        g.w = matrix(SW_FORMAT_F16, rows, cols);
        g.w8 = matrix(SW_FORMAT_INT8, rows, cols);
        g.w_half = device((size_t)(rows * cols) * 2);
        g.x_half = device((size_t)(n * cols) * 2 + sw_gpu_quantized_bytes(n, cols));
        g.x = filled(SW_F32, (size_t)(n * cols) * sizeof(float));
        g.y = device((size_t)(n * rows) * sizeof(float));
        g.sums = device((size_t)(n * rows) * sizeof(float));
        g.x_scale = device((size_t)n * sizeof(float));
        g.w_scale = device((size_t)rows * sizeof(float));
        add_outliers(g.x, n, cols);
        const double operations = 2 * (double)rows * (double)cols * (double)n;
        printf("%-14s", shapes[s].of);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            ways[i].whole(&g, 0); /* makes the operands */
            const double alone = operations / seconds(ways[i].alone, &g);
            const double whole = operations / seconds(ways[i].whole, &g);
            printf(" %s %6.1f, %6.1f (%3.0f %%)", ways[i].of, alone / 1e12, whole / 1e12,
                   100 * whole / alone);
        }
        printf("\n");
        void *const all[] = {g.w, g.w8, g.w_half, g.x_half, g.x, g.y, g.sums, g.x_scale, g.w_scale};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            OK(cudaFree(all[i]));
    }
}

/* ---- attention */

struct attending {
    struct sw_gpu_attention a;
    struct sw_gpu_kv kv;
    struct sw_gpu_batch batch;
    void *work;
    size_t work_bytes;
};

static void attend(void *ctx, int i)
{
    const struct attending *t = ctx;
    (void)i;
    OK(sw_gpu_attend(&t->a, &t->kv, &t->batch, t->work, t->work_bytes, stream));
}

/* One token of each of `slots` sequences of `context`, or (slots 0) one prompt of so many. */
static void measure_attention(enum sw_dtype format, int n_heads, int n_kv_heads, int head,
                              int slots, int64_t context)
{
    enum { MOST_SLOTS = 16 };
    struct sw_gpu_span spans[MOST_SLOTS];
    const int n_slots = slots ? slots : 1;
    const int64_t rows = slots ? slots : context;
    for (int i = 0; i < n_slots; i++)
        spans[i] = (struct sw_gpu_span){i, slots ? 1 : (int32_t)context, slots ? context - 1 : 0,
                                        slots ? i : 0, 0};
    struct attending t = {.kv = {format, n_slots, n_kv_heads, head, context, NULL, 0}};
    const size_t cache = sw_kv_bytes(format, n_slots, n_kv_heads, head, context);
    const size_t q_bytes = (size_t)(rows * n_heads * head) * sizeof(float);
    struct sw_gpu_span *d_spans = device(sizeof spans);
    float *q = filled(SW_F32, q_bytes);
    OK(cudaMemcpy(d_spans, spans, sizeof spans, cudaMemcpyHostToDevice));
    t.kv.data = filled(format, cache);
    t.batch = (struct sw_gpu_batch){d_spans, spans, n_slots};
    t.work_bytes = sw_gpu_attend_work(&t.kv, n_heads, n_slots);
    t.work = device(t.work_bytes);
    t.a = (struct sw_gpu_attention){.n_heads = n_heads,
                                    .scale = 0.1f,
                                    .q = q,
                                    .q_ld = n_heads * head,
                                    .q_head = head,
                                    .out = device(q_bytes),
                                    .out_ld = n_heads * head};
    const double time = seconds(attend, &t);
    printf("attention, %s, %d heads of %d, %d KV heads, %lld keys: ", sw_dtype_info(format)->name,
           n_heads, head, n_kv_heads, (long long)context);
    if (slots)
        printf("%d tokens %.1f us, %.0f GB/s\n", slots, time * 1e6, (double)cache / time / 1e9);
    else /* half of the keys on average; q·k and p·v */
        printf("prompt %.2f ms, %.1f TFLOP/s\n", time * 1e3,
               2 * (double)context * (double)context * n_heads * head / time / 1e12);
    void *const all[] = {d_spans, q, t.kv.data, t.work, t.a.out};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        OK(cudaFree(all[i]));
}

int main(int argc, char **argv)
{
    struct cudaDeviceProp properties;
    if (argc > 1 && strcmp(argv[1], "--small") == 0)
        scale = 64, repeats = goes = n_shapes = 1;
    OK(cudaGetDeviceProperties(&properties, 0));
    OK(cudaStreamCreate(&stream));
    if (cublasCreate(&blas) != CUBLAS_STATUS_SUCCESS ||
        cublasSetStream(blas, stream) != CUBLAS_STATUS_SUCCESS) {
        fprintf(stderr, "cuBLAS does not start\n");
        return 1;
    }
    const double memory = bandwidth();
    printf("%s: memory is read at %.0f GB/s\n", properties.name, memory / 1e9);
    measure_gemv(memory);
    measure_gemm(properties.major < 8);
    printf("\n");
    for (int slots = 1; slots <= (n_shapes > 1 ? 16 : 1); slots *= 4)
        measure_attention(SW_F16, 32, 8, 128, slots, 4096 / scale);
    if (n_shapes > 1)
        measure_attention(SW_F16, 32, 32, 128, 1, 4096 / scale);
    static const enum sw_dtype caches[] = {SW_F16, SW_BF16, SW_F32};
    for (int f = 0; f < 3; f++)
        measure_attention(caches[f], 32, 8, 128, 0, 2048 / scale);
    if (n_shapes > 1) {
        measure_attention(SW_F16, 32, 8, 128, 0, 512);
        measure_attention(SW_F16, 16, 16, 256, 0, 2048); /* gpt-j-6b */
        measure_attention(SW_F16, 64, 64, 64, 0, 2048);
    }
    cublasDestroy(blas);
    OK(cudaStreamDestroy(stream));
    return 0;
}
