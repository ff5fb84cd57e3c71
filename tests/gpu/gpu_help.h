/*
 * Shared by the kernels' tests. They use the CUDA runtime's API only, so that the same sources
 * run on the simulated GPU and on a real one. Device memory is filled with 0xff (NaN) and has some
 * more of it on both sides, which must still be there in the end.
 */
#ifndef SW_TESTS_GPU_HELP_H
#define SW_TESTS_GPU_HELP_H

#include "backend/cpu_help.h"
#include "gpu/each_gpu_format.h"
#include "kernels/cuda/cuda_kernels.h"

#include <cuda_runtime_api.h>

#define GUARD 1024
#define MOST_BUFFERS 64

static struct {
    char *start;
    size_t bytes;
} gpu_buffers[MOST_BUFFERS];
static int n_gpu_buffers;

static inline void gpu_ok(cudaError_t error)
{
    if (error == cudaSuccess)
        return;
    CU_FAIL("a CUDA call");
    fprintf(stderr, "    %s\n", cudaGetErrorString(error));
    exit(1);
}

/* Waits as well: kernels have run. */
static inline void gpu_get(void *to, const void *d_from, size_t bytes)
{
    gpu_ok(cudaDeviceSynchronize());
    gpu_ok(cudaMemcpy(to, d_from, bytes, cudaMemcpyDeviceToHost));
}

static inline void *gpu_alloc(size_t bytes)
{
    void *p = NULL;
    if (n_gpu_buffers == MOST_BUFFERS)
        abort();
    gpu_ok(cudaMalloc(&p, bytes + 2 * GUARD));
    gpu_ok(cudaMemset(p, 0xff, bytes + 2 * GUARD));
    gpu_buffers[n_gpu_buffers].start = p;
    gpu_buffers[n_gpu_buffers++].bytes = bytes;
    return (char *)p + GUARD;
}

static inline void *gpu_copy(const void *from, size_t bytes)
{
    void *d = gpu_alloc(bytes);
    gpu_ok(cudaMemcpy(d, from, bytes, cudaMemcpyHostToDevice));
    return d;
}

static inline float *gpu_floats(const float *from, int64_t n)
{
    return gpu_copy(from, (size_t)n * sizeof *from);
}

static inline bool is_guard(const unsigned char *p)
{
    for (int i = 0; i < GUARD; i++)
        if (p[i] != 0xff)
            return false;
    return true;
}

/* Frees all; false: something was written outside a buffer. */
static inline bool gpu_free_all(void)
{
    bool whole = true;
    unsigned char guard[GUARD];
    while (n_gpu_buffers > 0) {
        n_gpu_buffers--;
        char *start = gpu_buffers[n_gpu_buffers].start;
        gpu_get(guard, start, GUARD);
        whole = whole && is_guard(guard);
        gpu_get(guard, start + GUARD + gpu_buffers[n_gpu_buffers].bytes, GUARD);
        whole = whole && is_guard(guard);
        gpu_ok(cudaFree(start));
    }
    return whole;
}

/* The largest of |got - want| / (1 + |want|) over n rows of dim; infinity for NaN. */
static inline double gpu_error(const float *got, int64_t ld_got, const double *want, int64_t n,
                               int64_t dim)
{
    double most = 0;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < dim; i++) {
            const double w = want[r * dim + i], g = got[r * ld_got + i];
            const double error = fabs(g - w) / (1 + fabs(w));
            if (!(error <= most))
                most = isnan(error) ? INFINITY : error;
        }
    return most;
}

/* Rows of dim, ld apart in device memory; what lies between is NaN and must stay so. */
struct gpu_rows {
    int64_t n, dim, ld;
    float *host, *d; /* host: (n, ld) */
};

