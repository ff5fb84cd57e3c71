/* GEMV and the conversions of int8, against doubles. */
#include "gpu_help.h"

/* rows, cols: odd ones, whole vectors, one row, more columns than a block has threads for, blocks
 * of 32 that are no whole stretch. */
static const int64_t shapes[][2] = {{1, 1},    {5, 7},     {16, 16},  {3, 64},  {37, 90},
                                    {20, 333}, {24, 1024}, {9, 2083}, {11, 352}};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

/* The elements of x8 as LLM.int8() has them, made with plain C. */
struct bytes {
    int8_t *elements; /* (n, cols padded to 4) */
    float *scales;
    int64_t ld;
};

static bool is_outlier(float x)
{
    return fabsf(x) > SW_INT8_OUTLIER;
}

static struct bytes bytes_of(const struct gpu_rows *x)
{
    struct bytes b = {.ld = padded_to(x->dim, 4)};
    b.elements = calloc((size_t)(x->n * b.ld), 1);
    b.scales = calloc((size_t)x->n, sizeof(float));
    for (int64_t r = 0; r < x->n; r++) {
        const float *row = x->host + r * x->ld;
        float largest = 0;
        for (int64_t i = 0; i < x->dim; i++)
            if (!is_outlier(row[i]) && fabsf(row[i]) > largest)
                largest = fabsf(row[i]);
        b.scales[r] = largest / 127;
        for (int64_t i = 0; i < x->dim && largest > 0; i++)
            if (!is_outlier(row[i]))
                b.elements[r * b.ld + i] = (int8_t)nearbyintf(row[i] * (127 / largest));
    }
    return b;
}

static void bytes_free(struct bytes *b)
{
    free(b->elements);
    free(b->scales);
}

/* A few elements become outliers, one of them the last column; the largest that is none. */
static void add_outliers(struct gpu_rows *x)
{
    for (int64_t r = 0; r < x->n; r++)
        for (int64_t i = r; i < x->dim; i += 61 + 7 * r)
            x->host[r * x->ld + i] *= 40;
    x->host[x->dim / 2] = SW_INT8_OUTLIER;
    x->host[x->dim - 1] = -77.5f;
    gpu_ok(
        cudaMemcpy(x->d, x->host, (size_t)(x->n * x->ld) * sizeof(float), cudaMemcpyHostToDevice));
}

/* x · Wᵀ for one output; *size: the sum of magnitudes, by which errors are measured. */
static double product(const struct gpu_matrix *m, const struct gpu_rows *x, const struct bytes *b,
                      int64_t token, int64_t row, double *size)
{
    double sum = 0;
    *size = 1;
    for (int64_t c = 0; c < m->cols; c++) {
        const float value = x->host[token * x->ld + c];
        const double in = b && !is_outlier(value)
                              ? (double)b->elements[token * b->ld + c] * (double)b->scales[token]
                              : (double)value;
        sum += in * (double)m->values[row * m->cols + c];
        *size += fabs(in * (double)m->values[row * m->cols + c]);
    }
    return sum;
}

static void *quantize(const struct gpu_matrix *m, const struct gpu_rows *x)
{
    if (!gpu_reads_bytes(m->format))
        return NULL;
    void *x8 = gpu_alloc(sw_gpu_quantized_bytes(x->n, x->dim));
    gpu_ok(sw_gpu_quantize(x->d, x->ld, x->n, x->dim, x8, 0));
    return x8;
}

struct setup {
    int64_t n, gap; /* between rows of x and of y */
    bool bias, add;
};

/* Tolerance: f32 sums in the order of lanes. */
static void check(const struct gpu_matrix *m, const struct setup *s)
{
    struct gpu_rows x = gpu_rows_of(s->n, m->cols, m->cols + s->gap, 5);
    struct gpu_rows y = gpu_rows_of(s->n, m->rows, m->rows + s->gap, 6);
    if (gpu_reads_bytes(m->format))
        add_outliers(&x);
    float *bias = floats(m->rows, 7), *before = malloc((size_t)(y.n * y.ld) * sizeof *before);
    struct bytes b = bytes_of(&x);
    memcpy(before, y.host, (size_t)(y.n * y.ld) * sizeof *before);
    const struct sw_gpu_product p = {.format = m->format,
                                     .w = m->d,
                                     .rows = m->rows,
                                     .cols = m->cols,
                                     .x = x.d,
                                     .ld_x = x.ld,
                                     .x8 = quantize(m, &x),
                                     .n = s->n,
                                     .bias = s->bias ? gpu_floats(bias, m->rows) : NULL,
                                     .y = y.d,
                                     .ld_y = y.ld,
                                     .add = s->add};
    gpu_ok(sw_gpu_gemv(&p, 0));
    gpu_rows_get(&y);
    double most = 0;
    for (int64_t t = 0; t < s->n; t++)
        for (int64_t r = 0; r < m->rows; r++) {
            double size, want = product(m, &x, gpu_reads_bytes(m->format) ? &b : NULL, t, r, &size);
            want += (s->bias ? bias[r] : 0) + (s->add ? before[t * y.ld + r] : 0);
            const double error = fabs(y.host[t * y.ld + r] - want) / size;
            most = error <= most ? most : error;
        }
    CU_ASSERT_TRUE(most < 5e-7);
    bytes_free(&b);
    free(x.host), free(y.host), free(bias), free(before);
}

