/*
 * Group-wise integers of files: blocks decode to scale * (code - zero), bit for bit, for every way
 * in which codes and zeros are packed; and to what other programs make of such files.
 */
#include "checkpoint/checkpoint.h"
#include "checkpoint/group_blocks.h"
#include "checkpoint/reader.h"
#include "unit.h"

#include <math.h>

/* What a file of `rows` x `cols` means, before it is packed. */
struct plain {
    int64_t rows, cols, group, groups;
    int bits;
    int *codes, *zeros; /* (rows, cols), (groups, rows) */
    float *scales;      /* (groups, rows), of 8 bits behind the point */
};

static uint32_t plain_state;

static uint32_t noise(uint32_t below)
{
    plain_state = plain_state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(plain_state >> 4) * below >> 28);
}

/* `least`: the smallest zero. */
static struct plain plain_make(int64_t rows, int64_t cols, int64_t group, int bits, int least)
{
    struct plain p = {rows, cols, group, (cols + group - 1) / group, bits, NULL, NULL, NULL};
    p.codes = malloc((size_t)(rows * cols) * sizeof *p.codes);
    p.zeros = malloc((size_t)(p.groups * rows) * sizeof *p.zeros);
    p.scales = malloc((size_t)(p.groups * rows) * sizeof *p.scales);
    for (int64_t i = 0; i < rows * cols; i++)
        p.codes[i] = (int)noise(1u << bits);
    for (int64_t i = 0; i < p.groups * rows; i++) {
        p.zeros[i] = least + (int)noise((1u << bits) - (uint32_t)least);
        p.scales[i] = ldexpf((float)(128 + noise(128)), -(int)noise(20) - 4);
    }
    return p;
}

static void plain_free(struct plain *p)
{
    free(p->codes);
    free(p->zeros);
    free(p->scales);
}

static void put_field(uint32_t *words, int64_t i, int bits, uint32_t value)
{
    for (int64_t b = 0; b < bits; b++)
        if (value >> b & 1)
            words[(i * bits + b) / 32] |= 1u << (i * bits + b) % 32;
}

#define WORDS 65536 /* more than any matrix here has */
static uint32_t packed_codes[WORDS], packed_zeros[WORDS];
static const int awq_order[8] = {0, 2, 4, 6, 1, 3, 5, 7};

/* Packs a matrix as `kind` says. group_of: the group of each column; NULL: one after the other. */
static void pack_codes(const struct plain *p, enum sw_group_codes kind)
{
    const int64_t words = (p->cols * p->bits + 31) / 32;
    memset(packed_codes, 0, sizeof packed_codes);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            const uint32_t code = (uint32_t)p->codes[r * p->cols + c];
            if (kind == SW_CODES_ROWS)
                put_field(packed_codes + r * words, c, p->bits, code);
            else if (kind == SW_CODES_DOWN) /* bit by bit, as codes of 3 bits lie in two words */
                for (int64_t b = 0; b < p->bits; b++)
                    put_field(packed_codes + (c * p->bits + b) / 32 * p->rows + r,
                              (c * p->bits + b) % 32, 1, code >> b & 1);
            else
                for (int i = 0; i < 8; i++)
                    if (awq_order[i] == r % 8)
                        put_field(packed_codes + c * (p->rows / 8) + r / 8, i, 4, code);
        }
}

static void pack_zeros(const struct plain *p, enum sw_group_zeros kind, int64_t step, int less)
{
    const int64_t per_word = 32 / p->bits;
    memset(packed_zeros, 0, sizeof packed_zeros);
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t r = 0; r < p->rows; r++) {
            const uint32_t zero = (uint32_t)(p->zeros[g * p->rows + r] - less);
            uint32_t *line = packed_zeros + g * (p->rows * p->bits / 32);
            if (kind == SW_ZEROS_GPTQ)
                put_field(line, r, p->bits, zero);
            else if (kind == SW_ZEROS_DOWN)
                put_field(packed_zeros + r / per_word * p->groups + g, r % per_word, p->bits, zero);
            else if (kind == SW_ZEROS_GROUPS)
                put_field(packed_zeros + r * step, g, p->bits, zero);
            else
                for (int i = 0; i < 8 && kind == SW_ZEROS_AWQ; i++)
                    if (awq_order[i] == r % 8)
                        put_field(line + r / 8, i, 4, zero);
        }
}

