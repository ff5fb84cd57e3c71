/*
 * What somebody asks weights to be kept in: "q8_0", "q4_k_m", "q4_k,head=q6_k,experts=nf4". The
 * first item is a format for the linear matrices of layers, or a mix (weight_mix.h), and may be
 * left out; the others give roles formats of their own, of which the last one counts. Without the
 * first item matrices stay as they are stored.
 */
#ifndef SW_MODEL_WEIGHT_CHOICE_H
#define SW_MODEL_WEIGHT_CHOICE_H

#include "base/status.h"
#include "base/strbuf.h"
#include "model/footprint.h"

struct sw_model;
struct sw_weight_spec;

/* All zero: nothing is asked. */
struct sw_weight_choice {
    const struct sw_format *all; /* of the linear matrices of layers, where there is no mix, and the
                                    mix's base; NULL: as stored */
    int mix;                     /* 1 + its index; 0: none */
    const struct sw_format *by_role[SW_ROLE_COUNT]; /* NULL: not asked */
    uint32_t words; /* those of weight_choice.c that were used, a set */
};

/* Formats that a choice can be of: those that weights can be kept in, that files of any kind may be
 * written in, or GGUF files alone. */
enum sw_choice_kind { SW_CHOICE_KEPT, SW_CHOICE_FILE, SW_CHOICE_GGUF };

/* SW_EUSAGE names the item that is wrong, and what is allowed there. */
enum sw_status sw_weight_choice_parse(const char *text, enum sw_choice_kind kind,
                                      struct sw_weight_choice *out);
/*
 * Fills `weights`, `mix`, `mix_shape` and `by_role` of params by a choice of formats that weights
 * can be kept in; as_stored and `weights` are left where `all` is NULL. SW_EUSAGE: a role that
 * nothing in the model has; the head and the embedding in different formats where they are one
 * matrix; a format that the mix takes for this model, and that weights cannot be kept in yet.
 */
enum sw_status sw_weight_choice_apply(const struct sw_weight_choice *choice,
                                      const struct sw_model *model,
                                      struct sw_footprint_params *params);
/* SW_EUSAGE as of sw_weight_choice_apply for roles; *resolved: the choice with a role for both the
 * embedding and the head where they are one matrix. */
enum sw_status sw_weight_choice_resolve(const struct sw_weight_choice *choice,
                                        const struct sw_model *model,
                                        struct sw_weight_choice *resolved);
/*
 * What a resolved choice asks for the rows of a matrix that come from `source`, whether weights can
 * be kept in it or not; NULL: it leaves them alone.
 */
const struct sw_format *sw_weight_choice_format(const struct sw_weight_choice *choice,
                                                const struct sw_mix_shape *shape,
                                                const struct sw_weight_spec *spec, int source);
/* The choice that gives such params; `all` is that of most, also where they are as stored. */
struct sw_weight_choice sw_weight_choice_of(const struct sw_footprint_params *params);
struct sw_mix_shape sw_mix_shape_of(const struct sw_model *model);

/* Appends a choice as text, "as stored" where nothing is asked; what it says can be parsed. */
void sw_weight_choice_put(const struct sw_weight_choice *choice, struct sw_strbuf *out);
#define SW_CHOICE_TEXT 256
/* The same into out (SW_CHOICE_TEXT), cut where it is longer; returns it. */
const char *sw_weight_choice_text(const struct sw_weight_choice *choice, char *out);
/* As sw_weight_choice_text, of params. */
const char *sw_weights_text(const struct sw_footprint_params *params, char *out);

/* The i-th name that the first item can have, a format's or a mix's; NULL past the last. */
const char *sw_weight_choice_name(enum sw_choice_kind kind, int i);
/* The i-th word for a role; NULL past the last. */
const char *sw_weight_choice_word(int i);

#endif
