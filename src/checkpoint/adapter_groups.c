/* Owns putting group-wise integers into the directory, and making rows of their parts. */
#include "checkpoint/adapter_groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum group_part { PART_CODES, PART_SCALES, PART_OTHERS };
/* In `whole` of a made matrix. */
enum group_whole { WHOLE_KINDS, WHOLE_BITS, WHOLE_GROUP, WHOLE_SCALE_TYPE, WHOLE_ROW, WHOLE_STEP };
#define KIND_ZEROS 8 /* bits of WHOLE_KINDS: the codes' kind, the zeros', and two flags */
#define KIND_LESS_ONE (1 << 16)
#define KIND_ORDERED (1 << 17)

static struct sw_group_matrix groups_matrix(const struct sw_made_rows *rows)
{
    const int64_t *whole = rows->made->whole, kinds = whole[WHOLE_KINDS];
    const enum sw_group_zeros zeros = (enum sw_group_zeros)(kinds >> KIND_ZEROS & 255);
    return (struct sw_group_matrix){
        .format =
            sw_groupwise_format((int)whole[WHOLE_BITS], whole[WHOLE_GROUP], rows->tensor->shape[1]),
        .rows = rows->tensor->shape[0],
        .cols = rows->tensor->shape[1],
        .group = whole[WHOLE_GROUP],
        .bits = (int)whole[WHOLE_BITS],
        .codes_kind = (enum sw_group_codes)(kinds & 255),
        .codes = rows->parts[PART_CODES],
        .first_code = rows->row0,
        .scales = rows->parts[PART_SCALES],
        .scale_type = (enum sw_dtype)whole[WHOLE_SCALE_TYPE],
        .scale_row = whole[WHOLE_ROW],
        .scale_group = whole[WHOLE_STEP],
        .zeros_kind = zeros,
        .zeros = zeros == SW_ZEROS_NONE ? NULL : rows->parts[PART_OTHERS],
        .zeros_step = whole[WHOLE_ROW] / 8, /* AWQ's gemv has eight scales for a word of zeros */
        .less_one = (kinds & KIND_LESS_ONE) != 0,
        .order = rows->state};
}

/* The state is the order of columns, of matrices that have one. */
static enum sw_status groups_prepare(const struct sw_made_rows *rows, void **state)
{
    const struct sw_made *made = rows->made;
    const int64_t cols = rows->tensor->shape[1];
    bool sorted;
    if (!(made->whole[WHOLE_KINDS] & KIND_ORDERED))
        return SW_OK;
    *state = malloc((size_t)cols * sizeof(int32_t));
    if (!*state)
        return sw_fail(SW_ENOMEM, "no memory for the order of %lld columns", (long long)cols);
    if (sw_group_order(rows->parts[made->n_parts - 1], cols, made->whole[WHOLE_GROUP], *state,
                       &sorted))
        return SW_OK;
    return sw_fail(SW_EMODEL, "matrix '%s': its g_idx has changed since it was opened",
                   rows->tensor->name);
}

static void groups_make(const struct sw_made_rows *rows, void *out)
{
    const struct sw_group_matrix m = groups_matrix(rows);
    sw_group_blocks(&m, rows->row0, rows->n_rows, out);
}

/* Of matrices whose columns have an order of their own, for formats that do not know it. */
static void groups_make_floats(const struct sw_made_rows *rows, void *out)
{
    const struct sw_group_matrix m = groups_matrix(rows);
    sw_group_floats(&m, rows->row0, rows->n_rows, out);
}

static const struct sw_made_form groups_form = {groups_prepare, groups_make},
                                 groups_floats = {groups_prepare, groups_make_floats};

/* ---- checks */

/* The shapes of a matrix's tensors: of codes, of scales, of zeros. */
struct group_shapes {
    int64_t codes[2], scales[2], zeros[2];
};

