/* Owns making a model of a GGUF header: a family's row with GGUF's names in it. */
#include "checkpoint/gguf_model.h"

#include "base/json.h"
#include "checkpoint/gguf_families.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool gguf_has(const struct sw_tensors *tensors, const char *name)
{
    return sw_tensors_find(tensors, name) != NULL;
}

static const char **gguf_name_at(struct sw_names *names, size_t at)
{
    return (const char **)(void *)((char *)names + at);
}

static void gguf_name_tensors(const struct sw_gguf_family *family, struct sw_arch *arch)
{
    struct sw_names *names = &arch->names, own = {0};
    const struct sw_gguf_name *row;
    for (int i = 0; (row = sw_gguf_name_row(i)); i++)
        if (*gguf_name_at(names, row->at))
            *gguf_name_at(names, row->at) = row->name;
    if (family->own)
        own = *family->own;
    for (size_t at = 0; at < sizeof own; at += sizeof(const char *)) /* it has nothing else */
        if (*gguf_name_at(&own, at))
            *gguf_name_at(names, at) = *gguf_name_at(&own, at);
    names->prefix = "";
    names->head_alias = NULL;
    arch->encoder = family->encoder;
}

static bool gguf_has_like(const struct sw_tensors *tensors, const char *part)
{
    for (size_t i = 0; i < tensors->count; i++)
        if (strstr(tensors->items[i].name, part))
            return true;
    return false;
}

/* What its tensors say of a file: the norms that it has, and whether there are gates. */
static void gguf_see_tensors(const struct sw_tensors *tensors, struct sw_arch *arch)
{
    if (arch->keys[SW_KEY_QK_NORM].name && !gguf_has(tensors, "blk.0.attn_q_norm.weight"))
        arch->names.q_norm = arch->names.k_norm = NULL;
    if (gguf_has(tensors, "blk.0.attn_k_b.0.weight")) { /* newer files have kv_b in two tensors */
        arch->names.k_b = "blk.#.attn_k_b.@";
        arch->names.v_b = "blk.#.attn_v_b.@";
    }
    if (gguf_has(tensors, "blk.0.ssm_in.weight")) { /* older files have one product, by key head */
        arch->names.delta_in = "blk.#.ssm_in";
        arch->names.delta_z = NULL;
    }
    if (arch->names.expert_up && gguf_has_like(tensors, ".ffn_gate_up_exps.")) {
        arch->names.expert_gate = NULL; /* in one tensor, the gate first */
        arch->names.expert_up = "blk.#.ffn_gate_up_exps.@";
    }
    arch->delta_grouped = arch->delta_grouped && !arch->names.delta_z;
    arch->delta_decays = arch->names.delta_decay != NULL;
    if (!arch->gate_by_config)
        return;
    arch->gate_by_config = false;
    arch->gated = gguf_has(tensors, "dec.blk.0.ffn_gate.weight");
    arch->activation = arch->gated ? SW_ACT_GELU_TANH : arch->activation;
}

