/* Owns the reading of single keys of config.json, and telling which are another family's. */
#include "model/config_keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What families do that have no such key, where that is not 0. */
static const double neutral[SW_KEY_COUNT] = {
    [SW_KEY_LINEAR_BIAS] = 1,    [SW_KEY_NORM_WEIGHTS] = 1, [SW_KEY_PRE_NORM] = 1,
    [SW_KEY_SCALED_SCORES] = 1,  [SW_KEY_SPARSE_STEP] = 1,  [SW_KEY_EMBED_SCALE] = 1,
    [SW_KEY_RESIDUAL_SCALE] = 1, [SW_KEY_LOGIT_SCALE] = 1,  [SW_KEY_LOGIT_DIVISOR] = 1,
    [SW_KEY_ROUTED_SCALE] = 1,   [SW_KEY_GROUPS] = 1,       [SW_KEY_GROUPS_USED] = 1};

static const struct {
    const char *name;
    enum sw_activation kind;
} activations[] = {{"relu", SW_ACT_RELU},
                   {"gelu", SW_ACT_GELU},
                   {"gelu_new", SW_ACT_GELU_TANH},
                   {"gelu_fast", SW_ACT_GELU_TANH},
                   {"gelu_pytorch_tanh", SW_ACT_GELU_TANH},
                   {"relu2", SW_ACT_RELU_SQUARED},
                   {"silu", SW_ACT_SILU},
                   {"swish", SW_ACT_SILU}};

void sw_config_begin(struct sw_config *config, const json_t *root, const struct sw_arch *arch)
{
    *config = (struct sw_config){.root = root, .arch = arch};
    for (int k = 0; k < SW_KEY_COUNT; k++)
        config->values[k] =
            arch->keys[k].name || arch->keys[k].absent != 0 ? arch->keys[k].absent : neutral[k];
    config->values[SW_KEY_ACTIVATION] = arch->activation;
}

bool sw_config_has(const struct sw_config *config, enum sw_key key)
{
    return config->arch->keys[key].name != NULL;
}

/* The value and the name it is under; one that is not null comes first. */
static const json_t *config_keys_find(const struct sw_config *config, enum sw_key key,
                                      const char **name)
{
    const struct sw_arch_key *k = &config->arch->keys[key];
    const json_t *one = k->name ? json_object_get(config->root, k->name) : NULL;
    const json_t *other = k->other ? json_object_get(config->root, k->other) : NULL;
    const bool is_other = other && (!one || (json_is_null(one) && !json_is_null(other)));
    *name = is_other ? k->other : k->name;
    return is_other ? other : one;
}

const json_t *sw_config_find(const struct sw_config *config, enum sw_key key)
{
    const char *name;
    const json_t *value = config_keys_find(config, key, &name);
    return json_is_null(value) && !config->arch->keys[key].null_is_zero ? NULL : value;
}

/* "'head_dim' is -3, but must be an integer from 1 to 16384" */
static enum sw_status config_keys_wrong(const char *name, const json_t *value, const char *what,
                                        double low, double high)
{
    char text[SW_JSON_SHORT];
    return sw_fail(SW_EMODEL, "'%s' is %s, but must be %s from %.12g to %.12g", name,
                   sw_json_show(value, text, sizeof text), what, low, high);
}

/* *given false: the file has none, and values[key] is what counts. */
static enum sw_status config_keys_read_number(struct sw_config *config, enum sw_key key,
                                              const json_t **value, const char **name, bool *given)
{
    const struct sw_arch_key *k = &config->arch->keys[key];
    *value = config_keys_find(config, key, name);
    *given = *value && !json_is_null(*value);
    if (!*given && k->name && k->absent == SW_REQUIRED)
        return sw_fail(SW_EMODEL, "'%s' is missing", k->name);
    if (*value && !*given && k->null_is_zero)
        config->values[key] = 0;
    return SW_OK;
}

static enum sw_status in_range(struct sw_config *config, enum sw_key key, double low, double high,
                               bool whole)
{
    const json_t *value;
    const char *name;
    double number;
    bool given;
    SW_TRY(config_keys_read_number(config, key, &value, &name, &given));
    if (!given)
        return SW_OK;
    if (!sw_json_number(value, &number) || (whole && number != floor(number)) ||
        !(number >= low && number <= high))
        return config_keys_wrong(name, value, whole ? "an integer" : "a number", low, high);
    config->values[key] = number;
    return SW_OK;
}

enum sw_status sw_config_int(struct sw_config *config, enum sw_key key, int low, int high, int *out)
{
    SW_TRY(in_range(config, key, low, high, true));
    *out = (int)config->values[key];
    return SW_OK;
}

enum sw_status sw_config_float(struct sw_config *config, enum sw_key key, double low, double high,
                               float *out)
{
    SW_TRY(in_range(config, key, low, high, false));
    *out = (float)config->values[key];
    return SW_OK;
}

