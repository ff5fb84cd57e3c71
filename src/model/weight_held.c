/* Owns what each matrix is held in by the files: its blocks, or elements. */
#include "model/footprint.h"
#include "model/model.h"
#include "tensor/format.h"

/* `held` of a format; NULL: elements. */
static unsigned char held_in(const struct sw_format *blocks)
{
    const enum sw_format_id format = sw_format_id_of(blocks);
    return format == SW_FORMAT_NONE ? 0 : (unsigned char)(1 + format);
}

/* Says what a source, which has none of it, is held in. */
typedef void held_by(const struct sw_model *model, struct sw_weight_spec *spec, int source,
                     const void *context);

static void held_by_file(const struct sw_model *model, struct sw_weight_spec *spec, int source,
                         const void *tensors)
{
    const struct sw_tensor *tensor;
    if (spec->sources[source].transposed || /* blocks lie along the rows of the file */
        sw_model_find(model, tensors, spec, source, &tensor) != SW_OK)
        return;
    spec->sources[source].held_alone = held_in(tensor->blocks);
    if (spec->is_linear)
        tensor = sw_model_twin(tensors, tensor);
    spec->sources[source].held = held_in(tensor->blocks);
    spec->sources[source].behind = tensor->behind;
}

static void held_by_all(const struct sw_model *model, struct sw_weight_spec *spec, int source,
                        const void *format)
{
    (void)model;
    if (spec->is_linear)
        spec->sources[source].held = spec->sources[source].held_alone = held_in(format);
}

static void held_by_experts(const struct sw_model *model, struct sw_weight_spec *spec, int source,
                            const void *format)
{
    if (spec->expert >= 0)
        held_by_all(model, spec, source, format);
}

static void model_hold(struct sw_model *model, held_by *by, const void *context)
{
    const size_t count = model->first_weight[model->dims.n_layers + 1];
    int64_t elements[SW_FORMAT_COUNT + 1] = {0}; /* by `held` */
    for (size_t w = 0; w < count; w++) {
        struct sw_weight_spec *spec = &model->weights[w];
        for (int s = 0; s < spec->n_sources && spec->is_matrix; s++) {
            spec->sources[s].held = spec->sources[s].held_alone = 0;
            spec->sources[s].behind = 0;
            by(model, spec, s, context);
            const int held = spec->sources[s].held;
            elements[held] += spec->sources[s].rows * spec->cols;
            model->has_blocks = model->has_blocks || held;
        }
    }
    for (int held = 1; held <= SW_FORMAT_COUNT; held++)
        if (elements[held] > elements[model->held])
            model->held = (unsigned char)held;
    sw_error_clear();
}

/* A chunk of the rows' own bytes, and the parts that are read whole, of the largest matrix. */
static uint64_t model_load_bytes(const struct sw_tensors *tensors)
{
    uint64_t most = 0;
    for (size_t i = 0; i < tensors->n_made; i++) {
        const struct sw_made *made = &tensors->made[i];
        uint64_t whole = 0;
        for (int k = 0; k < made->n_parts; k++)
            whole += made->parts[k].row_bytes ? 0 : made->parts[k].bytes;
        most = whole > most ? whole : most;
    }
    return tensors->n_made ? most + SW_LOAD_CHUNK : 0;
}

void sw_model_hold(struct sw_model *model, const struct sw_tensors *tensors)
{
    model_hold(model, held_by_file, tensors);
    model->load_bytes = model_load_bytes(tensors);
}

void sw_model_hold_linear(struct sw_model *model, const struct sw_format *format, bool experts_only)
{
    model_hold(model, experts_only ? held_by_experts : held_by_all, format);
    /* Matrices are made of parts (model_load_bytes): those read whole, scales and the like, are not
     * known without weights, and mostly far smaller than a chunk. */
    model->load_bytes = SW_LOAD_CHUNK;
}