/* What a file of this family holds otherwise than a config.json would tell. */
static void gguf_name_keys(const struct sw_tensors *tensors, struct sw_arch *arch)
{
    const struct sw_tensor *shared = sw_tensors_find(tensors, "blk.0.ffn_up_shexp.weight");
    struct sw_arch_key *keys = arch->keys;
    for (int k = 0; k < SW_KEY_COUNT; k++) {
        const bool had = keys[k].name || keys[k].absent != 0;
        keys[k].name = had ? sw_gguf_key((enum sw_key)k, arch->norm) : NULL;
        keys[k].other = NULL;
    }
    keys[SW_KEY_NORM_EPS] = (struct sw_arch_key){.name = sw_gguf_key(SW_KEY_NORM_EPS, arch->norm),
                                                 .absent = SW_REQUIRED};
    keys[SW_KEY_KV_HEADS].absent = keys[SW_KEY_HEAD_DIM].absent = keys[SW_KEY_WINDOW].absent = 0;
    keys[SW_KEY_ROTARY_SHARE].absent = 1;
    if (arch->position == SW_POS_ROPE) {
        keys[SW_KEY_ROPE].name = "rope.scaling";
        keys[SW_KEY_ROTARY_DIM].name = sw_gguf_key(SW_KEY_ROTARY_DIM, arch->norm);
    }
    keys[SW_KEY_TIED].absent = !gguf_has(tensors, "output.weight");
    keys[SW_KEY_QKV_BIAS].absent =
        gguf_has(tensors, "blk.0.attn_q.bias") || gguf_has(tensors, "blk.0.attn_qkv.bias");
    keys[SW_KEY_MLP_BIAS].absent = gguf_has(tensors, "blk.0.ffn_up.bias");
    keys[SW_KEY_ROPE].absent = 0; /* what is not there is not scaled */
    keys[SW_KEY_MULTI_QUERY].absent = 0;
    keys[SW_KEY_GROUPED].absent = gguf_has(tensors, "blk.0.attn_norm_2.weight");
    if (shared && keys[SW_KEY_SHARED_FFN].name)
        keys[SW_KEY_SHARED_FFN].absent = (double)shared->shape[0];
    arch->out_bias = gguf_has(tensors, "blk.0.attn_output.bias");
    arch->head_bias = gguf_has(tensors, "output.bias");
    arch->norm_plus_one = false; /* whoever wrote the file has added it */
}

#define GGUF_RECURRENT "attention.recurrent_layers" /* a list: true for a delta net */
/* A head's elements in layers with a window, where others have other heads. */
#define GGUF_SLIDING_LENGTH "attention.key_length_swa"

/* What the family's files state otherwise than others. */
static void gguf_name_own_keys(const struct sw_gguf_family *family, const json_t *root,
                               struct sw_arch *arch)
{
    struct sw_arch_key *keys = arch->keys;
    int64_t width = 0, heads = 0, length = 0, experts = 0;
    if (!family->windows)
        keys[SW_KEY_WINDOW].name = NULL;
    keys[SW_KEY_WINDOW].absent = family->chunk;
    if (keys[SW_KEY_DELTA_WINDOW].name)
        keys[SW_KEY_LAYER_TYPES].name = GGUF_RECURRENT;
    if (keys[SW_KEY_LAYER_TYPES].name &&
        !json_is_array(json_object_get(root, keys[SW_KEY_LAYER_TYPES].name)))
        keys[SW_KEY_LAYER_TYPES].name = NULL;
    if (json_object_get(root, GGUF_SLIDING_LENGTH)) { /* the other ones are of layers without */
        keys[SW_KEY_HEAD_DIM].name = GGUF_SLIDING_LENGTH;
        keys[SW_KEY_ROTARY_DIM].name = "rope.dimension_count_swa";
    }
    (void)sw_json_integer(json_object_get(root, "expert_count"), 0, INT32_MAX, &experts);
    if (arch->experts_beside && experts == 0) /* some of the family's models have none */
        keys[SW_KEY_EXPERTS].name = NULL;
    if (family->plain_experts)
        keys[SW_KEY_QK_NORM].absent = experts != family->plain_experts;
    keys[SW_KEY_NORM_TOPK].absent = !family->raw_shares; /* as ggml computes it */
    keys[SW_KEY_QUERY_SCALAR].absent = 0;
    if (keys[SW_KEY_LATENT]
            .name) { /* files count the one head that is left; what is not there is 0 */
        keys[SW_KEY_KV_HEADS].name = NULL;
        keys[SW_KEY_LATENT_Q].absent = 0;
        keys[SW_KEY_GROUPS].absent = keys[SW_KEY_GROUPS_USED].absent = 1;
        keys[SW_KEY_ROUTED_SCALE].absent = 1;
    }
    (void)sw_json_integer(json_object_get(root, "embedding_length"), 1, INT32_MAX, &width);
    (void)sw_json_integer(json_object_get(root, "attention.head_count"), 1, INT32_MAX, &heads);
    (void)sw_json_integer(json_object_get(root, "attention.key_length"), 1, INT32_MAX, &length);
    if (family->wide_heads && heads > 0 && length != family->wide_heads)
        keys[SW_KEY_QUERY_SCALAR].absent = (double)(width / heads);
}

