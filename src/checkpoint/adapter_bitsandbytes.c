/*
 * Owns what bitsandbytes saves: 4 bits (NF4 and FP4, their absmax as f32 or quantized once more)
 * and LLM.int8() (docs/formats.md). Blocks of 4 bits run through the matrix row by row, as if it
 * were one long row. Where blocks of the format fit in, nested absmax stay nested in a matrix's
 * twin, behind which the file's map lies; under its own name it has absmax in f32.
 */
#include "checkpoint/adapter_bitsandbytes.h"

#include "checkpoint/adapter.h"
#include "tensor/format_nf4.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK SW_NF4_LEN
#define STATE_MAX 4096 /* bytes of the JSON of a matrix */

/* ---- 4 bits */

enum four_bit_part { PART_NIBBLES, PART_ABSMAX, PART_MAP, PART_NESTED_ABSMAX, PART_NESTED_MAP };

/* The JSON of a matrix. */
struct four_bit {
    const struct sw_format *format;
    const float *values; /* (16) */
    int64_t rows, cols;
    int64_t block;  /* elements that share an absmax */
    int64_t nested; /* absmax that share a scale; 0: they are f32 */
    float offset;   /* of nested ones */
};

/* In `whole` of a made matrix: */
enum four_bit_whole { WHOLE_BLOCK, WHOLE_NESTED, WHOLE_ABSMAX_BY_ROW, WHOLE_IS_FP4 };

static const float *four_bit_values(const struct sw_made *made)
{
    return made->whole[WHOLE_IS_FP4] ? sw_fp4_values : sw_nf4_values;
}

static float four_bit_float(const void *at, int64_t i)
{
    float value;
    memcpy(&value, (const char *)at + i * (int64_t)sizeof value, sizeof value);
    return value;
}

/* As sw_nf4_of_pairs, for half a block, 16 bytes at a time. */
static void four_bit_of_pairs(const uint8_t *pairs, uint8_t *nibbles)
{
    typedef uint8_t bytes __attribute__((vector_size(8)));
    typedef uint16_t couples __attribute__((vector_size(16))); /* nibbles 2 i and 2 i + 1 */
    bytes lower, upper;
    memcpy(&lower, pairs, sizeof lower);
    memcpy(&upper, pairs + sizeof lower, sizeof upper);
    const couples a = __builtin_convertvector(lower, couples);
    const couples b = __builtin_convertvector(upper, couples);
    const couples both = a >> 4 | (b & 0xf0) | (a & 15) << 8 | b << 12;
    memcpy(nibbles, &both, sizeof both);
}

/* Goes through the absmax of a matrix's blocks, in order and without a division for each. */
struct four_bit_walk {
    const void *absmax;      /* f32, or codes of the map, from that of the next block on */
    const void *map, *scale; /* of nested ones: the scale that the next block shares */
    int64_t nested, left;    /* blocks that share a scale; those to come with this one */
    float offset;
};

/* From the block with number `block` of the matrix on. */
static struct four_bit_walk four_bit_walk_from(const struct sw_made_rows *rows, int64_t block)
{
    const struct sw_made *made = rows->made;
    const int64_t nested = made->whole[WHOLE_NESTED];
    const int64_t first = made->whole[WHOLE_ABSMAX_BY_ROW]
                              ? rows->row0 * (rows->tensor->shape[1] / made->whole[WHOLE_BLOCK])
                              : 0;
    const size_t each = nested ? 1 : sizeof(float);
    struct four_bit_walk w = {.absmax = (const char *)rows->parts[PART_ABSMAX] +
                                        (size_t)(block - first) * each,
                              .nested = nested};
    if (nested) {
        w.map = rows->parts[PART_NESTED_MAP];
        w.scale = (const char *)rows->parts[PART_NESTED_ABSMAX] +
                  (size_t)(block / nested) * sizeof(float);
        w.left = nested - block % nested;
        w.offset = made->real[0];
    }
    return w;
}

static float four_bit_next(struct four_bit_walk *w)
{
    const char *const at = w->absmax;
    if (w->nested == 0) {
        w->absmax = at + sizeof(float);
        return four_bit_float(at, 0);
    }
    const float part = four_bit_float(w->map, (uint8_t)*at) * four_bit_float(w->scale, 0);
    w->absmax = at + 1;
    if (--w->left == 0) {
        w->scale = (const char *)w->scale + sizeof(float);
        w->left = w->nested;
    }
    return part + w->offset;
}

