/*
 * Every operation of the GPU backend against the CPU backend's, which is tested against doubles:
 * all weight formats, row counts on both sides of every limit, pieces of weights from any source.
 */
#include "gpulib_help.h"

#include <simgpu.h>

static struct sw_backend *cpu, *gpu;

static void open_both(void)
{
    cpu = open_cpu(1, SW_ISA_PORTABLE);
    gpu = open_gpu(0);
}

static void close_both(void)
{
    ok(gpu->ops->sync(gpu));
    gpu->ops->close(gpu);
    cpu->ops->close(cpu);
    CU_ASSERT_EQUAL(simgpu_used(0), 0); /* nothing is left behind */
}

/* ---- products */

static const int64_t shapes[][2] = {{1, 1},   {5, 3},    {16, 16}, {17, 31},
                                    {64, 64}, {100, 77}, {33, 200}}; /* rows, cols */
static const int64_t counts[] = {1, 2, 8, 9, 33, MAX_ROWS, MAX_ROWS + 6, 2 * MAX_ROWS + 9};

/* The error that rounding activations for a GEMM may make, for values of size 1. */
static double tolerance(enum sw_format_id format, int64_t n)
{
    const bool is_gemm = n > 8;
    if (format == SW_FORMAT_BF16) /* the CPU rounds them, too */
        return 3e-2;
    if (is_gemm && gpu_decodes(format)) /* weights are rounded, too */
        return 4e-3;
    return is_gemm && format == SW_FORMAT_F16 ? 2e-3 : 1e-5;
}

static void multiply(struct sw_backend *b, const struct sw_matrix *m, const float *bias,
                     const float *x, const float *y0, int64_t n, int64_t ld, bool add, float **y)
{
    float *d_x = copied_floats(b, x, n * (m->cols + 3)), *d_y = copied_floats(b, y0, n * ld);
    float *d_bias = bias ? copied_floats(b, bias, m->rows) : NULL;
    b->ops->matmul(b, m, d_bias, d_x, m->cols + 3, n, d_y, ld, add);
    *y = taken(b, d_y, n * ld);
    b->ops->free(b, d_x, (size_t)(n * (m->cols + 3)) * sizeof *d_x);
    b->ops->free(b, d_bias, (size_t)m->rows * sizeof *d_bias);
}

/* A matrix on the CPU that means the same products as one of `format` on the GPU. */
static struct sw_matrix alike(enum sw_format_id format, int64_t rows, int64_t cols, const float *w)
{
    if (!gpu_decodes(format))
        return matrix(cpu, format, rows, cols, w);
    float *values = malloc((size_t)(rows * cols) * sizeof *values);
    for (int64_t r = 0; r < rows; r++)
        kept_row(format, w + r * cols, cols, values + r * cols);
    const struct sw_matrix m = matrix(cpu, SW_FORMAT_F32, rows, cols, values);
    free(values);
    return m;
}

static void check_products(enum sw_format_id format, int64_t rows, int64_t cols)
{
    float *w = floats(rows * cols, 1), *bias = floats(rows, 2);
    for (int64_t i = 0; i < rows * cols; i++)
        w[i] /= sqrtf((float)cols);
    struct sw_matrix on_cpu = alike(format, rows, cols, w);
    struct sw_matrix on_gpu = matrix(gpu, format, rows, cols, w);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const int64_t n = counts[c], ld = rows + (int64_t)c % 3;
        float *x = floats(n * (cols + 3), 3 + c), *y0 = floats(n * ld, 30 + c), *want, *got;
        for (int64_t i = 7; i < n * (cols + 3); i += 97)
            x[i] *= 50; /* outliers of int8 */
        multiply(cpu, &on_cpu, c % 2 ? bias : NULL, x, y0, n, ld, c % 3 == 0, &want);
        multiply(gpu, &on_gpu, c % 2 ? bias : NULL, x, y0, n, ld, c % 3 == 0, &got);
        const double error = apart(got, want, n, rows, ld);
        if (!(error <= tolerance(format, n)))
            printf("    %s %ld x %ld, %ld rows: %g\n", sw_format_of(format)->name, (long)rows,
                   (long)cols, (long)n, error);
        CU_ASSERT(error <= tolerance(format, n));
        free(x), free(y0), free(want), free(got);
    }
    matrix_free(cpu, &on_cpu);
    matrix_free(gpu, &on_gpu);
    free(w), free(bias);
}

