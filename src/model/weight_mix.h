/*
 * Mixes of weight formats: names that stand for a format by layer and role. They and their rules
 * are those of llama.cpp's quantizer (src/llama-quant.cpp of ggml-org/llama.cpp at 007dbbf), so
 * that a name means the same bytes here and there.
 */
#ifndef SW_MODEL_WEIGHT_MIX_H
#define SW_MODEL_WEIGHT_MIX_H

#include "tensor/format.h"

#include <stdbool.h>
#include <stdint.h>

/* What can be asked for in a format of its own. */
enum sw_weight_role {
    SW_ROLE_OTHER, /* what leaves no name here: positions, projections */
    SW_ROLE_EMBED,
    SW_ROLE_HEAD,
    SW_ROLE_QKV, /* stored as one tensor, */
    SW_ROLE_Q,   /* or as three */
    SW_ROLE_K,
    SW_ROLE_V,
    SW_ROLE_OUT,
    SW_ROLE_UP, /* gate and up */
    SW_ROLE_DOWN,
    SW_ROLE_ROUTER,
    SW_ROLE_EXPERT_UP,
    SW_ROLE_EXPERT_DOWN,
    SW_ROLE_COUNT
};

/* What the rules ask of a model. */
struct sw_mix_shape {
    int n_layers, n_experts;
    int queries; /* heads that share a key/value head */
    bool tied;   /* the head is the embedding */
};

/* 1 + the index of the mix of this name, any case; 0: there is none. */
int sw_mix_by_name(const char *name);
/* NULL: there is no such mix, and none behind it. */
const char *sw_mix_name(int mix);
/* The mix that most people take, with 4 bits for most. */
int sw_mix_usual(void);
/* The format of most of its matrices. */
const struct sw_format *sw_mix_base(int mix);
/* general.file_type of GGUF files in it. */
unsigned sw_mix_file_type(int mix);
/* Whether weights can be kept in all of its formats. */
bool sw_mix_is_kept(int mix);
/* The format of a matrix of `cols` columns; NULL: the mix leaves it alone. */
const struct sw_format *sw_mix_format(int mix, const struct sw_mix_shape *shape,
                                      enum sw_weight_role role, int layer, int64_t cols);
/* `format`, or where rows of `cols` elements are no whole blocks of it, what llama.cpp takes
 * instead; NULL: a type without blocks. */
const struct sw_format *sw_format_for_cols(const struct sw_format *format, int64_t cols);

#endif
