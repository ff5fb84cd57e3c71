/* Owns the look-up of a weight's tensors in a directory: their names there, and their shapes. */
#include "model/foreign_layout.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

/* Whether the weight's tensor is the file's head. */
static bool is_of_head(const struct sw_model *model, enum sw_weight id)
{
    const struct sw_dims *d = &model->dims;
    return id == SW_W_HEAD ? !d->tied || d->tied_head : id == SW_W_EMBED && d->tied_head;
}

void sw_weight_tensor_name(const struct sw_model *model, const struct sw_weight_spec *spec,
                           int source, char name[SW_TENSOR_NAME_MAX])
{
    const struct sw_names *names = &model->arch->names;
    const struct sw_weight_source *s = &spec->sources[source];
    const bool is_table = spec->id == SW_W_EMBED || spec->id == SW_W_HEAD;
    const char *pattern = !is_table                     ? s->pattern
                          : is_of_head(model, spec->id) ? names->head
                                                        : names->embed;
    /* Layers of a stack are counted from 0. */
    const int n_encoder = model->dims.n_encoder;
    const int layer = spec->named < n_encoder ? spec->named : spec->named - n_encoder;
    size_t used = 0;
    for (const char *c = pattern; *c && used + 16 < SW_TENSOR_NAME_MAX; c++) {
        if (*c == '#')
            used += (size_t)snprintf(name + used, 12, "%d", layer);
        else if (*c == '@')
            used += (size_t)snprintf(name + used, 12, "%d",
                                     spec->expert >= 0 ? spec->expert : spec->index);
        else
            name[used++] = *c;
    }
    snprintf(name + used, SW_TENSOR_NAME_MAX - used, "%s", s->suffix);
}

/* By the name, else with the prefix taken off or put before it. */
static const struct sw_tensor *find_plain(const struct sw_tensors *tensors, const char *prefix,
                                          const char *wrapper, const char *name)
{
    char longer[SW_TENSOR_NAME_MAX + 64];
    const size_t n = strlen(prefix);
    snprintf(longer, sizeof longer, "%s%s", wrapper, name);
    const struct sw_tensor *tensor = sw_tensors_find(tensors, longer);
    if (!tensor && strncmp(name, prefix, n) == 0) {
        snprintf(longer, sizeof longer, "%s%s", wrapper, name + n);
        tensor = sw_tensors_find(tensors, longer);
    }
    if (!tensor) {
        snprintf(longer, sizeof longer, "%s%s%s", wrapper, prefix, name);
        tensor = sw_tensors_find(tensors, longer);
    }
    return tensor;
}

/* The same under what torch.compile, data-parallel training and models with images put before
 * every name. */
static const struct sw_tensor *list_find(const struct sw_tensors *tensors, const char *prefix,
                                         const char *name)
{
    static const char *const wrappers[] = {"",
                                           "_orig_mod.",
                                           "module.",
                                           "module._orig_mod.",
                                           "_orig_mod.module.",
                                           "language_model.",
                                           "model.language_model."};
    const struct sw_tensor *tensor = NULL;
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0] && !tensor; i++)
        tensor = find_plain(tensors, prefix, wrappers[i], name);
    return tensor;
}

static const struct sw_tensor *find_head(const struct sw_names *names,
                                         const struct sw_tensors *tensors)
{
    char name[SW_TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s.weight", names->head);
    const struct sw_tensor *tensor = list_find(tensors, names->prefix, name);
    if (tensor || !names->head_alias)
        return tensor;
    snprintf(name, sizeof name, "%s.weight", names->head_alias);
    return list_find(tensors, names->prefix, name);
}

const struct sw_tensor *sw_model_tensor(const struct sw_model *model,
                                        const struct sw_tensors *tensors, enum sw_weight id)
{
    char name[SW_TENSOR_NAME_MAX];
    if (id == SW_W_HEAD)
        return find_head(&model->arch->names, tensors);
    const char *table = id == SW_W_EMBED         ? model->arch->names.embed
                        : id == SW_W_INPUT_TABLE ? model->arch->names.input_table
                                                 : NULL;
    snprintf(name, sizeof name, "%s.weight", table ? table : "");
    return table ? list_find(tensors, model->arch->names.prefix, name) : NULL;
}

enum sw_status sw_model_find(const struct sw_model *model, const struct sw_tensors *tensors,
                             const struct sw_weight_spec *spec, int source_index,
                             const struct sw_tensor **out)
{
    const struct sw_weight_source *s = &spec->sources[source_index];
    const struct sw_names *names = &model->arch->names;
    char actual[160], expected[64], name[SW_TENSOR_NAME_MAX];
    sw_weight_tensor_name(model, spec, source_index, name);
    const struct sw_tensor *tensor = is_of_head(model, spec->id)
                                         ? find_head(names, tensors)
                                         : list_find(tensors, names->prefix, name);
    const bool is_table = spec->is_matrix || spec->is_flat;
    const int64_t table_rows = spec->is_flat ? s->rows / spec->cols : s->rows;
    const int64_t own_rows = s->transposed ? spec->cols : table_rows;
    const int64_t rows = s->of ? s->of : own_rows, cols = s->transposed ? table_rows : spec->cols;
    if (is_table)
        snprintf(expected, sizeof expected, "[%lld, %lld]", (long long)rows, (long long)cols);
    else
        snprintf(expected, sizeof expected, "[%lld]", (long long)s->rows);
    if (!tensor) {
        char what[SW_TENSOR_NAME_MAX + 128];
        snprintf(what, sizeof what, "tensor '%s' %s (%s)", name, expected,
                 sw_weight_name(spec->id));
        return sw_layout_fail(tensors, name, what);
    }
    const bool is_conv = tensor->rank == 3 && tensor->shape[1] == 1 && spec->is_flat;
    const bool shape_fits =
        is_conv    ? tensor->shape[0] == rows && tensor->shape[2] == cols
        : is_table ? tensor->rank == 2 && tensor->shape[0] == rows && tensor->shape[1] == cols
                   : tensor->rank == 1 && tensor->shape[0] == s->rows;
    sw_tensor_describe(tensor, actual, sizeof actual);
    if (!shape_fits)
        return sw_fail(SW_EMODEL, "%s: tensor '%s' is %s, but config.json asks for %s",
                       tensors->files[tensor->file].path, tensor->name, actual, expected);
    if (s->transposed && !s->of && (tensor->blocks || tensor->made))
        return sw_fail(SW_EMODEL,
                       "%s: matrix '%s' is %s, quantized, but %s stores its matrices transposed; "
                       "use the 16-bit checkpoint",
                       tensors->files[tensor->file].path, tensor->name, actual, model->arch->title);
    if (!sw_dtype_info(tensor->dtype)->is_float)
        return sw_fail(SW_EMODEL, "%s: tensor '%s' is %s; weights of this type are not read",
                       tensors->files[tensor->file].path, tensor->name, actual);
    *out = tensor;
    return SW_OK;
}

enum sw_status sw_model_check(const struct sw_model *model, const struct sw_tensors *tensors)
{
    const size_t count = model->first_weight[model->dims.n_layers + 1];
    for (size_t w = 0; w < count; w++)
        for (int s = 0; s < model->weights[w].n_sources; s++) {
            const struct sw_tensor *tensor;
            SW_TRY(sw_model_find(model, tensors, &model->weights[w], s, &tensor));
        }
    return SW_OK;
}