/* Norms that the family's row has no name for would be left out without a word. */
static enum sw_status gguf_check_norms(const struct sw_tensors *tensors, const struct sw_arch *arch)
{
    static const char name[] = "blk.0.attn_q_norm.weight";
    if (arch->names.q_norm || !gguf_has(tensors, name))
        return SW_OK;
    return sw_fail(SW_EMODEL, "it has %s, which models of the family %s do not have here", name,
                   arch->title);
}

/* llama.cpp gives such a file rope in other layers than its folder has. */
static enum sw_status gguf_check_chunk(const struct sw_gguf_family *family, const json_t *root)
{
    const json_t *window = json_object_get(root, "attention.sliding_window");
    if (!family->chunk || !window || json_integer_value(window) > 0)
        return SW_OK;
    return sw_fail(SW_EMODEL, "%s.attention.sliding_window is 0, which is not supported",
                   family->architecture);
}

/* ---- the header's values as a config.json would have them */

#define LIST_MAX 10000 /* no model has more layers */

/* A list of true and false or of whole numbers, one a layer; empty where it is something else. */
static json_t *gguf_json_list(const struct sw_gguf_value *value)
{
    json_t *list = json_array();
    bool is;
    int64_t integer;
    for (uint64_t i = 0; list && i < value->count && value->count <= LIST_MAX; i++)
        if (sw_gguf_bool(value, i, &is))
            json_array_append_new(list, json_boolean(is));
        else if (sw_gguf_integer(value, i, &integer))
            json_array_append_new(list, json_integer(integer));
    return list;
}

/* A new reference; null for what no number of a config.json can be; NULL: no memory. */
static json_t *gguf_json(const struct sw_gguf_value *value)
{
    struct sw_gguf_string text;
    int64_t integer;
    double number;
    bool is;
    if (value->is_array)
        return gguf_json_list(value);
    if (sw_gguf_text(value, 0, &text))
        return json_stringn_nocheck(text.bytes, text.length);
    if (sw_gguf_bool(value, 0, &is))
        return json_boolean(is);
    if (sw_gguf_integer(value, 0, &integer))
        return json_integer(integer);
    return sw_gguf_float(value, 0, &number) && isfinite(number) ? json_real(number) : json_null();
}

/* Writers that have nothing to say write "none", of rope.scaling.type. */
static bool gguf_is_none(const struct sw_gguf_value *value)
{
    struct sw_gguf_string text;
    return sw_gguf_text(value, 0, &text) && strcmp(text.bytes, "none") == 0;
}

/* "ARCHITECTURE.KEY" becomes KEY; "rope.scaling.X" becomes X of an object "rope.scaling", as
 * transformers calls it. */
static bool gguf_add_member(json_t *root, json_t *scaling, const char *key, json_t *value)
{
    static const char rope[] = "rope.scaling.";
    static const struct {
        const char *here, *there;
    } names[] = {{"original_context_length", "original_max_position_embeddings"},
                 {"attn_factor", "attention_factor"},
                 {"yarn_attn_factor", "attention_factor"},
                 {"yarn_beta_fast", "beta_fast"},
                 {"yarn_beta_slow", "beta_slow"},
                 {"yarn_log_multiplier", "mscale_all_dim"}};
    if (strncmp(key, rope, sizeof rope - 1) != 0)
        return json_object_set_new_nocheck(root, key, value) == 0;
    key += sizeof rope - 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(key, names[i].here) == 0)
            key = names[i].there;
    return json_object_set_new_nocheck(scaling, key, value) == 0;
}

/* Heads of latent attention: newer files state their sizes beside those of the one KV head, older
 * ones in their place. */