/* Scales in a type, as (groups, rows) or (rows, groups). The caller frees. */
static void *pack_scales(const struct plain *p, enum sw_dtype type, bool by_row)
{
    const size_t size = sw_dtype_info(type)->bits / 8;
    char *out = malloc((size_t)(p->groups * p->rows) * size);
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t r = 0; r < p->rows; r++) {
            const float scale = p->scales[g * p->rows + r];
            const uint16_t half = type == SW_F16 ? sw_f32_to_f16(scale) : sw_f32_to_bf16(scale);
            const size_t at = (size_t)(by_row ? r * p->groups + g : g * p->rows + r);
            memcpy(out + at * size, type == SW_F32 ? (const void *)&scale : (const void *)&half,
                   size);
        }
    return out;
}

/* Blocks of all rows, made in portions of so many; the caller frees. */
static uint8_t *blocks_of(const struct sw_group_matrix *m, int64_t portion)
{
    const struct sw_format *f = m->format;
    const size_t step = (size_t)((m->cols + f->block_len - 1) / f->block_len) * f->block_bytes;
    uint8_t *blocks = malloc((size_t)m->rows * step);
    for (int64_t r = 0; r < m->rows; r += portion)
        sw_group_blocks(m, r, m->rows - r < portion ? m->rows - r : portion,
                        blocks + (size_t)r * step);
    return blocks;
}

/* How many values of `p` the blocks have otherwise. order: as in the matrix. */
static int64_t wrong_values(const struct plain *p, const struct sw_group_matrix *m,
                            const uint8_t *blocks)
{
    const struct sw_format *f = m->format;
    const size_t step = (size_t)((p->cols + f->block_len - 1) / f->block_len) * f->block_bytes;
    float *got = malloc((size_t)p->cols * sizeof *got);
    int64_t wrong = 0;
    for (int64_t r = 0; r < p->rows; r++) {
        f->decode(blocks + (size_t)r * step, 1, p->cols, got);
        for (int64_t i = 0; i < p->cols; i++) {
            const int64_t c = m->order ? m->order[i] : i, g = i / p->group;
            const float want = p->scales[g * p->rows + r] *
                               (float)(p->codes[r * p->cols + c] - p->zeros[g * p->rows + r]);
            wrong += memcmp(&want, got + i, sizeof want) != 0;
        }
    }
    free(got);
    return wrong;
}

static const struct {
    enum sw_group_codes codes;
    enum sw_group_zeros zeros;
    int bits, less;
    enum sw_dtype scales;
} forms[] = {
    {SW_CODES_DOWN, SW_ZEROS_GPTQ, 2, 1, SW_F16},  {SW_CODES_DOWN, SW_ZEROS_GPTQ, 2, 0, SW_F16},
    {SW_CODES_DOWN, SW_ZEROS_GPTQ, 3, 1, SW_F16},  {SW_CODES_DOWN, SW_ZEROS_GPTQ, 3, 0, SW_BF16},
    {SW_CODES_DOWN, SW_ZEROS_GPTQ, 4, 1, SW_F16},  {SW_CODES_DOWN, SW_ZEROS_GPTQ, 4, 0, SW_BF16},
    {SW_CODES_DOWN, SW_ZEROS_GPTQ, 8, 1, SW_F16},  {SW_CODES_DOWN, SW_ZEROS_GPTQ, 8, 0, SW_F32},
    {SW_CODES_ACROSS, SW_ZEROS_AWQ, 4, 0, SW_F16}, {SW_CODES_ROWS, SW_ZEROS_GROUPS, 4, 0, SW_F16},
    {SW_CODES_ROWS, SW_ZEROS_DOWN, 4, 0, SW_BF16}, {SW_CODES_ROWS, SW_ZEROS_DOWN, 8, 0, SW_F32},
    {SW_CODES_ROWS, SW_ZEROS_NONE, 4, 0, SW_BF16}, {SW_CODES_ROWS, SW_ZEROS_NONE, 8, 0, SW_F16},
};

