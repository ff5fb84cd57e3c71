/* Formats and sizes that follow from the settings and the model. Opens nothing. */
#ifndef SW_SESSION_PARAMS_H
#define SW_SESSION_PARAMS_H

#include "model/footprint.h"
#include "model/model.h"
#include "plan/plan_slots.h"
#include "session/settings.h"

/* `wanted`, or where that is SW_FORMAT_NONE the checkpoint's own: of most of the model's blocks
 * (model may be NULL), else its type, f32 for types that are no format. */
enum sw_format_id sw_params_weights(enum sw_format_id wanted, const struct sw_model *model,
                                    enum sw_dtype stored);
/*
 * The formats and sizes for a footprint. `stored`: the checkpoint's format; `positions`: the
 * context where the settings have none; 0: the usual one. SW_EUSAGE when the model has a smaller
 * context.
 */
enum sw_status sw_params_resolve(const struct sw_session_settings *settings,
                                 const struct sw_model *model, enum sw_dtype stored, int positions,
                                 struct sw_footprint_params *out);
/* The context where nothing is asked for but so many positions (0: not known). */
int sw_params_usual(const struct sw_model *model, int positions);
/* The default number of prompt tokens: SW_DEFAULT_PROMPT, or what a context (0: without limit) has
 * room for next to the new tokens; at least one. */
int sw_default_prompt(int context, int new_tokens);
/* Positions that a request needs; INT_MAX at most. */
int sw_positions(int prompt, int new_tokens);
/* Planner options of the settings; `objective` is the default. out->slices borrows theirs. */
void sw_params_plan_options(const struct sw_session_settings *settings, enum sw_objective objective,
                            struct sw_plan_options *out);
/*
 * A sw_footprint_at whose context is a struct sw_params_of: the footprint of the same settings with
 * another context, other slots or weights, and with the max_batch_tokens and KV format that follow
 * from them.
 */
struct sw_params_of {
    const struct sw_session_settings *settings;
    const struct sw_model *model;
    enum sw_dtype stored;
    int positions; /* as of sw_params_resolve, for sw_params_slots */
};
enum sw_status sw_params_footprint(void *of, const struct sw_footprint_params *params,
                                   struct sw_footprint *out);
/* What a job's slots are chosen from: around `usual` ones, up to `most`; `of` must outlive it. */
struct sw_slots_range sw_params_slots(struct sw_params_of *of, int usual, int most);

#endif
