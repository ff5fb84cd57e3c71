/*
 * Products of formats in blocks on the CPU: how far they are from the exact ones, and what is no
 * number.
 */
#include "cpu_help.h"

#define ROWS 70
#define COLS 333
#define N 9

/* A row of activations as ggml makes it for its products: blocks of q8_0. */
static void ggml_row(const float *x, int64_t n, float *out)
{
    kept_row(SW_FORMAT_Q8_0, x, n, out);
}

/* Activations lose no more than they do in llama.cpp, whose scales are rounded to f16. */
static void close_as_ggml_s(enum sw_format_id format)
{
    static float kept[ROWS][COLS], taken[N][COLS];
    float *w = floats(ROWS * COLS, 1), *x = floats(N * COLS, 2), y[N * ROWS];
    for (int r = 0; r < ROWS; r++)
        seen_row(format, w + r * COLS, COLS, kept[r]);
    for (int i = 0; i < N; i++)
        ggml_row(x + i * COLS, COLS, taken[i]);
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        struct sw_matrix m = packed(b, format, ROWS, COLS, w);
        double ours = 0, theirs = 0;
        b->ops->matmul(b, &m, NULL, x, COLS, N, y, ROWS, false);
        for (int i = 0; i < N; i++)
            for (int r = 0; r < ROWS; r++) {
                double exact = 0, ggml = 0;
                for (int c = 0; c < COLS; c++) {
                    exact += (double)kept[r][c] * (double)x[i * COLS + c];
                    ggml += (double)kept[r][c] * (double)taken[i][c];
                }
                ours += pow((double)y[i * ROWS + r] - exact, 2);
                theirs += pow(ggml - exact, 2);
            }
        printf("    %s, %s: error %.2e, ggml's %.2e\n", sw_format_of(format)->name,
               sw_isa_name(isa), sqrt(ours / N / ROWS), sqrt(theirs / N / ROWS));
        CU_ASSERT(ours <= theirs);
        CU_ASSERT(ours > 0);
        unpack(b, &m);
        b->ops->close(b);
    }
    free(w), free(x);
}

/* What products see of a weight is within 0.085% of its block's absmax: one activation is 1, all
 * others 0. */
static void entries_are_close_in(enum sw_format_id format)
{
    float *w = floats(ROWS * COLS, 7), x[COLS] = {0}, y[ROWS];
    static float kept[ROWS][COLS], absmax[ROWS][COLS];
    for (int r = 0; r < ROWS; r++) {
        kept_row(format, w + r * COLS, COLS, kept[r]);
        nf4_absmax_row(format, w + r * COLS, COLS, absmax[r]);
    }
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(1, isa);
        struct sw_matrix m = packed(b, format, ROWS, COLS, w);
        double squares = 0, of_errors = 0;
        for (int c = 0; c < COLS; c++) {
            x[c] = 1;
            b->ops->matmul(b, &m, NULL, x, COLS, 1, y, ROWS, false);
            x[c] = 0;
            for (int r = 0; r < ROWS; r++) {
                CU_ASSERT(fabsf(y[r] - kept[r][c]) <= 0.00085f * absmax[r][c]);
                of_errors += pow((double)(y[r] - kept[r][c]), 2);
                squares += pow((double)kept[r][c], 2);
            }
        }
        printf("    %s, %s: entries off by %.1e of themselves\n", sw_format_of(format)->name,
               sw_isa_name(isa), sqrt(of_errors / squares));
        CU_ASSERT(of_errors <= 0.001 * 0.001 * squares);
        unpack(b, &m);
        b->ops->close(b);
    }
    free(w);
}

static void entries_of_nf4_are_close(void)
{
    static const enum sw_format_id formats[] = {SW_FORMAT_NF4, SW_FORMAT_FP4, SW_FORMAT_NF4_NESTED,
                                                SW_FORMAT_FP4_NESTED};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        entries_are_close_in(formats[i]);
}

static void products_are_as_close_as_ggml_s(void)
{
    FOR_EACH_FORMAT (format)
        if (takes_blocks(format))
            close_as_ggml_s(format);
}

/* In an activation: all of that token's outputs, and no other's. In a weight: its output alone. */
static void no_number_shows(enum sw_format_id format)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    FOR_EACH_ISA (isa)
        for (int k = 0; k < 3; k++) {
            struct sw_backend *b = open_cpu(1, isa);
            float *w = floats(ROWS * COLS, 3), *x = floats(N * COLS, 4), y[N * ROWS];
            w[17 * COLS + 40] = bad[k];
            x[4 * COLS + COLS - 1] = bad[k];
            struct sw_matrix m = packed(b, format, ROWS, COLS, w);
            b->ops->matmul(b, &m, NULL, x, COLS, N, y, ROWS, false);
            for (int i = 0; i < N; i++)
                for (int r = 0; r < ROWS; r++)
                    CU_ASSERT_EQUAL(isfinite(y[i * ROWS + r]) != 0, i != 4 && r != 17);
            unpack(b, &m);
            b->ops->close(b);
            free(w), free(x);
        }
}