/* The form `i` of a matrix; order: (cols), or NULL. */
static void check_form(size_t i, int64_t rows, int64_t cols, int64_t group, const int32_t *order)
{
    struct plain p = plain_make(rows, cols, group, forms[i].bits, forms[i].less);
    const struct sw_format *f = sw_groupwise_format(forms[i].bits, group, cols);
    const bool by_row = forms[i].codes == SW_CODES_ROWS;
    const int64_t step = (p.groups * forms[i].bits + 31) / 32 + 1;
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    for (int64_t k = 0; forms[i].zeros == SW_ZEROS_NONE && k < p.groups * rows; k++)
        p.zeros[k] = 1 << (p.bits - 1);
    pack_codes(&p, forms[i].codes);
    pack_zeros(&p, forms[i].zeros, step, forms[i].less);
    void *scales = pack_scales(&p, forms[i].scales, by_row);
    const struct sw_group_matrix m = {.format = f,
                                      .rows = rows,
                                      .cols = cols,
                                      .group = group,
                                      .bits = p.bits,
                                      .codes_kind = forms[i].codes,
                                      .codes = packed_codes,
                                      .scales = scales,
                                      .scale_type = forms[i].scales,
                                      .scale_row = by_row ? p.groups : 1,
                                      .scale_group = by_row ? 1 : rows,
                                      .zeros_kind = forms[i].zeros,
                                      .zeros = packed_zeros,
                                      .zeros_step = step,
                                      .less_one = forms[i].less,
                                      .order = order};
    uint8_t *whole = blocks_of(&m, rows), *pieces = blocks_of(&m, 5);
    const int64_t wrong = wrong_values(&p, &m, whole) + wrong_values(&p, &m, pieces);
    if (wrong)
        printf("    form %zu, %lld x %lld in groups of %lld: %lld are wrong\n", i, (long long)rows,
               (long long)cols, (long long)group, (long long)wrong);
    CU_ASSERT_EQUAL(wrong, 0);
    free(whole);
    free(pieces);
    free(scales);
    plain_free(&p);
}

/* Whole and half groups, one group for a row, a tile of rows and some more. */
static void forms_decode(void)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        check_form(i, 96, 256, 32, NULL);
        check_form(i, 32, 256, 128, NULL);
        check_form(i, 64, 192, 128, NULL);
        check_form(i, 160, 96, 96, NULL);
        if (forms[i].codes == SW_CODES_ROWS)
            check_form(i, 13, 104, 64, NULL);
    }
}

static void columns_in_another_order(void)
{
    int32_t order[192];
    for (int32_t i = 0; i < 192; i++)
        order[i] = i * 35 % 192;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        check_form(i, 96, 192, 32, order);
        check_form(i, 64, 192, 128, order);
    }
}