static bool gguf_add_latent(json_t *root)
{
    int64_t key = 0, value = 0, rotary = 0;
    if (!json_object_get(root, "attention.kv_lora_rank"))
        return true;
    if (!sw_json_integer(json_object_get(root, "attention.key_length_mla"), 1, INT32_MAX, &key))
        (void)sw_json_integer(json_object_get(root, "attention.key_length"), 1, INT32_MAX, &key);
    if (!sw_json_integer(json_object_get(root, "attention.value_length_mla"), 1, INT32_MAX, &value))
        (void)sw_json_integer(json_object_get(root, "attention.value_length"), 1, INT32_MAX,
                              &value);
    (void)sw_json_integer(json_object_get(root, "rope.dimension_count"), 1, INT32_MAX, &rotary);
    return json_object_set_new_nocheck(root, SW_GGUF_PLAIN_LENGTH, json_integer(key - rotary)) ==
               0 &&
           json_object_set_new_nocheck(root, "attention.value_length_mla", json_integer(value)) ==
               0;
}

/* YaRN's multiplier of such a family. */
static bool gguf_mend_mscale(json_t *scaling)
{
    double tenth;
    if (!sw_json_number(json_object_get(scaling, "mscale_all_dim"), &tenth))
        return true;
    return json_object_set_new(scaling, "mscale_all_dim", json_real(10 * tenth)) == 0 &&
           json_object_set_new(scaling, "mscale", json_real(10 * tenth)) == 0;
}

static enum sw_status gguf_read_floats(const struct sw_tensors *tensors,
                                       const struct sw_tensor *tensor, size_t n, float *out)
{
    struct sw_source source;
    if (tensor->dtype != SW_F32 || tensor->blocks || tensor->bytes != n * sizeof *out)
        return sw_fail(SW_EMODEL, "%s is not %zu elements of F32", tensor->name, n);
    SW_TRY(sw_source_open(tensors->files[tensor->file].path, &source));
    const enum sw_status status = sw_source_read(&source, tensor->offset, out, tensor->bytes);
    sw_source_close(&source);
    return status;
}

#define FACTORS_MAX 4096

/* LongRoPE's factors, which are tensors here. */
static enum sw_status gguf_add_factors(const struct sw_tensors *tensors, json_t *scaling)
{
    static const char *const names[][2] = {{"rope_factors_short.weight", "short_factor"},
                                           {"rope_factors_long.weight", "long_factor"}};
    for (size_t i = 0; i < 2; i++) {
        float factors[FACTORS_MAX];
        const struct sw_tensor *tensor = sw_tensors_find(tensors, names[i][0]);
        if (!tensor || tensor->bytes > sizeof factors)
            continue;
        const size_t n = tensor->bytes / sizeof *factors;
        SW_TRY(gguf_read_floats(tensors, tensor, n, factors));
        json_t *list = json_array();
        for (size_t k = 0; list && k < n; k++)
            json_array_append_new(list, json_real((double)factors[k]));
        if (json_array_size(list) != n ||
            (!json_object_get(scaling, "type") &&
             json_object_set_new(scaling, "type", json_string("longrope")) != 0) ||
            json_object_set_new(scaling, names[i][1], list) != 0)
            return sw_fail(SW_ENOMEM, "no memory for %zu factors of rope", n);
    }
    return SW_OK;
}

/* Layers that only guess further tokens, behind those of the model, are not run. */
static bool gguf_leave_guesses(json_t *root)
{
    int64_t all = 0, guesses = 0;
    (void)sw_json_integer(json_object_get(root, "block_count"), 0, INT32_MAX, &all);
    (void)sw_json_integer(json_object_get(root, "nextn_predict_layers"), 0, INT32_MAX, &guesses);
    if (guesses == 0 || guesses >= all)
        return true;
    json_t *recurrent = json_object_get(root, GGUF_RECURRENT);
    while (json_array_size(recurrent) > (size_t)(all - guesses))
        (void)json_array_remove(recurrent, json_array_size(recurrent) - 1);
    return json_object_set_new_nocheck(root, "block_count", json_integer(all - guesses)) == 0;
}

