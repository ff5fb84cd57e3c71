/* Owns the list of tensors of a GGUF file that is to be written: names, formats, orders of rows. */
#include "checkpoint/gguf_export.h"

#include "base/checked.h"
#include "checkpoint/bnb_export.h"
#include "checkpoint/gguf_export_keys.h"
#include "checkpoint/gguf_families.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/open_model.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The list under construction. */
struct exporting {
    const struct sw_model *model;
    const struct sw_tensors *tensors;
    const struct sw_weight_choice *choice;
    struct sw_mix_shape shape;
    const struct sw_gguf_family *family; /* of a folder; NULL: IN is a GGUF file */
    unsigned char *used;                 /* (tensors->count) whether some weight is made of it */
    struct sw_export_plan *out;
    size_t capacity;
};

static enum sw_status export_no_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory for the list of tensors");
}

static enum sw_status export_add(struct exporting *e, const struct sw_export_tensor *tensor)
{
    struct sw_export_plan *out = e->out;
    if (out->n_tensors == e->capacity) {
        const size_t capacity = e->capacity ? 2 * e->capacity : 256;
        struct sw_export_tensor *tensors = realloc(out->tensors, capacity * sizeof *tensors);
        if (!tensors)
            return export_no_memory();
        out->tensors = tensors;
        e->capacity = capacity;
    }
    out->tensors[out->n_tensors++] = *tensor;
    return SW_OK;
}

/* ---- one tensor */

/* "blk.3.ffn_up_exps.weight": GGUF's name of a source, without the expert. */
static enum sw_status export_name(struct exporting *e, const struct sw_weight_spec *spec,
                                  int source, const char **out)
{
    const struct sw_weight_source *s = &spec->sources[source];
    const char *pattern = sw_gguf_name_for(&e->model->arch->names, s->pattern);
    char name[SW_GGUF_NAME_MAX + 1];
    size_t n = 0;
    if (!pattern)
        return sw_fail(SW_EMODEL, "a GGUF file has no place for the %s of a %s",
                       sw_weight_name(spec->id), e->model->arch->title);
    for (const char *c = pattern; *c && n + 12 < sizeof name; c++) {
        if (*c == '#')
            n += (size_t)snprintf(name + n, sizeof name - n, "%d", spec->layer);
        else if (c[0] != '.' || c[1] != '@')
            name[n++] = *c;
        else
            c++;
    }
    n += (size_t)snprintf(name + n, sizeof name - n, "%s", s->suffix);
    char *copy = sw_arena_take(&e->out->arena, n + 1);
    if (!copy)
        return export_no_memory();
    memcpy(copy, name, n);
    *out = copy;
    return SW_OK;
}

/* The format that values are kept in as they are, or blocks. */
static const struct sw_format *export_stored(const struct sw_tensor *tensor)
{
    if (tensor->blocks)
        return tensor->blocks;
    const enum sw_format_id kept = sw_format_keeping(tensor->dtype);
    return sw_format_of(kept == SW_FORMAT_NONE ? sw_format_keeping(SW_F32) : kept);
}

/* Of what the choice leaves alone: as it is stored, but of a folder the small matrices in f32, as
 * llama.cpp's converter has them, and others in 16 bits. */
static const struct sw_format *export_left_alone(const struct exporting *e,
                                                 const struct sw_weight_spec *spec,
                                                 const struct sw_tensor *tensor)
{
    const bool is_small = spec->id == SW_W_ROUTER || spec->id == SW_W_POSITIONS;
    if (!e->family || !e->choice->all)
        return export_stored(tensor);
    return sw_format_of(is_small ? sw_format_keeping(SW_F32)
                                 : sw_format_unquantized(tensor->dtype));
}

static const struct sw_format *export_format(const struct exporting *e,
                                             const struct sw_weight_spec *spec, int source,
                                             const struct sw_tensor *tensor)
{
    if (!spec->is_matrix)
        return sw_format_of(sw_format_keeping(SW_F32));
    const struct sw_format *asked = sw_weight_choice_format(e->choice, &e->shape, spec, source);
    const bool is_router = spec->id == SW_W_ROUTER && !e->choice->by_role[SW_ROLE_ROUTER];
    if (!asked || is_router || (spec->id == SW_W_POSITIONS && asked->dtype != SW_OTHER))
        return export_left_alone(e, spec, tensor);
    const struct sw_format *format = sw_format_for_cols(asked, spec->cols);
    return format ? format : sw_format_of(sw_format_keeping(SW_F16));
}

