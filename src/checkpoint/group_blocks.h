/*
 * Codes, scales and zeros as GPTQ, AWQ and compressed-tensors files have them, made into rows of
 * blocks (tensor/groupwise.h). Pure functions over memory: who calls them has checked the shapes.
 *
 * A matrix has `rows` output features and `cols` input features. Codes are packed into 32-bit
 * words, little-endian, first code lowest; of 3 bits 32 codes are a run of 96 bits.
 */
#ifndef SW_CHECKPOINT_GROUP_BLOCKS_H
#define SW_CHECKPOINT_GROUP_BLOCKS_H

#include "tensor/groupwise.h"

/* How codes are packed. */
enum sw_group_codes {
    SW_CODES_DOWN,   /* GPTQ: along columns, words (cols * bits / 32, rows); 2, 3, 4, 8 bits */
    SW_CODES_ACROSS, /* AWQ: along rows, words (cols, rows / 8), 8 rows in AWQ's order; 4 bits */
    SW_CODES_ROWS    /* along columns, words (rows, cols * bits / 32 rounded up); 4, 8 bits */
};

/* How zeros are packed, of 2, 3, 4 or 8 bits, but for AWQ's, of 4. */
enum sw_group_zeros {
    SW_ZEROS_NONE, /* all are 2^(bits - 1) */
    SW_ZEROS_GPTQ, /* along rows, words (groups, rows * bits / 32) */
    SW_ZEROS_AWQ,  /* the same, in AWQ's order */
    SW_ZEROS_DOWN, /* compressed-tensors: along rows, words (rows * bits / 32 rounded up, groups) */
    SW_ZEROS_GROUPS, /* AWQ's gemv: along groups, words (rows, zeros_step) */
};

struct sw_group_matrix {
    const struct sw_format *format; /* of the blocks */
    int64_t rows, cols;
    int64_t group; /* columns of a group, a multiple of the format's block or all of them; the last
                      may have fewer */
    int bits;      /* of codes and zeros */
    enum sw_group_codes codes_kind;
    const void *codes;  /* SW_CODES_ROWS: of rows from first_code on, any alignment; else of all */
    int64_t first_code; /* a row, of SW_CODES_ROWS */
    const void *scales;
    enum sw_dtype scale_type;       /* a float type */
    int64_t scale_row, scale_group; /* elements from row to row, from group to group */
    enum sw_group_zeros zeros_kind;
    const uint32_t *zeros;
    int64_t zeros_step; /* words, of SW_ZEROS_GROUPS */
    bool less_one; /* zeros are stored less one (GPTQ's first version): with a borrow from field to
                      field, but of 3 bits each by itself */
    /* Column i of the blocks is column order[i] of the file. (cols), each once; NULL: as in the
     * file. */
    const int32_t *order;
};
/* Makes the blocks of rows [first, first + n). Any thread may call it. */
void sw_group_blocks(const struct sw_group_matrix *m, int64_t first, int64_t n, void *blocks);

/* Makes rows of f32 instead, with the columns as in the file; m->order is not NULL. */
void sw_group_floats(const struct sw_group_matrix *m, int64_t first, int64_t n, float *out);

/*
 * The order that sorts columns by their group and keeps it within one, for group_of (cols) as files
 * have it. False: some group has not exactly its `group` columns (the last: what is left), so that
 * it is no matrix of such groups. *sorted: they are in order already. order: (cols)
 */
bool sw_group_order(const int32_t *group_of, int64_t cols, int64_t group, int32_t *order,
                    bool *sorted);

#endif
