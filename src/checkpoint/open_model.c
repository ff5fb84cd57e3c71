/* Owns which reader opens what: a part of a model from a GGUF file, or from a folder. */
#include "checkpoint/open_model.h"

#include "base/file.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/expert_stacks.h"
#include "checkpoint/gguf_model.h"
#include "checkpoint/gguf_tensors.h"
#include "checkpoint/gguf_tokenizer.h"
#include "checkpoint/model_name.h"

#include <stdlib.h>

enum sw_status sw_open_is_gguf(const char *path, bool *is)
{
    struct sw_source source;
    enum sw_file_kind kind;
    char magic[4];
    *is = false;
    SW_TRY(sw_file_find(path, &kind));
    if (kind != SW_FILE_REGULAR)
        return SW_OK;
    SW_TRY(sw_source_open(path, &source));
    enum sw_status status = SW_OK;
    if (source.size >= sizeof magic)
        status = sw_source_read(&source, 0, magic, sizeof magic);
    *is = status == SW_OK && source.size >= sizeof magic && sw_gguf_is(magic, sizeof magic);
    sw_source_close(&source);
    return status;
}

typedef enum sw_status open_use(const struct sw_gguf *gguf, const struct sw_source *source,
                                void *out);

/* Calls `use` with the header, which is freed then. */
static enum sw_status open_gguf(const char *path, open_use *use, void *out)
{
    struct sw_source source;
    struct sw_gguf gguf;
    SW_TRY(sw_source_open(path, &source));
    enum sw_status status = sw_gguf_read(&source, &gguf);
    if (status == SW_OK) {
        status = use(&gguf, &source, out);
        sw_gguf_free(&gguf);
    }
    sw_source_close(&source);
    return status;
}

/* ---- the parts of a GGUF file */

static enum sw_status gguf_use_tensors(const struct sw_gguf *gguf, const struct sw_source *source,
                                       void *out)
{
    struct sw_tensors *tensors = out;
    *tensors = (struct sw_tensors){0};
    const enum sw_status status = sw_gguf_tensors(gguf, source, tensors);
    if (status != SW_OK)
        sw_tensors_free(tensors);
    return status;
}

static enum sw_status gguf_use_model(const struct sw_gguf *gguf, const struct sw_source *source,
                                     void *out)
{
    struct sw_tensors tensors;
    SW_TRY(gguf_use_tensors(gguf, source, &tensors));
    const enum sw_status status = sw_gguf_model(gguf, &tensors, out);
    sw_tensors_free(&tensors);
    return status;
}

/* What sw_open_model_and_tensors opens. */
struct opened_pair {
    struct sw_model *model;
    struct sw_tensors tensors;
};

static enum sw_status gguf_use_pair(const struct sw_gguf *gguf, const struct sw_source *source,
                                    void *out)
{
    struct opened_pair *pair = out;
    SW_TRY(gguf_use_tensors(gguf, source, &pair->tensors));
    const enum sw_status status = sw_gguf_model(gguf, &pair->tensors, &pair->model);
    if (status != SW_OK)
        sw_tensors_free(&pair->tensors);
    return status;
}

static enum sw_status gguf_use_tokenizer(const struct sw_gguf *gguf, const struct sw_source *source,
                                         void *out)
{
    return sw_gguf_tokenizer(gguf, source->path, out);
}

static struct sw_chat_source gguf_template(const struct sw_gguf *gguf, const char *key)
{
    struct sw_gguf_string text = {0};
    (void)sw_gguf_text(sw_gguf_find(gguf, key), 0, &text);
    return (struct sw_chat_source){text.bytes, text.length};
}

static enum sw_status gguf_use_chat(const struct sw_gguf *gguf, const struct sw_source *source,
                                    void *out)
{
    const struct sw_chat_source plain = gguf_template(gguf, "tokenizer.chat_template"),
                                tools = gguf_template(gguf, "tokenizer.chat_template.tool_use");
    struct sw_tokenizer *tokenizer;
    if (!plain.text)
        return sw_fail(SW_EMODEL,
                       "%s: the model has no chat template (tokenizer.chat_template); it may not "
                       "be a chat model: prompt it with plain text",
                       source->path);
    SW_TRY(sw_gguf_tokenizer(gguf, source->path, &tokenizer));
    const enum sw_status status = sw_chat_make(&plain, &tools, source->path, tokenizer, out);
    sw_tokenizer_close(tokenizer);
    return status;
}