static void products_agree(void)
{
    open_both();
    FOR_EACH_KIND_OF_FORMAT(format)
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        check_products((enum sw_format_id)format, shapes[s][0], shapes[s][1]);
    close_both();
}

/* A workspace for far fewer out-features: products go in tiles, and not a bit changes. */
static void tiles_change_nothing(void)
{
    const struct sw_gpu_options narrow = {.max_rows = 24, .max_cols = 80, .max_out = 16};
    const int64_t rows = 100, cols = 77, n = 24;
    struct sw_backend *small = open_gpu_as(&narrow);
    open_both();
    FOR_EACH_KIND_OF_FORMAT(format)
    {
        float *w = floats(rows * cols, 4), *x = floats(n * (cols + 3), 5), *bias = floats(rows, 6);
        float *y0 = floats(n * rows, 7), *want, *got;
        struct sw_matrix a = matrix(gpu, (enum sw_format_id)format, rows, cols, w);
        struct sw_matrix b = matrix(small, (enum sw_format_id)format, rows, cols, w);
        multiply(gpu, &a, bias, x, y0, n, rows, true, &want);
        multiply(small, &b, bias, x, y0, n, rows, true, &got);
        CU_ASSERT(memcmp(want, got, (size_t)(n * rows) * sizeof *got) == 0);
        matrix_free(gpu, &a);
        matrix_free(small, &b);
        free(w), free(x), free(bias), free(y0), free(want), free(got);
    }
    ok(small->ops->sync(small));
    small->ops->close(small);
    close_both();
}

/* A matrix with a table of its own, by GEMV and GEMM: the products of the decoded rows. */
static void tables_are_the_matrix_s(void)
{
    enum { ROWS = 40, COLS = 77, LD = COLS + 3 };
    float table[SW_TABLE_LEN], *w = floats(ROWS * COLS, 4), *values = floats(ROWS * COLS, 4);
    open_both();
    FOR_EACH_GPU_FORMAT (id) {
        const struct sw_format *f = sw_format_of((enum sw_format_id)id);
        char blocks[4096];
        if (!f->table)
            continue;
        struct sw_matrix m = matrix(gpu, (enum sw_format_id)id, ROWS, COLS, w);
        matrix_table(gpu, &m, table);
        for (int r = 0; r < ROWS; r++) {
            const struct sw_values row = {w + r * COLS, SW_F32, COLS, 1, NULL};
            float scale;
            sw_format_encode_row(f, &row, blocks, &scale);
            sw_format_decode_by(f, table, blocks, scale, COLS, values + r * COLS);
        }
        struct sw_matrix decoded = matrix(cpu, SW_FORMAT_F32, ROWS, COLS, values);
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            const int64_t n = counts[c];
            float *x = floats(n * LD, 9), *y0 = floats(n * ROWS, 10), *want, *got;
            multiply(cpu, &decoded, NULL, x, y0, n, ROWS, false, &want);
            multiply(gpu, &m, NULL, x, y0, n, ROWS, false, &got);
            CU_ASSERT(apart(got, want, n, ROWS, ROWS) <= tolerance((enum sw_format_id)id, n));
            free(x), free(y0), free(want), free(got);
        }
        matrix_free(gpu, &m);
        matrix_free(cpu, &decoded);
    }
    free(w), free(values);
    close_both();
}

/* A matrix whose columns are in an order of their own: the bits of a product with activations that
 * were permuted before, in both ways of multiplying, with a workspace of few rows, too. */
