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

static struct sw_backend *open_for_weights(struct sw_pool *pool)
{
    const struct sw_gpu_options o = {
        .max_rows = MAX_ROWS, .max_cols = COLS, .max_out = ROWS, .pool = pool};
    return open_gpu_as(&o);
}

/* Puts all rows, in three parts. */
static void put_parts(struct sw_backend *b, struct sw_matrix *m, const float *values,
                      enum sw_status (*to)(struct sw_backend *, struct sw_matrix *,
                                           const struct sw_matrix_rows *))
{
    static const int64_t bounds[] = {0, 17, 700, ROWS};
    for (int i = 0; i < 3; i++) {
        const struct sw_matrix_rows put = {values + bounds[i] * COLS,
                                           SW_F32,
                                           bounds[i],
                                           bounds[i + 1] - bounds[i],
                                           COLS,
                                           1,
                                           NULL,
                                           false};
        ok(to(b, m, &put));
    }
}

/* The bytes of a matrix on the device. */
static unsigned char *stored(struct sw_pool *pool, enum sw_format_id format, const float *values)
{
    const size_t bytes = sw_matrix_bytes(format, ROWS, COLS);
    struct sw_backend *b = open_for_weights(pool);
    struct sw_matrix m = {format, ROWS, COLS, room(b, bytes), NULL};
    unsigned char *got = malloc(bytes);
    ok(b->ops->matrix_clear(b, &m));
    put_parts(b, &m, values, b->ops->matrix_put);
    ok(b->ops->download(b, got, m.d_data, bytes));
    matrix_free(b, &m);
    b->ops->close(b);
    return got;
}

static void threads_change_nothing(void)
{
    static const int threads[] = {2, 5};
    float *values = made_up_values();
    FOR_EACH_KIND_OF_FORMAT(f)
    {
        const enum sw_format_id format = (enum sw_format_id)f;
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

/* A row as the format encodes it, part after part of the GPU's layout, with zeros as padding. */
static void encoded_row(enum sw_format_id format, const float *values, char *row_parts)
{
    const struct sw_format *f = sw_format_of(format);
    const struct sw_gpu_layout l = sw_gpu_layout_of(format, ROWS, COLS);
    const struct sw_values row = {values, SW_F32, COLS, 1, NULL};
    const size_t blocks = (COLS + (size_t)f->block_len - 1) / (size_t)f->block_len;
    char *whole = calloc(blocks, f->block_bytes);
    float scale = 0;
    sw_format_encode_row(f, &row, whole, &scale);
    memset(row_parts, 0, l.row_bytes);
    char *parts[SW_GPU_PARTS] = {row_parts};
    for (int i = 1; i < l.n_parts; i++)
        parts[i] = parts[i - 1] + l.parts[i - 1].row_bytes;
    sw_gpu_split(format, whole, (int64_t)blocks, parts);
    if (f->row_scale)
        memcpy(parts[l.n_parts - 1], &scale, sizeof scale);
    free(whole);
}

/* Rows on the GPU are the format's encoding, as the CPU packs it too. */
static void rows_are_encoded_ones(void)
{
    float *values = made_up_values();
    FOR_EACH_GPU_FORMAT (f) {
        const struct sw_gpu_layout l = sw_gpu_layout_of((enum sw_format_id)f, ROWS, COLS);
        unsigned char *got = stored(NULL, (enum sw_format_id)f, values);
        char *want = malloc(l.row_bytes);
        for (size_t r = 0; r < ROWS; r++) {
            encoded_row((enum sw_format_id)f, values + r * COLS, want);
            const char *part = want;
            for (int i = 0; i < l.n_parts; part += l.parts[i++].row_bytes)
                CU_ASSERT_FATAL(!memcmp(got + l.parts[i].at + r * l.parts[i].row_bytes, part,
                                        l.parts[i].row_bytes));
        }
        free(want);
        free(got);
    }
    free(values);
}

/* The same, in a memory with something else in it before. */
static void put_in_host_memory(struct sw_backend *b, struct sw_matrix *m, const float *values,
                               bool alone)
{
    memset(m->d_data, 0x5a, sw_matrix_bytes(m->format, m->rows, m->cols));
    b->gpu->host_clear(b, m);
    if (!alone) {
        put_parts(b, m, values, b->gpu->host_put);
        return;
    }
    const struct sw_matrix_rows all = {values, SW_F32, 0, ROWS, COLS, 1, NULL, true};
    ok(b->gpu->host_put(b, m, &all));
}

/* Rows that are made in host memory are byte for byte those on the device, padding too. */
static void host_memory_has_the_same(void)
{
    float *values = made_up_values();
    struct sw_pool *pool;
    ok(sw_pool_create(3, NULL, 0, &pool));
    FOR_EACH_KIND_OF_FORMAT(f)
    {
        const enum sw_format_id format = (enum sw_format_id)f;
        const size_t bytes = sw_matrix_bytes(format, ROWS, COLS);
        unsigned char *want = stored(NULL, format, values);
        for (int i = 0; i < 3; i++) {
            struct sw_backend *b = open_for_weights(i == 0 ? NULL : pool);
            struct sw_matrix m = {format, ROWS, COLS, malloc(bytes), NULL};
            put_in_host_memory(b, &m, values, i == 2);
            CU_ASSERT_EQUAL(memcmp(want, m.d_data, bytes), 0);
            free(m.d_data);
            b->ops->close(b);
        }
        free(want);
    }
    sw_pool_free(pool);
    free(values);
}

/* What no weights can be made of is refused, and nothing is written. */
static void host_memory_refuses(void)
{
    static const int64_t whole_numbers[4] = {1, 2, 3, 4};
    unsigned char memory[SW_ROW_PAD * 4 * sizeof(float)], before[sizeof memory];
    struct sw_backend *b = open_gpu(0);
    struct sw_matrix m = {SW_FORMAT_F32, 1, 4, memory, NULL};
    const struct sw_matrix_rows put = {whole_numbers, SW_I64, 0, 1, 4, 1, NULL, false},
                                none = {NULL, SW_F32, 1, 0, 4, 1, NULL, false};
    memset(memory, 7, sizeof memory);
    memcpy(before, memory, sizeof memory);
    CU_ASSERT_EQUAL(b->gpu->host_put(b, &m, &put), SW_EMODEL);
    ok(b->gpu->host_put(b, &m, &none));
    CU_ASSERT_EQUAL(memcmp(memory, before, sizeof memory), 0);
    b->ops->close(b);
}

SW_UNIT_TESTS({"threads change nothing", threads_change_nothing},
              {"rows are encoded ones", rows_are_encoded_ones},
              {"host memory has the same", host_memory_has_the_same},
              {"host memory refuses", host_memory_refuses})