static void multiplies(void)
{
    static const struct setup setups[] = {{1, 0, false, false}, {2, 4, true, false},
                                          {3, 1, false, true},  {5, 8, true, true},
                                          {8, 0, true, false},  {7, 3, false, false}};
    FOR_EACH_GPU_FORMAT (f)
        for (size_t s = 0; s < N_SHAPES; s++) {
            if (s != 1 && s < 6 && !gpu_first_of_kind(f)) /* some are enough */
                continue;
            for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
                struct gpu_matrix m =
                    gpu_matrix_of((enum sw_format_id)f, shapes[s][0], shapes[s][1], 3);
                check(&m, &setups[i]);
                gpu_matrix_free(&m);
                CU_ASSERT_TRUE(gpu_free_all());
            }
        }
}

/* An output's bits depend neither on the other tokens nor on where its row starts. */
static void order_is_one(void)
{
    FOR_EACH_GPU_FORMAT (f)
        for (int64_t cols = 1000; cols <= 1024; cols += 24) {
            struct gpu_matrix m = gpu_matrix_of((enum sw_format_id)f, 21, cols, 3);
            struct gpu_rows x = gpu_rows_of(8, cols, cols, 5);
            if (gpu_reads_bytes(m.format))
                add_outliers(&x);
            float all[8 * 21], one[21];
            float *d_y = gpu_alloc(sizeof all), *d_one = gpu_alloc(sizeof one);
            struct sw_gpu_product p = {.format = m.format,
                                       .w = m.d,
                                       .rows = 21,
                                       .cols = cols,
                                       .x = x.d,
                                       .ld_x = x.ld,
                                       .x8 = quantize(&m, &x),
                                       .n = 8,
                                       .y = d_y,
                                       .ld_y = 21};
            gpu_ok(sw_gpu_gemv(&p, 0));
            gpu_get(all, d_y, sizeof all);
            for (int64_t t = 0; t < 8; t++) {
                struct gpu_rows shifted = gpu_rows_of(1, cols + 1, cols + 1, 9);
                memcpy(shifted.host + 1, x.host + t * x.ld, (size_t)cols * sizeof(float));
                gpu_ok(cudaMemcpy(shifted.d, shifted.host, (size_t)(cols + 1) * sizeof(float),
                                  cudaMemcpyHostToDevice));
                struct gpu_rows alone = shifted;
                alone.d = shifted.d + 1;
                alone.dim = cols;
                p.x = alone.d;
                p.n = 1;
                p.x8 = quantize(&m, &alone);
                p.y = d_one;
                gpu_ok(sw_gpu_gemv(&p, 0));
                gpu_get(one, d_one, sizeof one);
                CU_ASSERT_EQUAL(memcmp(one, all + t * 21, sizeof one), 0);
                free(shifted.host);
            }
            free(x.host);
            gpu_matrix_free(&m);
            CU_ASSERT_TRUE(gpu_free_all());
        }
}