/* A value head's elements: files state those of all. */
static bool gguf_add_delta(json_t *root)
{
    int64_t all = 0, heads = 0;
    (void)sw_json_integer(json_object_get(root, "ssm.inner_size"), 1, INT32_MAX, &all);
    (void)sw_json_integer(json_object_get(root, "ssm.time_step_rank"), 1, INT32_MAX, &heads);
    return heads == 0 || all % heads != 0 ||
           json_object_set_new_nocheck(root, SW_GGUF_VALUE_LENGTH, json_integer(all / heads)) == 0;
}

/* Layers without a window may have heads of their own, and keys for values: those of each as a
 * config.json states them. */
static bool gguf_add_heads(const struct sw_tensors *tensors, json_t *root)
{
    static const char kv_key[] = "attention.head_count_kv";
    const json_t *slides = json_object_get(root, "attention.sliding_window_pattern"), *first = NULL;
    json_t *kv = json_object_get(root, kv_key), *own = json_object();
    json_t *length = json_object_get(root, "attention.key_length");
    length = length ? length : json_null();
    bool ok = own != NULL;
    if (!json_object_get(root, GGUF_SLIDING_LENGTH)) {
        json_decref(own);
        return true;
    }
    for (size_t i = 0; ok && i < json_array_size(slides); i++) {
        char name[48];
        json_t *here = json_is_array(kv) ? json_array_get(kv, i) : kv;
        const bool whole = json_is_false(json_array_get(slides, i));
        here = here ? here : json_null();
        if (!whole && !first)
            first = here;
        if (!whole && json_equal(first, here))
            continue;
        snprintf(name, sizeof name, "blk.%zu.attn_v.weight", i);
        if (whole && json_object_size(own) == 0)
            ok = json_object_set_new_nocheck(root, SW_GGUF_KEYS_AS_VALUES,
                                             json_boolean(!gguf_has(tensors, name))) == 0;
        snprintf(name, sizeof name, "%zu", i);
        ok = ok && json_object_set_new_nocheck(
                       own, name,
                       whole ? json_pack("{sOsO}", GGUF_SLIDING_LENGTH, length, kv_key, here)
                             : json_pack("{sO}", kv_key, here)) == 0;
    }
    ok = ok && json_object_set_nocheck(root, SW_GGUF_LAYER_HEADS, own) == 0;
    if (ok && first)
        ok = json_object_set_nocheck(root, kv_key, (json_t *)(uintptr_t)first) == 0;
    json_decref(own);
    return ok;
}

/* MLPs of layers that borrow keys and values may be twice as wide: then files list all widths. */
static bool gguf_add_widths(json_t *root)
{
    static const char key[] = "feed_forward_length";
    json_t *list = json_object_get(root, key), *first = json_array_get(list, 0);
    const int64_t n = (int64_t)json_array_size(list), width = json_integer_value(first);
    int64_t borrowers = 0;
    (void)sw_json_integer(json_object_get(root, "attention.shared_kv_layers"), 0, n, &borrowers);
    const bool wide =
        borrowers > 0 && json_integer_value(json_array_get(list, (size_t)n - 1)) == 2 * width;
    bool alike = n > 0;
    for (int64_t i = 0; i < n; i++)
        alike &= json_integer_value(json_array_get(list, (size_t)i)) ==
                 (wide && i >= n - borrowers ? 2 * width : width);
    if (!alike)
        return true;
    return json_object_set_new_nocheck(root, SW_GGUF_WIDE_BORROWERS, json_boolean(wide)) == 0 &&
           json_object_set_nocheck(root, key, first) == 0;
}

/* The vocabulary is what the embedding has rows for: some files lack the key. */
static bool gguf_add_vocabulary(const struct sw_tensors *tensors, json_t *root)
{
    const struct sw_tensor *embed = sw_tensors_find(tensors, "token_embd.weight");
    return !embed || embed->rank != 2 ||
           json_object_set_new_nocheck(root, "vocab_size", json_integer(embed->shape[0])) == 0;
}

