/* Owns which keys a GGUF file of a model has. */
#include "checkpoint/gguf_export_keys.h"

#include "base/log.h"
#include "checkpoint/gguf_tokenizer_export.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX 96
#define QUANTIZATION_VERSION 2 /* of ggml's blocks */
#define USUAL_CONTEXT 2048     /* of models without a limit: files must state one */

/* llama.cpp's numbers of whole files, by ggml's number of most of their matrices: a label only. */
static unsigned keys_file_type(const struct sw_weight_choice *choice)
{
    static const struct {
        unsigned ggml_type, file_type;
    } rows[] = {{2, 2},   {3, 3},   {6, 8},   {7, 9},   {8, 7},   {10, 10}, {11, 11},
                {12, 14}, {13, 16}, {14, 18}, {20, 25}, {23, 30}, {39, 38}};
    if (choice->mix)
        return sw_mix_file_type(choice->mix);
    if (!choice->all || choice->all->dtype == SW_F32)
        return 0;
    if (choice->all->dtype != SW_OTHER)
        return choice->all->dtype == SW_BF16 ? 32 : 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].ggml_type == choice->all->ggml_type)
            return rows[i].file_type;
    return 1;
}

static void keys_put_types(const struct sw_weight_choice *choice, struct sw_gguf_writer *w)
{
    if (!choice->all)
        return;
    sw_gguf_write_u32(w, "general.file_type", keys_file_type(choice));
    sw_gguf_write_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
}

/* ---- of a GGUF file */

static bool keys_is_of_types(const char *key)
{
    return strcmp(key, "general.file_type") == 0 ||
           strcmp(key, "general.quantization_version") == 0;
}

enum sw_status sw_gguf_copy_keys(const char *path, const struct sw_weight_choice *choice,
                                 struct sw_gguf_writer *w)
{
    struct sw_source source;
    struct sw_gguf gguf;
    SW_TRY(sw_source_open(path, &source));
    const enum sw_status status = sw_gguf_read(&source, &gguf);
    sw_source_close(&source);
    SW_TRY(status);
    for (size_t i = 0; i < gguf.n_values; i++) {
        const char *key = gguf.values[i].key;
        if (strncmp(key, "split.", 6) == 0 || strcmp(key, "general.alignment") == 0 ||
            (choice->all && keys_is_of_types(key)))
            continue;
        sw_gguf_write_value(w, gguf.values + i);
    }
    keys_put_types(choice, w);
    sw_gguf_free(&gguf);
    return SW_OK;
}

/* ---- of a folder */

struct keys {
    struct sw_gguf_writer *w;
    const struct sw_gguf_family *family;
    const struct sw_model *model;
};

/* "ARCHITECTURE.NAME" */
static const char *keys_name(const struct keys *k, const char *name, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%s.%s", k->family->architecture, name);
    return key;
}

static void keys_put(const struct keys *k, const char *name, int64_t value)
{
    char key[KEY_MAX];
    sw_gguf_write_u32(k->w, keys_name(k, name, key), (uint32_t)value);
}

static void keys_put_float(const struct keys *k, const char *name, float value)
{
    char key[KEY_MAX];
    sw_gguf_write_f32(k->w, keys_name(k, name, key), value);
}

static void keys_put_of(const struct keys *k, enum sw_key of, int64_t value)
{
    keys_put(k, sw_gguf_key(of, k->model->arch->norm), value);
}

static void keys_put_rope(const struct keys *k)
{
    const struct sw_dims *d = &k->model->dims;
    char key[KEY_MAX];
    keys_put_of(k, SW_KEY_HEAD_DIM, d->head_dim);
    keys_put(k, "attention.value_length", d->head_dim);
    keys_put_of(k, SW_KEY_ROTARY_DIM, d->rotary_dim);
    keys_put_float(k, sw_gguf_key(SW_KEY_ROPE_BASE, k->model->arch->norm), d->rope[0].base);
    if (d->rope[0].scaling != SW_ROPE_LINEAR)
        return;
    sw_gguf_write_text(k->w, keys_name(k, "rope.scaling.type", key), "linear", 6);
    keys_put_float(k, "rope.scaling.factor", d->rope[0].factor);
}