static struct group_shapes groups_shapes(const struct sw_groups *g, int64_t count)
{
    const int64_t bits = g->bits, per_word = 32 / bits;
    const int64_t across = g->rows * bits / 32, down = g->cols * bits / 32;
    switch (g->codes_kind) {
    case SW_CODES_DOWN:
        return (struct group_shapes){{down, g->rows}, {count, g->rows}, {count, across}};
    case SW_CODES_ACROSS:
        return (struct group_shapes){{g->cols, across}, {count, g->rows}, {count, across}};
    default:
        return (struct group_shapes){{g->rows, (g->cols * bits + 31) / 32},
                                     {g->rows, count},
                                     {(g->rows + per_word - 1) / per_word, count}};
    }
}

/* AWQ's gemv pads the words of zeros, more of them for smaller groups, and has a scale for each. */
static int64_t groups_padded_words(const struct sw_groups *g, int64_t count)
{
    const int64_t words = (count + 7) / 8, multiple = g->group >= 128 ? 1 : g->group == 64 ? 2 : 4;
    return (words + multiple - 1) / multiple * multiple;
}

static enum sw_status groups_check(const struct sw_adapting *a, const struct sw_groups *g,
                                   int64_t count)
{
    struct group_shapes shapes = groups_shapes(g, count);
    const struct sw_tensor *scales = g->scales;
    if (g->zeros_kind == SW_ZEROS_GROUPS) {
        shapes.zeros[0] = g->rows;
        shapes.zeros[1] = groups_padded_words(g, count);
        shapes.scales[1] = 8 * shapes.zeros[1];
    }
    SW_TRY(sw_adapting_check(a, g->codes, SW_I32, 2, shapes.codes));
    SW_TRY(sw_adapting_check(a, scales, sw_dtype_info(scales->dtype)->is_float ? SW_OTHER : SW_F16,
                             2, shapes.scales));
    if (g->zeros)
        SW_TRY(sw_adapting_check(a, g->zeros, SW_I32, 2, shapes.zeros));
    return g->group_of ? sw_adapting_check(a, g->group_of, SW_I32, 1, &g->cols) : SW_OK;
}

/* Reads which group each column is of. *digest: of their order; 0: they lie one after the other. */
static enum sw_status groups_read_order(const struct sw_adapting *a, const struct sw_groups *g,
                                        uint64_t *digest)
{
    bool sorted = true;
    const size_t bytes = (size_t)g->cols * sizeof(int32_t);
    int32_t *columns = malloc(2 * bytes);
    if (!columns)
        return sw_fail(SW_ENOMEM, "no memory for the groups of %lld columns", (long long)g->cols);
    enum sw_status status = sw_adapting_read(a, g->group_of, columns, bytes);
    if (status == SW_OK && !sw_group_order(columns, g->cols, g->group, columns + g->cols, &sorted))
        status =
            sw_fail(SW_EMODEL, "tensor '%s' does not put %lld columns into groups of %lld each",
                    g->group_of->name, (long long)g->cols, (long long)g->group);
    *digest = sorted ? 0 : sw_made_digest(columns + g->cols, (size_t)g->cols);
    free(columns);
    return status;
}

enum sw_status sw_groups_order(const struct sw_tensors *tensors, const struct sw_tensor *tensor,
                               int32_t *order)
{
    const struct sw_made *made = sw_tensor_made(tensors, tensor);
    const struct sw_made_part *part = &made->parts[made->n_parts - 1];
    const int64_t cols = tensor->shape[1];
    bool sorted;
    int32_t *group_of = malloc((size_t)part->bytes);
    if (!group_of)
        return sw_fail(SW_ENOMEM, "no memory for the order of %lld columns", (long long)cols);
    enum sw_status status = sw_made_read_part(tensors, part, group_of);
    if (status == SW_OK &&
        (!sw_group_order(group_of, cols, made->whole[WHOLE_GROUP], order, &sorted) ||
         sw_made_digest(order, (size_t)cols) != tensor->behind))
        status = sw_fail(SW_EMODEL, "matrix '%s': its g_idx has changed since it was opened",
                         tensor->name);
    free(group_of);
    return status;
}

