/* What the CPU backend's tests share: backends of every instruction set here, data, comparison. */
#ifndef SW_TESTS_CPU_HELP_H
#define SW_TESTS_CPU_HELP_H

#include "backend/backend.h"
#include "base/cpu_info.h"
#include "unit.h"

#include <math.h>

#define MAX_ROWS 64
#define MAX_COLS 2048

static inline struct sw_backend *open_cpu(int threads, enum sw_isa isa)
{
    const struct sw_cpu_options o = {
        .threads = threads, .isa = sw_isa_name(isa), .max_rows = MAX_ROWS, .max_cols = MAX_COLS};
    struct sw_backend *b = NULL;
    if (sw_backend_cpu_open(&o, &b) != SW_OK) {
        fprintf(stderr, "%s\n", sw_error_message());
        abort();
    }
    return b;
}

static inline void *device(struct sw_backend *b, size_t bytes)
{
    void *p = NULL;
    if (b->ops->alloc(b, bytes, "test", &p) != SW_OK)
        abort();
    memset(p, 0xff, bytes); /* NaN: what is not written must not be read */
    return p;
}

/* Uniform in [-1, 1), the same on every machine. */
static inline float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(*state >> 33) - (1 << 30)) / (float)(1 << 30);
}

static inline float *floats(int64_t n, uint64_t seed)
{
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = noise(&seed);
    return p;
}

static inline double largest_error(const float *got, const double *want, int64_t n)
{
    double error = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= error)) /* NaN counts */
            error = isnan(got[i]) ? INFINITY : fabs(got[i] - want[i]);
    return error;
}

/* Bytes of a file dtype that hold these values, rounded. */
static inline void *encode(enum sw_dtype dtype, const float *x, int64_t n)
{
    const size_t size = sw_dtype_info(dtype)->bits / 8;
    char *p = malloc((size_t)n * size);
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = dtype == SW_F16 ? sw_f32_to_f16(x[i]) : sw_f32_to_bf16(x[i]);
        const double d = x[i];
        const void *from = dtype == SW_F32   ? (const void *)&x[i]
                           : dtype == SW_F64 ? &d
                                             : (const void *)&h;
        memcpy(p + (size_t)i * size, from, size);
    }
    return p;
}

#define FOR_EACH_FORMAT(f)                                                                         \
    for (enum sw_format_id f = 0; f < SW_FORMAT_COUNT; f = (enum sw_format_id)(f + 1))

static inline float rounded(enum sw_dtype format, float x)
{
    if (format == SW_F16)
        return sw_f16_to_f32(sw_f32_to_f16(x));
    return format == SW_BF16 ? sw_bf16_to_f32(sw_f32_to_bf16(x)) : x;
}

/* One row by the definition of int8: q = round(x * 127 / absmax), its value q * absmax / 127. Of
 * `outliers`, larger ones than SW_INT8_OUTLIER, and what is not finite, stay as they are. No -0. */
static inline void int8_row(const float *x, int64_t n, bool outliers, float *out)
{
    float absmax = 0;
    for (int64_t i = 0; i < n; i++)
        if (!outliers || fabsf(x[i]) <= SW_INT8_OUTLIER)
            absmax = fmaxf(absmax, fabsf(x[i]));
    for (int64_t i = 0; i < n; i++)
        if (outliers && !(fabsf(x[i]) <= SW_INT8_OUTLIER))
            out[i] = x[i];
        else
            out[i] = absmax > 0 ? absmax / 127 * (rintf(x[i] * (127 / absmax)) + 0.0f) : 0;
}

/* One row of activations of products of blocks: int8 with a scale for each 32. */
static inline bool takes_blocks(enum sw_format_id format)
{
    return sw_format_is_quantized(format) && format != SW_FORMAT_INT8 && format != SW_FORMAT_FP8;
}
static inline void block_row(const float *x, int64_t n, float *out)
{
    for (int64_t first = 0; first < n; first += 32)
        int8_row(x + first, n - first < 32 ? n - first : 32, false, out + first);
}

