/* Owns the values of made-up weights, which follow from a tensor's name and an element's index. */
#include "engine/stage_weights.h"

#include <math.h>

static uint64_t weights_mix(uint64_t x) /* splitmix64's output function */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void sw_weights_random(const struct sw_model *model, const struct sw_weight_spec *spec, int source,
                       int64_t first, int64_t n, float *out)
{
    uint64_t key = 0xcbf29ce484222325u;
    char name[SW_TENSOR_NAME_MAX];
    sw_weight_tensor_name(model, spec, source, name);
    for (const char *c = name; *c; c++)
        key = (key ^ (unsigned char)*c) * 0x100000001b3u;
    /* Uniform of variance 1/cols keeps a product's size; norms' weights lie around 1. */
    const bool is_table = spec->id == SW_W_EMBED || spec->id == SW_W_POSITIONS ||
                          (spec->id == SW_W_HEAD && model->dims.tied); /* the embedding */
    const float middle = spec->is_norm && spec->change == SW_CHANGE_NONE ? 1.0f : 0.0f;
    const struct sw_weight_source *s = &spec->sources[source];
    const int64_t cols = s->of && s->transposed ? s->rows : spec->cols; /* the tensor's */
    const float width = is_table ? 1.0f : spec->is_matrix ? sqrtf(3.0f / (float)cols) : 0.1f;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t bits = weights_mix(key + (uint64_t)(first + i) * 0x9e3779b97f4a7c15u);
        const float u = (float)(int32_t)(bits >> 32) * 0x1p-31f; /* [-1, 1) */
        out[i] = width * u + middle;
    }
}
