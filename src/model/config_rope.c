/* Owns reading what a config.json says of rope. */
#include "model/config_rope.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* rope_parameters by kind of layer (transformers 5): which kinds dims.rope has. */
static const char *const kinds[SW_ROPES] = {"full_attention", "sliding_attention"};

static bool rope_is_kind(const char *name)
{
    return strcmp(name, kinds[0]) == 0 || strcmp(name, kinds[1]) == 0;
}

static enum sw_status rope_check_members(const struct sw_config *config, const char *key,
                                         const json_t *value, bool *by_kind)
{
    const char *name;
    json_t *member;
    *by_kind = false;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        if (config->arch->local_rope && rope_is_kind(name))
            *by_kind = true;
        else if (json_is_object(member))
            return sw_fail(SW_EMODEL, "'%s' has members by layer ('%s'), which is not supported",
                           key, name);
    }
    return SW_OK;
}

/*
 * rope_scaling and rope_parameters (transformers 5) are two names of one object, of which the
 * first that is not empty counts. It has a type, the members of that type, and may repeat what keys
 * of config.json itself state. *by_kind: it has an object like that for each kind of layer.
 */
static enum sw_status rope_find(const struct sw_config *config, const json_t **out, bool *by_kind)
{
    const struct sw_arch_key *key = &config->arch->keys[SW_KEY_ROPE];
    const char *const names[] = {key->name, key->other};
    *out = NULL;
    *by_kind = false;
    for (size_t i = 0; i < 2 && names[i] && !*out; i++) {
        const json_t *value = json_object_get(config->root, names[i]);
        if (value && !json_is_null(value) && !json_is_false(value) && !json_is_object(value))
            return sw_fail(SW_EMODEL, "'%s' must be an object", names[i]);
        SW_TRY(rope_check_members(config, names[i], value, by_kind));
        if (json_object_size(value) > 0)
            *out = value;
    }
    if (!*out && key->absent == SW_REQUIRED)
        return sw_fail(SW_EMODEL, "'%s' is missing", key->name);
    return SW_OK;
}

/* A member of the object that replaces a key of config.json itself. */
static enum sw_status rope_or_key(struct sw_config *config, const json_t *rope, const char *name,
                                  enum sw_key key, double low, double high, double *out)
{
    float beside;
    const json_t *value = json_object_get(rope, name);
    if (value && !json_is_null(value)) {
        SW_TRY(sw_config_member(rope, name, low, high, false, out));
        config->values[key] = *out;
        return SW_OK;
    }
    SW_TRY(sw_config_float(config, key, low, high, &beside));
    *out = config->values[key];
    return SW_OK;
}

/* A member that may be absent. */
static enum sw_status rope_optional(const json_t *rope, const char *name, double low, double high,
                                    double absent, float *out)
{
    double value = absent;
    const json_t *member = json_object_get(rope, name);
    if (member && !json_is_null(member))
        SW_TRY(sw_config_member(rope, name, low, high, false, &value));
    *out = (float)value;
    return SW_OK;
}

/* The context that scaling starts from: next to the object, in it, or the model's own. */
static enum sw_status rope_read_original(const json_t *root, const json_t *rope, int context,
                                         struct sw_rope_dims *out)
{
    static const char name[] = "original_max_position_embeddings";
    const json_t *beside = json_object_get(root, name);
    double original = context;
    const json_t *from = beside && !json_is_null(beside) ? root : rope;
    if (json_object_get(from, name) || context == 0)
        SW_TRY(sw_config_member(from, name, 1, 1 << 30, true, &original));
    out->original = (int)original;
    return SW_OK;
}

static enum sw_status rope_read_factor(const json_t *rope, struct sw_rope_dims *out)
{
    double factor;
    SW_TRY(sw_config_member(rope, "factor", 1e-3, 1e6, false, &factor));
    out->factor = (float)factor;
    return SW_OK;
}

