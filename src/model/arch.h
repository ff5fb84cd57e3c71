/*
 * Architecture rows: what sets the families apart, as data. families.c holds one row a family; the
 * transformer block is written once over these values. Flags are defaults: where a checkpoint's
 * config.json says otherwise, it wins (model.c).
 */
#ifndef SW_MODEL_ARCH_H
#define SW_MODEL_ARCH_H

#include "model/ops.h"

#include <stdbool.h>

enum sw_position { SW_POS_ROPE, SW_POS_LEARNED, SW_POS_ALIBI };

enum sw_residual {
    SW_RES_SEQUENTIAL,   /* x += attn(norm1 x); x += mlp(norm2 x) */
    SW_RES_PARALLEL,     /* x += attn(norm1 x) + mlp(norm2 x) */
    SW_RES_PARALLEL_ONE, /* x += attn(norm x) + mlp(norm x) */
};

enum sw_qkv {
    SW_QKV_SPLIT,    /* three tensors */
    SW_QKV_STACKED,  /* one: all q, all k, all v */
    SW_QKV_PER_HEAD, /* one: head 0's q k v, head 1's q k v, … */
};

/* Tensor names; '#' stands for the layer, '@' for the expert. NULL: the family has none. */
struct sw_names {
    const char *prefix; /* some checkpoints leave it off every name */
    const char *embed, *positions, *embed_norm, *project_in;
    const char *final_norm, *project_out, *head;
    const char *head_alias; /* what newer writers call the head */
    const char *attn_norm, *qkv, *q, *k, *v, *out, *q_norm, *k_norm, *mlp_norm;
    const char *gate, *up, *down;
    const char *router, *expert_gate, *expert_up, *expert_down;
};

struct sw_arch {
    const char *model_type; /* config.json's */
    const char *title;      /* for people: "GPT-NeoX, Pythia" */
    enum sw_norm norm;
    enum sw_position position;
    enum sw_residual residual;
    enum sw_qkv qkv;
    enum sw_activation activation;
    bool gated;            /* act(gate x) * (up x) */
    bool conv1d;           /* linears are stored (in, out) */
    bool rope_interleaved; /* pairs (2i, 2i+1) */
    int position_offset;   /* OPT: row 2 is position 0 */
    float norm_eps;        /* where config.json has none, and … */
    float rotary_share;    /* … of each head that rope rotates (0: all of it) */
    bool bias_keys; /* config.json's attention_bias and mlp_bias count (Qwen2 ignores them) */
    bool tied, qkv_bias, out_bias, mlp_bias, head_bias;
    struct sw_names names;
};

/* NULL: unknown. */
const struct sw_arch *sw_arch_find(const char *model_type);
/* Row i, NULL past the last. */
const struct sw_arch *sw_arch_row(int i);

#endif