/* Columns are sorted by group, and stay in order within one. */
static void orders_of_groups(void)
{
    int32_t order[10];
    bool sorted;
    const int32_t mixed[10] = {2, 0, 1, 1, 0, 0, 1, 2, 0, 1},
                  plain[10] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2};
    static const int32_t want[10] = {1, 4, 5, 8, 2, 3, 6, 9, 0, 7};
    CU_ASSERT_TRUE(sw_group_order(mixed, 10, 4, order, &sorted));
    CU_ASSERT_FALSE(sorted);
    CU_ASSERT_EQUAL(memcmp(order, want, sizeof want), 0);
    CU_ASSERT_TRUE(sw_group_order(plain, 10, 4, order, &sorted));
    CU_ASSERT_TRUE(sorted);
    for (int32_t i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(order[i], i);
    const int32_t ones[3] = {2, 0, 1};
    CU_ASSERT_TRUE(sw_group_order(ones, 3, 1, order, &sorted));
    CU_ASSERT_EQUAL(order[0], 1);
    CU_ASSERT_EQUAL(order[2], 0);
    /* no such groups: too many columns of one, none of another, one that is not there */
    static const int32_t bad[][4] = {{0, 0, 0, 1}, {0, 0, 1, 2}, {0, 0, 1, -1}, {1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_FALSE(sw_group_order(bad[i], 4, 2, order, &sorted));
}

/* A group's size chooses the format; one that no block divides has none. */
static void formats_of_groups(void)
{
    static const struct {
        int bits;
        int64_t group, cols;
        const char *name;
    } cases[] = {
        {4, 128, 4096, "int4_g128"}, {4, 256, 4096, "int4_g128"}, {4, 64, 4096, "int4_g32"},
        {4, 32, 4096, "int4_g32"},   {4, 100, 100, "int4_g128"},  {8, 128, 4096, "int8_g128"},
        {8, 96, 4096, "int8_g32"},   {4, 16, 4096, NULL},         {8, 100, 4096, NULL},
        {5, 128, 4096, NULL},        {2, 128, 4096, "int2_g128"}, {2, 64, 4096, "int2_g32"},
        {3, 128, 4096, "int3_g128"}, {3, 32, 4096, "int3_g32"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sw_format *f =
            sw_groupwise_format(cases[i].bits, cases[i].group, cases[i].cols);
        CU_ASSERT_EQUAL(!f, !cases[i].name);
        if (f && cases[i].name)
            CU_ASSERT_STRING_EQUAL(f->name, cases[i].name);
        if (f)
            CU_ASSERT_EQUAL(sw_groupwise_bits(f), cases[i].bits);
    }
}

/* f16 and bf16 scales of every size are kept as they are. */
static void scales_are_exact(void)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float values[] = {sw_f16_to_f32((uint16_t)bits), sw_bf16_to_f32((uint16_t)bits)};
        for (int k = 0; k < 2; k++) {
            const uint32_t head = sw_groupwise_head(values[k], -3);
            const float kept = sw_groupwise_scale(head);
            if (isnan(values[k]) ? !isnan(kept) : memcmp(&kept, &values[k], sizeof kept) != 0)
                CU_FAIL("a scale changes");
            if ((head & 0xff) != 0xfd)
                CU_FAIL("a zero changes");
        }
    }
}

/* ---- files of other programs, with the values that those make of them */

struct vectors {
    struct sw_tensors tensors;
    struct sw_reader *reader;
};

/* A tensor's data; NULL: it is not there. The caller frees. */
static void *vector_read(struct vectors *v, const char *end, const struct sw_tensor **tensor)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.0.self_attn.q_proj.%s", end);
    *tensor = sw_tensors_find(&v->tensors, *end ? name : "expected_f32");
    if (!*tensor)
        return NULL;
    void *data = malloc((*tensor)->bytes);
    CU_ASSERT_EQUAL(sw_reader_rows(v->reader, *tensor, 0, (*tensor)->shape[0], data), SW_OK);
    return data;
}

static const struct {
    const char *name;
    int bits;
    int64_t group;
    enum sw_group_codes codes;
    enum sw_group_zeros zeros;
    bool less_one;
} vector_files[] = {
    {"gptq_2bit_g32", 2, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, true},
    {"gptq_2bit_g32_v2", 2, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, false},
    {"gptq_3bit_g32_actorder", 3, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, true},
    {"gptq_4bit_g32", 4, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, true},
    {"gptq_4bit_g32_actorder", 4, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, true},
    {"gptq_4bit_g32_v2", 4, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, false},
    {"gptq_4bit_gm1", 4, 128, SW_CODES_DOWN, SW_ZEROS_GPTQ, true},
    {"gptq_8bit_g32", 8, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, true},
    {"gptq_8bit_g32_v2", 8, 32, SW_CODES_DOWN, SW_ZEROS_GPTQ, false},
    {"awq_gemm_4bit_g32", 4, 32, SW_CODES_ACROSS, SW_ZEROS_AWQ, false},
    {"ct_pack_int4_sym", 4, 32, SW_CODES_ROWS, SW_ZEROS_NONE, false},
    {"ct_pack_int4_asym", 4, 32, SW_CODES_ROWS, SW_ZEROS_DOWN, false},
};

