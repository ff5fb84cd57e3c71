/*
 * Weight formats: encode against decode, and against the bytes that the CPU's kernels read, in a
 * loop over the table.
 */
#include "hard_values.h"
#include "kernels/cpu/cpu_kernels.h"
#include "unit.h"

static const enum sw_dtype sources[] = {SW_F32, SW_F16, SW_BF16, SW_F64};
#define N_SOURCES (sizeof sources / sizeof sources[0])

#define FOR_EACH_FORMAT(f)                                                                         \
    for (int f##_id = 0; f##_id < SW_FORMAT_COUNT; f##_id++)                                       \
        for (const struct sw_format *f = sw_format_of((enum sw_format_id)f##_id); f; f = NULL)

/* The matrix as the CPU's kernels read it, with a table of other numbers than the format's. The
 * caller frees. */
static char *packed_matrix(enum sw_format_id format, enum sw_dtype source, bool transposed)
{
    char *values = hard_values(source, transposed);
    char *data = calloc(1, sw_matrix_bytes(format, ROWS, COLS));
    const struct sw_pack pack = {.format = format,
                                 .rows = ROWS,
                                 .cols = COLS,
                                 .data = data,
                                 .src = values,
                                 .src_dtype = source,
                                 .n_rows = ROWS,
                                 .row_stride = transposed ? 1 : COLS,
                                 .col_stride = transposed ? ROWS : 1};
    for (int64_t panel = 0; panel * SW_PANEL < ROWS; panel++)
        sw_pack_panel(&pack, panel);
    float *table = sw_matrix_table(format, data, ROWS, COLS);
    for (int i = 0; table && i < SW_TABLE_LEN; i++)
        table[i] = another_number(i);
    free(values);
    return data;
}

static uint64_t digest(const char *bytes, size_t n)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
    return hash;
}

/* Bytes of a packed matrix before its table. */
static size_t packed_bytes(enum sw_format_id format)
{
    const struct sw_matrix_layout l = sw_matrix_layout_of(format, ROWS, COLS);
    return sw_format_of(format)->table ? l.table : l.bytes;
}

/* Digests of packed matrices of hard_values, from each of `sources`: a change of them is a change
 * of every answer. */
static void packed_bytes_stay(void)
{
    static const struct {
        enum sw_format_id format;
        uint64_t digests[N_SOURCES];
    } cases[] = {
        {SW_FORMAT_F32,
         {0x1efc920e21a8b6a3, 0x2f73dcfbc4d02cf8, 0x51e826862bb6e463, 0x1efc920e21a8b6a3}},
        {SW_FORMAT_F16,
         {0xb3ed27e5fc6a23a1, 0xb3ed27e5fc6a23a1, 0x6805b56642585f4b, 0xb3ed27e5fc6a23a1}},
        {SW_FORMAT_BF16,
         {0x5b7289796f3be80b, 0x5287675ee61a3310, 0x5b7289796f3be80b, 0x5b7289796f3be80b}},
        {SW_FORMAT_INT8,
         {0xd4541cbedca25c9c, 0x62c3b4f0da181320, 0x58fdd2cf1fccff99, 0xd4541cbedca25c9c}},
        {SW_FORMAT_Q8_0,
         {0x3edf10f39364afc1, 0x721d41cbcd8f6dc9, 0xed1a17195570b0a3, 0x3edf10f39364afc1}},
        {SW_FORMAT_Q4_0,
         {0x6238bef6e1eda3a4, 0x08d80e2802246591, 0x1520186cf8c64040, 0x6238bef6e1eda3a4}},
        {SW_FORMAT_Q2_K,
         {0x4748f9b16533fc90, 0xa522abe22c56f4f3, 0xc8bafb44e05d55a7, 0x4748f9b16533fc90}},
        {SW_FORMAT_Q3_K,
         {0x54df6b4a61eb1ab5, 0x00bb3332191c2f86, 0xcb941468eed23fa6, 0x54df6b4a61eb1ab5}},
        {SW_FORMAT_Q4_K,
         {0xfb8db96ab579137f, 0x75975a8bae184abb, 0x418eb0e5c25188de, 0xfb8db96ab579137f}},
        {SW_FORMAT_Q5_K,
         {0x99a056f5768cf4f5, 0x54cf95ae5001ee0e, 0xbb45a61ff20837c5, 0x99a056f5768cf4f5}},
        {SW_FORMAT_Q6_K,
         {0x1c71e5e511fc20e5, 0x2f9578b55d06cd7c, 0x084783f2e3c19e2d, 0x1c71e5e511fc20e5}},
        {SW_FORMAT_IQ4_XS,
         {0x1d5187675a49a984, 0x3fc7d66a3e73fda9, 0x5646c4d8f785b680, 0x1d5187675a49a984}},
        {SW_FORMAT_NF4,
         {0x9f5b1137f244d8f6, 0x940587402ea23f10, 0xe814d9c8c7573dc4, 0x9f5b1137f244d8f6}},
        {SW_FORMAT_FP4,
         {0xf1d30e4190ae4369, 0x7d3aeaf2374eb55e, 0x92579287240ae6b2, 0xf1d30e4190ae4369}},
        {SW_FORMAT_FP8,
         {0x14e58f7507812d67, 0x973bff0a6cf105b0, 0x0b9d7c30c84ea20b, 0x14e58f7507812d67}},
        {SW_FORMAT_Q4_1,
         {0x82760e35bcfb370e, 0x1ce51cd62d8e26ce, 0xe00663185e3ed64b, 0x82760e35bcfb370e}},
        {SW_FORMAT_Q5_0,
         {0xdb17295de24724db, 0x18797b225b8e208a, 0x6dba455c3700accb, 0xdb17295de24724db}},
        {SW_FORMAT_Q5_1,
         {0x055778c02b1658fd, 0x737e33deda883506, 0x93acef48078f8c04, 0x055778c02b1658fd}},
        {SW_FORMAT_IQ4_NL,
         {0xc0f004a64fe64d8a, 0x6cc5a332cd0db33b, 0x351bc96fd119252f, 0xc0f004a64fe64d8a}},
        {SW_FORMAT_MXFP4,
         {0x62fd37f58a6f7916, 0x26132af859689d53, 0xcfd9d77b1f2cbf5c, 0x62fd37f58a6f7916}},
        {SW_FORMAT_INT4_G128,
         {0x28abbf72ed61e135, 0xc506f431b53df40c, 0xc46646d763e2b774, 0x28abbf72ed61e135}},
        {SW_FORMAT_INT4_G32,
         {0xf2f78dbda6870eeb, 0xa7b6fa9978813974, 0x50f96b521317490f, 0xf2f78dbda6870eeb}},
        {SW_FORMAT_INT8_G128,
         {0xe8f55e4a7708f0f9, 0x19917a282bcfd882, 0x35c3d02f88ea69a2, 0xe8f55e4a7708f0f9}},
        {SW_FORMAT_INT8_G32,
         {0x7e55e7147129f273, 0x0a58b0e0bdc36d26, 0x5c4c09e177ca03ad, 0x7e55e7147129f273}},
        {SW_FORMAT_NF4_NESTED,
         {0xbc4304f4bcae9334, 0x36626ede098d909c, 0xdd477eff05909039, 0xbc4304f4bcae9334}},
        {SW_FORMAT_FP4_NESTED,
         {0xda2f107350604081, 0x5de3dd637f69f271, 0x2cc139bcef96a37f, 0xda2f107350604081}},
        {SW_FORMAT_INT2_G128,
         {0x159d04d2b6ba5509, 0x88ebadcb2a70a483, 0xb497d7d51c5d5c0c, 0x159d04d2b6ba5509}},
        {SW_FORMAT_INT2_G32,
         {0x8707c07955c9e6c3, 0x402e563b4dfe2c7d, 0x27c136fea3c85fa5, 0x8707c07955c9e6c3}},
        {SW_FORMAT_INT3_G128,
         {0xa206625f41dff97f, 0xd7a33450c190a4f8, 0x93175f9ce445f028, 0xa206625f41dff97f}},
        {SW_FORMAT_INT3_G32,
         {0xa4535e7e31deaac6, 0xdae7548e48b38f0d, 0x02100ca2f1297527, 0xa4535e7e31deaac6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t s = 0; s < N_SOURCES; s++)
            for (int transposed = 0; transposed < 2; transposed++) {
                char *data = packed_matrix(cases[i].format, sources[s], transposed);
                const uint64_t got = digest(data, packed_bytes(cases[i].format));
                if (got != cases[i].digests[s])
                    printf("    %s of %s: 0x%llx\n", sw_format_of(cases[i].format)->name,
                           sw_dtype_info(sources[s])->name, (unsigned long long)got);
                CU_ASSERT_EQUAL(got, cases[i].digests[s]);
                free(data);
            }
}

/* Rows may come in any portions: groups and squares of rows begin and end anywhere. */
static void portions_pack_alike(void)
{
    FOR_EACH_FORMAT (f)
        for (size_t s = 0; s < N_SOURCES; s++)
            for (int transposed = 0; transposed < 2; transposed++) {
                const enum sw_format_id format = (enum sw_format_id)f_id;
                const int64_t size = sw_dtype_info(sources[s])->bits / 8;
                const size_t bytes = sw_matrix_bytes(format, ROWS, COLS);
                const size_t packed = packed_bytes(format);
                char *values = hard_values(sources[s], transposed), *data = calloc(1, bytes);
                char *whole = packed_matrix(format, sources[s], transposed);
                for (int64_t row = 0, n = 1; row < ROWS; row += n, n = n % 23 + 4) {
                    const struct sw_pack pack = {.format = format,
                                                 .rows = ROWS,
                                                 .cols = COLS,
                                                 .data = data,
                                                 .src =
                                                     values + row * size * (transposed ? 1 : COLS),
                                                 .src_dtype = sources[s],
                                                 .row0 = row,
                                                 .n_rows = n < ROWS - row ? n : ROWS - row,
                                                 .row_stride = transposed ? 1 : COLS,
                                                 .col_stride = transposed ? ROWS : 1};
                    for (int64_t panel = 0; panel * SW_PANEL < ROWS; panel++)
                        sw_pack_panel(&pack, panel);
                }
                CU_ASSERT(memcmp(data, whole, packed) == 0);
                CU_ASSERT(packed == bytes || (data[packed] == 0 && data[bytes - 1] == 0));
                free(whole);
                free(data);
                free(values);
            }
}

/* A packed row read back is the decoding of the encoded row by the matrix's table, bit for bit. */
static void packed_rows_are_encoded_ones(void)
{
    FOR_EACH_FORMAT (f)
        for (size_t s = 0; s < N_SOURCES; s++)
            for (int transposed = 0; transposed < 2; transposed++) {
                const enum sw_format_id format = (enum sw_format_id)f_id;
                char *values = hard_values(sources[s], transposed);
                char *data = packed_matrix(format, sources[s], transposed);
                const size_t row_bytes = sw_matrix_layout_of(format, ROWS, COLS).row_bytes;
                char *blocks = malloc(row_bytes);
                for (int row = 0; row < ROWS; row++) {
                    const struct sw_values of = values_row(values, sources[s], transposed, row);
                    float scale = 1, want[COLS], got[COLS];
                    sw_format_encode_row(f, &of, blocks, &scale);
                    sw_format_decode_by(f, sw_matrix_table(format, data, ROWS, COLS), blocks, scale,
                                        COLS, want);
                    sw_unpack_row(format, data, ROWS, COLS, row, got);
                    CU_ASSERT_FATAL(memcmp(got, want, sizeof got) == 0);
                    if (f->row_scale)
                        CU_ASSERT_FATAL(!memcmp(sw_matrix_scales(format, data, ROWS, COLS) + row,
                                                &scale, sizeof scale));
                }
                free(blocks);
                free(data);
                free(values);
            }
}

/* A row encoded in pieces of whole blocks has the bytes of the row encoded at once, and no byte
 * beyond its blocks is written. */
static void pieces_are_the_whole(void)
{
    char *values = hard_values(SW_F32, false);
    FOR_EACH_FORMAT (f) {
        const size_t row_bytes = sw_matrix_layout_of((enum sw_format_id)f_id, ROWS, COLS).row_bytes;
        const int step = f->block_len > 96 ? f->block_len : 96 / f->block_len * f->block_len;
        const size_t used = (size_t)((COLS + f->block_len - 1) / f->block_len) * f->block_bytes;
        char *whole = malloc(row_bytes + 1), *pieces = malloc(row_bytes + 1);
        for (int row = 0; row < ROWS; row++) {
            const struct sw_values of = values_row(values, SW_F32, false, row);
            float scale = 0;
            whole[used] = 77;
            sw_format_encode_row(f, &of, whole, &scale);
            CU_ASSERT_FATAL(whole[used] == 77);
            const float measured = f->measure ? f->measure(&of, &scale) : 0;
            for (int at = 0; at < COLS; at += step)
                f->encode(&of, measured, at, COLS - at < step ? COLS - at : step,
                          pieces + at / f->block_len * (int)f->block_bytes);
            CU_ASSERT_FATAL(memcmp(whole, pieces, used) == 0);
        }
        free(whole);
        free(pieces);
    }
    free(values);
}

/* Root of the sum of squared differences of numbers. */
static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < COLS; i++)
        sum += isfinite(a[i]) && isfinite(b[i]) ? pow((double)a[i] - (double)b[i], 2) : 0;
    return sqrt(sum);
}

/* Whether a block's scale follows from one of its elements. Others have a scale of two, both
 * rounded, or one that is searched for: with another end each time, but one that is nearer. */
static bool scale_is_found_again(const struct sw_format *f)
{
    return f->block_len <= 32 && f != &sw_format_q4_1 && f != &sw_format_q5_1 &&
           f != &sw_format_iq4_nl;
}

/* What a format holds it can hold again: encoding what was decoded changes no element. */
static void decoded_rows_encode_to_themselves(void)
{
    char *values = hard_values(SW_F32, false);
    FOR_EACH_FORMAT (f) {
        const size_t row_bytes = sw_matrix_layout_of((enum sw_format_id)f_id, ROWS, COLS).row_bytes;
        char *once = calloc(1, row_bytes), *twice = calloc(1, row_bytes);
        for (int row = 0; row < ROWS; row++) {
            const struct sw_values of = values_row(values, SW_F32, false, row);
            float scale = 1, again = 1, decoded[COLS], held[COLS];
            sw_format_encode_row(f, &of, once, &scale);
            sw_format_decode(f, once, scale, COLS, decoded);
            const struct sw_values back = {decoded, SW_F32, COLS, 1, NULL};
            sw_format_encode_row(f, &back, twice, &again);
            sw_format_decode(f, twice, again, COLS, held);
            CU_ASSERT_FATAL(scale_is_found_again(f)
                                ? memcmp(once, twice, row_bytes) == 0
                                : distance(held, decoded) <= 0.9 * distance(decoded, of.data));
            CU_ASSERT_FATAL(isnan(scale) ? isnan(again)
                                         : !scale_is_found_again(f) ||
                                               fabsf(again - scale) <= scale * 0x1p-22f);
        }
        free(once);
        free(twice);
    }
    free(values);
}

static void layouts_are_as_documented(void)
{
    const struct sw_matrix_layout l = sw_matrix_layout_of(SW_FORMAT_INT8, 17, 5);
    CU_ASSERT(l.rows == 32 && l.cols == 8 && l.row_bytes == 8 && l.scales == 32 * 8);
    CU_ASSERT_EQUAL(l.bytes, 32 * 8 + 32 * 4);
    CU_ASSERT_EQUAL(sw_matrix_layout_of(SW_FORMAT_BF16, 17, 5).row_bytes, 12);
    char data[1];
    CU_ASSERT_PTR_EQUAL(sw_matrix_scales(SW_FORMAT_INT8, data, 17, 5), data + 32 * 8);
    FOR_EACH_FORMAT (f) {
        const struct sw_matrix_layout m = sw_matrix_layout_of((enum sw_format_id)f_id, ROWS, COLS);
        CU_ASSERT(m.rows % SW_ROW_PAD == 0 && m.rows >= ROWS && m.cols >= COLS);
        CU_ASSERT_EQUAL(f->col_pad % (unsigned)f->block_len, 0);
        CU_ASSERT_EQUAL(m.cols % f->col_pad, 0);
        CU_ASSERT_EQUAL(m.scales, (size_t)m.rows * m.row_bytes);
        CU_ASSERT_EQUAL(m.bytes % SW_ALIGN, 0);
        CU_ASSERT_EQUAL(sw_matrix_scales((enum sw_format_id)f_id, data, ROWS, COLS) != NULL,
                        f->row_scale);
        const float *table = sw_matrix_table((enum sw_format_id)f_id, data, ROWS, COLS);
        CU_ASSERT_EQUAL(table != NULL, f->table != NULL);
        CU_ASSERT_EQUAL(f->table != NULL, f->decode_by != NULL);
        CU_ASSERT(!table || (char *)(uintptr_t)table + 256 * 4 == data + m.bytes);
    }
}

static void what_cannot_be_made_is_refused(void)
{
    CU_ASSERT_EQUAL(sw_format_check(SW_FORMAT_INT8, SW_BF16, 1 << 17), SW_OK);
    CU_ASSERT_EQUAL(sw_format_check(SW_FORMAT_INT8, SW_BF16, (1 << 17) + 1), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "131073 columns cannot be int8"));
    CU_ASSERT_EQUAL(sw_format_check(SW_FORMAT_F16, SW_BF16, (1 << 17) + 1), SW_OK);
    CU_ASSERT_EQUAL(sw_format_check(SW_FORMAT_F16, SW_I32, 4), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "i32 values"));
}