static json_t *gguf_config(const struct sw_gguf *gguf, const struct sw_tensors *tensors,
                           const char *architecture)
{
    const size_t n = strlen(architecture);
    json_t *root = json_object(), *scaling = json_object();
    bool ok = root && scaling;
    for (size_t i = 0; ok && i < gguf->n_values; i++) {
        const struct sw_gguf_value *value = gguf->values + i;
        const char *key = value->key;
        if (strncmp(key, architecture, n) == 0 && key[n] == '.' && !gguf_is_none(value))
            ok = gguf_add_member(root, scaling, key + n + 1, gguf_json(value));
    }
    /* llama.cpp takes the other one for 1. */
    if (ok && json_object_get(scaling, "mscale_all_dim"))
        ok = json_object_set_new_nocheck(scaling, "mscale", json_real(1)) == 0;
    ok = ok && gguf_add_vocabulary(tensors, root) && gguf_leave_guesses(root) &&
         gguf_add_latent(root) && gguf_add_delta(root) && gguf_add_heads(tensors, root) &&
         gguf_add_widths(root) && json_object_set_nocheck(root, "rope.scaling", scaling) == 0;
    json_decref(scaling);
    if (ok)
        return root;
    json_decref(root);
    return NULL;
}

/* ---- */

static enum sw_status gguf_unknown(const char *architecture)
{
    char known[2048] = "";
    size_t used = 0;
    const struct sw_gguf_family *family;
    for (int i = 0; (family = sw_gguf_family_row(i)); i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 family->architecture);
    return sw_fail(SW_EMODEL,
                   "its general.architecture is '%.100s', which is not supported; known are: %s",
                   architecture, known);
}

/* "rope_freqs.weight": Llama 3's scaling, worked out by who wrote the file. */
static enum sw_status gguf_read_rope(const struct sw_tensors *tensors, struct sw_model *model)
{
    const struct sw_tensor *tensor = sw_tensors_find(tensors, "rope_freqs.weight");
    const size_t n = (size_t)sw_dims_rotary(&model->dims, 0) / 2;
    if (!tensor || model->arch->position != SW_POS_ROPE)
        return SW_OK;
    free(model->rope_divisors);
    model->rope_divisors = malloc(n * sizeof *model->rope_divisors);
    if (!model->rope_divisors)
        return sw_fail(SW_ENOMEM, "no memory for rope_freqs.weight");
    SW_TRY(gguf_read_floats(tensors, tensor, n, model->rope_divisors));
    for (size_t i = 0; i < n; i++)
        if (!(model->rope_divisors[i] > 0))
            return sw_fail(SW_EMODEL, "rope_freqs.weight: element %zu is not above 0", i);
    return SW_OK;
}

/* The type of a model's files that its matrices come nearest to; blocks come from either of 16
 * bits, so those matrices that are none decide. */
static enum sw_dtype gguf_stored(const struct sw_tensors *tensors)
{
    uint64_t bf16 = 0, f16 = 0, f32 = 0, blocks = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct sw_tensor *tensor = &tensors->items[i];
        if (tensor->rank > 1)
            *(tensor->blocks             ? &blocks
              : tensor->dtype == SW_BF16 ? &bf16
              : tensor->dtype == SW_F32  ? &f32
                                         : &f16) += tensor->bytes;
    }
    return bf16 > f16 ? SW_BF16 : f32 > f16 + blocks ? SW_F32 : SW_F16;
}

/* The row of a file of the family, by what it states. */
static const struct sw_arch *gguf_row(const struct sw_gguf_family *family, const json_t *root,
                                      const struct sw_tensors *tensors)
{
    int64_t experts = 0, window = 0, dense = 0;
    const char *type = family->model_type;
    char correction[64];
    (void)sw_json_integer(json_object_get(root, "expert_count"), 0, INT32_MAX, &experts);
    (void)sw_json_integer(json_object_get(root, "attention.sliding_window"), 0, INT32_MAX, &window);
    if (experts > 0 && family->routed_type)
        type = family->routed_type;
    if (window > 0 && family->window_type)
        type = family->window_type;
    (void)sw_json_integer(json_object_get(root, "leading_dense_block_count"), 0, INT32_MAX, &dense);
    snprintf(correction, sizeof correction, "blk.%lld.exp_probs_b.bias", (long long)dense);
    if (family->corrected_type && gguf_has(tensors, correction))
        type = family->corrected_type;
    return sw_arch_find(type);
}

