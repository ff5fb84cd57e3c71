/*
 * Encoders of blocks: the bytes that ggml and bitsandbytes make (make_encoded.py), or errors no
 * larger than theirs where an encoder has a search of its own; the same bits in pieces and from any
 * source; what is no number shows.
 */
#include "fixture_part.h"
#include "tensor/block_search.h"
#include "tensor/format.h"

#include <math.h>

#define ROWS 13 /* of the fixture */
#define COLS 512

/* Every quantized format that weights can be made in, of kernels and of files alone. */
static const struct sw_format *const all[] = {
#define X(id, name) &sw_format_##name,
    SW_FORMATS(X)
#undef X
};
#define FOR_EACH_ENCODER(f)                                                                        \
    for (size_t f##_at = 0; f##_at < sizeof all / sizeof all[0]; f##_at++)                         \
        for (const struct sw_format *f = all[f##_at]; f && f->encode && f->dtype == SW_OTHER;      \
             f = NULL)

/* Those that have the reference's bits. */
static const char *const exact[] = {"q4_0",   "q4_1",  "q5_0", "q5_1", "q8_0",
                                    "iq4_nl", "mxfp4", "nf4",  "fp4"};
#define N_EXACT (sizeof exact / sizeof exact[0])

static const struct sw_format *format_named(const char *name)
{
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static size_t row_bytes(const struct sw_format *f, int64_t n)
{
    return (size_t)((n + f->block_len - 1) / f->block_len) * f->block_bytes;
}

static void encode_row(const struct sw_format *f, const float *values, int64_t n, uint8_t *blocks,
                       float *scale)
{
    const struct sw_values row = {values, SW_F32, n, 1, NULL};
    *scale = 1;
    sw_format_encode_row(f, &row, blocks, scale);
}

static void makes_the_reference_s_blocks(void)
{
    float *values = fixture_part("encoded.safetensors", "values"), scale;
    for (size_t i = 0; i < N_EXACT; i++) {
        const struct sw_format *f = format_named(exact[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        uint8_t *want = fixture_part("encoded.safetensors", f->name);
        const size_t bytes = row_bytes(f, COLS);
        uint8_t *got = malloc(bytes);
        for (int row = 0; row < ROWS; row++) {
            encode_row(f, values + row * COLS, COLS, got, &scale);
            if (memcmp(got, want + (size_t)row * bytes, bytes) != 0)
                printf("    %s: row %d differs\n", f->name, row);
            CU_ASSERT_EQUAL(memcmp(got, want + (size_t)row * bytes, bytes), 0);
        }
        free(got);
        free(want);
    }
    free(values);
}

/* Digests of the fixture's rows as formats with a search of their own make them: a change of them
 * is a change of every answer. */
static void searched_bytes_stay(void)
{
    static const struct {
        const char *format;
        uint64_t digest;
    } cases[] = {{"q2_k", 0x4c66f503a53f2aa0}, {"q3_k", 0xdd1ccf02a2776d6a},
                 {"q4_k", 0x998c298ab244a9ad}, {"q5_k", 0x2d3aa0c44b7aaf13},
                 {"q6_k", 0xbf85132c4a7df48a}, {"iq4_xs", 0x36dbfbae1108eed1}};
    float *values = fixture_part("encoded.safetensors", "values"), scale;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sw_format *f = format_named(cases[i].format);
        const size_t bytes = row_bytes(f, COLS);
        uint8_t *blocks = malloc(bytes);
        uint64_t hash = 14695981039346656037u; /* FNV-1a */
        for (int row = 0; row < ROWS; row++) {
            encode_row(f, values + row * COLS, COLS, blocks, &scale);
            for (size_t k = 0; k < bytes; k++)
                hash = (hash ^ blocks[k]) * 1099511628211u;
        }
        if (hash != cases[i].digest)
            printf("    %s: 0x%llx\n", f->name, (unsigned long long)hash);
        CU_ASSERT_EQUAL(hash, cases[i].digest);
        free(blocks);
    }
    free(values);
}

/* Values of a type that f32, f16, bf16 and f64 can all hold, some of them hard. */
static float common_value(int i)
{
    const uint32_t noise = (uint32_t)i * 2654435761u;
    const float value = (float)((int32_t)(noise >> 24) - 128) / 1024;
    return i % 97 == 5 ? 0 : i % 61 == 3 ? value * 16 : value;
}

/* n values of a type, `stride` elements apart. The caller frees. */
static char *source_of(enum sw_dtype dtype, int n, int stride)
{
    const size_t size = sw_dtype_info(dtype)->bits / 8;
    char *data = calloc((size_t)(n * stride), size);
    for (int i = 0; i < n; i++) {
        const float value = common_value(i);
        const double wide = (double)value;
        const uint16_t half = dtype == SW_F16 ? sw_f32_to_f16(value) : sw_f32_to_bf16(value);
        const void *from = dtype == SW_F32   ? (const void *)&value
                           : dtype == SW_F64 ? (const void *)&wide
                                             : (const void *)&half;
        memcpy(data + (size_t)(i * stride) * size, from, size);
    }
    return data;
}

#define LONG 1500 /* values: the last block of any format is short */

/* One row's bytes from any source, in one piece or in many. */
static void same_bits_from_any_source(void)
{
    static const enum sw_dtype sources[] = {SW_F32, SW_F16, SW_BF16, SW_F64};
    FOR_EACH_ENCODER(f)
    {
        const size_t bytes = row_bytes(f, LONG);
        uint8_t *want = malloc(bytes + 1), *got = malloc(bytes + 1);
        for (size_t s = 0; s < 2 * sizeof sources / sizeof sources[0]; s++) {
            const int stride = s % 2 == 0 ? 1 : 7;
            char *data = source_of(sources[s / 2], LONG, stride);
            const struct sw_values row = {data, sources[s / 2], LONG, stride, NULL};
            float scale = 1;
            const float measured = f->measure ? f->measure(&row, &scale) : 0;
            got[bytes] = 77;
            f->encode(&row, measured, 0, LONG, got);
            CU_ASSERT(got[bytes] == 77);
            if (s == 0)
                memcpy(want, got, bytes);
            CU_ASSERT(memcmp(want, got, bytes) == 0);
            memset(got, 1, bytes);
            for (int64_t at = 0, step; at < LONG; at += step) {
                step = f->block_len * (at % 5 + 1);
                step = LONG - at < step ? LONG - at : step;
                f->encode(&row, measured, at, step, got + row_bytes(f, at));
            }
            CU_ASSERT(memcmp(want, got, bytes) == 0);
            free(data);
        }
        free(want);
        free(got);
    }
}

/* What one kind of search finds in groups of parts of `len` values of the fixture. */
static void search_all(const struct block_search *search, const float *values, int len,
                       uint8_t *elements, float *found)
{
    static const struct search_range range = {0, 15, 21, -1, 0.1f},
                                     symmetric = {-8, 7, 19, -1, 0.1f};
    struct search_group group;
    float middles[15];
    for (int at = 0; at < ROWS * COLS; at += SEARCH_PARTS * len, found += 4 * SEARCH_PARTS) {
        search->gather(values + at, len, 1, &group);
        search->with_min(&group, range, found, found + SEARCH_PARTS);
        search->linear.elements(&group, range, found, found + SEARCH_PARTS, elements + at);
        search->linear.fit(&group, symmetric, found + 2 * SEARCH_PARTS);
        search->table.fit(&group, symmetric, found + 3 * SEARCH_PARTS);
    }
    for (int i = 0; i < 15; i++)
        middles[i] = (float)(i - 7) / 8;
    search->places(values, ROWS * COLS, 20, middles, elements + ROWS * COLS);
}

static void same_bits_on_every_instruction_set(void)
{
    float *values = fixture_part("encoded.safetensors", "values");
    for (int len = 16; len <= 32; len += 16) {
        static float want[ROWS * COLS], got[ROWS * COLS];
        static uint8_t elements[2][2 * ROWS * COLS]; /* and places */
        search_all(&block_search_portable, values, len, elements[0], want);
        search_all(block_search_here(), values, len, elements[1], got);
        CU_ASSERT(memcmp(want, got, sizeof want) == 0);
        CU_ASSERT(memcmp(elements[0], elements[1], sizeof elements[0]) == 0);
    }
    free(values);
}

/* A block with something that is no number, or is too large, decodes to nothing but NaN; its
 * neighbours do not know of it. */
static void what_is_no_number_shows(void)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const int places[] = {0, 31, 255, 256, 300, 511};
    float *values = fixture_part("encoded.safetensors", "values");
    FOR_EACH_ENCODER(f)
    {
        uint8_t *clean = malloc(row_bytes(f, COLS)), *got = malloc(row_bytes(f, COLS));
        float scale, decoded[COLS], before[COLS];
        encode_row(f, values, COLS, clean, &scale);
        f->decode(clean, scale, COLS, before);
        for (int i = 0; i < 6 * 4; i++) {
            const int at = places[i / 4],
                      from = f->row_scale ? 0 : at / f->block_len * f->block_len;
            const int past = f->row_scale ? COLS : from + f->block_len;
            const float kept = values[at];
            values[at] = bad[i % 4];
            encode_row(f, values, COLS, got, &scale);
            values[at] = kept;
            f->decode(got, scale, COLS, decoded);
            for (int k = 0; k < COLS; k++)
                CU_ASSERT_FATAL(k >= from && k < past ? isnan(decoded[k])
                                                      : decoded[k] == before[k]);
        }
        free(clean);
        free(got);
    }
    free(values);
}

/* Blocks of zeros and of values too small for a scale in f16 decode to zeros; what is larger than
 * the scale's range has none, and shows. */
static void the_ends_of_the_range(void)
{
    static const float sizes[] = {0, 1e-30f, 1e9f};
    FOR_EACH_ENCODER(f)
    {
        uint8_t *blocks = malloc(row_bytes(f, COLS));
        float values[COLS], decoded[COLS], scale;
        for (int kind = 0; kind < 3; kind++) {
            for (int i = 0; i < COLS; i++)
                values[i] = (float)(i % 37 - 18) * sizes[kind];
            encode_row(f, values, COLS, blocks, &scale);
            f->decode(blocks, scale, COLS, decoded);
            for (int i = 0; i < COLS; i++) {
                const bool near = fabsf(decoded[i] - values[i]) <= sizes[kind] * 6.001f;
                CU_ASSERT_FATAL(near || (kind == 1 && decoded[i] == 0) ||
                                (kind == 2 && isnan(decoded[i])));
            }
        }
        free(blocks);
    }
}

/* Sums of squared errors of a fixture's row. */
struct errors {
    double plain, weighted; /* weights: root mean square of 32 values + magnitude */
};

static struct errors errors_of(const struct sw_format *f, const uint8_t *blocks,
                               const float *values)
{
    struct errors sum = {0, 0};
    float decoded[COLS];
    f->decode(blocks, 1, COLS, decoded);
    for (int i = 0; i < COLS; i++) {
        const double error = (double)decoded[i] - (double)values[i];
        double squares = 0;
        for (int k = i / 32 * 32; k < i / 32 * 32 + 32; k++)
            squares += (double)values[k] * (double)values[k];
        sum.plain += error * error;
        sum.weighted += (sqrt(squares / 32) + fabs((double)values[i])) * error * error;
    }
    return sum;
}

/* Encoders with a search of their own: over all rows, each row counting alike, their errors are no
 * larger than the reference's. */
static void errs_no_more_than_the_reference(void)
{
    static const char *const searched[] = {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs"};
    float *values = fixture_part("encoded.safetensors", "values"), scale;
    for (size_t i = 0; i < sizeof searched / sizeof searched[0]; i++) {
        const struct sw_format *f = format_named(searched[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(f->encode);
        uint8_t *theirs = fixture_part("encoded.safetensors", f->name);
        uint8_t *ours = malloc(row_bytes(f, COLS));
        double plain = 0, weighted = 0; /* of logarithms of quotients */
        for (int row = 0; row < ROWS; row++) {
            encode_row(f, values + row * COLS, COLS, ours, &scale);
            const struct errors a = errors_of(f, ours, values + row * COLS);
            const struct errors b =
                errors_of(f, theirs + (size_t)row * row_bytes(f, COLS), values + row * COLS);
            CU_ASSERT(a.plain <= 1.1 * b.plain && a.weighted <= 1.1 * b.weighted);
            plain += log((a.plain + 1e-12) / (b.plain + 1e-12)) / ROWS;
            weighted += log((a.weighted + 1e-12) / (b.weighted + 1e-12)) / ROWS;
        }
        printf("    %s: of the reference's error %.3f, weighted %.3f\n", f->name, sqrt(exp(plain)),
               sqrt(exp(weighted)));
        CU_ASSERT(plain < 0 && weighted < 0);
        free(ours);
        free(theirs);
    }
    free(values);
}

SW_UNIT_TESTS({"makes the reference's blocks", makes_the_reference_s_blocks},
              {"searched bytes stay", searched_bytes_stay},
              {"errs no more than the reference", errs_no_more_than_the_reference},
              {"same bits from any source", same_bits_from_any_source},
              {"same bits on every instruction set", same_bits_on_every_instruction_set},
              {"what is no number shows", what_is_no_number_shows},
              {"the ends of the range", the_ends_of_the_range})