static enum sw_status gguf_has_tokenizer(const struct sw_gguf *gguf, const struct sw_source *source,
                                         void *out)
{
    (void)source;
    *(bool *)out = sw_gguf_find(gguf, "tokenizer.ggml.tokens") != NULL;
    return SW_OK;
}

static enum sw_status gguf_use_any_tokenizer(const struct sw_gguf *gguf,
                                             const struct sw_source *source, void *out)
{
    bool there = false;
    SW_TRY(gguf_has_tokenizer(gguf, source, &there));
    return there ? gguf_use_tokenizer(gguf, source, out) : SW_OK;
}

static enum sw_status gguf_has_tensors(const struct sw_gguf *gguf, const struct sw_source *source,
                                       void *out)
{
    (void)source;
    *(bool *)out = gguf->n_tensors > 0 || sw_gguf_find(gguf, "split.count") != NULL;
    return SW_OK;
}

/* ---- folders */

/* `adapter` NULL: matrices are not quantized. */
static enum sw_status folder_adapted(const char *path, const struct sw_adapter *adapter,
                                     const json_t *config, struct sw_tensors *out)
{
    enum sw_status status = sw_checkpoint_open(path, out);
    if (status == SW_OK && adapter)
        status = sw_adapter_apply(adapter, config, out);
    if (status == SW_OK)
        status = sw_expert_stacks(out);
    if (status != SW_OK)
        sw_tensors_free(out);
    return status;
}

static enum sw_status folder_tensors(const char *path, struct sw_tensors *out)
{
    const struct sw_adapter *adapter;
    json_t *config;
    *out = (struct sw_tensors){0};
    SW_TRY(sw_adapter_find(path, &adapter, &config));
    const enum sw_status status = folder_adapted(path, adapter, config, out);
    json_decref(config);
    return status;
}

/* Says which matrices are not kept as they are because their rows are no whole blocks. */
static enum sw_status folder_warn_decoded(const struct sw_tensors *tensors, struct sw_model *model)
{
    const struct sw_tensor *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < tensors->count; i++)
        if (tensors->items[i].made && !tensors->items[i].blocks && !tensors->items[i].twin &&
            n++ == 0)
            first = &tensors->items[i];
    if (n == 0)
        return SW_OK;
    return sw_model_warn(model,
                         "%zu quantized matrices have rows that are no whole blocks (the first is "
                         "'%s' [%lld, %lld]): they are decoded and kept in 16 bits",
                         n, first->name, (long long)first->shape[0], (long long)first->shape[1]);
}

/* Says which matrices of one kind, which the model stacks, have different orders of columns or
 * tables behind them: a product takes activations in one order, and a matrix has one table. */
static enum sw_status folder_warn_behind(struct sw_model *model)
{
    const size_t count = model->first_weight[model->dims.n_layers + 1];
    size_t orders = 0, maps = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sw_weight_spec *spec = &model->weights[i];
        bool same = true;
        for (int s = 1; s < spec->n_sources && spec->id != SW_W_QKV; s++)
            same = same && spec->sources[s].behind == spec->sources[0].behind;
        orders += !same && !spec->sources[0].held_alone;
        maps += !same && spec->sources[0].held_alone;
    }
    if (orders > 0)
        SW_TRY(sw_model_warn(model,
                             "%zu pairs of gate and up matrices have columns in different "
                             "orders (act-order): they are decoded and kept in 16 bits",
                             orders));
    return maps == 0 ? SW_OK
                     : sw_model_warn(model,
                                     "%zu pairs of gate and up matrices have different "
                                     "nested_quant_maps: their absmax are kept in f32",
                                     maps);
}

/* The tensors, and what the model's matrices are in where they are quantized. */
static enum sw_status folder_hold(const char *path, const struct sw_adapter *adapter,
                                  const json_t *config, struct sw_model *model,
                                  struct sw_tensors *tensors)
{
    SW_TRY(folder_adapted(path, adapter, config, tensors));
    if (!adapter)
        return SW_OK;
    sw_model_hold(model, tensors);
    enum sw_status status = folder_warn_decoded(tensors, model);
    if (status == SW_OK)
        status = folder_warn_behind(model);
    if (status != SW_OK)
        sw_tensors_free(tensors);
    return status;
}

/* A quantized model whose tensors are not asked for: without them its config tells what it can. */
static enum sw_status folder_hold_alone(const char *path, const struct sw_adapter *adapter,
                                        const json_t *config, struct sw_model *model)
{
    struct sw_tensors tensors = {0};
    bool there;
    SW_TRY(sw_checkpoint_find(path, &there));
    if (!there) {
        if (adapter->format)
            sw_model_hold_linear(model, adapter->format(config),
                                 adapter->experts_only && model->dims.n_experts > 0);
        return SW_OK;
    }
    SW_TRY(folder_hold(path, adapter, config, model, &tensors));
    sw_tensors_free(&tensors);
    return SW_OK;
}