/* Rows of whole blocks. */
static void four_bit_make(const struct sw_made_rows *rows, void *out)
{
    const int64_t n = rows->n_rows * rows->tensor->shape[1] / BLOCK;
    const int64_t first = rows->row0 * rows->tensor->shape[1] / BLOCK;
    const int64_t per_block = rows->made->whole[WHOLE_BLOCK] / BLOCK;
    struct four_bit_walk walk = four_bit_walk_from(rows, first / per_block);
    const uint8_t *from = rows->parts[PART_NIBBLES];
    uint8_t *to = out;
    float absmax = four_bit_next(&walk);
    int64_t left = per_block - first % per_block; /* that share it */
    for (int64_t i = 0; i < n; i++, from += BLOCK / 2, to += sizeof absmax + BLOCK / 2) {
        if (left-- == 0) {
            absmax = four_bit_next(&walk);
            left = per_block - 1;
        }
        memcpy(to, &absmax, sizeof absmax);
        for (int half = 0; half < BLOCK / 2; half += 16)
            four_bit_of_pairs(from + half, to + sizeof absmax + half);
    }
}

/* The same where absmax stay nested: their bytes are those of the rows. */
static void four_bit_make_nested(const struct sw_made_rows *rows, void *out)
{
    const int64_t of_row = rows->tensor->shape[1] / SW_NESTED_LEN;
    const int64_t group = rows->made->whole[WHOLE_NESTED] / SW_NESTED_PARTS; /* blocks */
    const float offset = rows->made->real[0];
    const uint8_t *from = rows->parts[PART_NIBBLES], *codes = rows->parts[PART_ABSMAX];
    uint8_t *to = out;
    for (int64_t i = 0; i < rows->n_rows * of_row; i++) {
        const int64_t at = (rows->row0 * of_row + i) / group;
        const float scale = four_bit_float(rows->parts[PART_NESTED_ABSMAX], at);
        memcpy(to, &scale, sizeof scale);
        memcpy(to + sizeof scale, codes, SW_NESTED_PARTS);
        codes += SW_NESTED_PARTS;
        to += SW_NESTED_HEAD;
        for (int half = 0; half < SW_NESTED_LEN / 2; half += 16, from += 16, to += 16)
            four_bit_of_pairs(from, to);
        if ((i + 1) % of_row == 0) {
            memcpy(to, &offset, sizeof offset);
            to += sizeof offset;
        }
    }
}

/* Rows that are no whole blocks, decoded; all parts are whole. */
static void four_bit_decode(const struct sw_made_rows *rows, void *out)
{
    const int64_t n = rows->n_rows * rows->tensor->shape[1];
    const int64_t first = rows->row0 * rows->tensor->shape[1];
    const int64_t block = rows->made->whole[WHOLE_BLOCK];
    const float *values = four_bit_values(rows->made);
    const uint8_t *nibbles = rows->parts[PART_NIBBLES];
    struct four_bit_walk walk = four_bit_walk_from(rows, first / block);
    float absmax = four_bit_next(&walk);
    for (int64_t i = first; i < first + n; i++) {
        if (i != first && i % block == 0)
            absmax = four_bit_next(&walk);
        const float value = values[nibbles[i / 2] >> (i % 2 ? 0 : 4) & 15] * absmax;
        memcpy((char *)out + (size_t)(i - first) * sizeof value, &value, sizeof value);
    }
}

/* A format's values are fixed, so the file must have the same. */
static enum sw_status four_bit_prepare(const struct sw_made_rows *rows, void **state)
{
    const float *values = four_bit_values(rows->made);
    (void)state;
    for (int i = 0; i < 16; i++) {
        const float found = four_bit_float(rows->parts[PART_MAP], i);
        if (found != values[i]) /* NaN, too */
            return sw_fail(SW_EMODEL,
                           "matrix '%s': value %d of its quant_map is %.9g, expected %.9g; other "
                           "tables than that of NF4 and FP4 are not supported",
                           rows->tensor->name, i, (double)found, (double)values[i]);
    }
    return SW_OK;
}