/* What the formats of rope have, each: its name, and how its members are read. */
struct rope_reading {
    const struct sw_config *config;
    struct sw_model *model;
    const json_t *rope;
    struct sw_rope_dims *out;
    int rotary; /* elements of a head that have rope */
};

static enum sw_status rope_read_linear(const struct rope_reading *r)
{
    r->out->scaling = SW_ROPE_LINEAR;
    return rope_read_factor(r->rope, r->out);
}

static enum sw_status rope_read_llama3(const struct rope_reading *r)
{
    double low, high;
    r->out->scaling = SW_ROPE_LLAMA3;
    SW_TRY(rope_read_factor(r->rope, r->out));
    SW_TRY(sw_config_member(r->rope, "low_freq_factor", 1e-3, 1e6, false, &low));
    SW_TRY(sw_config_member(r->rope, "high_freq_factor", 1e-3, 1e6, false, &high));
    r->out->low = (float)low;
    r->out->high = (float)high;
    return rope_read_original(r->config->root, r->rope, r->model->dims.context, r->out);
}

static double rope_mscale(double factor, double by)
{
    return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1;
}

static enum sw_status rope_read_yarn(const struct rope_reading *r)
{
    struct sw_rope_dims *out = r->out;
    const json_t *truncate = json_object_get(r->rope, "truncate");
    float one, all, stated;
    out->scaling = SW_ROPE_YARN;
    SW_TRY(rope_read_original(r->config->root, r->rope, r->model->dims.context, out));
    SW_TRY(rope_optional(r->rope, "factor", 1e-3, 1e6,
                         (double)r->model->dims.context / out->original, &out->factor));
    SW_TRY(rope_optional(r->rope, "beta_fast", 1e-3, 1e6, 32, &out->high));
    SW_TRY(rope_optional(r->rope, "beta_slow", 1e-3, 1e6, 1, &out->low));
    SW_TRY(rope_optional(r->rope, "mscale", 0, 1e6, 0, &one));
    SW_TRY(rope_optional(r->rope, "mscale_all_dim", 0, 1e6, 0, &all));
    SW_TRY(rope_optional(r->rope, "attention_factor", 1e-6, 1e6, 0, &stated));
    out->truncate = !json_is_false(truncate);
    const double factor = (double)out->factor;
    out->magnitude =
        stated > 0 ? stated
        : one > 0 && all > 0
            ? (float)(rope_mscale(factor, (double)one) / rope_mscale(factor, (double)all))
            : (float)rope_mscale(factor, 1);
    out->sharpness = all > 0 ? (float)pow(rope_mscale(factor, (double)all), 2) : 0;
    return SW_OK;
}

/* A list of one number above 0 for each pair of the rotary part. */
static enum sw_status rope_read_list(const json_t *rope, const char *name, int n, float **out)
{
    const json_t *list = json_object_get(rope, name);
    if (json_array_size(list) != (size_t)n)
        return sw_fail(SW_EMODEL, "'%s' has %zu numbers, but must be a list of %d", name,
                       json_array_size(list), n);
    free(*out);
    *out = malloc((size_t)n * sizeof **out);
    if (!*out)
        return sw_fail(SW_ENOMEM, "no memory for '%s'", name);
    for (int i = 0; i < n; i++) {
        double value;
        if (!sw_json_number(json_array_get(list, (size_t)i), &value) ||
            !(value >= 1e-6 && value <= 1e9))
            return sw_fail(SW_EMODEL, "'%s': element %d is not a number above 0", name, i);
        (*out)[i] = (float)value;
    }
    return SW_OK;
}

/* Of all pairs only a leading share turns, at the speeds that they have among all. */
static enum sw_status rope_read_proportional(const struct rope_reading *r)
{
    static const char name[] = "partial_rotary_factor";
    double share = 1;
    r->out->scaling = SW_ROPE_SHARE;
    if (json_object_get(r->rope, name))
        SW_TRY(sw_config_member(r->rope, name, 0, 1, false, &share));
    SW_TRY(rope_optional(r->rope, "factor", 1e-3, 1e6, 1, &r->out->factor));
    r->out->turning = (int)(share * r->rotary / 2);
    return SW_OK;
}