static enum sw_row_order export_order(const struct exporting *e, const struct sw_weight_spec *spec,
                                      int source)
{
    const struct sw_arch *arch = e->model->arch;
    const bool is_qkv = spec->id == SW_W_QKV || spec->id == SW_W_QKV_BIAS;
    if (spec->sources[source].transposed)
        return SW_ROWS_TRANSPOSED;
    if (is_qkv && e->family->interleaved && !arch->rope_interleaved && source < 2)
        return SW_ROWS_NEIGHBOURS;
    return is_qkv && e->family->stacked && arch->qkv == SW_QKV_PER_GROUP ? SW_ROWS_STACKED
                                                                         : SW_ROWS_KEPT;
}

int64_t sw_export_row(const struct sw_export_tensor *t, int64_t row)
{
    const int64_t dim = t->head_rows, half = dim / 2;
    if (t->order == SW_ROWS_NEIGHBOURS) {
        const int64_t head = row / dim, in = row % dim;
        return head * dim + 2 * (in % half) + in / half;
    }
    if (t->order == SW_ROWS_STACKED) {
        const int64_t heads = t->rows / (3 * dim), head = row / (3 * dim), in = row % (3 * dim);
        return in / dim * heads * dim + head * dim + in % dim;
    }
    return row;
}

/* A tensor of `n_parts` sources, of which the first is given: the experts of a layer follow. */
static enum sw_status export_begin(struct exporting *e, const struct sw_weight_spec *spec,
                                   int source, int n_parts, struct sw_export_tensor *t)
{
    const struct sw_weight_source *s = &spec->sources[source];
    const struct sw_tensor *first;
    SW_TRY(sw_model_find(e->model, e->tensors, spec, source, &first));
    *t = (struct sw_export_tensor){.rows = s->rows * n_parts,
                                   .cols = spec->cols,
                                   .n_parts = n_parts,
                                   .order = export_order(e, spec, source),
                                   .head_rows = e->model->dims.head_dim};
    SW_TRY(export_name(e, spec, source, &t->name));
    t->format = export_format(e, spec, source, first);
    t->parts = sw_arena_take(&e->out->arena, (size_t)n_parts * sizeof(struct sw_tensor *));
    if (!t->parts)
        return export_no_memory();
    if (!spec->is_matrix) {
        t->rank = 1;
        t->shape[0] = s->rows;
        return SW_OK;
    }
    const bool stacked = spec->expert >= 0;
    t->rank = stacked ? 3 : 2;
    t->shape[0] = n_parts;
    t->shape[stacked ? 1 : 0] = s->rows;
    t->shape[stacked ? 2 : 1] = spec->cols;
    return SW_OK;
}

static enum sw_status export_part(struct exporting *e, const struct sw_weight_spec *spec,
                                  int source, struct sw_export_tensor *t, int part)
{
    SW_TRY(sw_model_find(e->model, e->tensors, spec, source, &t->parts[part]));
    e->used[t->parts[part] - e->tensors->items] = 1;
    return SW_OK;
}

/* ---- all tensors of a layer */

/* The weights of expert 0 stand for those of all, which lie at the same distance from each other.
 */
static enum sw_status export_specs(struct exporting *e, const struct sw_weight_spec *specs,
                                   size_t n)
{
    const int n_experts = e->model->dims.n_experts;
    size_t per_expert = 0;
    for (size_t i = 0; i < n; i++)
        per_expert += specs[i].expert == 0;
    for (size_t i = 0; i < n; i++) {
        const struct sw_weight_spec *spec = &specs[i];
        const bool is_tied = spec->id == SW_W_HEAD && e->model->dims.tied;
        const int n_parts = spec->expert == 0 ? n_experts : 1;
        if (spec->expert > 0 || is_tied)
            continue;
        for (int s = 0; s < spec->n_sources; s++) {
            struct sw_export_tensor t;
            SW_TRY(export_begin(e, spec, s, n_parts, &t));
            for (int part = 0; part < n_parts; part++)
                SW_TRY(export_part(e, spec + (size_t)part * per_expert, s, &t, part));
            SW_TRY(export_add(e, &t));
        }
    }
    return SW_OK;
}

/* ---- tensors of a GGUF file, which keep their names and shapes */

static bool export_is_used(const struct exporting *e, const struct sw_tensor *tensor)
{
    return e->used[tensor - e->tensors->items];
}

