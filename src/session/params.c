/* Owns the defaults that depend on the model: weight format, KV format, context, chunk. */
#include "session/params.h"

#include "base/checked.h"

#include <limits.h>
#include <string.h>

#define USUAL_CONTEXT 2048
#define USUAL_CHUNK 512

enum sw_format_id sw_params_weights(enum sw_format_id wanted, const struct sw_model *model,
                                    enum sw_dtype stored)
{
    const enum sw_format_id kept =
        model && model->held ? (enum sw_format_id)(model->held - 1) : sw_format_keeping(stored);
    return wanted != SW_FORMAT_NONE ? wanted
           : kept != SW_FORMAT_NONE ? kept
                                    : sw_format_keeping(SW_F32); /* f64 checkpoints */
}

struct sw_session_settings sw_session_settings_default(const char *model)
{
    return (struct sw_session_settings){
        .model = model, .kv = SW_OTHER, .gpu_memory = UINT64_MAX, .host_memory = UINT64_MAX};
}

static int params_most(const struct sw_model *model)
{
    return model->dims.context > 0 ? model->dims.context : INT_MAX;
}

int sw_params_usual(const struct sw_model *model, int positions)
{
    return sw_min_int(params_most(model), positions > USUAL_CONTEXT ? positions : USUAL_CONTEXT);
}

enum sw_status sw_params_resolve(const struct sw_session_settings *o, const struct sw_model *model,
                                 enum sw_dtype stored, int positions,
                                 struct sw_footprint_params *out)
{
    const int most = params_most(model);
    if (o->context > most)
        return sw_fail(SW_EUSAGE, "--context %d: the model supports at most %d positions",
                       o->context, most);
    const int context = o->context > 0 ? o->context : sw_params_usual(model, positions);
    const enum sw_format_id all = sw_format_id_of(o->weights.all),
                            weights = sw_params_weights(all, model, stored);
    *out = (struct sw_footprint_params){.weights = weights,
                                        .unquantized = sw_format_unquantized(stored),
                                        .kv = o->kv != SW_OTHER ? o->kv
                                                                : sw_format_kv(weights, stored),
                                        .as_stored = all == SW_FORMAT_NONE && model->has_blocks,
                                        .context = context,
                                        .slots = o->slots > 0 ? o->slots : 1};
    out->max_batch_tokens = sw_min_int(o->chunk > 0 ? o->chunk : USUAL_CHUNK, context);
    /* An encoder's layer needs all of its sequence at once. */
    if (model->dims.n_encoder > 0 && o->chunk == 0)
        out->max_batch_tokens = context;
    if (out->max_batch_tokens < out->slots)
        out->max_batch_tokens = out->slots;
    return sw_weight_choice_apply(&o->weights, model, out);
}

int sw_default_prompt(int context, int new_tokens)
{
    const int room = (context > 0 ? context : INT_MAX) - new_tokens;
    return room < 1 ? 1 : sw_min_int(SW_DEFAULT_PROMPT, room);
}

int sw_positions(int prompt, int new_tokens)
{
    return new_tokens < INT_MAX - prompt ? prompt + new_tokens : INT_MAX;
}

void sw_params_plan_options(const struct sw_session_settings *settings, enum sw_objective objective,
                            struct sw_plan_options *out)
{
    sw_plan_options_init(out);
    out->objective = settings->has_objective ? settings->objective : objective;
    out->slices = settings->slices;
    out->n_slices = settings->n_slices;
    out->gpu_memory = settings->gpu_memory;
    out->host_memory = settings->host_memory;
}

/* Whether they are those of the settings: a change of weights is to one format for all. */
static bool params_are_mixed(const struct sw_footprint_params *params)
{
    static const uint8_t none[SW_ROLE_COUNT];
    return params->as_stored || params->mix || memcmp(params->by_role, none, sizeof none) != 0;
}

enum sw_status sw_params_footprint(void *user, const struct sw_footprint_params *params,
                                   struct sw_footprint *out)
{
    const struct sw_params_of *of = user;
    struct sw_session_settings o = *of->settings;
    struct sw_footprint_params changed;
    o.context = params->context;
    o.slots = params->slots;
    if (!params_are_mixed(params))
        o.weights = (struct sw_weight_choice){.all = sw_format_of(params->weights)};
    SW_TRY(sw_params_resolve(&o, of->model, of->stored, 0, &changed));
    return sw_footprint_of(of->model, &changed, out);
}

/* A sw_footprint_for. */
static enum sw_status params_footprint_for(void *user, int slots, int chunk,
                                           struct sw_footprint *out)
{
    const struct sw_params_of *of = user;
    struct sw_session_settings o = *of->settings;
    struct sw_footprint_params params;
    o.slots = slots;
    o.chunk = chunk;
    SW_TRY(sw_params_resolve(&o, of->model, of->stored, of->positions, &params));
    return sw_footprint_of(of->model, &params, out);
}

struct sw_slots_range sw_params_slots(struct sw_params_of *of, int usual, int most)
{
    const int chunk = of->settings->chunk;
    return (struct sw_slots_range){.usual = usual,
                                   .most = most > usual ? most : usual,
                                   .chunk = chunk > 0 ? chunk : USUAL_CHUNK,
                                   .fixed_chunk = chunk > 0,
                                   .footprint = params_footprint_for,
                                   .user = of};
}