/* Ding et al. (LongRoPE, arXiv 2402.13753). */
static enum sw_status rope_read_long(const struct rope_reading *r)
{
    struct sw_rope_dims *out = r->out;
    struct sw_model *m = r->model;
    float factor, stated;
    out->scaling = SW_ROPE_LONG;
    if (out != &m->dims.rope[0])
        return sw_fail(SW_EMODEL, "rope scaling 'longrope' is not supported of '%s' alone",
                       kinds[1]);
    SW_TRY(rope_read_original(r->config->root, r->rope, m->dims.context, out));
    if (out->original < 2) /* its logarithm divides */
        return sw_fail(SW_EMODEL, "'original_max_position_embeddings' is %d, but must be above 1",
                       out->original);
    SW_TRY(rope_read_list(r->rope, "short_factor", r->rotary / 2, &m->rope_divisors));
    SW_TRY(rope_read_list(r->rope, "long_factor", r->rotary / 2, &m->rope_long_divisors));
    SW_TRY(rope_optional(r->rope, "factor", 1e-3, 1e6, (double)m->dims.context / out->original,
                         &factor));
    SW_TRY(rope_optional(r->rope, "attention_factor", 1e-6, 1e6, 0, &stated));
    out->magnitude = stated > 0    ? stated
                     : factor <= 1 ? 1
                                   : (float)sqrt(1 + log((double)factor) / log(out->original));
    return SW_OK;
}

/* Up to the model's context it is plain; a longer one is refused (sw_footprint_of). Some files give
 * the base another factor. */
static enum sw_status rope_read_dynamic(const struct rope_reading *r)
{
    const int n = r->rotary;
    float alpha;
    SW_TRY(rope_optional(r->rope, "alpha", 1e-3, 1e9, 1, &alpha));
    if (n > 2)
        r->out->base = (float)((double)r->out->base * pow((double)alpha, n / (n - 2.0)));
    return SW_OK;
}

static const struct {
    const char *name;
    enum sw_status (*read)(const struct rope_reading *r);
} scalings[] = {{"default", NULL},
                {"linear", rope_read_linear},
                {"llama3", rope_read_llama3},
                {"yarn", rope_read_yarn},
                {"longrope", rope_read_long},
                {"su", rope_read_long},
                {"dynamic", rope_read_dynamic},
                {"proportional", rope_read_proportional}};

static enum sw_status rope_read_scaling(struct sw_config *config, struct sw_model *m,
                                        const json_t *rope, struct sw_rope_dims *out)
{
    const int which = (int)(out - m->dims.rope);
    const struct rope_reading r = {config, m, rope, out, sw_dims_rotary(&m->dims, which)};
    const json_t *type = json_object_get(rope, "rope_type");
    const char *name = json_string_value(type ? type : json_object_get(rope, "type"));
    for (size_t i = 0; name && i < sizeof scalings / sizeof scalings[0]; i++)
        if (strcmp(name, scalings[i].name) == 0)
            return scalings[i].read ? scalings[i].read(&r) : SW_OK;
    return name
               ? sw_fail(SW_EMODEL,
                         "rope scaling '%s' is not one of linear, llama3, yarn, longrope, dynamic, "
                         "proportional",
                         name)
               : SW_OK;
}