enum sw_status sw_config_flag(struct sw_config *config, enum sw_key key, bool *out)
{
    const json_t *value;
    const char *name;
    bool given;
    SW_TRY(config_keys_read_number(config, key, &value, &name, &given));
    if (given && !json_is_boolean(value))
        return sw_fail(SW_EMODEL, "'%s' must be true or false", name);
    if (given)
        config->values[key] = json_is_true(value);
    *out = config->values[key] != 0;
    return SW_OK;
}

enum sw_status sw_config_member(const json_t *object, const char *name, double low, double high,
                                bool whole, double *out)
{
    const json_t *value = json_object_get(object, name);
    if (!value || json_is_null(value))
        return sw_fail(SW_EMODEL, "'%s' is missing", name);
    if (!sw_json_number(value, out) || (whole && *out != floor(*out)) ||
        !(*out >= low && *out <= high))
        return config_keys_wrong(name, value, whole ? "an integer" : "a number", low, high);
    return SW_OK;
}

bool sw_config_activation(const char *name, enum sw_activation *out)
{
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(activations[i].name, name) == 0) {
            *out = activations[i].kind;
            return true;
        }
    return false;
}

/* Keys of families that are not here, which change what is computed unless they are this. */
static const struct {
    const char *name;
    double harmless;
} elsewhere[] = {{"clip_qkv", 0}, {"swiglu_limit", (double)SW_ACT_LIMIT}, {"qk_layernorm", 0}};

static bool is_name_of(const struct sw_arch_key *key, const char *name)
{
    return (key->name && strcmp(key->name, name) == 0) ||
           (key->other && strcmp(key->other, name) == 0);
}

/* Which key another family calls so; SW_KEY_COUNT: none does, or this one does. */
static enum sw_key foreign_key(const struct sw_arch *arch, const char *name)
{
    enum sw_key found = SW_KEY_COUNT;
    const struct sw_arch *row;
    for (int k = 0; k < SW_KEY_COUNT; k++)
        if (is_name_of(&arch->keys[k], name))
            return SW_KEY_COUNT;
    for (int i = 0; (row = sw_arch_row(i)) && found == SW_KEY_COUNT; i++)
        for (int k = 0; k < SW_KEY_COUNT; k++)
            if (is_name_of(&row->keys[k], name))
                found = (enum sw_key)k;
    return found;
}

static bool equals(const json_t *value, double expected)
{
    double number;
    if (json_is_boolean(value))
        return json_is_true(value) == (expected != 0);
    return sw_json_number(value, &number) && number == expected;
}

static bool are_types(const json_t *list, const bool *slides)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *type = json_string_value(json_array_get(list, i));
        if (!type || strcmp(type, slides[i] ? "sliding_attention" : "full_attention") != 0)
            return false;
    }
    return true;
}

/* Whether the value says only what is done anyway. */
static bool is_harmless(const struct sw_config *config, enum sw_key key, const json_t *value,
                        const bool *slides)
{
    const double here = config->values[key];
    const bool windowed = config->values[SW_KEY_WINDOW] > 0;
    const char *text = json_string_value(value);
    enum sw_activation kind;
    switch (key) {
    case SW_KEY_ACTIVATION:
        return text && sw_config_activation(text, &kind) &&
               (double)kind == (here == SW_ACT_SILU_CLAMPED ? SW_ACT_SILU : here);
    case SW_KEY_ROPE:
        text = json_string_value(json_object_get(value, "rope_type"));
        text = text ? text : json_string_value(json_object_get(value, "type"));
        return !text || strcmp(text, "default") == 0;
    case SW_KEY_LAYER_TYPES:
        return json_array_size(value) == (size_t)config->values[SW_KEY_LAYERS] &&
               are_types(value, slides);
    case SW_KEY_DENSE_LAYERS:
    case SW_KEY_ROUTED_LAYERS:
        return json_array_size(value) == 0;
    case SW_KEY_GROUP_METHOD: /* DeepSeek V3's own, which its followers state, too */
        return text && strcmp(text, "noaux_tc") == 0 && config->arch->names.router_correction &&
               !config->arch->best_of_group;
    case SW_KEY_WINDOW: /* some families leave it there, switched off */
        return equals(value, here) ||
               json_is_false(json_object_get(config->root, "use_sliding_window"));
    case SW_KEY_WINDOW_ON:
    case SW_KEY_WINDOW_FROM: /* these say something about a window only */
        return !windowed || equals(value, here);
    default:
        return equals(value, here);
    }
}

void sw_config_foreign(const struct sw_config *config, const bool *slides,
                       struct sw_strbuf *warnings)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config->root, name, value)
    {
        char text[SW_JSON_SHORT];
        const enum sw_key key = foreign_key(config->arch, name);
        bool harmless =
            json_is_null(value) || key == SW_KEY_COUNT || is_harmless(config, key, value, slides);
        for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
            if (strcmp(elsewhere[i].name, name) == 0 && !json_is_null(value))
                harmless = equals(value, elsewhere[i].harmless);
        if (!harmless)
            sw_strbuf_printf(
                warnings,
                "config.json: '%s' is %s, which models of the family %s do not have: it is not "
                "read, as transformers does not\n",
                name, sw_json_show(value, text, sizeof text), config->arch->model_type);
    }
}
