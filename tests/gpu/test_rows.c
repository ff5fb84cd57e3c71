/* Embedding, norms, activations and the rest that goes row by row, against doubles. */
#include "gpu_help.h"

static void embeds(void)
{
    static const int64_t shapes[][2] = {{7, 5}, {40, 64}, {33, 300}, {1, 1}};
    static const int32_t ids[] = {0, 6, 3, 3, 1};
    FOR_EACH_GPU_FORMAT (f)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const int64_t rows = shapes[s][0], cols = shapes[s][1];
            const int64_t n = rows > 6 ? 5 : 1;
            struct gpu_matrix m = gpu_matrix_of((enum sw_format_id)f, rows, cols, 1);
            struct gpu_rows y = gpu_rows_of(n, cols, cols + 3, 2);
            const int32_t *d_ids = gpu_copy(ids, (size_t)n * sizeof *ids);
            gpu_ok(sw_gpu_embed(m.format, m.d, rows, cols, d_ids, n, y.d, y.ld, 0));
            gpu_rows_get(&y);
            for (int64_t i = 0; i < n; i++)
                CU_ASSERT_EQUAL(memcmp(y.host + i * y.ld, m.values + ids[i] * cols,
                                       (size_t)cols * sizeof(float)),
                                0);
            free(y.host);
            gpu_matrix_free(&m);
            CU_ASSERT_TRUE(gpu_free_all());
        }
}

static void norm_row(enum sw_norm kind, const float *x, int64_t dim, const float *weight,
                     const float *bias, double *y)
{
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < dim && kind == SW_NORM_LAYER; i++)
        mean += (double)x[i] / (double)dim;
    for (int64_t i = 0; i < dim; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    for (int64_t i = 0; i < dim; i++)
        y[i] =
            (x[i] - mean) / sqrt(squares / (double)dim + 1e-5) * weight[i] + (bias ? bias[i] : 0);
}

/* Tolerance: f32 sums of some thousand terms. */
static void norms(void)
{
    static const int64_t dims[] = {1, 8, 65, 512, 1030, 3000, 9000};
    for (int kind = SW_NORM_LAYER; kind <= SW_NORM_RMS; kind++)
        for (int in_place = 0; in_place < 2; in_place++)
            for (size_t s = 0; s < sizeof dims / sizeof dims[0]; s++) {
                const int64_t dim = dims[s], n = 3;
                struct gpu_rows x = gpu_rows_of(n, dim, dim + 1, 1);
                struct gpu_rows y = gpu_rows_of(n, dim, dim + 2, 2);
                for (int64_t i = 0; i < n * x.ld; i++)
                    x.host[i] += 3; /* a mean that does not vanish */
                gpu_ok(cudaMemcpy(x.d, x.host, (size_t)(n * x.ld) * sizeof(float),
                                  cudaMemcpyHostToDevice));
                float *weight = floats(dim, 3), *bias = floats(dim, 4);
                const float *d_weight = gpu_floats(weight, dim), *d_bias = gpu_floats(bias, dim);
                double *want = malloc((size_t)(n * dim) * sizeof *want);
                const bool has_bias = s % 2 == 0;
                for (int64_t r = 0; r < n; r++)
                    norm_row((enum sw_norm)kind, x.host + r * x.ld, dim, weight,
                             has_bias ? bias : NULL, want + r * dim);
                struct gpu_rows *out = in_place ? &x : &y;
                gpu_ok(sw_gpu_norm((enum sw_norm)kind, 1e-5f, x.d, x.ld, n, dim, d_weight,
                                   has_bias ? d_bias : NULL, out->d, out->ld, NULL, 0));
                gpu_rows_get(out);
                CU_ASSERT_TRUE(gpu_error(out->host, out->ld, want, n, dim) < 4e-6);
                free(x.host), free(y.host), free(weight), free(bias), free(want);
                CU_ASSERT_TRUE(gpu_free_all());
            }
}

