/* Operands of GEMM, their results, and matrices that the CPU packed. */
#include "gpu_help.h"
#include "kernels/cpu/cpu_kernels.h"

static const enum sw_dtype halves[] = {SW_F16, SW_BF16};

static double half_value(enum sw_dtype half, uint16_t bits)
{
    return (double)(half == SW_F16 ? sw_f16_to_f32(bits) : sw_bf16_to_f32(bits));
}

/* Rows of a half operand against what they stand for: rounded once, relative to the row's largest
 * element where f16 is subnormal; zeros behind the columns. */
static void check_rows(enum sw_dtype half, const uint16_t *got, const float *scale,
                       const float *want, int64_t ld_want, int64_t n, int64_t cols, double digits)
{
    const int64_t padded = padded_to(cols, 8);
    bool close = true, zeros = true;
    for (int64_t r = 0; r < n; r++) {
        double largest = 0;
        for (int64_t c = 0; c < cols; c++)
            largest = fmax(largest, fabs((double)want[r * ld_want + c]));
        for (int64_t c = 0; c < padded; c++) {
            const double value = half_value(half, got[r * padded + c]) * (double)scale[r];
            if (c >= cols)
                zeros = zeros && value == 0;
            else
                close = close && fabs(value - (double)want[r * ld_want + c]) <=
                                     fmax(digits * fabs((double)want[r * ld_want + c]),
                                          digits * largest * 0x1p-26);
        }
    }
    CU_ASSERT_TRUE(close);
    CU_ASSERT_TRUE(zeros);
}

static double digits_of(enum sw_dtype half)
{
    return half == SW_F16 ? 0x1p-11 : 0x1p-8;
}

static const int64_t widths[] = {1, 8, 31, 64, 3000};

/* Rows that f16 alone would overflow, and ones that it would lose. */
static void halves_activations(void)
{
    static const float factors[] = {1, 1e30f, 1e-30f, 70000, 0, 0x1p-149f};
    for (int h = 0; h < 2; h++)
        for (size_t s = 0; s < sizeof widths / sizeof widths[0]; s++)
            for (int gap = 0; gap < 5; gap += 4) {
                const int64_t n = 6, cols = widths[s], padded = padded_to(cols, 8);
                struct gpu_rows x = gpu_rows_of(n, cols, cols + gap, 1);
                for (int64_t i = 0; i < n * x.ld; i++)
                    x.host[i] *= factors[i / x.ld];
                if (halves[h] == SW_BF16) /* f32's subnormals have no digits there either */
                    memset(x.host + 5 * x.ld, 0, (size_t)cols * sizeof(float));
                gpu_ok(cudaMemcpy(x.d, x.host, (size_t)(n * x.ld) * sizeof(float),
                                  cudaMemcpyHostToDevice));
                uint16_t *out = malloc((size_t)(n * padded) * sizeof *out);
                float scale[6];
                void *d_out = gpu_alloc((size_t)(n * padded) * sizeof *out);
                float *d_scale = gpu_alloc(sizeof scale);
                gpu_ok(sw_gpu_to_half(halves[h], x.d, x.ld, n, cols, d_out, d_scale, 0));
                gpu_get(out, d_out, (size_t)(n * padded) * sizeof *out);
                gpu_get(scale, d_scale, sizeof scale);
                check_rows(halves[h], out, scale, x.host, x.ld, n, cols, digits_of(halves[h]));
                free(out), free(x.host);
                CU_ASSERT_TRUE(gpu_free_all());
            }
}

/* Values that a half format holds exactly stay exact; rows [row, row + n) only. */
static void halves_weights(void)
{
    for (int h = 0; h < 2; h++)
        FOR_EACH_GPU_FORMAT (f)
            for (size_t s = 0; s < sizeof widths / sizeof widths[0]; s++) {
                const int64_t rows = 9, row = 2, n = 5, cols = widths[s];
                const int64_t padded = padded_to(cols, 8);
                const enum sw_format_id format = (enum sw_format_id)f;
                const enum sw_dtype half = halves[h];
                struct gpu_matrix m = gpu_matrix_of(format, rows, cols, 3);
                if (format == SW_FORMAT_BF16) { /* what f16 cannot hold */
                    float *x = floats(cols, 4);
                    for (int64_t c = 0; c < cols; c++)
                        x[c] = x[c] * 0x1p100f;
                    gpu_matrix_row(&m, 3, x);
                    free(x);
                    gpu_ok(cudaMemcpy(m.d, m.host, m.bytes, cudaMemcpyHostToDevice));
                }
                uint16_t *out = malloc((size_t)(n * padded) * sizeof *out);
                float scale[5];
                void *d_out = gpu_alloc((size_t)(n * padded) * sizeof *out);
                float *d_scale = gpu_alloc(sizeof scale);
                gpu_ok(sw_gpu_weights_to_half(half, format, m.d, rows, cols, row, n, d_out, d_scale,
                                              0));
                gpu_get(out, d_out, (size_t)(n * padded) * sizeof *out);
                gpu_get(scale, d_scale, sizeof scale);
                const bool exact = sw_format_of(format)->dtype == half ||
                                   (format == SW_FORMAT_BF16 && half == SW_F16);
                check_rows(half, out, scale, m.values + row * cols, cols, n, cols,
                           exact                      ? 0x1p-30
                           : format == SW_FORMAT_INT8 ? 0x1p-23
                                                      : digits_of(half));
                free(out);
                gpu_matrix_free(&m);
                CU_ASSERT_TRUE(gpu_free_all());
            }
}

