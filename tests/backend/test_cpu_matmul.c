/* Matrix products and the packed weights: against double precision, and bit for bit. */
#include "cpu_help.h"

struct shape {
    int64_t rows, cols;
};
static const struct shape shapes[] = {{1, 1},    {1, 2},    {2, 1},     {3, 5},     {16, 16},
                                      {17, 31},  {48, 33},  {64, 64},   {65, 63},   {100, 257},
                                      {127, 96}, {128, 97}, {129, 192}, {200, 193}, {333, 1000}};

/* On the backends of all instruction sets. */
static void check_shape(struct sw_backend *const *backends, enum sw_format_id format,
                        struct shape s)
{
    enum { N = 13 };
    float *w = floats(s.rows * s.cols, 1), *x = floats(N * s.cols, 2), *bias = floats(s.rows, 3),
          *y0 = floats(N * s.rows, 4), *y = malloc((size_t)(N * s.rows) * sizeof *y),
          *one = malloc((size_t)s.rows * sizeof *one);
    struct exact_products exact = exact_products(format, s.rows, s.cols, w, x, N);
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = backends[isa];
        struct sw_matrix m = packed(b, format, s.rows, s.cols, w);
        for (int mode = 0; mode < 4; mode++) {
            const float *use_bias = mode & 1 ? bias : NULL, *use_y0 = mode & 2 ? y0 : NULL;
            memcpy(y, y0, (size_t)(N * s.rows) * sizeof *y);
            b->ops->matmul(b, &m, use_bias, x, s.cols, N, y, s.rows, mode & 2);
            const double error = product_error(&exact, use_bias, use_y0, y);
            if (error > 1e-6)
                printf("%s %s %ld x %ld mode %d: %g\n", sw_format_of(format)->name,
                       sw_isa_name(isa), (long)s.rows, (long)s.cols, mode, error);
            CU_ASSERT(error <= 1e-6);
            for (int64_t i = 0; i < N; i++) { /* one at a time: the same bits */
                memcpy(one, y0 + i * s.rows, (size_t)s.rows * sizeof *one);
                b->ops->matmul(b, &m, use_bias, x + i * s.cols, s.cols, 1, one, s.rows, mode & 2);
                CU_ASSERT(!memcmp(one, y + i * s.rows, (size_t)s.rows * sizeof *one));
            }
        }
        unpack(b, &m);
    }
    exact_products_free(&exact);
    free(w), free(x), free(bias), free(y0), free(y), free(one);
}

static void products_are_right(void)
{
    struct sw_backend *backends[SW_ISA_COUNT];
    FOR_EACH_ISA (isa)
        backends[isa] = open_cpu(2, isa);
    FOR_EACH_FORMAT (f)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            check_shape(backends, f, shapes[i]);
    FOR_EACH_ISA (isa)
        backends[isa]->ops->close(backends[isa]);
}

/* Any number of rows at once, any number of threads: one result. */
static void bits_do_not_depend_on_the_call(void)
{
    const struct shape s = {211, 515};
    float *w = floats(s.rows * s.cols, 5), *x = floats(40 * s.cols, 6);
    float *want = malloc((size_t)(40 * s.rows) * sizeof *want),
          *y = malloc((size_t)(40 * s.rows) * sizeof *y);
    FOR_EACH_ISA (isa)
        FOR_EACH_FORMAT (f)
            for (int threads = 1; threads <= 3; threads++) {
                struct sw_backend *b = open_cpu(threads, isa);
                struct sw_matrix m = packed(b, f, s.rows, s.cols, w);
                if (threads == 1)
                    for (int64_t i = 0; i < 40; i++)
                        b->ops->matmul(b, &m, NULL, x + i * s.cols, s.cols, 1, want + i * s.rows,
                                       s.rows, false);
                for (int64_t n = 1; n <= 40; n++) {
                    b->ops->matmul(b, &m, NULL, x, s.cols, n, y, s.rows, false);
                    CU_ASSERT(!memcmp(y, want, (size_t)(n * s.rows) * sizeof *y));
                }
                unpack(b, &m);
                b->ops->close(b);
            }
    free(w), free(x), free(want), free(y);
}

/* As many rows at once as there is room for; the few that are left are activated, too. */
static void last_rows_are_activated(void)
{
    enum { ROWS = 33, N = MAX_ROWS + 3 };
    const int64_t n_x = (int64_t)N * MAX_COLS;
    float *w = floats(ROWS * MAX_COLS, 7), *x = floats(n_x, 8);
    float *many_x = malloc((size_t)n_x * sizeof *x), *one_x = malloc((size_t)n_x * sizeof *x);
    float many[N * ROWS], one[N * ROWS];
    FOR_EACH_ISA (isa)
        FOR_EACH_FORMAT (f) {
            struct sw_backend *b = open_cpu(2, isa);
            struct sw_matrix m = packed(b, f, ROWS, MAX_COLS, w);
            memcpy(many_x, x, (size_t)n_x * sizeof *x);
            memcpy(one_x, x, (size_t)n_x * sizeof *x);
            b->ops->activated_matmul(b, SW_ACT_SILU, false, &m, NULL, many_x, MAX_COLS, N, many,
                                     ROWS, false);
            for (int64_t r = 0; r < N; r++)
                b->ops->activated_matmul(b, SW_ACT_SILU, false, &m, NULL, one_x + r * MAX_COLS,
                                         MAX_COLS, 1, one + r * ROWS, ROWS, false);
            CU_ASSERT(!memcmp(many, one, sizeof one));
            unpack(b, &m);
            b->ops->close(b);
        }
    free(w), free(x), free(many_x), free(one_x);
}