/* A row of weights as it is kept, and what products see of it and of a row of activations. */
static inline void kept_row(enum sw_format_id format, const float *w, int64_t n, float *out)
{
    const struct sw_values row = {w, SW_F32, n, 1, NULL};
    char *blocks = malloc(sw_matrix_layout_of(format, 1, n).row_bytes);
    float scale = 1;
    sw_format_encode_row(sw_format_of(format), &row, blocks, &scale);
    sw_format_decode(sw_format_of(format), blocks, scale, n, out);
    free(blocks);
}
/* What the scales of NF4's and FP4's elements are: a row whose every element is coded as 1. */
static inline void nf4_absmax_row(enum sw_format_id format, const float *w, int64_t n, float *out)
{
    const struct sw_format *f = sw_format_of(format);
    const struct sw_values row = {w, SW_F32, n, 1, NULL};
    const int64_t blocks = (n + f->block_len - 1) / f->block_len;
    const size_t codes = (size_t)f->block_len / 2;
    const bool is_nf4 = format == SW_FORMAT_NF4 || format == SW_FORMAT_NF4_NESTED;
    char *all = malloc((size_t)blocks * f->block_bytes);
    float scale = 1;
    sw_format_encode_row(f, &row, all, &scale);
    for (int64_t i = 0; i < blocks; i++)
        memset(all + (size_t)(i + 1) * f->block_bytes - codes, is_nf4 ? 0xff : 0x33, codes);
    sw_format_decode(f, all, scale, n, out);
    free(all);
}
/* NF4's values are whole numbers of ten bits to products. */
static inline void seen_row(enum sw_format_id format, const float *w, int64_t n, float *out)
{
    kept_row(format, w, n, out);
    if (format != SW_FORMAT_NF4 && format != SW_FORMAT_NF4_NESTED)
        return;
    float *absmax = malloc((size_t)n * sizeof *absmax);
    nf4_absmax_row(format, w, n, absmax);
    for (int64_t i = 0; i < n; i++)
        out[i] =
            absmax[i] != 0 ? rintf(out[i] / absmax[i] * 490.53f) / 491.046868f * absmax[i] : out[i];
    free(absmax);
}
static inline void taken_row(enum sw_format_id format, const float *x, int64_t n, float *out)
{
    if (format == SW_FORMAT_INT8)
        int8_row(x, n, true, out);
    else if (takes_blocks(format))
        block_row(x, n, out);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = format == SW_FORMAT_BF16 ? rounded(SW_BF16, x[i]) : x[i];
}

static inline struct sw_matrix packed(struct sw_backend *b, enum sw_format_id format, int64_t rows,
                                      int64_t cols, const float *w)
{
    struct sw_matrix m = {format, rows, cols, NULL, NULL};
    m.d_data = device(b, sw_matrix_bytes(format, rows, cols));
    b->ops->matrix_clear(b, &m);
    const struct sw_matrix_rows all = {w, SW_F32, 0, rows, cols, 1, NULL, false};
    CU_ASSERT_EQUAL(b->ops->matrix_put(b, &m, &all), SW_OK);
    return m;
}

static inline void unpack(struct sw_backend *b, struct sw_matrix *m)
{
    b->ops->free(b, m->d_data, sw_matrix_bytes(m->format, m->rows, m->cols));
}

/* Keys and values as they are: KV head h of row r at k + r * ld + h * head. */
static inline void store_heads(struct sw_backend *b, const struct sw_kv *kv,
                               const struct sw_span *spans, int n_spans, const float *k,
                               const float *v, int64_t ld, int64_t head)
{
    const struct sw_heads heads = {
        .d_k = (float *)(uintptr_t)k, .d_v = (float *)(uintptr_t)v, .ld = ld, .kv_head = head};
    b->ops->place_heads(b, &heads, kv, spans, n_spans);
}

/* n rows of activations times every row of weights, in double precision: y and the sum of |terms|
 * of row i and weights' row r at [i * rows + r]. Made once for all backends and calls: formats that
 * search for their codes take long to encode. */
struct exact_products {
    int64_t rows, n;
    double *sum, *size;
};
static inline struct exact_products exact_products(enum sw_format_id format, int64_t rows,
                                                   int64_t cols, const float *w, const float *x,
                                                   int64_t n)
{
    struct exact_products e = {rows, n, malloc((size_t)(n * rows) * sizeof(double)),
                               malloc((size_t)(n * rows) * sizeof(double))};
    float *seen = malloc((size_t)cols * sizeof *seen);
    float *taken = malloc((size_t)(n * cols) * sizeof *taken);
    for (int64_t i = 0; i < n; i++)
        taken_row(format, x + i * cols, cols, taken + i * cols);
    for (int64_t r = 0; r < rows; r++) {
        seen_row(format, w + r * cols, cols, seen);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0, size = 1e-30;
            for (int64_t c = 0; c < cols; c++) {
                const double t = (double)seen[c] * (double)taken[i * cols + c];
                sum += t;
                size += fabs(t);
            }
            e.sum[i * rows + r] = sum;
            e.size[i * rows + r] = size;
        }
    }
    free(seen), free(taken);
    return e;
}
static inline void exact_products_free(struct exact_products *e)
{
    free(e->sum), free(e->size);
}

/* Largest |y - what y should be| / sum of |terms|, so that cancellation does not count. */
static inline double product_error(const struct exact_products *e, const float *bias,
                                   const float *y0, const float *y)
{
    double worst = 0;
    for (int64_t i = 0; i < e->n; i++)
        for (int64_t r = 0; r < e->rows; r++) {
            const int64_t at = i * e->rows + r;
            const double b = (double)(bias ? bias[r] : 0), old = (double)(y0 ? y0[at] : 0);
            const double error = fabs((double)y[at] - (e->sum[at] + (b + old))) /
                                 (e->size[at] + fabs(b) + fabs(old));
            worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
        }
    return worst;
}

#define FOR_EACH_ISA(isa)                                                                          \
    for (enum sw_isa isa = SW_ISA_PORTABLE; isa <= sw_cpu_isa(); isa = (enum sw_isa)(isa + 1))

#endif