static void quantizes(void)
{
    for (size_t s = 0; s <= N_SHAPES; s++) { /* the last one for blocks of more threads */
        const int64_t cols = s < N_SHAPES ? shapes[s][1] : 5003;
        struct gpu_rows x = gpu_rows_of(4, cols, cols + 2, 5);
        add_outliers(&x);
        memset(x.host + 3 * x.ld, 0, (size_t)x.dim * sizeof(float)); /* a row of zeros */
        gpu_ok(
            cudaMemcpy(x.d, x.host, (size_t)(x.n * x.ld) * sizeof(float), cudaMemcpyHostToDevice));
        struct bytes b = bytes_of(&x);
        void *x8 = gpu_alloc(sw_gpu_quantized_bytes(x.n, x.dim));
        gpu_ok(sw_gpu_quantize(x.d, x.ld, x.n, x.dim, x8, 0));
        int8_t *got = malloc((size_t)(x.n * b.ld));
        gpu_get(got, sw_gpu_quantized_elements(x8, x.n, x.dim), (size_t)(x.n * b.ld));
        CU_ASSERT_EQUAL(memcmp(got, b.elements, (size_t)(x.n * b.ld)), 0);
        bytes_free(&b);
        free(got), free(x.host);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

/* A norm that makes bytes as well: the bits of both are those of one after the other. */
static void norms_in_bytes(void)
{
    static const int64_t dims[] = {1, 7, 64, 333, 2048, 2083, 9001};
    for (size_t s = 0; s < sizeof dims / sizeof dims[0]; s++)
        for (int kind = SW_NORM_LAYER; kind <= SW_NORM_RMS; kind++) {
            const int64_t dim = dims[s];
            const size_t bytes = sw_gpu_quantized_bytes(3, dim);
            struct gpu_rows x = gpu_rows_of(3, dim, dim + 1, 1), y[2];
            float *rest = floats(2 * dim, 2);
            for (int64_t i = 0; i < dim; i += 5)
                rest[i] *= 30; /* outliers */
            float *d_rest = gpu_floats(rest, 2 * dim);
            void *d_x8[2];
            char *x8[2];
            for (int in_one = 0; in_one < 2; in_one++) {
                y[in_one] = gpu_rows_of(3, dim, dim + 2, 3);
                d_x8[in_one] = gpu_alloc(bytes);
                gpu_ok(sw_gpu_norm((enum sw_norm)kind, 1e-5f, x.d, x.ld, 3, dim, d_rest,
                                   kind == SW_NORM_LAYER ? d_rest + dim : NULL, y[in_one].d,
                                   y[in_one].ld, in_one ? d_x8[1] : NULL, 0));
                if (!in_one)
                    gpu_ok(sw_gpu_quantize(y[0].d, y[0].ld, 3, dim, d_x8[0], 0));
                gpu_rows_get(&y[in_one]);
                x8[in_one] = malloc(bytes);
                gpu_get(x8[in_one], d_x8[in_one], bytes);
            }
            CU_ASSERT_EQUAL(memcmp(y[0].host, y[1].host, (size_t)(3 * y[0].ld) * sizeof(float)), 0);
            CU_ASSERT_EQUAL(memcmp(x8[0], x8[1], bytes), 0);
            free(x.host), free(y[0].host), free(y[1].host), free(rest), free(x8[0]), free(x8[1]);
            CU_ASSERT_TRUE(gpu_free_all());
        }
}

/* Results that are activated at once: the bits of a product and an activation after it. */
static void activates(void)
{
    static const int64_t sizes[][2] = {{2, 5}, {6, 64}, {34, 333}, {37, 90}, {130, 48}};
    static const int64_t ns[] = {1, 2, 3, 8};
    FOR_EACH_GPU_FORMAT (f)
        for (int s = 0; s < (gpu_first_of_kind(f) ? 5 : 2); s++)
            for (int i = 0; i < 8; i++) {
                const int64_t rows = sizes[s][0], cols = sizes[s][1], n = ns[i / 2];
                const bool gated = i % 2 && rows % 2 == 0;
                const enum sw_activation kind = (enum sw_activation)((i + s) % 4);
                const int64_t dim = gated ? rows / 2 : rows;
                struct gpu_matrix m = gpu_matrix_of((enum sw_format_id)f, rows, cols, 3);
                struct gpu_rows x = gpu_rows_of(n, cols, cols + 4, 5);
                struct gpu_rows want = gpu_rows_of(n, rows, rows + 1, 6);
                struct gpu_rows got = gpu_rows_of(n, dim, rows + 1, 7);
                if (gpu_reads_bytes(m.format))
                    add_outliers(&x);
                float *bias = floats(rows, 8);
                struct sw_gpu_product p = {.format = m.format,
                                           .w = m.d,
                                           .rows = rows,
                                           .cols = cols,
                                           .x = x.d,
                                           .ld_x = x.ld,
                                           .x8 = quantize(&m, &x),
                                           .n = n,
                                           .bias = i < 6 ? gpu_floats(bias, rows) : NULL,
                                           .y = want.d,
                                           .ld_y = want.ld};
                gpu_ok(sw_gpu_gemv(&p, 0));
                gpu_ok(sw_gpu_activate(kind, gated, want.d, want.ld, n, dim, want.d, want.ld, 0));
                p.y = got.d;
                p.act = 1 + (int32_t)kind;
                p.gated = gated;
                gpu_ok(sw_gpu_gemv(&p, 0));
                gpu_rows_get(&want);
                gpu_rows_get(&got);
                for (int64_t t = 0; t < n; t++)
                    CU_ASSERT_EQUAL(memcmp(got.host + t * got.ld, want.host + t * want.ld,
                                           (size_t)dim * sizeof(float)),
                                    0);
                free(x.host), free(want.host), free(got.host), free(bias);
                gpu_matrix_free(&m);
                CU_ASSERT_TRUE(gpu_free_all());
            }
}

/* Sums that a library made of the bytes, finished: the same bits as the other way, but for the
 * order of outliers. Rows a few at a time; in one tile of the kernel, in several. */
static void finishes_int8(void)
{
    static const int64_t sizes[][4] = {{1, 5, 3, 32},     {40, 300, 3, 32},   {270, 90, 3, 160},
                                       {17, 8300, 3, 32}, {40, 60, 133, 32},  {132, 40, 129, 132},
                                       {64, 9000, 5, 64}, {72, 300, 280, 72}, {3, 33, 128, 16}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int add = 0; add < 2; add++) {
            const int64_t rows = sizes[s][0], cols = sizes[s][1], n = sizes[s][2],
                          some = sizes[s][3];
            struct gpu_matrix m = gpu_matrix_of(SW_FORMAT_INT8, rows, cols, 3);
            struct gpu_rows x = gpu_rows_of(n, cols, cols + 1, 5);
            struct gpu_rows y = gpu_rows_of(n, rows, rows + 2, 6);
            add_outliers(&x);
            struct bytes b = bytes_of(&x);
            float *bias = floats(rows, 7), *before = malloc((size_t)(n * y.ld) * sizeof *before);
            memcpy(before, y.host, (size_t)(n * y.ld) * sizeof *before);
            const int64_t ld = padded_to(rows, SW_ROW_PAD) + 4;
            int32_t *sums = calloc((size_t)(n * ld), sizeof *sums);
            for (int64_t t = 0; t < n; t++)
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t c = 0; c < cols; c++)
                        sums[t * ld + r] +=
                            b.elements[t * b.ld + c] * ((int8_t *)m.host)[r * m.row_elements + c];
            int32_t *d_sums = gpu_copy(sums, (size_t)(n * ld) * sizeof *sums);
            float *d_bias = gpu_floats(bias, rows);
            void *x8 = quantize(&m, &x);
            for (int64_t row = 0; row < rows; row += some)
                gpu_ok(sw_gpu_finish_int8(d_sums + row, ld, x.d, x.ld, x8, m.d, rows, cols, row,
                                          rows - row < some ? rows - row : some, n, d_bias + row,
                                          add, y.d + row, y.ld, 0));
            gpu_rows_get(&y);
            double most = 0;
            for (int64_t t = 0; t < n; t++)
                for (int64_t r = 0; r < rows; r++) {
                    double size, want = product(&m, &x, &b, t, r, &size);
                    want += bias[r] + (add ? before[t * y.ld + r] : 0);
                    const double error = fabs(y.host[t * y.ld + r] - want) / size;
                    most = error <= most ? most : error;
                }
            CU_ASSERT_TRUE(most < 5e-7);
            bytes_free(&b);
            free(x.host), free(y.host), free(bias), free(before), free(sums);
            gpu_matrix_free(&m);
            CU_ASSERT_TRUE(gpu_free_all());
        }
}

/* What is not finite is not lost in bytes. */
static void not_finite_stays(void)
{
    static const float odd[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        struct gpu_matrix m = gpu_matrix_of(SW_FORMAT_INT8, 4, 64, 3);
        struct gpu_rows x = gpu_rows_of(1, 64, 64, 5);
        float y[4];
        gpu_ok(cudaMemcpy(x.d + 9, &odd[i], sizeof odd[i], cudaMemcpyHostToDevice));
        float *d_y = gpu_alloc(sizeof y);
        const struct sw_gpu_product p = {.format = SW_FORMAT_INT8,
                                         .w = m.d,
                                         .rows = 4,
                                         .cols = 64,
                                         .x = x.d,
                                         .ld_x = 64,
                                         .x8 = quantize(&m, &x),
                                         .n = 1,
                                         .y = d_y,
                                         .ld_y = 4};
        gpu_ok(sw_gpu_gemv(&p, 0));
        gpu_get(y, d_y, sizeof y);
        for (int r = 0; r < 4; r++)
            CU_ASSERT_FALSE(isfinite(y[r]));
        free(x.host);
        gpu_matrix_free(&m);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

SW_UNIT_TESTS({"multiplies", multiplies}, {"one order", order_is_one}, {"quantizes", quantizes},
              {"norms in bytes", norms_in_bytes}, {"activates", activates},
              {"finishes int8", finishes_int8}, {"what is not finite stays", not_finite_stays})