static void orders_permute_activations(void)
{
    static const enum sw_format_id formats[] = {SW_FORMAT_INT4_G32, SW_FORMAT_INT8_G128};
    enum { ROWS = 40, COLS = 77, LD = COLS + 3 };
    int32_t order[COLS];
    open_both();
    for (int i = 0; i < COLS; i++)
        order[i] = i * 30 % COLS;
    int32_t *d_order = room(gpu, sizeof order);
    ok(gpu->ops->upload(gpu, d_order, order, sizeof order));
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++)
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            const int64_t n = counts[c];
            float *w = floats(ROWS * COLS, 8), *x = floats(n * LD, 9), *y0 = floats(n * ROWS, 10);
            float *permuted = floats(n * LD, 9), *want, *got;
            for (int64_t i = 0; i < n * COLS; i++)
                permuted[i / COLS * LD + i % COLS] = x[i / COLS * LD + order[i % COLS]];
            struct sw_matrix m = matrix(gpu, formats[f], ROWS, COLS, w);
            multiply(gpu, &m, NULL, permuted, y0, n, ROWS, c % 2, &want);
            m.d_order = d_order;
            multiply(gpu, &m, NULL, x, y0, n, ROWS, c % 2, &got);
            CU_ASSERT(memcmp(want, got, (size_t)(n * ROWS) * sizeof *got) == 0);
            matrix_free(gpu, &m);
            free(w), free(x), free(y0), free(permuted), free(want), free(got);
        }
    gpu->ops->free(gpu, d_order, sizeof order);
    close_both();
}

/* ---- a norm, a product and an activation: the same bits in one operation and in three */

struct projected {
    float *h, *y; /* (n, cols + 1), (n, rows + 2) of the host */
};

static struct projected projected(const struct sw_projection *how, const float *x, int64_t n,
                                  bool in_one)
{
    const struct sw_matrix *m = how->m;
    const int64_t ld_x = m->cols + 3, ld_h = m->cols + 1, ld_y = m->rows + 2;
    const size_t nan_h = (size_t)(n * ld_h) * sizeof(float), nan_y = (size_t)(n * ld_y) * 4;
    struct sw_projection p = *how;
    float *d_x = copied_floats(gpu, x, n * ld_x), *d_y = room(gpu, nan_y);
    p.d_h = room(gpu, nan_h);
    p.ld_h = ld_h;
    if (in_one) {
        gpu->ops->project(gpu, &p, d_x, ld_x, n, d_y, ld_y);
    } else {
        if (p.d_norm)
            gpu->ops->norm(gpu, p.norm, p.eps, d_x, ld_x, n, m->cols, p.d_norm, p.d_norm_bias,
                           p.d_h, ld_h);
        gpu->ops->matmul(gpu, m, p.d_bias, p.d_norm ? p.d_h : d_x, p.d_norm ? ld_h : ld_x, n, d_y,
                         ld_y, false);
        if (p.activated)
            gpu->ops->activate(gpu, p.activation, p.gated, d_y, ld_y, n,
                               p.gated ? m->rows / 2 : m->rows, d_y, ld_y);
    }
    gpu->ops->free(gpu, d_x, (size_t)(n * ld_x) * sizeof *d_x);
    return (struct projected){taken(gpu, p.d_h, n * ld_h), taken(gpu, d_y, n * ld_y)};
}

static void check_projection(const struct sw_projection *p, int64_t n, uint64_t seed)
{
    const int64_t cols = p->m->cols, rows = p->m->rows, dim = p->gated ? rows / 2 : rows;
    float *x = floats(n * (cols + 3), seed);
    for (int64_t i = 7; i < n * (cols + 3); i += 97)
        x[i] *= 50; /* outliers of int8 */
    /* The single operation first, so that the workspace holds nothing of the others. */
    struct projected got = projected(p, x, n, true), want = projected(p, x, n, false);
    bool same = !memcmp(want.h, got.h, (size_t)(n * (cols + 1)) * sizeof *got.h);
    for (int64_t r = 0; r < n; r++)
        same = same && !memcmp(want.y + r * (rows + 2), got.y + r * (rows + 2),
                               (size_t)dim * sizeof *got.y);
    if (!same)
        printf("    %s %ld x %ld, %ld rows: other bits in one\n", sw_format_of(p->m->format)->name,
               (long)rows, (long)cols, (long)n);
    CU_ASSERT(same);
    free(x), free(want.h), free(want.y), free(got.h), free(got.y);
}