static void check_vectors(size_t i, struct vectors *v)
{
    const bool packed = vector_files[i].codes == SW_CODES_ROWS;
    const struct sw_tensor *t, *scale_tensor, *want_tensor;
    float *want = vector_read(v, "", &want_tensor);
    CU_ASSERT_PTR_NOT_NULL_FATAL(want);
    const int64_t rows = want_tensor->shape[0], cols = want_tensor->shape[1];
    const int64_t group = vector_files[i].group, groups = (cols + group - 1) / group;
    uint32_t *codes = vector_read(v, packed ? "weight_packed" : "qweight", &t);
    void *scales = vector_read(v, packed ? "weight_scale" : "scales", &scale_tensor);
    uint32_t *zeros = vector_read(v, packed ? "weight_zero_point" : "qzeros", &t);
    int32_t *group_of = vector_read(v, "g_idx", &t), *order = malloc((size_t)cols * sizeof *order);
    bool sorted = true;
    const struct sw_format *f = sw_groupwise_format(vector_files[i].bits, group, cols);
    if (group_of)
        CU_ASSERT_TRUE(sw_group_order(group_of, cols, group, order, &sorted));
    CU_ASSERT_EQUAL(sorted, strstr(vector_files[i].name, "actorder") == NULL);
    const struct sw_group_matrix m = {.format = f,
                                      .rows = rows,
                                      .cols = cols,
                                      .group = group,
                                      .bits = vector_files[i].bits,
                                      .codes_kind = vector_files[i].codes,
                                      .codes = codes,
                                      .scales = scales,
                                      .scale_type = scale_tensor->dtype,
                                      .scale_row = packed ? groups : 1,
                                      .scale_group = packed ? 1 : rows,
                                      .zeros_kind = vector_files[i].zeros,
                                      .zeros = zeros,
                                      .less_one = vector_files[i].less_one,
                                      .order = sorted ? NULL : order};
    uint8_t *blocks = blocks_of(&m, 24);
    const size_t step = (size_t)((cols + f->block_len - 1) / f->block_len) * f->block_bytes;
    float *got = malloc((size_t)cols * sizeof *got);
    int64_t wrong = 0;
    for (int64_t r = 0; r < rows; r++) {
        f->decode(blocks + (size_t)r * step, 1, cols, got);
        for (int64_t c = 0; c < cols; c++)
            wrong += !(got[c] == want[r * cols + (m.order ? m.order[c] : c)]);
    }
    if (wrong)
        printf("    %s: %lld values are wrong\n", vector_files[i].name, (long long)wrong);
    CU_ASSERT_EQUAL(wrong, 0);
    void *const all[] = {want, codes, scales, zeros, group_of, order, blocks, got};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        free(all[k]);
}

static void files_of_others(void)
{
    for (size_t i = 0; i < sizeof vector_files / sizeof vector_files[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "quant-vectors/%s.safetensors", vector_files[i].name);
        const char *path = sw_unit_shared(name);
        struct vectors v = {{0}, NULL};
        if (!path)
            continue;
        CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(path, &v.tensors), SW_OK);
        CU_ASSERT_EQUAL_FATAL(sw_reader_open(&v.tensors, &v.reader), SW_OK);
        check_vectors(i, &v);
        sw_reader_close(v.reader);
        sw_tensors_free(&v.tensors);
    }
}

SW_UNIT_TESTS({"forms_decode", forms_decode},
              {"columns_in_another_order", columns_in_another_order},
              {"orders_of_groups", orders_of_groups}, {"formats_of_groups", formats_of_groups},
              {"scales_are_exact", scales_are_exact}, {"files_of_others", files_of_others})
