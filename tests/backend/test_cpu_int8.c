/* Int8 weights (LLM.int8()): the definition, outliers, and what all instruction sets have alike. */
#include "cpu_help.h"

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/reader.h"

/* Longer than what is summed at a time, and no multiple of anything. */
enum { ROWS = 203, COLS = 8999, N = 23 };

static struct sw_backend *open_wide(int threads, enum sw_isa isa)
{
    const struct sw_cpu_options o = {
        .threads = threads, .isa = sw_isa_name(isa), .max_rows = N, .max_cols = COLS};
    struct sw_backend *b = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_backend_cpu_open(&o, &b), SW_OK);
    return b;
}

/* Weights of unlike size, with a row of zeros; rows of x without outliers, with few, with some on
 * the very edge, with nothing else, of zeros, and of all but nothing. */
struct data {
    float *w, *x;
};

static struct data make_data(void)
{
    struct data d = {floats((int64_t)ROWS * COLS, 11), floats((int64_t)N * COLS, 12)};
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < COLS; c++)
            d.w[r * COLS + c] *= r == 70 ? 0 : ldexpf(1, (int)(r % 9) - 4);
    uint64_t seed = 13;
    for (int64_t i = 0; i < N; i++)
        for (int64_t c = 0; c < COLS; c++) {
            float *x = &d.x[i * COLS + c];
            const float luck = fabsf(noise(&seed));
            if (i % 6 == 1 && luck < 0.003f)
                *x *= 60;
            else if (i % 6 == 2)
                *x *= 7;
            else if (i % 6 == 3)
                *x = luck < 0.5f ? 6.0f : nextafterf(-6.0f, -7);
            else if (i % 6 == 4)
                *x = *x < 0 ? *x * 50 - 6.5f : *x * 50 + 6.5f;
            else if (i == 5)
                *x = 0;
            else if (i == 11)
                *x *= 1e-33f;
        }
    return d;
}

static void products_are_right(void)
{
    const struct data d = make_data();
    float *bias = floats(ROWS, 14), *y0 = floats((int64_t)N * ROWS, 15);
    float *y = malloc((size_t)N * ROWS * sizeof *y), *first = malloc((size_t)N * ROWS * sizeof *y);
    struct exact_products exact = exact_products(SW_FORMAT_INT8, ROWS, COLS, d.w, d.x, N);
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_wide(2, isa);
        struct sw_matrix m = packed(b, SW_FORMAT_INT8, ROWS, COLS, d.w);
        memcpy(y, y0, (size_t)N * ROWS * sizeof *y);
        b->ops->matmul(b, &m, bias, d.x, COLS, N, y, ROWS, true);
        const double error = product_error(&exact, bias, y0, y);
        if (error > 1e-6)
            printf("    %s: %g\n", sw_isa_name(isa), error);
        CU_ASSERT(error <= 1e-6);
        /* one at a time, and few at a time */
        for (int64_t few = 1; few <= 6; few += 5)
            for (int64_t i = 0; i + few <= N; i += few) {
                float part[6 * ROWS];
                memcpy(part, y0 + i * ROWS, (size_t)(few * ROWS) * sizeof *part);
                b->ops->matmul(b, &m, bias, d.x + i * COLS, COLS, few, part, ROWS, true);
                CU_ASSERT(!memcmp(part, y + i * ROWS, (size_t)(few * ROWS) * sizeof *part));
            }
        /* Whole numbers are summed, and floats never fused: all have the same bits. */
        if (isa == SW_ISA_PORTABLE)
            memcpy(first, y, (size_t)N * ROWS * sizeof *y);
        CU_ASSERT(!memcmp(first, y, (size_t)N * ROWS * sizeof *y));
        unpack(b, &m);
        b->ops->close(b);
    }
    exact_products_free(&exact);
    free(d.w), free(d.x), free(bias), free(y0), free(y), free(first);
}

/* The largest elements there are, of one sign: sums as far from 0 as they get, in pairs and whole.
 */
static void sums_do_not_overflow(void)
{
    enum { LONG = 1 << 17 };
    float *x = malloc(2 * LONG * sizeof *x);
    for (int64_t c = 0; c < 2 * LONG; c++)
        x[c] = c < LONG ? 2.0f : -2.0f;
    FOR_EACH_ISA (isa) {
        const struct sw_cpu_options o = {
            .threads = 1, .isa = sw_isa_name(isa), .max_rows = 2, .max_cols = LONG};
        struct sw_backend *b = NULL;
        CU_ASSERT_EQUAL_FATAL(sw_backend_cpu_open(&o, &b), SW_OK);
        struct sw_matrix m = packed(b, SW_FORMAT_INT8, 2, LONG, x);
        float y[4];
        b->ops->matmul(b, &m, NULL, x, LONG, 2, y, 2, false);
        for (int i = 0; i < 4; i++)
            CU_ASSERT_DOUBLE_EQUAL(y[i], (i == 0 || i == 3 ? 4.0 : -4.0) * LONG, 0.5);
        unpack(b, &m);
        struct sw_matrix longer = {SW_FORMAT_INT8, 1, LONG + 1, NULL, NULL};
        const struct sw_matrix_rows row = {x, SW_F32, 0, 1, LONG + 1, 1, NULL, false};
        CU_ASSERT_EQUAL(b->ops->matrix_put(b, &longer, &row), SW_EMODEL);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "131073 columns"));
        b->ops->close(b);
    }
    free(x);
}