/* Part `n` of the stack that `name` is of a part of; NULL after the last. */
static const struct sw_tensor *export_part_named(const struct exporting *e, const char *name,
                                                 const char *behind, int n)
{
    char part[SW_TENSOR_NAME_MAX];
    snprintf(part, sizeof part, "%.*s.%d%s", (int)(behind - name), name, n, strrchr(behind, '.'));
    return sw_tensors_find(e->tensors, part);
}

/* The tensor, or all of the stack that it is of, in `format`; nothing where it is in the list. */
static enum sw_status export_again(struct exporting *e, const struct sw_tensor *from,
                                   const struct sw_format *format)
{
    const char *behind = from->rank < 3 ? sw_gguf_stack_part(from->name) : NULL;
    struct sw_export_tensor t = {.name = from->name, .format = format};
    if (export_is_used(e, from))
        return SW_OK;
    while (behind && export_part_named(e, from->name, behind, t.n_parts))
        t.n_parts++;
    if (t.n_parts == 0 || export_is_used(e, export_part_named(e, from->name, behind, 0))) {
        behind = NULL; /* a name like that of a part, outside a stack */
        t.n_parts = 1;
    }
    t.parts = sw_arena_take(&e->out->arena, (size_t)t.n_parts * sizeof(struct sw_tensor *));
    if (behind) {
        const size_t n = strlen(from->name) + 1;
        char *name = sw_arena_take(&e->out->arena, n);
        if (name)
            snprintf(name, n, "%.*s%s", (int)(behind - from->name), from->name,
                     strrchr(behind, '.'));
        t.name = name;
        t.shape[t.rank++] = t.n_parts;
    }
    if (!t.name || !t.parts)
        return export_no_memory();
    for (int d = 0; d < from->rank; d++)
        t.shape[t.rank++] = from->shape[d];
    t.cols = from->rank > 1 ? from->shape[from->rank - 1] : 1;
    t.rows = t.n_parts * sw_tensor_elements(from) / t.cols;
    for (int part = 0; part < t.n_parts; part++) {
        const struct sw_tensor *one =
            behind ? export_part_named(e, from->name, behind, part) : from;
        if (one->rank != from->rank ||
            memcmp(one->shape, from->shape, (size_t)from->rank * sizeof one->shape[0]) != 0)
            return sw_fail(SW_EMODEL,
                           "tensors '%s' and '%s' are parts of one, but not of one shape",
                           one->name, from->name);
        t.parts[part] = one;
        e->used[one - e->tensors->items] = 1;
    }
    return export_add(e, &t);
}

/* A tensor that a weight takes only rows of stays as it is. */
static enum sw_status export_specs_again(struct exporting *e, const struct sw_weight_spec *specs,
                                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct sw_weight_spec *spec = &specs[i];
        const bool is_tied = spec->id == SW_W_HEAD && e->model->dims.tied;
        for (int s = 0; s < spec->n_sources && !is_tied; s++) {
            const struct sw_tensor *from;
            if (spec->sources[s].of)
                continue;
            SW_TRY(sw_model_find(e->model, e->tensors, spec, s, &from));
            SW_TRY(export_again(e, from, export_format(e, spec, s, from)));
        }
    }
    return SW_OK;
}

/* What a GGUF file has besides, as rope_freqs.weight: as it is. */
static enum sw_status export_rest(struct exporting *e)
{
    for (size_t i = 0; i < e->tensors->count; i++) {
        const struct sw_tensor *from = &e->tensors->items[i];
        if (e->used[i] || from->rank < 1 || from->rank > SW_GGUF_MAX_RANK)
            continue;
        const struct sw_format *stored = export_stored(from);
        if (!stored->encode && !from->blocks)
            return sw_fail(SW_EMODEL, "tensor '%s' is of a type that cannot be written",
                           from->name);
        SW_TRY(export_again(e, from, stored));
    }
    return SW_OK;
}

/* Llama 3's scaling of rope, worked out: what each frequency is divided by. */
static enum sw_status export_rope(struct exporting *e)
{
    const struct sw_dims *d = &e->model->dims;
    const int n = d->rotary_dim / 2;
    if (d->rope[0].scaling != SW_ROPE_LLAMA3)
        return SW_OK;
    float *values = sw_arena_take(&e->out->arena, (size_t)n * sizeof *values);
    if (!values)
        return export_no_memory();
    for (int i = 0; i < n; i++) {
        const double plain = 1 / pow((double)d->rope[0].base, 2.0 * i / (double)d->rotary_dim);
        values[i] = (float)(plain / sw_rope_frequency(&d->rope[0], d->rotary_dim, i));
    }
    return export_add(e,
                      &(struct sw_export_tensor){.name = "rope_freqs.weight",
                                                 .format = sw_format_of(sw_format_keeping(SW_F32)),
                                                 .rank = 1,
                                                 .shape = {n},
                                                 .rows = n,
                                                 .cols = 1,
                                                 .literal = values});
}