static void projections_are_the_same(void)
{
    /* rows, cols; gated halves of an odd size, too, and rows that are wider than threads hold */
    static const int64_t sizes[][2] = {{2, 3}, {6, 16}, {34, 77}, {100, 128}, {12, 2100}};
    static const int64_t ns[] = {1, 2, 3, 8, 9, MAX_ROWS + 6};
    open_both();
    FOR_EACH_KIND_OF_FORMAT(format)
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t rows = sizes[s][0], cols = sizes[s][1];
        float *w = floats(rows * cols, 1), *rest = floats(rows + 2 * cols, 2);
        struct sw_matrix m = matrix(gpu, (enum sw_format_id)format, rows, cols, w);
        float *d_rest = copied_floats(gpu, rest, rows + 2 * cols);
        for (size_t i = 0; i < 2 * sizeof ns / sizeof ns[0]; i++) {
            const struct sw_projection p = {
                .m = &m,
                .d_bias = i % 3 ? d_rest : NULL,
                .norm = i % 2 ? SW_NORM_LAYER : SW_NORM_RMS,
                .eps = 1e-5f,
                .d_norm = i % 4 ? d_rest + rows : NULL,
                .d_norm_bias = i % 4 && i % 2 ? d_rest + rows + cols : NULL,
                .activated = i % 5 != 1,
                .gated = i % 5 != 1 && i % 2 == 0,
                .activation = (enum sw_activation)(i % 4),
            };
            if (cols <= MAX_COLS)
                check_projection(&p, ns[i / 2], 3 + i);
        }
        matrix_free(gpu, &m);
        gpu->ops->free(gpu, d_rest, (size_t)(rows + 2 * cols) * sizeof *d_rest);
        free(w), free(rest);
    }
    close_both();
}

/* ---- weights */

static void *bytes_of(const struct sw_matrix *m)
{
    const size_t bytes = sw_matrix_bytes(m->format, m->rows, m->cols);
    void *host = malloc(bytes);
    ok(gpu->ops->download(gpu, host, m->d_data, bytes));
    return host;
}

/* Any source type, strides and pieces give the same bytes, which are the CPU's own, unpacked. */
static void weights_arrive(void)
{
    static const enum sw_dtype sources[] = {SW_F32, SW_F16, SW_BF16, SW_F64};
    const int64_t rows = 150, cols = 75;
    open_both();
    float *w = floats(rows * cols, 7), *turned = malloc((size_t)(rows * cols) * sizeof *turned);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            w[r * cols + c] = rounded(SW_BF16, rounded(SW_F16, w[r * cols + c]));
            turned[c * rows + r] = w[r * cols + c];
        }
    FOR_EACH_KIND_OF_FORMAT(f)
    {
        const enum sw_format_id format = (enum sw_format_id)f;
        const size_t bytes = sw_matrix_bytes(format, rows, cols);
        struct sw_matrix packed = matrix(cpu, format, rows, cols, w);
        struct sw_matrix m = {format, rows, cols, room(gpu, bytes), NULL};
        void *d_packed = copied(gpu, packed.d_data, bytes);
        ok(gpu->gpu->unpack(gpu, d_packed, &m));
        void *want = bytes_of(&m);
        for (int i = 0; i < 8; i++) {
            const enum sw_dtype source = sources[i / 2];
            const size_t size = sw_dtype_info(source)->bits / 8;
            void *src = encode(source, i % 2 ? turned : w, rows * cols);
            struct sw_matrix again = {format, rows, cols, room(gpu, bytes), NULL};
            ok(gpu->ops->matrix_clear(gpu, &again));
            for (int64_t row = rows, n; row > 0; row -= n) { /* from the end, 37 at a time */
                n = row < 37 ? row : 37;
                const struct sw_matrix_rows put = {
                    (char *)src + (size_t)((row - n) * (i % 2 ? 1 : cols)) * size,
                    source,
                    row - n,
                    n,
                    i % 2 ? 1 : cols,
                    i % 2 ? rows : 1,
                    NULL,
                    false};
                ok(gpu->ops->matrix_put(gpu, &again, &put));
            }
            void *got = bytes_of(&again);
            CU_ASSERT(memcmp(want, got, bytes) == 0);
            matrix_free(gpu, &again);
            free(got), free(src);
        }
        gpu->ops->free(gpu, d_packed, bytes);
        matrix_free(gpu, &m);
        matrix_free(cpu, &packed);
        free(want);
    }
    free(w), free(turned);
    close_both();
}