/* What is no number must not come out as one. */
static void what_is_not_finite_shows(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    FOR_EACH_ISA (isa)
        for (size_t i = 0; i < 3; i++)
            for (int64_t n = 1; n <= 8; n += 7) {
                struct sw_backend *b = open_cpu(1, isa);
                float *w = floats(20 * 100, 1), *x = floats(8 * 100, 2), y[8 * 20];
                x[(n - 1) * 100 + 57] = bad[i];
                struct sw_matrix m = packed(b, SW_FORMAT_INT8, 20, 100, w);
                b->ops->matmul(b, &m, NULL, x, 100, n, y, 20, false);
                for (int64_t k = 0; k < n * 20; k++)
                    CU_ASSERT(isfinite(y[k]) == (k < (n - 1) * 20));
                unpack(b, &m);
                x[(n - 1) * 100 + 57] = 1;
                w[3 * 100 + 99] = bad[i];
                m = packed(b, SW_FORMAT_INT8, 20, 100, w);
                b->ops->matmul(b, &m, NULL, x, 100, n, y, 20, false);
                for (int64_t k = 0; k < n * 20; k++)
                    CU_ASSERT(isfinite(y[k]) == (k % 20 != 3));
                unpack(b, &m);
                b->ops->close(b);
                free(w), free(x);
            }
}

/* Tensor `name` of a safetensors file in a new block; NULL: not there. */
static void *tensor_of(const char *path, const char *name, int64_t *n)
{
    struct sw_tensors tensors = {0};
    struct sw_reader *reader = NULL;
    void *data = NULL;
    if (sw_checkpoint_add_file(path, &tensors) == SW_OK &&
        sw_reader_open(&tensors, &reader) == SW_OK) {
        const struct sw_tensor *t = sw_tensors_find(&tensors, name);
        if (t) {
            *n = sw_tensor_elements(t);
            data = malloc(t->bytes + 1);
            if (sw_reader_rows(reader, t, 0, sw_reader_row_count(t), data) != SW_OK)
                abort();
        }
    }
    sw_reader_close(reader);
    sw_tensors_free(&tensors);
    return data;
}

/* The elements and scales of a packed matrix are these. scb: (rows) absmax of each row. */
static void check_elements(struct sw_backend *b, const struct sw_matrix *m, const int8_t *q,
                           const float *scb)
{
    float *back = malloc((size_t)m->cols * sizeof *back);
    for (int32_t r = 0; r < m->rows; r++) {
        const float scale = scb[r] / 127;
        b->ops->embed(b, m, &r, 1, back, m->cols);
        for (int64_t c = 0; c < m->cols; c++)
            CU_ASSERT_DOUBLE_EQUAL(back[c], (double)scale * q[r * m->cols + c],
                                   1e-4 * (double)scale);
    }
    free(back);
}

/* Compares products with those of another program: the largest difference as a share of the
 * largest output. */
static double difference(struct sw_backend *b, const struct sw_matrix *m, const float *x, int64_t n,
                         const float *want)
{
    float *y = malloc((size_t)(n * m->rows) * sizeof *y), error = 0, largest = 0;
    b->ops->matmul(b, m, NULL, x, m->cols, n, y, m->rows, false);
    for (int64_t i = 0; i < n * m->rows; i++) {
        error = fmaxf(error, fabsf(y[i] - want[i]));
        largest = fmaxf(largest, fabsf(want[i]));
    }
    free(y);
    printf("    differs by %.1e of the largest\n", (double)(error / largest));
    return (double)(error / largest);
}