static void what_is_no_number_shows(void)
{
    FOR_EACH_FORMAT (format)
        if (takes_blocks(format))
            no_number_shows(format);
}

/* Blocks of 0, and of what is nearly 0, beside others. */
static void zeros_add_nothing_to(enum sw_format_id format)
{
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(1, isa);
        float *w = floats(ROWS * COLS, 5), *x = floats(COLS, 6), y[ROWS], want[ROWS];
        for (int c = 32; c < 96; c++)
            x[c] = c < 64 ? 0 : c % 2 ? 0x1p-120f : -0x1p-126f;
        struct sw_matrix m = packed(b, format, ROWS, COLS, w);
        b->ops->matmul(b, &m, NULL, x, COLS, 1, y, ROWS, false);
        for (int c = 64; c < 96; c++)
            x[c] = 0;
        b->ops->matmul(b, &m, NULL, x, COLS, 1, want, ROWS, false);
        CU_ASSERT_EQUAL(memcmp(y, want, sizeof y), 0);
        CU_ASSERT(isfinite(y[0]) && y[0] != 0);
        unpack(b, &m);
        b->ops->close(b);
        free(w), free(x);
    }
}

static void zeros_add_nothing(void)
{
    FOR_EACH_FORMAT (format)
        if (takes_blocks(format))
            zeros_add_nothing_to(format);
}

/* A matrix whose columns are in an order of their own: the bits of a product with activations that
 * were permuted before, also where they are activated on the way. */
static void order_is_of_activations(enum sw_format_id format, bool activated)
{
    float *w = floats(ROWS * COLS, 5), *x = floats(N * 2 * COLS, 6),
          *permuted = floats(N * 2 * COLS, 0);
    int32_t order[COLS];
    for (int i = 0; i < COLS; i++)
        order[i] = i * 100 % COLS;
    for (int i = 0; i < N * 2; i++)
        for (int c = 0; c < COLS; c++)
            permuted[i * COLS + c] = x[i * COLS + order[c]];
    FOR_EACH_ISA (isa)
        for (int n = 1; n <= N; n += N - 1) {
            struct sw_backend *b = open_cpu(2, isa);
            struct sw_matrix m = packed(b, format, ROWS, COLS, w), ordered = m;
            float want[N * ROWS], got[N * ROWS];
            float *a = malloc(N * 2 * COLS * sizeof *a), *c = malloc(N * 2 * COLS * sizeof *c);
            memcpy(a, permuted, N * 2 * COLS * sizeof *a);
            memcpy(c, x, N * 2 * COLS * sizeof *c);
            ordered.d_order = order;
            if (activated) {
                b->ops->activated_matmul(b, SW_ACT_SILU, true, &m, NULL, a, 2 * COLS, n, want, ROWS,
                                         false);
                b->ops->activated_matmul(b, SW_ACT_SILU, true, &ordered, NULL, c, 2 * COLS, n, got,
                                         ROWS, false);
            } else {
                b->ops->matmul(b, &m, NULL, a, 2 * COLS, n, want, ROWS, false);
                b->ops->matmul(b, &ordered, NULL, c, 2 * COLS, n, got, ROWS, false);
            }
            CU_ASSERT_EQUAL(memcmp(got, want, (size_t)(n * ROWS) * sizeof *got), 0);
            free(a), free(c);
            unpack(b, &m);
            b->ops->close(b);
        }
    free(w), free(x), free(permuted);
}

static void orders_permute_activations(void)
{
    static const enum sw_format_id formats[] = {SW_FORMAT_INT2_G32, SW_FORMAT_INT3_G128,
                                                SW_FORMAT_INT4_G32, SW_FORMAT_INT8_G128};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        order_is_of_activations(formats[i], false);
        order_is_of_activations(formats[i], true);
    }
}

/* Another table than the format's, uploaded: products, and rows of an embedding, are by that one.
 */