static void rows_are_embedded(void)
{
    const int64_t rows = 90, cols = 37, n = MAX_ROWS + 11;
    int32_t ids[MAX_ROWS + 11];
    open_both();
    float *w = floats(rows * cols, 8), *nan = malloc((size_t)(n * cols) * sizeof *nan);
    memset(nan, 0xff, (size_t)(n * cols) * sizeof *nan);
    for (int32_t i = 0; i < n; i++)
        ids[i] = i * 31 % (int32_t)rows;
    FOR_EACH_KIND_OF_FORMAT(format)
    {
        struct sw_matrix a = matrix(cpu, (enum sw_format_id)format, rows, cols, w);
        struct sw_matrix b = matrix(gpu, (enum sw_format_id)format, rows, cols, w);
        float *d_a = copied_floats(cpu, nan, n * cols), *d_b = copied_floats(gpu, nan, n * cols);
        cpu->ops->embed(cpu, &a, ids, n, d_a, cols);
        gpu->ops->embed(gpu, &b, ids, n, d_b, cols);
        memset(ids, 0xff, 4); /* the array is the caller's again */
        float *want = taken(cpu, d_a, n * cols), *got = taken(gpu, d_b, n * cols);
        CU_ASSERT(memcmp(want, got, (size_t)(n * cols) * sizeof *got) == 0);
        ids[0] = 0;
        matrix_free(cpu, &a);
        matrix_free(gpu, &b);
        free(want), free(got);
    }
    free(w), free(nan);
    close_both();
}

/* ---- row by row */

/* Runs on one backend; x and y are the device's, (n, 2 dim + 3) and (n, dim + 3). */
typedef void row_operation(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y);

static float *d_weight_of[2], *d_bias_of[2]; /* of the CPU, of the GPU: (MAX_COLS) */

static void op_norm(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y)
{
    b->ops->norm(b, SW_NORM_LAYER, 1e-5f, x, 2 * dim + 3, n, dim, d_weight_of[b == gpu],
                 d_bias_of[b == gpu], y, dim + 3);
}

static void op_rms(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y)
{
    b->ops->norm(b, SW_NORM_RMS, 1e-6f, x, 2 * dim + 3, n, dim, d_weight_of[b == gpu], NULL, y,
                 dim + 3);
}

static void op_activate(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y)
{
    b->ops->activate(b, (enum sw_activation)(dim % 4), n % 2, x, 2 * dim + 3, n, dim, y, dim + 3);
}

static void op_add(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y)
{
    b->ops->add(b, 1, x, 2 * dim + 3, n, dim, y, dim + 3);
}

static void fill_rows(int32_t *rows, float *weights, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (int32_t)(i * 5 % n / 2); /* some more than once, some never */
        weights[i] = 0.1f * (float)i;
    }
}

static void op_gather(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y)
{
    int32_t rows[MAX_ROWS];
    float weights[MAX_ROWS];
    fill_rows(rows, weights, n);
    b->ops->gather(b, x, 2 * dim + 3, rows, n % 2 ? weights : NULL, n, dim, y, dim + 3);
    memset(rows, 0x7f, sizeof rows); /* they are the caller's again */
}

static void op_scatter(struct sw_backend *b, float *x, int64_t n, int64_t dim, float *y)
{
    int32_t rows[MAX_ROWS];
    float weights[MAX_ROWS];
    fill_rows(rows, weights, n);
    b->ops->scatter_add(b, x, 2 * dim + 3, rows, weights, n, dim, y, dim + 3);
    memset(rows, 0x7f, sizeof rows);
    memset(weights, 0x7f, sizeof weights);
}