static enum sw_status gguf_make(const struct sw_gguf *gguf, const struct sw_tensors *tensors,
                                struct sw_model **out)
{
    struct sw_gguf_string name;
    if (!sw_gguf_text(sw_gguf_find(gguf, "general.architecture"), 0, &name))
        return sw_fail(SW_EMODEL, "has no text general.architecture");
    const struct sw_gguf_family *family = sw_gguf_family_of(name.bytes);
    if (!family)
        return gguf_unknown(name.bytes);
    json_t *root = gguf_config(gguf, tensors, name.bytes);
    if (!root)
        return sw_fail(SW_ENOMEM, "no memory for its keys");
    struct sw_arch arch = *gguf_row(family, root, tensors);
    gguf_name_tensors(family, &arch);
    gguf_see_tensors(tensors, &arch);
    gguf_name_keys(tensors, &arch);
    gguf_name_own_keys(family, root, &arch);
    arch.rope_interleaved = arch.rope_interleaved || family->interleaved;
    arch.qkv = family->stacked ? SW_QKV_STACKED : arch.qkv;
    arch.delta_turns = family->turns;
    arch.conv1d = false; /* all matrices are (out, in) */
    json_t *scaling = json_object_get(root, "rope.scaling");
    enum sw_status status = gguf_check_norms(tensors, &arch);
    if (status == SW_OK)
        status = gguf_check_chunk(family, root);
    if (status == SW_OK)
        status = gguf_add_factors(tensors, scaling);
    if (status == SW_OK &&
        ((family->whole_ramp && json_object_set_new(scaling, "truncate", json_false()) != 0) ||
         (family->tenth_of_mscale && !gguf_mend_mscale(scaling))))
        status = sw_fail(SW_ENOMEM, "no memory for its keys");
    if (status == SW_OK)
        status = sw_model_make(root, &arch, out);
    json_decref(root);
    if (status == SW_OK) {
        (*out)->dtype = gguf_stored(tensors);
        (*out)->dtype_stated = true;
    }
    return status;
}

/* llama.cpp's converter may put q, k and v of a layer into one tensor (--fuse-qkv), where the layer
 * has all three. */
static void gguf_see_fused(const struct sw_tensors *tensors, struct sw_model *model)
{
    const size_t n = model->first_weight[model->dims.n_layers + 1];
    char name[SW_TENSOR_NAME_MAX];
    for (struct sw_weight_spec *spec = model->weights; spec < model->weights + n; spec++) {
        struct sw_weight_spec fused = *spec;
        if ((spec->id != SW_W_QKV && spec->id != SW_W_QKV_BIAS) || spec->n_sources < 3)
            continue;
        sw_weight_tensor_name(model, spec, 0, name);
        if (gguf_has(tensors, name))
            continue;
        fused.n_sources = 1;
        fused.sources[0].pattern = "blk.#.attn_qkv";
        fused.sources[0].rows = spec->rows;
        sw_weight_tensor_name(model, &fused, 0, name);
        if (gguf_has(tensors, name))
            *spec = fused;
    }
}

enum sw_status sw_gguf_model(const struct sw_gguf *gguf, const struct sw_tensors *tensors,
                             struct sw_model **out)
{
    *out = NULL;
    enum sw_status status = gguf_make(gguf, tensors, out);
    if (status == SW_OK)
        status = gguf_read_rope(tensors, *out);
    if (status == SW_OK) {
        gguf_see_fused(tensors, *out);
        sw_model_hold(*out, tensors);
    }
    if (status != SW_OK) {
        sw_error_context("%s", tensors->files[0].path);
        sw_model_close(*out);
        *out = NULL;
    }
    return status;
}