/* bitsandbytes' own layer, row by row (tests/models/make_int8.py). */
static void a_layer_of_bitsandbytes_agrees(void)
{
    const char *path = SW_SOURCE_DIR "/tests/models/int8/layer.safetensors";
    int64_t n_w, n_scb, n_x, n_y;
    uint16_t *w = tensor_of(path, "w", &n_w);
    int8_t *q = tensor_of(path, "q", &n_w);
    float *scb = tensor_of(path, "scb", &n_scb), *x = tensor_of(path, "x", &n_x),
          *want = tensor_of(path, "y", &n_y);
    CU_ASSERT_TRUE_FATAL(w && q && scb && x && want);
    const int64_t rows = n_scb, cols = n_w / rows;
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(1, isa);
        struct sw_matrix m = {SW_FORMAT_INT8, rows, cols,
                              device(b, sw_matrix_bytes(SW_FORMAT_INT8, rows, cols)), NULL};
        b->ops->matrix_clear(b, &m);
        const struct sw_matrix_rows all = {w, SW_F16, 0, rows, cols, 1, NULL, false};
        CU_ASSERT_EQUAL(b->ops->matrix_put(b, &m, &all), SW_OK);
        check_elements(b, &m, q, scb);
        CU_ASSERT(difference(b, &m, x, n_x / cols, want) <= 1e-4);
        unpack(b, &m);
        b->ops->close(b);
    }
    free(w), free(q), free(scb), free(x), free(want);
}

/*
 * A layer as bitsandbytes' formulas compute it for five rows at once: their outliers are two
 * columns of the whole batch, ours the large elements alone, so the others in these columns are
 * rounded here and not there. Its weights, given as what they stand for, become the same elements
 * again.
 */
static void a_published_layer_agrees(void)
{
    int64_t n_q, n_scb, n_x, n_y;
    const char *path = sw_unit_shared("quant-vectors/bnb_int8.safetensors");
    if (!path)
        return;
    int8_t *q = tensor_of(path, "model.layers.0.self_attn.q_proj.weight", &n_q);
    float *scb = tensor_of(path, "model.layers.0.self_attn.q_proj.SCB", &n_scb);
    float *x = tensor_of(path, "x", &n_x), *want = tensor_of(path, "expected_y_llm_int8", &n_y);
    CU_ASSERT_TRUE_FATAL(q && scb && x && want);
    const int64_t cols = n_q / n_scb;
    float *w = malloc((size_t)n_q * sizeof *w);
    for (int64_t i = 0; i < n_q; i++)
        w[i] = (float)q[i] * (scb[i / cols] / 127);
    struct sw_backend *b = open_cpu(1, sw_cpu_isa());
    struct sw_matrix m = packed(b, SW_FORMAT_INT8, n_scb, cols, w);
    check_elements(b, &m, q, scb);
    CU_ASSERT(difference(b, &m, x, n_x / cols, want) <= 2e-3);
    unpack(b, &m);
    b->ops->close(b);
    free(q), free(scb), free(x), free(want), free(w);
}

/* Many rows are activated, scanned and rounded tile by tile, in several goes and panels of which
 * the last is cut; few as they come. One row at a time gives the same bits, with bias and sum. */
static void activations_of_many_rows_are_those_of_one(void)
{
    enum { OUT = 150, WIDE = 204, MANY = 61 };
    static const enum sw_activation kinds[] = {SW_ACT_SILU, SW_ACT_GELU, SW_ACT_RELU};
    float *w = floats(OUT * WIDE, 5), *bias = floats(OUT, 6);
    for (int gated = 0; gated < 2; gated++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            FOR_EACH_ISA (isa) {
                const int64_t ld = (gated ? 2 : 1) * WIDE + 4;
                float *x = floats(MANY * ld, 7), *many = floats(MANY * OUT, 8),
                      *one = floats(MANY * OUT, 8);
                struct sw_backend *b = open_cpu(2, isa);
                struct sw_matrix m = packed(b, SW_FORMAT_INT8, OUT, WIDE, w);
                for (int64_t i = 0; i < MANY * ld; i++)
                    x[i] *= i % 97 ? 2 : 40; /* some are outliers */
                float *again = malloc((size_t)(MANY * ld) * sizeof *again);
                memcpy(again, x, (size_t)(MANY * ld) * sizeof *again);
                b->ops->activated_matmul(b, kinds[k], gated, &m, bias, x, ld, MANY, many, OUT,
                                         true);
                for (int64_t r = 0; r < MANY; r++)
                    b->ops->activated_matmul(b, kinds[k], gated, &m, bias, again + r * ld, ld, 1,
                                             one + r * OUT, OUT, true);
                CU_ASSERT(!memcmp(many, one, MANY * OUT * sizeof *one));
                unpack(b, &m);
                b->ops->close(b);
                free(x), free(many), free(one), free(again);
            }
    free(w), free(bias);
}

SW_UNIT_TESTS({"products are right", products_are_right},
              {"activations of many rows are those of one",
               activations_of_many_rows_are_those_of_one},
              {"sums do not overflow", sums_do_not_overflow},
              {"what is not finite shows", what_is_not_finite_shows},
              {"a layer of bitsandbytes agrees", a_layer_of_bitsandbytes_agrees},
              {"a published layer agrees", a_published_layer_agrees})
