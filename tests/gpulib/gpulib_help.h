/*
 * Shared by the tests of the GPU library. Like the program, they open the library that
 * SPILLWAY_GPU_LIBRARY names, here the one on a simulated GPU.
 */
#ifndef SW_TESTS_GPULIB_HELP_H
#define SW_TESTS_GPULIB_HELP_H

#include "backend/cpu_help.h"
#include "backend/gpu_library.h"
#include "gpu/each_gpu_format.h"

#define DIE(...)                                                                                   \
    do {                                                                                           \
        fprintf(stderr, __VA_ARGS__);                                                              \
        exit(1);                                                                                   \
    } while (0)

static inline const struct sw_gpu_library *gpu_library(void)
{
    const char *why;
    enum sw_status status;
    const struct sw_gpu_library *library = sw_gpu_library_load(&why, &status);
    if (!library)
        DIE("no GPU library: %s\n", why);
    return library;
}

static inline struct sw_backend *open_gpu_as(const struct sw_gpu_options *options)
{
    struct sw_backend *b = NULL;
    if (gpu_library()->open(options, &b) != SW_OK)
        DIE("%s\n", sw_error_message());
    return b;
}

#define MAX_OUT 128

static inline struct sw_backend *open_gpu(int device)
{
    const struct sw_gpu_options o = {
        .device = device, .max_rows = MAX_ROWS, .max_cols = MAX_COLS, .max_out = MAX_OUT};
    return open_gpu_as(&o);
}

static inline void ok(enum sw_status status)
{
    if (status != SW_OK)
        printf("    %s\n", sw_error_message());
    CU_ASSERT_EQUAL(status, SW_OK);
}

/* Device memory, of either backend, filled with NaN. */
static inline void *room(struct sw_backend *b, size_t bytes)
{
    void *d = NULL, *nan = malloc(bytes);
    memset(nan, 0xff, bytes);
    if (b->ops->alloc(b, bytes, "test", &d) != SW_OK)
        DIE("%s\n", sw_error_message());
    ok(b->ops->upload(b, d, nan, bytes));
    free(nan);
    return d;
}

static inline void *copied(struct sw_backend *b, const void *from, size_t bytes)
{
    void *d = room(b, bytes);
    ok(b->ops->upload(b, d, from, bytes));
    return d;
}

static inline float *copied_floats(struct sw_backend *b, const float *from, int64_t n)
{
    return copied(b, from, (size_t)n * sizeof *from);
}

/* Downloads n floats and frees the device's. */
static inline float *taken(struct sw_backend *b, float *d, int64_t n)
{
    float *host = malloc((size_t)n * sizeof *host);
    ok(b->ops->download(b, host, d, (size_t)n * sizeof *host));
    b->ops->free(b, d, (size_t)n * sizeof *host);
    return host;
}

static inline struct sw_matrix matrix(struct sw_backend *b, enum sw_format_id format, int64_t rows,
                                      int64_t cols, const float *values)
{
    struct sw_matrix m = {format, rows, cols, NULL, NULL};
    const struct sw_matrix_rows put = {values, SW_F32, 0, rows, cols, 1, NULL, false};
    m.d_data = room(b, sw_matrix_bytes(format, rows, cols));
    ok(b->ops->matrix_clear(b, &m));
    ok(b->ops->matrix_put(b, &m, &put));
    return m;
}

/* Puts a table of other numbers than the format's behind the matrix, if it has one. table: them. */
static inline void matrix_table(struct sw_backend *b, const struct sw_matrix *m,
                                float table[SW_TABLE_LEN])
{
    float *d_table = sw_matrix_table(m->format, m->d_data, m->rows, m->cols);
    for (int i = 0; i < SW_TABLE_LEN; i++)
        table[i] = (float)((i * 193 + 71) % 256 - 128) / 97;
    if (d_table)
        ok(b->ops->upload(b, d_table, table, SW_TABLE_LEN * sizeof *table));
}

static inline void matrix_free(struct sw_backend *b, const struct sw_matrix *m)
{
    b->ops->free(b, m->d_data, sw_matrix_bytes(m->format, m->rows, m->cols));
}

/* The largest |a - b| / (1 + |b|) over n rows of dim, ld apart; what lies between must be the same
 * bits (NaN). Infinity where either is not a number. */
static inline double apart(const float *a, const float *b, int64_t n, int64_t dim, int64_t ld)
{
    double most = 0;
    for (int64_t i = 0; i < n * ld; i++) {
        const double error = fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)b[i]));
        if (i % ld >= dim ? memcmp(a + i, b + i, sizeof *a) != 0 : !(error <= most))
            most = i % ld >= dim || isnan(error) ? INFINITY : error;
    }
    return most;
}

/* Whether the GPU multiplies decoded weights by activations as they are. The CPU makes activations
 * int8 for all quantized formats, so the two agree less. */
static inline bool gpu_decodes(enum sw_format_id format)
{
    return sw_format_is_quantized(format) && sw_gpu_format_of(format)->operand != SW_I8;
}

#endif