static void finishes(void)
{
    for (int bits = 0; bits < 32; bits++) {
        const bool scaled_x = bits & 1, scaled_w = bits & 2, has_bias = bits & 4, add = bits & 8;
        const int64_t n = 3, rows = bits & 16 ? 1100 : 259, ld = bits & 16 ? rows + 4 : rows + 3;
        struct gpu_rows sums = gpu_rows_of(n, rows, rows, 1), y = gpu_rows_of(n, rows, ld, 2);
        float *x_scale = floats(n, 3), *w_scale = floats(rows, 4), *bias = floats(rows, 5);
        double *want = malloc((size_t)(n * rows) * sizeof *want);
        for (int64_t i = 0; i < n * rows; i++)
            want[i] = (double)sums.host[i] * (scaled_x ? (double)x_scale[i / rows] : 1) *
                          (scaled_w ? (double)w_scale[i % rows] : 1) +
                      (has_bias ? (double)bias[i % rows] : 0) +
                      (add ? (double)y.host[i / rows * y.ld + i % rows] : 0);
        gpu_ok(sw_gpu_finish(sums.d, n, rows, scaled_x ? gpu_floats(x_scale, n) : NULL,
                             scaled_w ? gpu_floats(w_scale, rows) : NULL,
                             has_bias ? gpu_floats(bias, rows) : NULL, add, y.d, y.ld, 0));
        gpu_rows_get(&y);
        CU_ASSERT_TRUE(gpu_error(y.host, y.ld, want, n, rows) < 3e-7);
        free(sums.host), free(y.host), free(x_scale), free(w_scale), free(bias), free(want);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

/* Bits: as the CPU packs a matrix and as the GPU has it. */
static void unpacks(void)
{
    static const int64_t shapes[][2] = {{1, 1},   {16, 4},    {17, 35},  {64, 66},
                                        {80, 32}, {130, 101}, {200, 64}, {65, 259}};
    FOR_EACH_GPU_FORMAT (f)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const int64_t rows = shapes[s][0], cols = shapes[s][1];
            const enum sw_format_id format = (enum sw_format_id)f;
            struct gpu_matrix m = gpu_matrix_of(format, rows, cols, 3);
            const float *table = sw_matrix_table(format, m.host, rows, cols);
            /* what it was made of: the table came first */
            float *numbers = floats(rows * cols + SW_TABLE_LEN, 3);
            float *x = numbers + (table ? SW_TABLE_LEN : 0);
            struct sw_backend *b = open_cpu(1, SW_ISA_PORTABLE);
            struct sw_matrix packed = {format, rows, cols, calloc(1, m.bytes), NULL};
            const struct sw_matrix_rows all = {x, SW_F32, 0, rows, cols, 1, NULL, false};
            CU_ASSERT_EQUAL(b->ops->matrix_clear(b, &packed), SW_OK);
            CU_ASSERT_EQUAL(b->ops->matrix_put(b, &packed, &all), SW_OK);
            if (table)
                memcpy(sw_matrix_table(format, packed.d_data, rows, cols), table,
                       SW_TABLE_LEN * sizeof *table);
            const void *d_packed = gpu_copy(packed.d_data, m.bytes);
            void *d_out = gpu_alloc(m.bytes);
            gpu_ok(sw_gpu_unpack(format, d_packed, rows, cols, d_out, 0));
            char *out = malloc(m.bytes);
            gpu_get(out, d_out, m.bytes);
            const struct sw_gpu_layout l = sw_gpu_layout_of(format, rows, cols);
            const size_t filled = (size_t)l.rows * l.row_bytes;
            CU_ASSERT_EQUAL(memcmp(out, m.host, filled), 0);
            CU_ASSERT(!table || !memcmp(sw_matrix_table(format, out, rows, cols), table,
                                        SW_TABLE_LEN * sizeof *table));
            free(out), free(numbers), free(packed.d_data);
            b->ops->close(b);
            gpu_matrix_free(&m);
            CU_ASSERT_TRUE(gpu_free_all());
        }
}

SW_UNIT_TESTS({"halves activations", halves_activations}, {"halves weights", halves_weights},
              {"finishes", finishes}, {"unpacks", unpacks})
