/* Owns views of the experts in one tensor. */
#include "checkpoint/expert_stacks.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 256

static const struct {
    const char *end; /* of the stack's name */
    int rank;        /* with the dimension of experts */
    bool transposed; /* matrices are (in, out) */
    bool halves;     /* rows of two matrices by turns */
    bool has_suffix; /* the name ends in ".weight", which goes behind the number */
    const char *tag; /* what goes behind the number, too */
    /* What its parts, one above the other, are called behind "experts.E."; NULL: as above. */
    const char *parts[2];
} stacks[] = {
    {".experts.gate_up_proj", 3, true, true, false, "", {NULL}},
    {".experts.down_proj", 3, true, false, false, "", {NULL}},
    {".experts.gate_up_proj", 3, false, false, false, ".plain", {NULL}}, /* which of both a family
                                                                            has, */
    {".experts.down_proj", 3, false, false, false, ".plain", {NULL}},    /* its row says */
    {".experts.gate_up_proj_bias", 2, false, true, false, "", {NULL}},
    {".experts.down_proj_bias", 2, false, false, false, "", {NULL}},
    {".input_linear.weight", 3, false, false, true, "", {NULL}},
    {".output_linear.weight", 3, false, false, true, "", {NULL}},
    {".moe_statics.e_score_correction_bias", 2, false, false, false, "", {NULL}},
    {".mlp.experts.gate_up_proj", 3, false, false, false, "", {"gate_proj", "up_proj"}},
    {".mlp.experts.down_proj", 3, false, false, false, "", {"down_proj"}},
};

static bool stacks_ends(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Every `step`-th row from `first` on. */
static enum sw_status stacks_add(struct sw_tensors *tensors, const struct sw_tensor *expert,
                                 const char *name, int first, int step)
{
    struct sw_tensor view = *expert;
    view.name = name;
    view.shape[0] = expert->shape[0] / step;
    view.stride[0] = expert->stride[0] * step;
    view.offset +=
        (uint64_t)first * (uint64_t)expert->stride[0] * (sw_dtype_info(expert->dtype)->bits / 8);
    return sw_tensors_find(tensors, name) ? SW_OK : sw_tensors_add(tensors, &view);
}

/* The parts of an expert as tensors named like those of experts that lie apart. */
static enum sw_status stacks_add_parts(struct sw_tensors *tensors, const struct sw_tensor *stack,
                                       size_t row, const struct sw_tensor *expert, int64_t e)
{
    const int n = stacks[row].parts[1] ? 2 : 1;
    const int stem = (int)(strrchr(stack->name, '.') - stack->name);
    char name[NAME_MAX_BYTES];
    for (int part = 0; part < n && expert->shape[0] % n == 0; part++) {
        struct sw_tensor view = *expert;
        view.shape[0] = expert->shape[0] / n;
        view.offset += (uint64_t)(part * view.shape[0] * expert->stride[0]) *
                       (sw_dtype_info(expert->dtype)->bits / 8);
        snprintf(name, sizeof name, "%.*s.%lld.%s.weight", stem, stack->name, (long long)e,
                 stacks[row].parts[part]);
        SW_TRY(stacks_add(tensors, &view, name, 0, 1));
    }
    return SW_OK;
}

/* The directory may move its tensors when some are added, so `stack` is a copy. */
static enum sw_status stacks_split(struct sw_tensors *tensors, const struct sw_tensor *stack,
                                   size_t row)
{
    static const char *const halves[] = {".even", ".odd"};
    const char *suffix = stacks[row].rank == 3 ? ".weight" : "";
    const int stem = (int)(strlen(stack->name) - (stacks[row].has_suffix ? 7 : 0));
    const bool flips = stacks[row].transposed;
    struct sw_tensor expert = *stack;
    char name[NAME_MAX_BYTES];
    expert.rank = stack->rank - 1;
    for (int i = 0; i < expert.rank; i++) {
        const int from = flips ? stack->rank - 1 - i : i + 1;
        expert.shape[i] = stack->shape[from];
        expert.stride[i] = stack->stride[from];
    }
    for (int64_t e = 0; e < stack->shape[0]; e++) {
        expert.offset = stack->offset +
                        (uint64_t)(e * stack->stride[0]) * (sw_dtype_info(stack->dtype)->bits / 8);
        if (stacks[row].parts[0]) {
            SW_TRY(stacks_add_parts(tensors, stack, row, &expert, e));
            continue;
        }
        snprintf(name, sizeof name, "%.*s.%lld%s%s", stem, stack->name, (long long)e,
                 stacks[row].tag, suffix);
        SW_TRY(stacks_add(tensors, &expert, name, 0, 1));
        for (int half = 0; half < 2 && stacks[row].halves; half++) {
            snprintf(name, sizeof name, "%.*s.%lld%s%s", stem, stack->name, (long long)e,
                     halves[half], suffix);
            SW_TRY(stacks_add(tensors, &expert, name, half, 2));
        }
    }
    return SW_OK;
}

enum sw_status sw_expert_stacks(struct sw_tensors *tensors)
{
    const size_t count = tensors->count;
    for (size_t i = 0; i < count; i++)
        for (size_t row = 0; row < sizeof stacks / sizeof stacks[0]; row++) {
            const struct sw_tensor stack = tensors->items[i];
            if (stack.rank == stacks[row].rank && !stack.blocks && !stack.made &&
                strlen(stack.name) < NAME_MAX_BYTES - 64 &&
                stacks_ends(stack.name, stacks[row].end))
                SW_TRY(stacks_split(tensors, &stack, row));
        }
    return SW_OK;
}