static void rows_agree(void)
{
    static const struct {
        const char *name;
        row_operation *run;
    } operations[] = {{"layer norm", op_norm}, {"rms norm", op_rms},  {"activation", op_activate},
                      {"sum", op_add},         {"gather", op_gather}, {"scatter", op_scatter}};
    static const int64_t dims[] = {1, 3, 32, 100, 515}, ns[] = {1, 2, 13, MAX_ROWS};
    open_both();
    float *weight = floats(MAX_COLS, 11), *bias = floats(MAX_COLS, 12);
    for (int i = 0; i < 2; i++) {
        d_weight_of[i] = copied_floats(i ? gpu : cpu, weight, MAX_COLS);
        d_bias_of[i] = copied_floats(i ? gpu : cpu, bias, MAX_COLS);
    }
    for (size_t o = 0; o < sizeof operations / sizeof operations[0]; o++)
        for (size_t i = 0; i < 20; i++) {
            const int64_t dim = dims[i % 5], n = ns[i / 5];
            float *x = floats(n * (2 * dim + 3), 13 + i), *y = floats(n * (dim + 3), 14 + i);
            float *result[2];
            for (int k = 0; k < 2; k++) {
                struct sw_backend *b = k ? gpu : cpu;
                float *d_x = copied_floats(b, x, n * (2 * dim + 3));
                float *d_y = copied_floats(b, y, n * (dim + 3));
                operations[o].run(b, d_x, n, dim, d_y);
                result[k] = taken(b, d_y, n * (dim + 3));
                b->ops->free(b, d_x, (size_t)(n * (2 * dim + 3)) * sizeof *d_x);
            }
            const double error = apart(result[1], result[0], n, dim, dim + 3);
            if (!(error < 1e-5))
                printf("    %s of %ld rows of %ld: %g\n", operations[o].name, (long)n, (long)dim,
                       error);
            CU_ASSERT(error < 1e-5);
            free(x), free(y), free(result[0]), free(result[1]);
        }
    for (int i = 0; i < 2; i++) {
        struct sw_backend *b = i ? gpu : cpu;
        b->ops->free(b, d_weight_of[i], MAX_COLS * sizeof(float));
        b->ops->free(b, d_bias_of[i], MAX_COLS * sizeof(float));
    }
    free(weight), free(bias);
    close_both();
}

/* ---- spans */

static void heads_agree(void)
{
    enum {
        HEADS = 3,
        KV_HEADS = 2,
        DIM = 80,
        CONTEXT = 70,
        N = 12,
        LD = (HEADS + 2 * KV_HEADS) * DIM
    };
    /* Not in order; rows 9 and 10 are in no span. */
    static const struct sw_span spans[] = {{0, 62, 5, 4}, {1, 3, 0, 5}, {2, 0, 11, 1}};
    const int64_t n_cache = (int64_t)(sw_kv_bytes(SW_F32, 3, KV_HEADS, DIM, CONTEXT) / 4);
    float *table = floats(CONTEXT * 64, 15), *x = floats(N * LD, 16), *norms = floats(2 * DIM, 17);
    float *nothing = calloc((size_t)n_cache, sizeof *nothing);
    open_both();
    for (int mode = 0; mode < 12; mode++) {
        float *result[2], *cache[2];
        const int n_spans = 1 + mode % 3;
        for (int k = 0; k < 2; k++) {
            struct sw_backend *b = k ? gpu : cpu;
            float *d_table = copied_floats(b, table, CONTEXT * 64),
                  *d_x = copied_floats(b, x, N * LD), *d_norms = copied_floats(b, norms, 2 * DIM),
                  *d_cache = copied_floats(b, nothing, n_cache);
            const struct sw_kv kv = {SW_F32, 3, KV_HEADS, DIM, CONTEXT, d_cache, 0};
            const struct sw_heads heads = {.d_q = d_x,
                                           .d_k = d_x + HEADS * DIM,
                                           .d_v = d_x + (HEADS + KV_HEADS) * DIM,
                                           .ld = LD,
                                           .q_head = DIM,
                                           .kv_head = DIM,
                                           .n_heads = HEADS,
                                           .d_q_norm = mode < 6 ? d_norms : NULL,
                                           .d_k_norm = mode < 6 ? d_norms + DIM : NULL,
                                           .eps = 1e-5f,
                                           .rope = {.rotary_dim = mode % 4 ? 64 : 0,
                                                    .interleaved = mode % 2,
                                                    .d_cos_sin = d_table}};
            b->ops->place_heads(b, &heads, &kv, spans, n_spans);
            result[k] = taken(b, d_x, N * LD);
            cache[k] = taken(b, d_cache, n_cache);
            b->ops->free(b, d_table, CONTEXT * 64 * sizeof *d_table);
            b->ops->free(b, d_norms, 2 * DIM * sizeof *d_norms);
        }
        for (int r = 0; r < N; r++) /* what keys leave there may be anything */
            memcpy(result[1] + r * LD + HEADS * DIM, result[0] + r * LD + HEADS * DIM,
                   KV_HEADS * DIM * sizeof(float));
        CU_ASSERT(apart(result[1], result[0], N, HEADS * DIM, LD) < 2e-6);
        CU_ASSERT(apart(cache[1], cache[0], 1, n_cache, n_cache) < 2e-6);
        free(result[0]), free(result[1]), free(cache[0]), free(cache[1]);
    }
    free(table), free(x), free(norms), free(nothing);
    close_both();
}

