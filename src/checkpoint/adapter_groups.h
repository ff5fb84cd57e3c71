/* What the adapters of group-wise integers have in common (checkpoint/group_blocks.h). */
#ifndef SW_CHECKPOINT_ADAPTER_GROUPS_H
#define SW_CHECKPOINT_ADAPTER_GROUPS_H

#include "checkpoint/adapter.h"
#include "checkpoint/group_blocks.h"

/* A matrix as its tensors have it; their element types and shapes are checked when it is added. */
struct sw_groups {
    int64_t rows, cols;
    int64_t group; /* columns; a whole row where it is at least `cols` */
    int bits;
    enum sw_group_codes codes_kind;
    enum sw_group_zeros zeros_kind;
    bool less_one; /* as of struct sw_group_matrix */
    const struct sw_tensor *codes, *scales;
    const struct sw_tensor *zeros;    /* NULL for SW_ZEROS_NONE */
    const struct sw_tensor *group_of; /* NULL: column i is of group i / group */
};

/*
 * Adds the matrix STEM.weight, in blocks; where columns of a group do not lie together (act-order)
 * in f32, and beside it one in blocks whose columns are sorted (sw_tensor.twin).
 * SW_EMODEL: a tensor of another type or shape; groups that no format is for; columns whose groups
 * have not `group` columns each.
 */
enum sw_status sw_adapting_add_groups(struct sw_adapting *a, const char *stem,
                                      const struct sw_groups *groups);

/* The order of such a matrix's columns: column i of its blocks is column order[i] of the model's.
 * order: (cols). SW_EIO, SW_EMODEL: the file has changed. */
enum sw_status sw_groups_order(const struct sw_tensors *tensors, const struct sw_tensor *tensor,
                               int32_t *order);

/* A number of the config under the first of these names that it has (NULL at the end); `otherwise`
 * where it has none. SW_EMODEL: no whole number from -1 to 2^30. */
enum sw_status sw_groups_setting(const json_t *config, const char *const *names, int64_t otherwise,
                                 int64_t *out);
/* Bits of a code and columns of a group, as every method names them; 0 for a group of all columns.
 * SW_EMODEL: the bits are none of `known`, a list that ends with 0. */
enum sw_status sw_groups_settings(const json_t *config, const int *known, int64_t *bits,
                                  int64_t *group);
/* `group` columns or, where it is 0, all of them. */
static inline int64_t sw_groups_columns(int64_t group, int64_t cols)
{
    return group > 0 ? group : cols;
}
/* The format for such groups in matrices of many columns; NULL: there is none. */
const struct sw_format *sw_groups_format(int64_t bits, int64_t group);

#endif