/* The rotated part of a head. */
static enum sw_status rope_read_share(struct sw_config *config, const json_t *rope,
                                      struct sw_dims *d)
{
    const char *stated = config->arch->keys[SW_KEY_ROTARY_SHARE].name;
    double share = 1;
    if (stated && strcmp(stated, "partial_rotary_factor") == 0 &&
        json_is_null(json_object_get(config->root, stated))) /* all of a head, to transformers */
        return sw_fail(SW_EMODEL, "'%s' is null, which is not supported", stated);
    if (sw_config_has(config, SW_KEY_ROTARY_SHARE))
        SW_TRY(
            rope_or_key(config, rope, "partial_rotary_factor", SW_KEY_ROTARY_SHARE, 0, 1, &share));
    SW_TRY(sw_config_int(config, SW_KEY_ROTARY_DIM, 2, d->head_dim, &d->rotary_dim));
    if (d->rotary_dim == 0)
        d->rotary_dim = (int)(d->head_dim * share);
    if (d->rotary_dim < 2 || d->rotary_dim % 2 != 0 || d->rotary_dim > d->head_dim)
        return sw_fail(SW_EMODEL,
                       "%d rotary dimensions of a head of %d: must be even and at least 2",
                       d->rotary_dim, d->head_dim);
    d->whole.rotary = d->whole.dim == d->head_dim ? d->rotary_dim : (int)(d->whole.dim * share);
    if (d->whole.rotary < 2 || d->whole.rotary % 2 != 0)
        return sw_fail(SW_EMODEL,
                       "%d rotary dimensions of a head of %d: must be even and at least 2",
                       d->whole.rotary, d->whole.dim);
    return SW_OK;
}

/* Layers with a window: their own base, and no scaling unless their own object says so. */
static enum sw_status rope_read_local(struct sw_config *config, struct sw_model *m,
                                      const json_t *rope)
{
    struct sw_dims *d = &m->dims;
    struct sw_rope_dims *out = &d->rope[1];
    double base;
    *out = (struct sw_rope_dims){.magnitude = 1};
    d->n_ropes = 2;
    SW_TRY(rope_or_key(config, rope, "rope_theta", SW_KEY_LOCAL_BASE, 1, 1e12, &base));
    out->base = base > 0 ? (float)base : d->rope[0].base;
    return rope ? rope_read_scaling(config, m, rope, out) : SW_OK;
}

/* How queries grow with the position. */
static enum sw_status rope_read_growth(struct sw_config *config, const json_t *rope, float slope,
                                       struct sw_dims *d)
{
    const bool stated = sw_config_has(config, SW_KEY_QUERY_LENGTH);
    bool grows = true;
    int length = 0;
    if (sw_config_has(config, SW_KEY_QUERY_GROWS))
        SW_TRY(sw_config_flag(config, SW_KEY_QUERY_GROWS, &grows));
    if (!grows)
        return SW_OK;
    SW_TRY(sw_config_int(config, SW_KEY_QUERY_LENGTH, 1, 1 << 30, &length));
    if (!stated) {
        SW_TRY(rope_read_original(config->root, rope, d->context, &d->rope[0]));
        length = d->rope[0].original;
    }
    d->query_growth = (struct sw_query_growth){.slope = slope, .length = length, .from = stated};
    return SW_OK;
}

enum sw_status sw_config_rope(struct sw_config *config, struct sw_model *m)
{
    struct sw_dims *d = &m->dims;
    const json_t *all, *rope;
    double base, slope;
    bool by_kind;
    SW_TRY(rope_find(config, &all, &by_kind));
    rope = by_kind ? json_object_get(all, kinds[0]) : all;
    d->rope[0] = (struct sw_rope_dims){.magnitude = 1};
    d->n_ropes = 1;
    SW_TRY(rope_or_key(config, rope, "rope_theta", SW_KEY_ROPE_BASE, 1, 1e12, &base));
    d->rope[0].base = (float)base;
    SW_TRY(rope_read_share(config, rope, d));
    SW_TRY(rope_read_scaling(config, m, rope, &d->rope[0]));
    SW_TRY(rope_or_key(config, rope, "llama_4_scaling_beta", SW_KEY_QUERY_SLOPE, 0, 1e6, &slope));
    if (sw_config_has(config, SW_KEY_QUERY_SLOPE) && slope > 0)
        SW_TRY(rope_read_growth(config, rope, (float)slope, d));
    if (config->arch->local_rope)
        SW_TRY(rope_read_local(config, m, by_kind ? json_object_get(all, kinds[1]) : NULL));
    return SW_OK;
}
