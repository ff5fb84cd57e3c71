/* Products of many rows with AMX: the bits of vectors. Skips, saying so, where there is none. */
#include "backend/cpu_measure.h"
#include "cpu_help.h"
#include "kernels/cpu/many.h"

enum { MOST = 205, WIDEST = 1100 };

/* SPILLWAY_AMX is looked at when a backend is opened. */
static struct sw_backend *open_many(int threads, bool amx)
{
    const struct sw_cpu_options o = {.threads = threads, .max_rows = MOST, .max_cols = WIDEST};
    setenv("SPILLWAY_AMX", amx ? "1" : "0", 1);
    struct sw_backend *b = NULL;
    if (sw_backend_cpu_open(&o, &b) != SW_OK) {
        fprintf(stderr, "%s\n", sw_error_message());
        abort();
    }
    CU_ASSERT_EQUAL(sw_cpu_backend_amx(b), amx);
    return b;
}

static bool has_amx(void)
{
    setenv("SPILLWAY_AMX", "1", 1);
    if (sw_many_for(sw_cpu_isa()))
        return true;
    printf("    skipped: no AMX here\n");
    return false;
}

/* Some tokens have outliers, zeros, or numbers far apart. */
static float *activations(int64_t cols)
{
    float *x = floats(MOST * 2 * cols, 12);
    for (int64_t i = 0; i < MOST * 2; i++)
        for (int64_t c = i % 5; i % 3 && c < cols; c += 37)
            x[i * cols + c] *= i % 3 == 1 ? 9.0f : 0x1p-20f;
    for (int64_t c = 0; c < cols; c++)
        x[3 * 2 * cols + c] = 0;
    return x;
}

struct call {
    int64_t rows, cols, n;
    bool bias, add, activated;
};

static void multiply(int threads, bool amx, enum sw_format_id format, const struct call *c,
                     const float *w, const float *x, const int32_t *order, float *y)
{
    struct sw_backend *b = open_many(threads, amx);
    struct sw_matrix m = packed(b, format, c->rows, c->cols, w);
    const size_t x_bytes = (size_t)(MOST * 2 * c->cols) * sizeof *x;
    const float *bias = c->bias ? w : NULL;
    float *own_x = malloc(x_bytes);
    memcpy(own_x, x, x_bytes);
    m.d_order = order;
    for (int64_t i = 0; i < c->n * c->rows; i++)
        y[i] = (float)(i % 91);
    if (c->activated)
        b->ops->activated_matmul(b, SW_ACT_SILU, true, &m, bias, own_x, 2 * c->cols, c->n, y,
                                 c->rows, c->add);
    else
        b->ops->matmul(b, &m, bias, own_x, 2 * c->cols, c->n, y, c->rows, c->add);
    free(own_x);
    unpack(b, &m);
    b->ops->close(b);
}

/* Last panels and tiles that are not whole, columns that are no whole units, panels cut in parts.
 */
static void bits_are_those_of_vectors(void)
{
    static const struct call calls[] = {
        {130, 515, 9, true, false, false},  {16, 64, 16, false, true, false},
        {70, 333, 17, false, false, true},  {33, 256, 24, true, true, false},
        {65, 65, 25, false, false, false},  {200, 1100, 33, true, false, true},
        {64, 512, 64, false, false, false}, {129, 300, MOST, true, true, false}};
    if (!has_amx())
        return;
    FOR_EACH_FORMAT (format)
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            const struct call *c = &calls[i];
            float *w = floats(c->rows * c->cols, 11), *x = activations(c->cols);
            const size_t bytes = (size_t)(c->rows * c->n) * sizeof(float);
            float *want = malloc(bytes), *got = malloc(bytes);
            for (int threads = 1; threads <= 3; threads += 2) {
                multiply(1, false, format, c, w, x, NULL, want);
                multiply(threads, true, format, c, w, x, NULL, got);
                if (memcmp(got, want, bytes))
                    printf("    %s, call %zu, %d threads\n", sw_format_of(format)->name, i,
                           threads);
                CU_ASSERT(!memcmp(got, want, bytes));
            }
            free(w), free(x), free(want), free(got);
        }
}

static void orders_are_followed(void)
{
    static const struct call c = {70, 320, 20, false, false, true};
    static float want[20 * 70], got[20 * 70];
    int32_t order[320];
    if (!has_amx())
        return;
    for (int i = 0; i < 320; i++)
        order[i] = i * 7 % 320;
    float *w = floats(c.rows * c.cols, 11), *x = activations(c.cols);
    multiply(1, false, SW_FORMAT_INT4_G32, &c, w, x, order, want);
    multiply(1, true, SW_FORMAT_INT4_G32, &c, w, x, order, got);
    CU_ASSERT(!memcmp(got, want, sizeof got));
    multiply(1, true, SW_FORMAT_INT4_G32, &c, w, x, NULL, got);
    CU_ASSERT(memcmp(got, want, sizeof got) != 0);
    free(w), free(x);
}

SW_UNIT_TESTS({"bits are those of vectors", bits_are_those_of_vectors},
              {"orders are followed", orders_are_followed})