struct heads {
    enum sw_dtype kv;
    int n_heads, n_kv_heads, head_dim;
    int64_t window;
    bool alibi;
};

/* Two slots: one is filled and continued, the other gets a copy of it and goes on by itself. */
static float *attended(struct sw_backend *b, const struct heads *h, const float *qkv, int64_t n)
{
    enum { CONTEXT = 200 };
    const int64_t q_ld = h->n_heads * h->head_dim, ld = q_ld + 2 * h->n_kv_heads * h->head_dim;
    const size_t bytes = sw_kv_bytes(h->kv, 2, h->n_kv_heads, h->head_dim, CONTEXT);
    float slopes[16];
    for (int i = 0; i < 16; i++)
        slopes[i] = 0.01f * (float)(i + 1);
    float *d_qkv = copied_floats(b, qkv, n * ld), *d_out = room(b, (size_t)(n * q_ld) * 4),
          *d_slopes = copied_floats(b, slopes, 16);
    struct sw_kv kv = {h->kv, 2, h->n_kv_heads, h->head_dim, CONTEXT, room(b, bytes), 0};
    const struct sw_attention a = {.n_heads = h->n_heads,
                                   .scale = 0.2f,
                                   .window = h->window,
                                   .d_slopes = h->alibi ? d_slopes : NULL,
                                   .d_q = d_qkv,
                                   .q_ld = ld,
                                   .q_head = h->head_dim,
                                   .d_out = d_out,
                                   .out_ld = q_ld};
    /* A prompt in two pieces, the second with the other slot's first token after the copy. */
    const struct sw_span first = {0, 0, 0, n - 20};
    const struct sw_span both[] = {{0, n - 20, n - 20, 19}, {1, n - 20, n - 1, 1}};
    float *d_k = d_qkv + q_ld, *d_v = d_k + h->n_kv_heads * h->head_dim;
    store_heads(b, &kv, &first, 1, d_k, d_v, ld, h->head_dim);
    b->ops->attend(b, &a, &kv, &first, 1);
    b->ops->kv_copy(b, &kv, 0, 1, n - 20);
    store_heads(b, &kv, both, 2, d_k, d_v, ld, h->head_dim);
    b->ops->attend(b, &a, &kv, both, 2);
    b->ops->free(b, d_qkv, (size_t)(n * ld) * 4);
    b->ops->free(b, d_slopes, sizeof slopes);
    float *out = taken(b, d_out, n * q_ld);
    b->ops->free(b, kv.d_data, bytes);
    return out;
}

static void attention_agrees(void)
{
    static const struct heads cases[] = {{SW_F32, 4, 4, 32, 0, false},
                                         {SW_F16, 8, 2, 64, 0, false},
                                         {SW_BF16, 6, 3, 40, 30, false},
                                         {SW_F16, 4, 1, 33, 0, true}};
    const int64_t n = 61;
    open_both();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct heads *h = &cases[i];
        const int64_t q_ld = h->n_heads * h->head_dim;
        float *qkv = floats(n * (q_ld + 2 * h->n_kv_heads * h->head_dim), 17);
        float *want = attended(cpu, h, qkv, n), *got = attended(gpu, h, qkv, n);
        const double error = apart(got, want, n, q_ld, q_ld);
        const double most = h->kv == SW_BF16 ? 1e-2 : 1e-5; /* the CPU rounds queries, too */
        if (!(error < most))
            printf("    case %zu: %g\n", i, error);
        CU_ASSERT(error < most);
        free(qkv), free(want), free(got);
    }
    close_both();
}

SW_UNIT_TESTS({"products agree", products_agree}, {"tiles change nothing", tiles_change_nothing},
              {"orders permute activations", orders_permute_activations},
              {"tables are the matrix's", tables_are_the_matrix_s},
              {"projections are the same", projections_are_the_same},
              {"weights arrive", weights_arrive}, {"rows are embedded", rows_are_embedded},
              {"rows agree", rows_agree}, {"heads agree", heads_agree},
              {"attention agrees", attention_agrees})