static double act(enum sw_activation kind, double x)
{
    if (kind == SW_ACT_RELU)
        return x > 0 ? x : 0;
    if (kind == SW_ACT_SILU)
        return x / (1 + exp(-x));
    if (kind == SW_ACT_GELU)
        return 0.5 * x * erfc(-x / sqrt(2));
    if (kind == SW_ACT_RELU_SQUARED)
        return x > 0 ? x * x : 0;
    if (kind == SW_ACT_SILU_CLAMPED)
        return fmin(x, 7) / (1 + exp(-1.702 * fmin(x, 7)));
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

/* What an activated value is multiplied by. */
static double gated_by(enum sw_activation kind, double x)
{
    return kind == SW_ACT_SILU_CLAMPED ? 1 + fmax(fmin(x, 7), -7) : x;
}

/* Tolerance: a few units in the last place of f32; the tail of GELU is tiny and counts absolutely.
 */
static void activates(void)
{
    static const int64_t dims[] = {1, 100, 257, 1100, 1100}, apart[] = {1, 4, 1, 4, 2};
    for (int kind = SW_ACT_RELU; kind <= SW_ACT_SILU_CLAMPED; kind++)
        for (int gated = 0; gated < 2; gated++)
            for (int s = 0; s < 5; s++) {
                const int64_t dim = dims[s], n = 3, width = gated ? 2 * dim : dim;
                struct gpu_rows x = gpu_rows_of(n, width, width + apart[s], 1);
                struct gpu_rows y = gpu_rows_of(n, dim, dim + apart[s], 1);
                for (int64_t i = 0; i < n * x.ld; i++)
                    x.host[i] *= 12;
                gpu_ok(cudaMemcpy(x.d, x.host, (size_t)(n * x.ld) * sizeof(float),
                                  cudaMemcpyHostToDevice));
                double *want = malloc((size_t)(n * dim) * sizeof *want);
                for (int64_t r = 0; r < n; r++)
                    for (int64_t i = 0; i < dim; i++)
                        want[r * dim + i] =
                            act((enum sw_activation)kind, x.host[r * x.ld + i]) *
                            (gated ? gated_by((enum sw_activation)kind, x.host[r * x.ld + dim + i])
                                   : 1);
                gpu_ok(sw_gpu_activate((enum sw_activation)kind, gated, x.d, x.ld, n, dim, y.d,
                                       y.ld, 0));
                gpu_rows_get(&y);
                CU_ASSERT_TRUE(gpu_error(y.host, y.ld, want, n, dim) < 1e-6);
                /* in place */
                gpu_ok(sw_gpu_activate((enum sw_activation)kind, gated, x.d, x.ld, n, dim, x.d,
                                       x.ld, 0));
                gpu_rows_get(&x);
                for (int64_t r = 0; r < n; r++)
                    CU_ASSERT_EQUAL(
                        memcmp(x.host + r * x.ld, y.host + r * y.ld, (size_t)dim * sizeof(float)),
                        0);
                free(x.host), free(y.host), free(want);
                CU_ASSERT_TRUE(gpu_free_all());
            }
}

static void extremes(void)
{
    static const float x[] = {NAN, INFINITY, 100, -100};
    for (int kind = SW_ACT_RELU; kind <= SW_ACT_SILU; kind++) {
        float y[4];
        const float *d_x = gpu_floats(x, 4);
        float *d_y = gpu_alloc(sizeof y);
        gpu_ok(sw_gpu_activate((enum sw_activation)kind, false, d_x, 4, 1, 4, d_y, 4, 0));
        gpu_get(y, d_y, sizeof y);
        CU_ASSERT_TRUE(isnan(y[0]));
        CU_ASSERT_EQUAL(y[1], INFINITY);
        CU_ASSERT_EQUAL(y[2], 100);
        CU_ASSERT_TRUE(fabsf(y[3]) < 1e-30f);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

static void sums(void)
{
    static const int32_t rows[] = {2, 0, 2, 4, 2};
    static const float weights[] = {0.5f, 2, -1.25f, 3, 0.1f};
    const int64_t n = 5, dim = 70;
    struct gpu_rows x = gpu_rows_of(n, dim, dim + 2, 1), y = gpu_rows_of(n, dim, dim + 1, 2);
    struct gpu_rows g = gpu_rows_of(n, dim, dim + 4, 3);
    double *want = malloc((size_t)(n * dim) * sizeof *want);
    const int32_t *d_rows = gpu_copy(rows, sizeof rows);
    const float *d_weights = gpu_copy(weights, sizeof weights);
    for (int64_t i = 0; i < n * dim; i++)
        want[i] = (double)x.host[i / dim * x.ld + i % dim] + y.host[i / dim * y.ld + i % dim];
    gpu_ok(sw_gpu_add(1, x.d, x.ld, n, dim, y.d, y.ld, 0));
    gpu_rows_get(&y);
    CU_ASSERT_TRUE(gpu_error(y.host, y.ld, want, n, dim) < 1e-7);
    for (int64_t i = 0; i < n * dim; i++)
        want[i] = 2 * tanh((want[i] - 1.5 * x.host[i / dim * x.ld + i % dim]) * 3 / 2);
    gpu_ok(sw_gpu_add(-1.5f, x.d, x.ld, n, dim, y.d, y.ld, 0));
    static const float by = 1.5f;
    gpu_ok(sw_gpu_scale(2, gpu_copy(&by, sizeof by), 2, n, dim, y.d, y.ld, 0));
    gpu_rows_get(&y);
    CU_ASSERT_TRUE(gpu_error(y.host, y.ld, want, n, dim) < 1e-6);

    gpu_ok(sw_gpu_gather(y.d, y.ld, d_rows, NULL, n, dim, g.d, g.ld, 0));
    gpu_rows_get(&g);
    for (int64_t i = 0; i < n; i++)
        CU_ASSERT_EQUAL(
            memcmp(g.host + i * g.ld, y.host + rows[i] * y.ld, (size_t)dim * sizeof(float)), 0);

    for (int64_t i = 0; i < n * dim; i++)
        want[i] = y.host[i / dim * y.ld + i % dim];
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = 0; d < dim; d++)
            want[rows[i] * dim + d] += (double)weights[i] * x.host[i * x.ld + d];
    gpu_ok(sw_gpu_scatter_add(x.d, x.ld, d_rows, d_weights, n, dim, y.d, y.ld, 0));
    gpu_rows_get(&y);
    CU_ASSERT_TRUE(gpu_error(y.host, y.ld, want, n, dim) < 1e-6);
    free(x.host), free(y.host), free(g.host), free(want);
    CU_ASSERT_TRUE(gpu_free_all());
}

static void finds_what_is_not_finite(void)
{
    const int64_t n = 3, dim = 300, ld = 310; /* NaN between the rows does not count */
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (int i = 0; i < 4; i++)
        for (int at = 0; at < 3; at++) {
            struct gpu_rows x = gpu_rows_of(n, dim, ld, 1);
            int32_t bad = 0;
            int32_t *d_bad = gpu_copy(&bad, sizeof bad);
            gpu_ok(sw_gpu_check_finite(x.d, ld, n, dim, d_bad, 0));
            gpu_get(&bad, d_bad, sizeof bad);
            CU_ASSERT_EQUAL(bad, 0);
            const int64_t places[] = {0, ld + 7, 2 * ld + dim - 1};
            gpu_ok(cudaMemcpy(x.d + places[at], &odd[i], sizeof odd[i], cudaMemcpyHostToDevice));
            gpu_ok(sw_gpu_check_finite(x.d, ld, n, dim, d_bad, 0));
            gpu_get(&bad, d_bad, sizeof bad);
            CU_ASSERT_EQUAL(bad, i < 3);
            free(x.host);
            CU_ASSERT_TRUE(gpu_free_all());
        }
}

static void reads_memory(void)
{
    const size_t bytes = 3 * 4096 + 16;
    void *d = gpu_alloc(bytes);
    float *out = gpu_alloc(sizeof *out);
    gpu_ok(sw_gpu_read_memory(d, bytes, out, 0));
    CU_ASSERT_TRUE(gpu_free_all());
}

SW_UNIT_TESTS({"embeds", embeds}, {"norms", norms}, {"activates", activates},
              {"extremes", extremes}, {"sums", sums},
              {"finds what is not finite", finds_what_is_not_finite},
              {"reads memory", reads_memory})