static inline struct gpu_rows gpu_rows_of(int64_t n, int64_t dim, int64_t ld, uint64_t seed)
{
    struct gpu_rows r = {n, dim, ld, malloc((size_t)(n * ld) * sizeof(float)), NULL};
    for (int64_t i = 0; i < n * ld; i++)
        r.host[i] = i % ld < dim ? noise(&seed) : NAN;
    r.d = gpu_floats(r.host, n * ld);
    return r;
}

static inline void gpu_rows_get(struct gpu_rows *r)
{
    gpu_get(r->host, r->d, (size_t)(r->n * r->ld) * sizeof(float));
    for (int64_t i = 0; i < r->n * r->ld; i++)
        if (i % r->ld >= r->dim && !isnan(r->host[i])) {
            CU_FAIL("something was written between rows");
            return;
        }
}

/* Keys and values as they are: KV head h of row r at k + r * ld + h * head. */
static inline void gpu_store(const struct sw_gpu_kv *kv, const struct sw_gpu_batch *batch,
                             const float *k, const float *v, int64_t ld, int64_t head)
{
    const struct sw_gpu_heads heads = {.k = k, .v = v, .ld = ld, .kv_head = head};
    gpu_ok(sw_gpu_place_heads(&heads, kv, batch, 0));
}

/* A weight matrix in the GPU's layout, and the values it stands for. */
struct gpu_matrix {
    enum sw_format_id format;
    int64_t rows, cols, row_elements;
    size_t bytes;
    void *host, *d;
    float *values; /* (rows, cols) */
};

static inline int64_t padded_to(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Row r made of x as the format encodes it, and the values that it decodes to. */
static inline void gpu_matrix_row(struct gpu_matrix *m, int64_t r, const float *x)
{
    const struct sw_format *f = sw_format_of(m->format);
    const struct sw_gpu_layout l = sw_gpu_layout_of(m->format, m->rows, m->cols);
    const struct sw_values row = {x, SW_F32, m->cols, 1, NULL};
    const int64_t blocks = (m->cols + f->block_len - 1) / f->block_len;
    char *parts[SW_GPU_PARTS];
    for (int i = 0; i < l.n_parts; i++)
        parts[i] = (char *)m->host + l.parts[i].at + (size_t)r * l.parts[i].row_bytes;
    char *whole = calloc((size_t)blocks, f->block_bytes);
    float scale = 0;
    sw_format_encode_row(f, &row, whole, &scale);
    sw_format_decode_by(f, sw_matrix_table(m->format, m->host, m->rows, m->cols), whole, scale,
                        m->cols, m->values + r * m->cols);
    sw_gpu_split(m->format, whole, blocks, parts);
    if (f->row_scale)
        memcpy(parts[l.n_parts - 1], &scale, sizeof scale);
    free(whole);
}

/* With a table of other numbers than the format's, if it has one. */
static inline struct gpu_matrix gpu_matrix_of(enum sw_format_id format, int64_t rows, int64_t cols,
                                              uint64_t seed)
{
    struct gpu_matrix m = {.format = format, .rows = rows, .cols = cols};
    m.row_elements = sw_matrix_layout_of(format, rows, cols).cols;
    m.bytes = sw_matrix_bytes(format, rows, cols);
    m.host = calloc(1, m.bytes);
    m.values = malloc((size_t)(rows * cols) * sizeof(float));
    float *table = sw_matrix_table(format, m.host, rows, cols);
    for (int i = 0; table && i < SW_TABLE_LEN; i++)
        table[i] = noise(&seed);
    float *x = malloc((size_t)cols * sizeof *x);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++)
            x[c] = noise(&seed);
        gpu_matrix_row(&m, r, x);
    }
    free(x);
    m.d = gpu_copy(m.host, m.bytes);
    return m;
}

static inline void gpu_matrix_free(struct gpu_matrix *m)
{
    free(m->host);
    free(m->values);
}

/* Whether products with such a matrix read activations in bytes, as int8's do. */
static inline bool gpu_reads_bytes(enum sw_format_id format)
{
    return sw_gpu_format_of(format)->operand == SW_I8;
}

#endif