static void keys_put_experts(const struct keys *k)
{
    const struct sw_dims *d = &k->model->dims;
    keys_put_of(k, SW_KEY_EXPERTS, d->n_experts);
    keys_put_of(k, SW_KEY_EXPERTS_USED, d->n_experts_used);
    if (!k->family->routed_type) /* Mixtral's experts are as wide as its MLP */
        keys_put_of(k, SW_KEY_EXPERT_FFN, d->expert_ffn);
}

static void keys_put_dims(const struct keys *k)
{
    const struct sw_dims *d = &k->model->dims;
    const struct sw_arch *arch = k->model->arch;
    char key[KEY_MAX];
    keys_put_of(k, SW_KEY_LAYERS, d->n_layers);
    keys_put_of(k, SW_KEY_CONTEXT, d->context > 0 ? d->context : USUAL_CONTEXT);
    keys_put_of(k, SW_KEY_HIDDEN, d->hidden);
    keys_put_of(k, SW_KEY_FFN, d->ffn > 0 ? d->ffn : d->expert_ffn);
    keys_put_of(k, SW_KEY_HEADS, d->n_heads);
    keys_put_of(k, SW_KEY_KV_HEADS, d->n_kv_heads);
    keys_put_of(k, SW_KEY_VOCAB, d->vocab);
    keys_put_float(k, sw_gguf_key(SW_KEY_NORM_EPS, arch->norm), d->norm_eps);
    if (arch->position == SW_POS_ROPE)
        keys_put_rope(k);
    if (d->n_experts > 0)
        keys_put_experts(k);
    if (arch->keys[SW_KEY_PARALLEL].name)
        sw_gguf_write_bool(k->w, keys_name(k, sw_gguf_key(SW_KEY_PARALLEL, arch->norm), key),
                           d->residual != SW_RES_SEQUENTIAL);
}

/* What llama.cpp computes for the family, and the model does not. */
static enum sw_status keys_check(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    bool routed = false, dense = false, slides = false;
    for (int i = 0; i < d->n_layers; i++) {
        const unsigned kinds = model->layer_kinds[i];
        routed = routed || kinds & SW_LAYER_ROUTED;
        dense = dense || !(kinds & SW_LAYER_ROUTED);
        slides = slides || (kinds & SW_LAYER_SLIDING && d->window < d->context);
    }
    const char *what = routed && dense      ? "layers without experts beside such with them"
                       : d->normed_residual ? "a residual taken after the norm"
                       : d->n_experts > 0 && !d->norm_topk
                           ? "experts whose weights do not add up to 1"
                           : NULL;
    if (what)
        return sw_fail(SW_EMODEL, "the model has %s, which no key of a GGUF file says", what);
    if (slides)
        sw_log(SW_LOG_WARN,
               "a GGUF file of this family does not say that layers see a window of %d positions: "
               "answers differ in longer texts",
               d->window);
    return SW_OK;
}

static void keys_put_name(const char *path, struct sw_gguf_writer *w)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/')
        from--;
    sw_gguf_write_text(w, "general.name", path + from, n - from);
}

enum sw_status sw_gguf_export_keys(const char *path, const struct sw_model *model,
                                   const struct sw_gguf_family *family,
                                   const struct sw_weight_choice *choice, struct sw_gguf_writer *w)
{
    const struct keys k = {w, family, model};
    SW_TRY(keys_check(model));
    sw_gguf_write_text(w, "general.architecture", family->architecture,
                       strlen(family->architecture));
    sw_gguf_write_text(w, "general.type", "model", 5);
    keys_put_name(path, w);
    keys_put_dims(&k);
    SW_TRY(sw_gguf_export_tokenizer(path, model, w));
    keys_put_types(choice, w);
    return SW_OK;
}