static const struct sw_made_form four_bit_blocks = {four_bit_prepare, four_bit_make},
                                 four_bit_nested = {four_bit_prepare, four_bit_make_nested},
                                 four_bit_floats = {four_bit_prepare, four_bit_decode};

/* A size of blocks that bitsandbytes knows. */
static bool four_bit_size(const json_t *state, const char *key, int64_t *out)
{
    return sw_json_integer(json_object_get(state, key), 16, 1 << 16, out) &&
           (*out & (*out - 1)) == 0;
}

static enum sw_status four_bit_parse(const json_t *state, bool is_fp4, struct four_bit *out)
{
    const char *type = json_string_value(json_object_get(state, "quant_type"));
    const json_t *shape = json_object_get(state, "shape");
    char found[SW_JSON_SHORT];
    double offset = 0;
    *out = (struct four_bit){.format = is_fp4 ? &sw_format_fp4 : &sw_format_nf4,
                             .values = is_fp4 ? sw_fp4_values : sw_nf4_values};
    if (!type || strcmp(type, out->format->name) != 0)
        return sw_fail(SW_EMODEL, "its quant_type is %s, expected \"%s\"",
                       sw_json_show(json_object_get(state, "quant_type"), found, sizeof found),
                       out->format->name);
    if (!four_bit_size(state, "blocksize", &out->block))
        return sw_fail(SW_EMODEL, "its blocksize is %s, expected a power of two from 16 to 65536",
                       sw_json_show(json_object_get(state, "blocksize"), found, sizeof found));
    if (json_array_size(shape) != 2 ||
        !sw_json_integer(json_array_get(shape, 0), 1, INT32_MAX, &out->rows) ||
        !sw_json_integer(json_array_get(shape, 1), 1, INT32_MAX, &out->cols))
        return sw_fail(SW_EMODEL, "its shape is %s, expected two sizes",
                       sw_json_show(shape, found, sizeof found));
    if (!json_object_get(state, "nested_blocksize"))
        return SW_OK;
    if (!four_bit_size(state, "nested_blocksize", &out->nested) ||
        !sw_json_number(json_object_get(state, "nested_offset"), &offset))
        return sw_fail(
            SW_EMODEL, "its nested_blocksize is %s, expected a power of two, with a nested_offset",
            sw_json_show(json_object_get(state, "nested_blocksize"), found, sizeof found));
    out->offset = (float)offset;
    return SW_OK;
}

static enum sw_status four_bit_read(const struct sw_adapting *a, const struct sw_tensor *tensor,
                                    bool is_fp4, struct four_bit *out)
{
    char text[STATE_MAX];
    json_t *state = NULL;
    if (tensor->bytes > sizeof text)
        return sw_fail(SW_EMODEL, "tensor '%s' has %llu bytes, expected at most %zu", tensor->name,
                       (unsigned long long)tensor->bytes, sizeof text);
    SW_TRY(sw_adapting_read(a, tensor, text, (size_t)tensor->bytes));
    enum sw_status status = sw_json_read(text, (size_t)tensor->bytes, SW_JSON_MODEL, &state);
    if (status == SW_OK)
        status = four_bit_parse(state, is_fp4, out);
    if (status != SW_OK)
        sw_error_context("tensor '%s'", tensor->name);
    json_decref(state);
    return status;
}

/* Finds a part of the weight, checks it and adds it. */
static enum sw_status four_bit_add(const struct sw_adapting *a, const struct sw_tensor *weight,
                                   const char *suffix, enum sw_dtype dtype, int64_t n,
                                   uint64_t row_bytes, struct sw_made *made)
{
    const struct sw_tensor *part;
    SW_TRY(sw_adapting_need(a, weight, weight->name, suffix, &part));
    SW_TRY(sw_adapting_check(a, part, dtype, 1, &n));
    sw_made_add(made, part, row_bytes);
    return SW_OK;
}