static void tables_are_the_matrix_s(void)
{
    float *w = floats(ROWS * COLS, 7), *x = floats(N * COLS, 8), y[N * ROWS], table[SW_TABLE_LEN];
    for (int i = 0; i < SW_TABLE_LEN; i++)
        table[i] = (float)((i * 193 + 71) % 256 - 128) / 97;
    FOR_EACH_FORMAT (format)
        FOR_EACH_ISA (isa) {
            const struct sw_format *f = sw_format_of(format);
            if (!f->table)
                continue;
            struct sw_backend *b = open_cpu(2, isa);
            struct sw_matrix m = packed(b, format, ROWS, COLS, w);
            float *own = sw_matrix_table(format, m.d_data, ROWS, COLS);
            CU_ASSERT_EQUAL(memcmp(own, f->table, sizeof table), 0);
            CU_ASSERT_EQUAL(b->ops->upload(b, own, table, sizeof table), SW_OK);
            b->ops->matmul(b, &m, NULL, x, COLS, N, y, ROWS, false);
            for (int32_t r = 0; r < ROWS; r++) {
                const struct sw_values row = {w + r * COLS, SW_F32, COLS, 1, NULL};
                float kept[COLS], embedded[COLS], scale;
                char blocks[1024];
                sw_format_encode_row(f, &row, blocks, &scale);
                sw_format_decode_by(f, table, blocks, scale, COLS, kept);
                b->ops->embed(b, &m, &r, 1, embedded, COLS);
                CU_ASSERT_EQUAL(memcmp(embedded, kept, sizeof kept), 0);
                for (int i = 0; i < N; i++) {
                    float taken[COLS];
                    double sum = 0, size = 0;
                    taken_row(format, x + i * COLS, COLS, taken);
                    for (int c = 0; c < COLS; c++) {
                        sum += (double)kept[c] * (double)taken[c];
                        size += fabs((double)kept[c] * (double)taken[c]);
                    }
                    CU_ASSERT(fabs((double)y[i * ROWS + r] - sum) <= 1e-2 * size);
                }
            }
            unpack(b, &m);
            b->ops->close(b);
        }
    free(w), free(x);
}

/* Row r and column c have E4M3's code r + c: every code is in every column, subnormals among normal
 * numbers. */
#define E4M3_CODES 256
#define E4M3_BLOCK (4 + 128)
static void put_codes(struct sw_backend *b, struct sw_matrix *m, float scale)
{
    static char blocks[E4M3_CODES][2 * E4M3_BLOCK];
    for (int r = 0; r < E4M3_CODES; r++)
        for (int c = 0; c < E4M3_CODES; c++) {
            char *const block = blocks[r] + c / 128 * E4M3_BLOCK;
            memcpy(block, &scale, sizeof scale);
            block[4 + c % 128] = (char)(r + c);
        }
    const struct sw_matrix_rows all = {
        blocks, SW_F32, 0, E4M3_CODES, E4M3_CODES, 1, sw_format_of(SW_FORMAT_FP8), false};
    b->ops->matrix_clear(b, m);
    CU_ASSERT_EQUAL(b->ops->matrix_put(b, m, &all), SW_OK);
}

/* Each element times its scale, one activation being 1 and all others 0: with scales that leave
 * room for v_load_e4m3's 2^120 and such that do not, for one token and many. */
static void elements_of_fp8_are_exact(void)
{
    static const float scales[] = {0.5f, 0x1p100f, 0x1p-110f, -3};
    static float x[8 * E4M3_CODES], y[8 * E4M3_CODES];
    FOR_EACH_ISA (isa)
        for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
            struct sw_backend *b = open_cpu(1, isa);
            struct sw_matrix m = {SW_FORMAT_FP8, E4M3_CODES, E4M3_CODES, NULL, NULL};
            m.d_data = device(b, sw_matrix_bytes(m.format, m.rows, m.cols));
            put_codes(b, &m, scales[i]);
            for (int c = 0; c < E4M3_CODES; c += 5)
                for (int n = 1; n <= 8; n += 7) {
                    x[c] = 1;
                    b->ops->matmul(b, &m, NULL, x, E4M3_CODES, n, y, E4M3_CODES, false);
                    x[c] = 0;
                    for (int r = 0; r < E4M3_CODES; r++) {
                        const uint8_t code = (uint8_t)(r + c);
                        if ((code & 127) != 127)
                            CU_ASSERT_EQUAL(y[r], sw_e4m3_to_f32(code) * scales[i]);
                    }
                }
            unpack(b, &m);
            b->ops->close(b);
        }
}

SW_UNIT_TESTS({"orders permute activations", orders_permute_activations},
              {"tables are the matrix's", tables_are_the_matrix_s},
              {"products are as close as ggml's", products_are_as_close_as_ggml_s},
              {"entries of nf4 are close", entries_of_nf4_are_close},
              {"what is no number shows", what_is_no_number_shows},
              {"zeros add nothing", zeros_add_nothing},
              {"elements of fp8 are exact", elements_of_fp8_are_exact})
