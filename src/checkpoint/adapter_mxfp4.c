/*
 * Owns MXFP4 as transformers saves it: "P_blocks" has 16 bytes a block of 32, the first element of
 * a byte in its low nibble; "P_scales" an exponent a block. Matrices of stacked experts become one
 * for each, "P.E.weight".
 */
#include "checkpoint/adapter.h"

#include <stdio.h>
#include <string.h>

#define BLOCK 32
#define BYTES (BLOCK / 2)

/* Which rows of the file a matrix has: all, or those that are even or odd, whose parts have the
 * bytes of two rows each. */
enum { MXFP4_ALL = -1, MXFP4_EVEN = 0, MXFP4_ODD = 1 };

/* In memory an exponent, then bytes that have elements i and i + 16. */
static void mxfp4_make_row(const uint8_t *from, const uint8_t *scales, int64_t n, uint8_t *to)
{
    for (int64_t b = 0; b < n; b++, from += BYTES, to += 1 + BYTES) {
        to[0] = scales[b];
        for (int i = 0; i < BYTES; i++) {
            const int low = from[i / 2] >> (i % 2 ? 4 : 0) & 15;
            const int high = from[(i + BYTES) / 2] >> (i % 2 ? 4 : 0) & 15;
            to[1 + i] = (uint8_t)(low | high << 4);
        }
    }
}

static void mxfp4_make(const struct sw_made_rows *rows, void *out)
{
    const int64_t n = rows->tensor->shape[1] / BLOCK, which = rows->made->whole[0];
    const int64_t step = which == MXFP4_ALL ? n : 2 * n, skip = which == MXFP4_ODD ? n : 0;
    for (int64_t r = 0; r < rows->n_rows; r++) {
        const int64_t block = r * step + skip;
        mxfp4_make_row((const uint8_t *)rows->parts[0] + block * BYTES,
                       (const uint8_t *)rows->parts[1] + block, n,
                       (uint8_t *)out + r * n * (1 + BYTES));
    }
}

static const struct sw_made_form mxfp4_blocks = {NULL, mxfp4_make};

static enum sw_status mxfp4_add(struct sw_adapting *a, const char *stem,
                                const struct sw_tensor *blocks, const struct sw_tensor *scales,
                                int64_t expert, int which)
{
    const int64_t *shape = blocks->shape + (blocks->rank - 3);
    const int64_t rows_each = which == MXFP4_ALL ? 1 : 2, rows = shape[0] / rows_each;
    const uint64_t row = (uint64_t)(shape[1] * rows_each), first = (uint64_t)(expert * rows);
    struct sw_made made = {.form = &mxfp4_blocks, .whole = {which}};
    sw_made_add(&made, blocks, BYTES * row);
    sw_made_add(&made, scales, row);
    for (int i = 0; i < 2; i++) {
        made.parts[i].offset += first * made.parts[i].row_bytes;
        made.parts[i].bytes = (uint64_t)rows * made.parts[i].row_bytes;
    }
    return sw_adapting_add(a, stem, &sw_format_mxfp4, rows, BLOCK * shape[1], &made);
}

/* One expert of a stack; where it has gate and up by turns, each of them by itself, too. */
static enum sw_status mxfp4_add_expert(struct sw_adapting *a, const char *stem,
                                       const struct sw_tensor *blocks,
                                       const struct sw_tensor *scales, int64_t expert)
{
    static const char both[] = "gate_up_proj", *const halves[] = {".even", ".odd"};
    const size_t n = strlen(stem), end = sizeof both - 1;
    char name[SW_ADAPTING_NAME_MAX + 32];
    snprintf(name, sizeof name, "%s.%lld", stem, (long long)expert);
    SW_TRY(mxfp4_add(a, name, blocks, scales, expert, MXFP4_ALL));
    for (int half = 0; half < 2 && n > end && strcmp(stem + n - end, both) == 0; half++) {
        snprintf(name, sizeof name, "%s.%lld%s", stem, (long long)expert, halves[half]);
        SW_TRY(mxfp4_add(a, name, blocks, scales, expert, half));
    }
    return SW_OK;
}

static enum sw_status mxfp4_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                                   const char *stem)
{
    const struct sw_tensor *scales;
    char name[SW_ADAPTING_NAME_MAX + 32], have[160];
    const size_t end = strlen(stem) > 7 ? strlen(stem) - 7 : 0;
    SW_TRY(sw_adapting_need(a, tensor, stem, "_scales", &scales));
    if ((tensor->rank != 3 && tensor->rank != 4) || tensor->dtype != SW_U8 ||
        tensor->shape[tensor->rank - 1] != BYTES || !sw_tensor_is_contiguous(tensor))
        return sw_fail(SW_EMODEL,
                       "tensor '%s' (mxfp4) is %s, expected u8 of (rows, blocks of a row, %d), or "
                       "of that for each expert",
                       tensor->name, sw_tensor_describe(tensor, have, sizeof have), BYTES);
    SW_TRY(sw_adapting_check(a, scales, SW_U8, tensor->rank - 1, tensor->shape));
    if (tensor->rank == 3) {
        snprintf(name, sizeof name, "%.*s",
                 (int)(end && strcmp(stem + end, ".weight") == 0 ? end : strlen(stem)), stem);
        return mxfp4_add(a, name, tensor, scales, 0, MXFP4_ALL);
    }
    for (int64_t expert = 0; expert < tensor->shape[0]; expert++)
        SW_TRY(mxfp4_add_expert(a, stem, tensor, scales, expert));
    return SW_OK;
}

static const struct sw_format *mxfp4_format(const json_t *config)
{
    (void)config;
    return &sw_format_mxfp4;
}

static const char *const mxfp4_methods[] = {"mxfp4", NULL};
static const char *const mxfp4_suffixes[] = {"_blocks", NULL};
const struct sw_adapter sw_adapter_mxfp4 = {.name = "mxfp4",
                                            .methods = mxfp4_methods,
                                            .suffixes = mxfp4_suffixes,
                                            .matrix = mxfp4_matrix,
                                            .format = mxfp4_format,
                                            .experts_only = true};
