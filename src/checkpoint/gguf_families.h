/*
 * GGUF's names of families, keys and tensors: one table for reading and for writing. What the keys
 * and tensors mean is the architecture row's (model/arch.h); here is what GGUF calls them.
 */
#ifndef SW_CHECKPOINT_GGUF_FAMILIES_H
#define SW_CHECKPOINT_GGUF_FAMILIES_H

#include "model/arch.h"

#include <stdbool.h>
#include <stddef.h>

/* What no file has: "attention.key_length_mla" without the part that has rope, and a value head's
 * share of "ssm.inner_size". */
#define SW_GGUF_PLAIN_LENGTH "attention.plain_length"
#define SW_GGUF_VALUE_LENGTH "ssm.value_length"
/* And what layers without a window have otherwise than those with one, as SW_KEY_LAYER_HEADS and
 * SW_KEY_KEYS_AS_VALUES are of a config.json. */
#define SW_GGUF_LAYER_HEADS "attention.layer_heads"
#define SW_GGUF_KEYS_AS_VALUES "attention.keys_as_values"
#define SW_GGUF_WIDE_BORROWERS "attention.wide_borrowers" /* as SW_KEY_WIDE_BORROWERS */

/* What GGUF calls a family, and how its files differ from the family's own. */
struct sw_gguf_family {
    const char *architecture; /* general.architecture */
    const char *model_type;
    const char *routed_type; /* model_type of a file with experts; NULL: model_type */
    const char *other_type;  /* another model_type that becomes this, or NULL */
    const char *window_type; /* model_type of a file that states a window; NULL: model_type */
    /* model_type of a file whose router has a correction; NULL: as the others say */
    const char *corrected_type;
    bool interleaved;     /* rows of Q and K are permuted for rope of neighbours */
    bool stacked;         /* Q, K and V of all heads are stacked, not head by head */
    bool read_only;       /* such files are read, but not written */
    bool windows;         /* they state their window */
    int chunk;            /* the window of a file that states none */
    int plain_experts;    /* a file with so many experts has no norms of queries and keys */
    bool turns;           /* value heads of delta nets are in the order of struct sw_delta_dims */
    int wide_heads;       /* scores are divided by sqrt(key_length) where heads have so many
                           * elements, else by sqrt(width / heads); 0: as others */
    bool raw_shares;      /* experts' shares are not renormalised unless the file says so */
    bool whole_ramp;      /* YaRN's ramp does not end at whole indices, which no file says */
    bool tenth_of_mscale; /* YaRN's multiplier is a tenth of what transformers calls
                           * mscale_all_dim, and mscale is the same */
    /* Members that are not NULL are names that this family has otherwise than the table below. */
    const struct sw_names *own;
    const struct sw_names *encoder; /* of struct sw_arch */
};
/* Row i; NULL past the last. */
const struct sw_gguf_family *sw_gguf_family_row(int i);
/* NULL: there is no such architecture. */
const struct sw_gguf_family *sw_gguf_family_of(const char *architecture);
/* The family that files of this model_type become; NULL: llama.cpp has none. */
const struct sw_gguf_family *sw_gguf_family_for(const char *model_type);

/* A tensor's name, by what it is to a family; '#' and '@' as in struct sw_names. */
struct sw_gguf_name {
    size_t at; /* in struct sw_names */
    const char *name;
};
/* Row i; NULL past the last. */
const struct sw_gguf_name *sw_gguf_name_row(int i);
/* The name for a pattern of names, one of its members; NULL: GGUF has no such tensor. */
const char *sw_gguf_name_for(const struct sw_names *names, const char *pattern);

/* A key, without "ARCHITECTURE." before it; NULL: GGUF does not have it, and it has the family's
 * default. */
const char *sw_gguf_key(enum sw_key key, enum sw_norm norm);

#endif