enum sw_status sw_adapting_add_groups(struct sw_adapting *a, const char *stem,
                                      const struct sw_groups *groups)
{
    struct sw_groups g = *groups;
    g.group = g.group < g.cols ? g.group : g.cols;
    const struct sw_format *format = sw_groupwise_format(g.bits, g.group, g.cols);
    struct sw_made made = {.form = &groups_form};
    uint64_t digest = 0;
    if (!format || g.group < 1)
        return sw_fail(SW_EMODEL,
                       "tensor '%s' has groups of %lld columns; those of a multiple of 32, or of "
                       "all columns, are supported",
                       g.codes->name, (long long)g.group);
    const int64_t count = (g.cols + g.group - 1) / g.group;
    const bool by_row = g.codes_kind == SW_CODES_ROWS;
    SW_TRY(groups_check(a, &g, count));
    if (g.group_of)
        SW_TRY(groups_read_order(a, &g, &digest));
    const bool sorted = digest == 0;
    if (!sorted)
        made.form = &groups_floats;
    sw_made_add(&made, g.codes, by_row ? (uint64_t)(g.cols * g.bits + 31) / 32 * 4 : 0);
    sw_made_add(&made, g.scales, 0);
    if (g.zeros)
        sw_made_add(&made, g.zeros, 0);
    if (!sorted)
        sw_made_add(&made, g.group_of, 0);
    made.whole[WHOLE_KINDS] = (int64_t)g.codes_kind | (int64_t)g.zeros_kind << KIND_ZEROS |
                              (g.less_one ? KIND_LESS_ONE : 0) | (sorted ? 0 : KIND_ORDERED);
    made.whole[WHOLE_BITS] = g.bits;
    made.whole[WHOLE_GROUP] = g.group;
    made.whole[WHOLE_SCALE_TYPE] = g.scales->dtype;
    made.whole[WHOLE_ROW] = by_row ? g.scales->shape[1] : 1;
    made.whole[WHOLE_STEP] = by_row ? 1 : g.rows;
    SW_TRY(sw_adapting_add(a, stem, sorted ? format : NULL, g.rows, g.cols, &made));
    made.form = &groups_form;
    return sorted ? SW_OK : sw_adapting_add_twin(a, stem, format, g.rows, g.cols, &made, digest);
}

/* ---- settings */

enum sw_status sw_groups_setting(const json_t *config, const char *const *names, int64_t otherwise,
                                 int64_t *out)
{
    char found[SW_JSON_SHORT];
    *out = otherwise;
    for (; *names; names++) {
        const json_t *value = json_object_get(config, *names);
        if (!value || json_is_null(value))
            continue;
        if (!sw_json_integer(value, -1, 1 << 30, out))
            return sw_fail(SW_EMODEL, "its '%s' is %s, expected a whole number", *names,
                           sw_json_show(value, found, sizeof found));
        return SW_OK;
    }
    return SW_OK;
}

enum sw_status sw_groups_settings(const json_t *config, const int *known, int64_t *bits,
                                  int64_t *group)
{
    static const char *const bit_names[] = {"bits", "w_bit", "wbits", NULL};
    static const char *const group_names[] = {"group_size", "q_group_size", "groupsize", NULL};
    char list[64] = "";
    size_t used = 0;
    SW_TRY(sw_groups_setting(config, bit_names, 4, bits));
    SW_TRY(sw_groups_setting(config, group_names, 128, group));
    *group = *group > 0 ? *group : 0;
    for (const int *k = known; *k; k++) {
        if (*k == *bits)
            return SW_OK;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d", used ? ", " : "", *k);
    }
    return sw_fail(SW_EMODEL, "its weights have %lld bits, supported are %s", (long long)*bits,
                   list);
}

const struct sw_format *sw_groups_format(int64_t bits, int64_t group)
{
    return sw_groupwise_format((int)bits, group > 0 ? group : 1, group > 0 ? INT64_MAX : 1);
}
