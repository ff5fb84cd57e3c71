/* Weights come onto the GPU the same, however many threads make them. */
#include "gpulib_help.h"

#include "base/pool.h"

#define ROWS 1337 /* many pieces of the ring, the last one short */
#define COLS 1022 /* neither whole vectors nor, of int8, whole words */

static float *made_up_values(void)
{
    float *values = malloc(sizeof(float) * ROWS * COLS);
    unsigned state = 7;
    for (int i = 0; i < ROWS * COLS; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int)(state >> 8 & 0xffff) / 4096.0f - 8.0f;
    }
    return values;
}

/* The bytes of a matrix on the device, whose rows were put in three parts. */
static unsigned char *stored(struct sw_pool *pool, enum sw_dtype format, const float *values)
{
    const struct sw_gpu_options o = {
        .max_rows = MAX_ROWS, .max_cols = COLS, .max_out = ROWS, .pool = pool};
    static const int64_t bounds[] = {0, 17, 700, ROWS};
    const size_t bytes = sw_matrix_bytes(format, ROWS, COLS);
    struct sw_backend *b = open_gpu_as(&o);
    struct sw_matrix m = {format, ROWS, COLS, room(b, bytes)};
    unsigned char *got = malloc(bytes);
    ok(b->ops->matrix_clear(b, &m));
    for (int i = 0; i < 3; i++) {
        const struct sw_matrix_rows put = {values + bounds[i] * COLS, SW_F32, bounds[i],
                                           bounds[i + 1] - bounds[i], COLS,   1};
        ok(b->ops->matrix_put(b, &m, &put));
    }
    ok(b->ops->download(b, got, m.d_data, bytes));
    matrix_free(b, &m);
    b->ops->close(b);
    return got;
}

static void threads_change_nothing(void)
{
    static const int threads[] = {2, 5};
    float *values = made_up_values();
    FOR_EACH_WEIGHT_FORMAT(f)
    {
        const enum sw_dtype format = (enum sw_dtype)f;
        unsigned char *alone = stored(NULL, format, values);
        for (int i = 0; i < 2; i++) {
            struct sw_pool *pool;
            ok(sw_pool_create(threads[i], NULL, 0, &pool));
            unsigned char *together = stored(pool, format, values);
            CU_ASSERT_EQUAL(memcmp(alone, together, sw_matrix_bytes(format, ROWS, COLS)), 0);
            free(together);
            sw_pool_free(pool);
        }
        free(alone);
    }
    free(values);
}

/* Rows on the GPU are the format's encoding, as the CPU packs it too, with zeros as padding. */
static void rows_are_encoded_ones(void)
{
    float *values = made_up_values();
    FOR_EACH_WEIGHT_FORMAT(f)
    {
        const struct sw_matrix_layout l = sw_matrix_layout_of((enum sw_dtype)f, ROWS, COLS);
        unsigned char *got = stored(NULL, (enum sw_dtype)f, values), *want = malloc(l.row_bytes);
        const float *scales = sw_matrix_scales((enum sw_dtype)f, got, ROWS, COLS);
        for (int r = 0; r < ROWS; r++) {
            const struct sw_values row = {values + r * COLS, SW_F32, COLS, 1};
            float scale = 0;
            memset(want, 0, l.row_bytes);
            sw_format_encode_row(sw_format_of((enum sw_dtype)f), &row, want, &scale);
            CU_ASSERT_FATAL(!memcmp(got + (size_t)r * l.row_bytes, want, l.row_bytes));
            CU_ASSERT_FATAL(!scales || scales[r] == scale);
        }
        free(want);
        free(got);
    }
    free(values);
}

SW_UNIT_TESTS({"threads change nothing", threads_change_nothing},
              {"rows are encoded ones", rows_are_encoded_ones})