/* By their names, and by those of the element types that they keep as they are. */
static void formats_are_found(void)
{
    enum sw_format_id found;
    FOR_EACH_FORMAT (f) {
        const enum sw_format_id id = (enum sw_format_id)f_id;
        CU_ASSERT(sw_format_by_name(f->name, &found) && found == id);
        CU_ASSERT_EQUAL(sw_format_is_quantized(id), f->dtype == SW_OTHER);
        CU_ASSERT(f->dtype == SW_OTHER || sw_format_keeping(f->dtype) == id);
        CU_ASSERT_EQUAL(sw_format_bytes(id, 4 * f->block_len), 4 * f->block_bytes);
    }
    CU_ASSERT(sw_format_by_name("Half", &found) && found == SW_FORMAT_F16);
    CU_ASSERT_FALSE(sw_format_by_name("f64", &found));
    CU_ASSERT_FALSE(sw_format_by_name("i8", &found)); /* not int8, which has scales */
    CU_ASSERT_EQUAL(sw_format_keeping(SW_F64), SW_FORMAT_NONE);
    CU_ASSERT_EQUAL(sw_format_keeping(SW_OTHER), SW_FORMAT_NONE);
    CU_ASSERT_PTR_NULL(sw_format_of(SW_FORMAT_NONE));
    CU_ASSERT_EQUAL(sw_format_unquantized(SW_F32), SW_FORMAT_F16);
    CU_ASSERT_EQUAL(sw_format_unquantized(SW_BF16), SW_FORMAT_BF16);
    CU_ASSERT_EQUAL(sw_format_kv(SW_FORMAT_F32, SW_BF16), SW_F32);
    CU_ASSERT_EQUAL(sw_format_kv(SW_FORMAT_INT8, SW_BF16), SW_BF16);
}

SW_UNIT_TESTS({"packed bytes stay", packed_bytes_stay},
              {"portions pack alike", portions_pack_alike},
              {"packed rows are encoded ones", packed_rows_are_encoded_ones},
              {"pieces are the whole", pieces_are_the_whole},
              {"decoded rows encode to themselves", decoded_rows_encode_to_themselves},
              {"layouts are as documented", layouts_are_as_documented},
              {"what cannot be made is refused", what_cannot_be_made_is_refused},
              {"formats are found", formats_are_found})
