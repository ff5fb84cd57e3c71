/* Owns the tensor directory of GGUF files: experts stacked in one tensor, models in several files.
 */
#include "checkpoint/gguf_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPERT_NAME_MAX 128
#define SPLIT_MAX 99999 /* what the names of files have digits for */

static void gguf_set_shape(const int64_t *shape, int rank, struct sw_tensor *to)
{
    int64_t stride = 1;
    to->rank = rank;
    for (int i = rank - 1; i >= 0; i--) {
        to->shape[i] = shape[i];
        to->stride[i] = stride;
        stride *= shape[i];
    }
}

/* What stands behind the stack's name; NULL: it is no stack of experts or heads, nor of one. */
static const char *gguf_behind_stack(const char *name)
{
    static const char *const stacks[] = {"_exps", ".attn_k_b", ".attn_v_b"};
    for (size_t i = 0; i < sizeof stacks / sizeof stacks[0]; i++) {
        const char *at = strstr(name, stacks[i]);
        if (at)
            return at + strlen(stacks[i]);
    }
    return NULL;
}

/* Whether it is of all experts of a layer, or of all heads. */
static bool gguf_is_stack(const struct sw_gguf_tensor *from)
{
    const char *end = gguf_behind_stack(from->name);
    return end && ((from->rank == 3 && strcmp(end, ".weight") == 0) ||
                   (from->rank == 2 && !from->blocks && strcmp(end, ".bias") == 0));
}

const char *sw_gguf_stack_part(const char *name)
{
    const char *part = gguf_behind_stack(name);
    unsigned number;
    char suffix[8];
    int end = 0;
    return part && sscanf(part, ".%9u.%7[a-z]%n", &number, suffix, &end) == 2 && !part[end] ? part
                                                                                            : NULL;
}

/* "blk.0.ffn_up_exps.weight" of E experts: "blk.0.ffn_up_exps.E.weight" each. */
static enum sw_status gguf_add_experts(const struct sw_gguf_tensor *from, const char *end,
                                       struct sw_tensor *to, struct sw_tensors *out)
{
    const size_t stem = (size_t)(end - from->name);
    const uint64_t bytes = from->bytes / (uint64_t)from->shape[0];
    char name[EXPERT_NAME_MAX];
    to->name = name;
    gguf_set_shape(from->shape + 1, from->rank - 1, to);
    for (int64_t i = 0; i < from->shape[0]; i++) {
        snprintf(name, sizeof name, "%.*s.%lld%s", (int)stem, from->name, (long long)i, end);
        to->offset = from->offset + (uint64_t)i * bytes;
        SW_TRY(sw_tensors_add(out, to));
    }
    return SW_OK;
}

/* Files of before April 2024 have a tensor for each expert, "blk.0.ffn_up.E.weight": what a stack
 * of them becomes here. False: the name is another. */
static bool gguf_old_expert(const char *from, char name[EXPERT_NAME_MAX])
{
    unsigned layer, expert;
    char kind[8];
    int end = 0;
    if (sscanf(from, "blk.%9u.ffn_%7[a-z].%9u.weight%n", &layer, kind, &expert, &end) != 3 ||
        end == 0 || from[end])
        return false;
    snprintf(name, EXPERT_NAME_MAX, "blk.%u.ffn_%s_exps.%u.weight", layer, kind, expert);
    return true;
}

/* A matrix of one row is written as a vector, and ERNIE's vector as a matrix of one row. */
static void gguf_mend_shape(struct sw_tensor *tensor)
{
    const int64_t row[] = {1, tensor->shape[0]};
    if (tensor->rank == 1 && strstr(tensor->name, ".ffn_gate_inp_shexp.weight"))
        gguf_set_shape(row, 2, tensor);
    else if (tensor->rank == 2 && tensor->shape[0] == 1 && strstr(tensor->name, ".exp_probs_b."))
        gguf_set_shape(tensor->shape + 1, 1, tensor);
}