/* Any source type, strides and pieces give the same packed bytes, and embed reads them back. */
static void weights_are_packed(void)
{
    static const enum sw_dtype sources[] = {SW_F32, SW_F16, SW_BF16, SW_F64};
    const struct shape s = {150, 75};
    struct sw_backend *b = open_cpu(2, SW_ISA_PORTABLE);
    float *w = floats(s.rows * s.cols, 7),
          *turned = malloc((size_t)(s.rows * s.cols) * sizeof *turned);
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t c = 0; c < s.cols; c++) {
            w[r * s.cols + c] = rounded(SW_BF16, rounded(SW_F16, w[r * s.cols + c]));
            turned[c * s.rows + r] = w[r * s.cols + c];
        }
    FOR_EACH_FORMAT (f) {
        struct sw_matrix m = packed(b, f, s.rows, s.cols, w);
        const size_t bytes = sw_matrix_bytes(f, s.rows, s.cols);
        for (size_t i = 0; i < 8; i++) {
            void *src = encode(sources[i / 2], i % 2 ? turned : w, s.rows * s.cols);
            struct sw_matrix again = {f, s.rows, s.cols, device(b, bytes), NULL};
            b->ops->matrix_clear(b, &again);
            const size_t size = sw_dtype_info(sources[i / 2])->bits / 8;
            for (int64_t row = s.rows, n; row > 0; row -= n) { /* from the end, 37 at a time */
                n = row < 37 ? row : 37;
                const struct sw_matrix_rows rows = {
                    (char *)src + (size_t)((row - n) * (i % 2 ? 1 : s.cols)) * size,
                    sources[i / 2],
                    row - n,
                    n,
                    i % 2 ? 1 : s.cols,
                    i % 2 ? s.rows : 1,
                    NULL,
                    false};
                CU_ASSERT_EQUAL(b->ops->matrix_put(b, &again, &rows), SW_OK);
            }
            CU_ASSERT(!memcmp(m.d_data, again.d_data, bytes));
            b->ops->free(b, again.d_data, bytes);
            free(src);
        }
        int32_t ids[150];
        float *y = malloc((size_t)(s.rows * s.cols) * sizeof *y);
        for (int i = 0; i < 150; i++)
            ids[i] = 149 - i;
        b->ops->embed(b, &m, ids, s.rows, y, s.cols);
        for (int64_t i = 0; i < s.rows; i++) {
            float kept[75];
            kept_row(f, w + ids[i] * s.cols, s.cols, kept);
            CU_ASSERT(!memcmp(y + i * s.cols, kept, sizeof kept));
        }
        free(y);
        unpack(b, &m);
    }
    const struct sw_matrix_rows bad = {w, SW_I32, 0, 1, 75, 1, NULL, false};
    struct sw_matrix m = packed(b, SW_FORMAT_F32, s.rows, s.cols, w);
    CU_ASSERT_EQUAL(b->ops->matrix_put(b, &m, &bad), SW_EMODEL);
    unpack(b, &m);
    b->ops->close(b);
    free(w), free(turned);
}

static void memory_is_aligned(void)
{
    struct sw_backend *b = open_cpu(1, SW_ISA_PORTABLE);
    static const size_t sizes[] = {1, 63, 64, 4096, 1 << 20, 4 << 20, (9 << 20) + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *p = device(b, sizes[i]);
        CU_ASSERT_EQUAL((uintptr_t)p % (sizes[i] >= 4 << 20 ? 2 << 20 : SW_ALIGN), 0);
        CU_ASSERT_EQUAL(b->ops->upload(b, p + sizes[i] - 1, "x", 1), SW_OK);
        char c = 0;
        CU_ASSERT_EQUAL(b->ops->download(b, &c, p + sizes[i] - 1, 1), SW_OK);
        CU_ASSERT_EQUAL(c, 'x');
        b->ops->free(b, p, sizes[i]);
    }
    void *p;
    CU_ASSERT_EQUAL(b->ops->alloc(b, SIZE_MAX / 2, "the moon", &p), SW_ENOMEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "the moon"));
    b->ops->free(b, NULL, 1 << 30);
    b->ops->close(b);
}

static void bad_options_are_refused(void)
{
    struct sw_backend *b;
    CU_ASSERT_EQUAL(sw_backend_cpu_open(&(struct sw_cpu_options){.isa = "sse9"}, &b), SW_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "sse9"));
    CU_ASSERT_EQUAL(sw_backend_cpu_open(&(struct sw_cpu_options){.cores = "4000"}, &b), SW_EUSAGE);
    CU_ASSERT_EQUAL(sw_backend_cpu_open(&(struct sw_cpu_options){.cores = "a-b"}, &b), SW_EUSAGE);
}

SW_UNIT_TESTS({"products are right", products_are_right},
              {"last rows are activated", last_rows_are_activated},
              {"bits do not depend on the call", bits_do_not_depend_on_the_call},
              {"weights are packed", weights_are_packed}, {"memory is aligned", memory_is_aligned},
              {"bad options are refused", bad_options_are_refused})