static enum sw_status four_bit_parts(const struct sw_adapting *a, const struct sw_tensor *weight,
                                     const struct four_bit *f, bool by_row, struct sw_made *made)
{
    const int64_t n = f->rows * f->cols, blocks = (n + f->block - 1) / f->block;
    const uint64_t absmax = f->nested ? 1 : sizeof(float);
    const bool absmax_by_row = by_row && f->cols % f->block == 0;
    char have[160];
    if (weight->bytes != (uint64_t)(n + 1) / 2 || !sw_tensor_is_contiguous(weight))
        return sw_fail(SW_EMODEL,
                       "tensor '%s' is %s, expected %lld bytes of 4-bit elements of a matrix "
                       "[%lld, %lld]",
                       weight->name, sw_tensor_describe(weight, have, sizeof have),
                       (long long)(n + 1) / 2, (long long)f->rows, (long long)f->cols);
    sw_made_add(made, weight, by_row ? (uint64_t)f->cols / 2 : 0);
    SW_TRY(four_bit_add(a, weight, ".absmax", f->nested ? SW_U8 : SW_F32, blocks,
                        absmax_by_row ? (uint64_t)(f->cols / f->block) * absmax : 0, made));
    SW_TRY(four_bit_add(a, weight, ".quant_map", SW_F32, 16, 0, made));
    made->whole[WHOLE_BLOCK] = f->block;
    made->whole[WHOLE_NESTED] = f->nested;
    made->whole[WHOLE_ABSMAX_BY_ROW] = absmax_by_row;
    made->whole[WHOLE_IS_FP4] = f->values == sw_fp4_values;
    made->real[0] = f->offset;
    if (f->nested == 0)
        return SW_OK;
    SW_TRY(four_bit_add(a, weight, ".nested_absmax", SW_F32, (blocks + f->nested - 1) / f->nested,
                        0, made));
    return four_bit_add(a, weight, ".nested_quant_map", SW_F32, SW_TABLE_LEN, 0, made);
}

/* Whether the format's blocks can hold nested absmax as they are: whole blocks in a row, one scale
 * in a block. */
static bool four_bit_stays_nested(const struct four_bit *f)
{
    return f->nested >= SW_NESTED_PARTS && f->block == BLOCK && f->cols % SW_NESTED_LEN == 0;
}

/* The map of nested absmax: any finite numbers. */
static enum sw_status four_bit_read_map(const struct sw_adapting *a, const char *weight,
                                        const struct sw_made *made, float map[SW_TABLE_LEN])
{
    SW_TRY(sw_made_read_part(a->tensors, &made->parts[PART_NESTED_MAP], map));
    for (int i = 0; i < SW_TABLE_LEN; i++)
        if (!isfinite(map[i]))
            return sw_fail(SW_EMODEL,
                           "number %d of tensor '%s.nested_quant_map' is %g, expected %d finite "
                           "numbers; get the checkpoint again",
                           i, weight, (double)map[i], SW_TABLE_LEN);
    return SW_OK;
}

enum sw_status sw_nested_map(const struct sw_tensors *tensors, const struct sw_tensor *tensor,
                             float map[SW_TABLE_LEN])
{
    const struct sw_made *made = sw_tensor_made(tensors, tensor);
    SW_TRY(sw_made_read_part(tensors, &made->parts[PART_NESTED_MAP], map));
    if (sw_made_digest(map, SW_TABLE_LEN) != tensor->behind)
        return sw_fail(SW_EMODEL,
                       "matrix '%s': its nested_quant_map has changed since it was opened",
                       tensor->name);
    return SW_OK;
}

static const struct sw_format *four_bit_nested_format(const struct sw_format *format)
{
    return format == &sw_format_nf4 ? &sw_format_nf4_nested : &sw_format_fp4_nested;
}

static enum sw_status four_bit_matrix(struct sw_adapting *a, const struct sw_tensor *weight,
                                      const char *stem, const struct sw_tensor *state, bool is_fp4)
{
    struct four_bit f;
    SW_TRY(four_bit_read(a, state, is_fp4, &f));
    const bool by_row = f.cols % BLOCK == 0 && f.block % BLOCK == 0;
    struct sw_made made = {.form = by_row ? &four_bit_blocks : &four_bit_floats};
    float map[SW_TABLE_LEN];
    SW_TRY(four_bit_parts(a, weight, &f, by_row, &made));
    if (f.nested)
        SW_TRY(four_bit_read_map(a, weight->name, &made, map));
    SW_TRY(sw_adapting_add(a, stem, by_row ? f.format : NULL, f.rows, f.cols, &made));
    if (!four_bit_stays_nested(&f))
        return SW_OK;
    made.form = &four_bit_nested;
    return sw_adapting_add_twin(a, stem, four_bit_nested_format(f.format), f.rows, f.cols, &made,
                                sw_made_digest(map, SW_TABLE_LEN));
}