static enum sw_status export_tensors(struct exporting *e)
{
    const struct sw_weight_spec *specs;
    for (int layer = SW_GLOBAL; layer < e->model->dims.n_layers; layer++) {
        const size_t n = sw_model_weights(e->model, layer, &specs);
        SW_TRY(e->family ? export_specs(e, specs, n) : export_specs_again(e, specs, n));
    }
    return e->family ? export_rope(e) : export_rest(e);
}

/* ---- the file */

static enum sw_status export_lay_out(struct sw_export_plan *out, struct sw_gguf_writer *w)
{
    for (size_t i = 0; i < out->n_tensors; i++) {
        struct sw_export_tensor *t = &out->tensors[i];
        if (!sw_gguf_has_format(t->format))
            return sw_fail(SW_EUSAGE, "tensor '%s': a GGUF file has no %s, name %s", t->name,
                           t->format->name,
                           sw_bnb_has_format(t->format) ? "a folder" : "another format");
        t->bytes = sw_gguf_write_tensor(w, t->name, t->rank, t->shape, t->format, &t->offset);
    }
    out->size = w->data;
    SW_TRY(sw_gguf_writer_finish(w, &out->header));
    for (size_t i = 0; i < out->n_tensors; i++)
        out->tensors[i].offset += out->header.length;
    out->size += out->header.length;
    return SW_OK;
}

static enum sw_status export_make(struct exporting *e, const char *path, bool gguf,
                                  struct sw_gguf_writer *w)
{
    SW_TRY(sw_model_check(e->model, e->tensors));
    if (gguf)
        SW_TRY(sw_gguf_copy_keys(path, e->choice, w));
    else
        SW_TRY(sw_gguf_export_keys(path, e->model, e->family, e->choice, w));
    SW_TRY(export_tensors(e));
    return export_lay_out(e->out, w);
}

static enum sw_status export_find_family(const struct sw_model *model,
                                         const struct sw_gguf_family **family)
{
    char known[512] = "";
    size_t used = 0;
    const struct sw_gguf_family *row;
    *family = sw_gguf_family_for(model->arch->model_type);
    if (*family && !(*family)->read_only)
        return SW_OK;
    for (int i = 0; (row = sw_gguf_family_row(i)); i++)
        if (!row->read_only)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                     row->model_type);
    if (*family)
        return sw_fail(SW_EMODEL, "%s: GGUF files of this family are read, but not written; %s",
                       model->arch->title, known);
    return sw_fail(SW_EMODEL, "%s: llama.cpp has no such models, so there is no GGUF of them; %s",
                   model->arch->title, known);
}

enum sw_status sw_gguf_export_make(const char *path, const struct sw_model *model,
                                   const struct sw_tensors *tensors,
                                   const struct sw_weight_choice *choice,
                                   struct sw_export_plan *out)
{
    struct sw_weight_choice resolved;
    struct sw_gguf_writer w = {0};
    bool gguf;
    *out = (struct sw_export_plan){.arena.limit = SIZE_MAX / 2};
    SW_TRY(sw_open_is_gguf(path, &gguf));
    SW_TRY(sw_weight_choice_resolve(choice, model, &resolved));
    struct exporting e = {.model = model,
                          .tensors = tensors,
                          .choice = &resolved,
                          .shape = sw_mix_shape_of(model),
                          .used = calloc(tensors->count + 1, 1),
                          .out = out};
    enum sw_status status = e.used ? SW_OK : export_no_memory();
    if (status == SW_OK && !gguf)
        status = export_find_family(model, &e.family);
    if (status == SW_OK)
        status = export_make(&e, path, gguf, &w);
    sw_gguf_writer_free(&w);
    free(e.used);
    return status;
}

void sw_export_plan_free(struct sw_export_plan *e)
{
    free(e->tensors);
    sw_strbuf_free(&e->header);
    sw_arena_free(&e->arena);
    *e = (struct sw_export_plan){0};
}