static enum sw_status gguf_add_tensors(const struct sw_gguf *gguf, int file, struct sw_tensors *out)
{
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        const struct sw_gguf_tensor *from = gguf->tensors + i;
        struct sw_tensor to = {.name = from->name,
                               .dtype = from->dtype,
                               .blocks = from->blocks,
                               .file = file,
                               .offset = from->offset};
        if (gguf_is_stack(from)) {
            SW_TRY(gguf_add_experts(from, gguf_behind_stack(from->name), &to, out));
            continue;
        }
        char name[EXPERT_NAME_MAX];
        if (gguf_old_expert(from->name, name))
            to.name = name;
        gguf_set_shape(from->shape, from->rank, &to);
        gguf_mend_shape(&to);
        SW_TRY(sw_tensors_add(out, &to));
    }
    return SW_OK;
}

static enum sw_status gguf_add_file(const struct sw_gguf *gguf, const struct sw_source *source,
                                    struct sw_tensors *out)
{
    int file;
    SW_TRY(sw_tensors_add_file(out, source->path, source->size, &file));
    const enum sw_status status = gguf_add_tensors(gguf, file, out);
    if (status != SW_OK)
        sw_error_context("%s", source->path);
    return status;
}

/* ---- models in several files */

struct gguf_split {
    int64_t number, count; /* of the files, from 0; 0, 1 where the model is not split */
};

static struct gguf_split gguf_split_of(const struct sw_gguf *gguf)
{
    struct gguf_split split = {0, 1};
    (void)sw_gguf_integer(sw_gguf_find(gguf, "split.no"), 0, &split.number);
    (void)sw_gguf_integer(sw_gguf_find(gguf, "split.count"), 0, &split.count);
    return split;
}

static enum sw_status gguf_add_part(const char *path, const struct gguf_split *expected,
                                    struct sw_tensors *out)
{
    struct sw_source source;
    struct sw_gguf gguf;
    SW_TRY(sw_source_open(path, &source));
    enum sw_status status = sw_gguf_read(&source, &gguf);
    if (status == SW_OK) {
        const struct gguf_split split = gguf_split_of(&gguf);
        status = split.number == expected->number && split.count == expected->count
                     ? gguf_add_file(&gguf, &source, out)
                     : sw_fail(SW_EMODEL, "%s: is file %lld of %lld, expected %lld of %lld", path,
                               (long long)split.number + 1, (long long)split.count,
                               (long long)expected->number + 1, (long long)expected->count);
        sw_gguf_free(&gguf);
    }
    sw_source_close(&source);
    return status;
}

/* "-00001-of-00009.gguf", which the file's name ends with. */
static void gguf_split_ending(const struct gguf_split *split, char ending[64])
{
    snprintf(ending, 64, "-%05lld-of-%05lld.gguf", (long long)split->number + 1,
             (long long)split->count);
}

static enum sw_status gguf_add_parts(const char *first, const struct gguf_split *split,
                                     struct sw_tensors *out)
{
    char ending[64];
    gguf_split_ending(split, ending);
    const size_t n = strlen(first), end = strlen(ending);
    if (n < end || strcmp(first + n - end, ending) != 0)
        return sw_fail(SW_EMODEL,
                       "%s: is the first of %lld files, whose names then end with %s; give the "
                       "files their own names again",
                       first, (long long)split->count, ending);
    char *path = strdup(first);
    enum sw_status status = path ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a path");
    for (int64_t i = 1; i < split->count && status == SW_OK; i++) {
        const struct gguf_split part = {i, split->count};
        gguf_split_ending(&part, ending);
        memcpy(path + n - end, ending, end);
        status = gguf_add_part(path, &part, out);
    }
    free(path);
    return status;
}

enum sw_status sw_gguf_tensors(const struct sw_gguf *gguf, const struct sw_source *source,
                               struct sw_tensors *out)
{
    const struct gguf_split split = gguf_split_of(gguf);
    if (split.count < 1 || split.count > SPLIT_MAX || split.number != 0)
        return sw_fail(SW_EMODEL, "%s: is file %lld of %lld: MODEL is the first of them",
                       source->path, (long long)split.number + 1, (long long)split.count);
    SW_TRY(gguf_add_file(gguf, source, out));
    return split.count > 1 ? gguf_add_parts(source->path, &split, out) : SW_OK;
}