/* ---- LLM.int8() */

/* A row's elements, then its scale. */
static void int8_make(const struct sw_made_rows *rows, void *out)
{
    const int64_t cols = rows->tensor->shape[1];
    const char *from = rows->parts[0];
    char *to = out;
    for (int64_t i = 0; i < rows->n_rows; i++, from += cols) {
        const float scale = four_bit_float(rows->parts[1], i) / 127;
        memcpy(to, from, (size_t)cols);
        memcpy(to + cols, &scale, sizeof scale);
        to += cols + (int64_t)sizeof scale;
    }
}

static const struct sw_made_form int8_rows = {NULL, int8_make};

static enum sw_status int8_matrix(struct sw_adapting *a, const struct sw_tensor *weight,
                                  const char *stem)
{
    const struct sw_tensor *scales, *layout = sw_adapting_find(a, stem, ".weight_format");
    struct sw_made made = {.form = &int8_rows};
    uint8_t order = 0;
    SW_TRY(sw_adapting_need(a, weight, stem, ".SCB", &scales));
    SW_TRY(sw_adapting_check(a, weight, SW_I8, 2, weight->shape));
    SW_TRY(sw_adapting_check(a, scales, SW_F32, 1, weight->shape));
    if (layout)
        SW_TRY(sw_adapting_read(a, layout, &order, 1));
    if (order != 0)
        return sw_fail(SW_EMODEL, "tensor '%s' is %d, expected 0: rows as they are", layout->name,
                       order);
    sw_made_add(&made, weight, (uint64_t)weight->shape[1]);
    sw_made_add(&made, scales, sizeof(float));
    return sw_adapting_add(a, stem, &sw_format_int8, weight->shape[0], weight->shape[1], &made);
}

/* ---- */

static enum sw_status bitsandbytes_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                                          const char *stem)
{
    const struct sw_tensor *nf4 =
        sw_adapting_find(a, tensor->name, ".quant_state.bitsandbytes__nf4");
    const struct sw_tensor *fp4 =
        sw_adapting_find(a, tensor->name, ".quant_state.bitsandbytes__fp4");
    if (nf4 || fp4)
        return four_bit_matrix(a, tensor, stem, nf4 ? nf4 : fp4, !nf4);
    if (tensor->dtype == SW_U8) /* the description alone has the shape */
        return sw_adapting_need(a, tensor, tensor->name, ".quant_state.bitsandbytes__nf4", &nf4);
    return tensor->dtype == SW_I8 ? int8_matrix(a, tensor, stem) : SW_OK;
}

/* Old files have these alone. */
static bool bitsandbytes_claims(const json_t *config)
{
    return json_is_true(json_object_get(config, "load_in_4bit")) ||
           json_is_true(json_object_get(config, "load_in_8bit"));
}

static const struct sw_format *bitsandbytes_format(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "bnb_4bit_quant_type"));
    if (json_is_true(json_object_get(config, "load_in_8bit")))
        return &sw_format_int8;
    const struct sw_format *format =
        type && strcmp(type, sw_format_nf4.name) == 0 ? &sw_format_nf4 : &sw_format_fp4;
    return json_is_true(json_object_get(config, "bnb_4bit_use_double_quant"))
               ? four_bit_nested_format(format)
               : format;
}

static const char *const bitsandbytes_methods[] = {"bitsandbytes", NULL};
static const char *const bitsandbytes_suffixes[] = {".weight", NULL};
const struct sw_adapter sw_adapter_bitsandbytes = {.name = "bitsandbytes",
                                                   .methods = bitsandbytes_methods,
                                                   .suffixes = bitsandbytes_suffixes,
                                                   .claims = bitsandbytes_claims,
                                                   .matrix = bitsandbytes_matrix,
                                                   .format = bitsandbytes_format};