/* `tensors` NULL: they are not asked for. */
static enum sw_status folder_model(const char *path, struct sw_model **out,
                                   struct sw_tensors *tensors)
{
    const struct sw_adapter *adapter;
    json_t *config;
    SW_TRY(sw_model_open(path, out));
    enum sw_status status = sw_adapter_find(path, &adapter, &config);
    if (status == SW_OK && tensors)
        status = folder_hold(path, adapter, config, *out, tensors);
    else if (status == SW_OK && adapter)
        status = folder_hold_alone(path, adapter, config, *out);
    json_decref(config);
    if (status != SW_OK) {
        sw_model_close(*out);
        *out = NULL;
    }
    return status;
}

/* ---- */

/* How a part of a model is read from a GGUF file, and from a folder. */
struct open_part {
    open_use *gguf;
    enum sw_status (*folder)(const char *path, void *out);
};

static enum sw_status part_model(const char *path, void *out)
{
    return folder_model(path, out, NULL);
}

static enum sw_status part_tensors(const char *path, void *out)
{
    return folder_tensors(path, out);
}

static enum sw_status part_pair(const char *path, void *out)
{
    struct opened_pair *pair = out;
    return folder_model(path, &pair->model, &pair->tensors);
}

static enum sw_status part_any_tokenizer(const char *path, void *out)
{
    bool there = false;
    SW_TRY(sw_tokenizer_present(path, &there));
    return there ? sw_tokenizer_open(path, out) : SW_OK;
}

static enum sw_status part_has_tensors(const char *path, void *out)
{
    return sw_checkpoint_find(path, out);
}

static enum sw_status part_tokenizer(const char *path, void *out)
{
    return sw_tokenizer_open(path, out);
}

static enum sw_status part_has_tokenizer(const char *path, void *out)
{
    return sw_tokenizer_present(path, out);
}

static enum sw_status part_chat(const char *path, void *out)
{
    return sw_chat_open(path, out);
}

/* Finds what `name` means and reads a part of it. */
static enum sw_status open_part(const char *name, const struct open_part *part, void *out)
{
    struct sw_strbuf notes = {0}; /* main has logged them */
    char *path;
    bool gguf = false;
    enum sw_status status = sw_model_name_find(name, &path, &notes);
    if (status == SW_OK)
        status = sw_open_is_gguf(path, &gguf);
    if (status == SW_OK)
        status = gguf ? open_gguf(path, part->gguf, out) : part->folder(path, out);
    sw_strbuf_free(&notes);
    free(path);
    return status;
}

enum sw_status sw_open_model(const char *name, struct sw_model **out)
{
    *out = NULL;
    return open_part(name, &(struct open_part){gguf_use_model, part_model}, out);
}

enum sw_status sw_open_tensors(const char *name, struct sw_tensors *out)
{
    return open_part(name, &(struct open_part){gguf_use_tensors, part_tensors}, out);
}

enum sw_status sw_open_model_and_tensors(const char *name, struct sw_model **model,
                                         struct sw_tensors *tensors)
{
    struct opened_pair pair = {0};
    const enum sw_status status =
        open_part(name, &(struct open_part){gguf_use_pair, part_pair}, &pair);
    const bool ok = status == SW_OK;
    *model = ok ? pair.model : NULL;
    *tensors = ok ? pair.tensors : (struct sw_tensors){0};
    return status;
}

enum sw_status sw_open_has_tensors(const char *name, bool *there)
{
    return open_part(name, &(struct open_part){gguf_has_tensors, part_has_tensors}, there);
}

enum sw_status sw_open_tokenizer(const char *name, struct sw_tokenizer **out)
{
    return open_part(name, &(struct open_part){gguf_use_tokenizer, part_tokenizer}, out);
}

enum sw_status sw_open_any_tokenizer(const char *name, struct sw_tokenizer **out)
{
    *out = NULL;
    return open_part(name, &(struct open_part){gguf_use_any_tokenizer, part_any_tokenizer}, out);
}

enum sw_status sw_open_has_tokenizer(const char *name, bool *there)
{
    return open_part(name, &(struct open_part){gguf_has_tokenizer, part_has_tokenizer}, there);
}

enum sw_status sw_open_chat(const char *name, struct sw_chat **out)
{
    return open_part(name, &(struct open_part){gguf_use_chat, part_chat}, out);
}
