/*
 * Architecture rows: the differences between model families, as data. families.c has one row per
 * family; the transformer block is written once over these values, and config.c reads config.json
 * by the keys of the row.
 */
#ifndef SW_MODEL_ARCH_H
#define SW_MODEL_ARCH_H

#include "model/op_kinds.h"

#include <stdbool.h>

enum sw_position {
    SW_POS_ROPE,
    SW_POS_LEARNED,
    SW_POS_ALIBI,
    SW_POS_BUCKETS, /* a bias of scores by how far key and query are apart (T5) */
};

enum sw_residual {
    SW_RES_SEQUENTIAL,   /* x += attn(norm1 x); x += mlp(norm2 x) */
    SW_RES_PARALLEL,     /* x += attn(norm1 x) + mlp(norm2 x) */
    SW_RES_PARALLEL_ONE, /* x += attn(norm x) + mlp(norm x) */
};

enum sw_qkv {
    SW_QKV_SPLIT,     /* three tensors */
    SW_QKV_STACKED,   /* one: all q, all k, all v */
    SW_QKV_PER_GROUP, /* one: KV head 0's queries, key and value, those of KV head 1, … */
};

/* Tensor names; '#' is the layer's number, '@' the expert's. NULL: the family has no such tensor.
 */
struct sw_names {
    const char *prefix; /* of all names; some checkpoints leave it out */
    const char *embed, *positions, *embed_norm, *project_in;
    const char *final_norm, *project_out, *head;
    const char *head_alias; /* the head's name in newer checkpoints */
    const char *attn_norm, *qkv, *q, *k, *v, *out, *q_norm, *k_norm, *mlp_norm;
    const char *attn_post_norm, *mlp_post_norm; /* of what a branch gives, before it is added */
    const char *layer_scale;                    /* a factor of what a layer gives */
    /* Inputs of layers: their table, what makes them of embeddings, and its norm; in a layer what
     * gates them, what is made of both, and its norm. */
    const char *input_table, *input_project, *input_project_norm;
    const char *input_gate, *input_out, *input_norm;
    const char *attn_norm_aside, *mlp_norm_aside; /* attn_norm, mlp_norm of SW_KEY_BRANCH_NORMS */
    const char *gate, *up, *down;
    const char *router, *expert_gate, *expert_up, *expert_down;
    /* Of experts beside the MLP: norms of the router's input, which has 1 / sqrt(hidden) as a
     * factor too, of theirs, of what they give, and of what the MLP gives; factors of their shares.
     */
    const char *router_norm, *expert_norm, *expert_post_norm, *dense_post_norm, *router_shares;
    const char *router_correction; /* what is added to experts' scores where they are chosen */
    const char *expert_gate_bias, *expert_up_bias, *expert_down_bias;
    const char *shared_gate, *shared_up, *shared_down; /* an MLP beside the experts */
    const char *shared_router; /* its output is multiplied by the sigmoid of this product */
    const char *sinks;         /* scores of a key without value, one a head */
    const char *plain_up;      /* `up`, where the config says that there is no gate */
    const char *bias;          /* of a stack's buckets: one tensor for all of its layers */
    const char *cross_norm, *cross_q, *cross_k, *cross_v, *cross_out;
    const char *memory_norm; /* of an encoder's last layer */
    /* Latent attention: what makes latents of queries, and queries of those; latents and the part
     * of keys with rope, and keys and values of latents, head by head: of each the plain part of
     * its key, then its value. Where they are two tensors a head, k_b and v_b. */
    const char *q_a, *q_a_norm, *q_b, *kv_a, *kv_a_norm, *kv_b, *k_b, *v_b;
    /* Gated delta nets: q, k, v (and z, which gates their output); z where it is a tensor of its
     * own; b and a, or a where it is its own; the convolution; decays; what is added to a. */
    const char *delta_in, *delta_z, *delta_gates, *delta_a, *delta_conv, *delta_decay, *delta_dt;
    const char *delta_norm, *delta_out;
};

/*
 * The settings of a config.json that change what is computed. The architecture row defines which of
 * them a family has, their names and their defaults, because the classes of transformers differ in
 * all three. config.c defines what each does.
 */
enum sw_key {
    SW_KEY_LAYERS,
    SW_KEY_HIDDEN,
    SW_KEY_HEADS,
    SW_KEY_KV_HEADS,       /* 0: as many as heads */
    SW_KEY_HEAD_DIM,       /* 0: hidden / heads */
    SW_KEY_WHOLE_HEAD_DIM, /* of layers without a window; 0: as in the others */
    SW_KEY_WHOLE_KV_HEADS, /* the same, where SW_KEY_KEYS_AS_VALUES */
    SW_KEY_KEYS_AS_VALUES, /* in layers without a window values are keys before norm and rope */
    SW_KEY_LAYER_HEADS, /* an object: what layers have instead of SW_KEY_HEAD_DIM, SW_KEY_KV_HEADS
                         */
    SW_KEY_FFN,         /* 0: 4 * hidden */
    SW_KEY_VOCAB,
    SW_KEY_CONTEXT,   /* 0: no limit */
    SW_KEY_EMBED_DIM, /* 0: hidden */
    SW_KEY_ACTIVATION,
    SW_KEY_NORM_EPS,
    SW_KEY_TIED,
    SW_KEY_QKV_BIAS, /* of QKV; where the file has the key, also of the attention's output */
    SW_KEY_OUT_BIAS, /* of the attention's output alone */
    SW_KEY_MLP_BIAS,
    SW_KEY_LINEAR_BIAS, /* OPT: of all linear layers */
    SW_KEY_NORM_WEIGHTS,
    SW_KEY_PRE_NORM,
    SW_KEY_NO_FINAL_NORM,
    SW_KEY_PARALLEL,
    SW_KEY_BRANCH_NORMS, /* of branches side by side: 2: each has its own; else they share one */
    SW_KEY_GROUPED,      /* branches are side by side, with two norms unless that key says 1 */
    SW_KEY_MULTI_QUERY,  /* all heads share one KV head, unless SW_KEY_GROUPED */
    SW_KEY_ALIBI,        /* positions are SW_POS_ALIBI, whatever the row says */
    SW_KEY_NORMED_RESIDUAL,
    SW_KEY_ROPE_BASE,
    SW_KEY_ROTARY_SHARE, /* rotated share of each head, 0 to 1 */
    SW_KEY_ROTARY_DIM,   /* 0: as SW_KEY_ROTARY_SHARE gives it */
    SW_KEY_INTERLEAVED,  /* as rope_interleaved of the row */
    SW_KEY_ROPE,         /* objects: rope_scaling and rope_parameters */
    SW_KEY_QUERY_SLOPE,  /* in the same object: of struct sw_query_growth */
    SW_KEY_QUERY_LENGTH, /* of it, too; without this key it is rope's */
    SW_KEY_QUERY_GROWS,  /* whether queries grow at all */
    SW_KEY_WINDOW,       /* positions; 0: no sliding window */
    SW_KEY_WINDOW_ON,    /* whether the window is used at all */
    SW_KEY_WINDOW_FROM,  /* the first layer with a sliding window */
    SW_KEY_WINDOW_STEP,  /* every so-and-so-many-th layer has no window; 0: all have it */
    SW_KEY_LAYER_TYPES,  /* a list: for each layer whether it has a window */
    SW_KEY_LOCAL_BASE,   /* rope's base in layers with a window; 0: SW_KEY_ROPE_BASE */
    SW_KEY_ROPE_LAYERS,  /* a list: for each layer whether it has rope (1) or not (0) */
    SW_KEY_NO_ROPE_STEP, /* every so-and-so-many-th layer has no rope; 0: all have it */
    SW_KEY_LATENT,       /* of struct sw_latent_dims; the part of a head with rope is of */
    SW_KEY_LATENT_Q,     /* SW_KEY_ROTARY_DIM elements */
    SW_KEY_LATENT_PLAIN,
    SW_KEY_LATENT_OUT,
    SW_KEY_EXPERTS,
    SW_KEY_EXPERTS_USED,
    SW_KEY_EXPERT_FFN, /* 0: SW_KEY_FFN */
    SW_KEY_SPARSE_STEP,
    SW_KEY_DENSE_LAYERS,
    SW_KEY_MLP_TYPES,     /* a list: for each layer "dense" or "sparse" */
    SW_KEY_ROUTED_LAYERS, /* a list of all layers with experts, whatever other keys say */
    SW_KEY_NORM_TOPK,
    SW_KEY_ROUTED_SCALE,  /* factor of what experts give */
    SW_KEY_GROUPS,        /* experts are chosen from the best of so many groups of them; */
    SW_KEY_GROUPS_USED,   /* from so many of those */
    SW_KEY_GROUP_METHOD,  /* "greedy": there are no groups; "group_limited_greedy" */
    SW_KEY_FIRST_ROUTED,  /* the first layer with experts */
    SW_KEY_LAST_ROUTED,   /* the last one; -1: the model's last */
    SW_KEY_SHARED,        /* experts that all rows see, as one MLP */
    SW_KEY_SHARED_FFN,    /* its width; 0: that many experts' */
    SW_KEY_SCALED_SCORES, /* attention scores are scaled by 1 / sqrt(head_dim) */
    SW_KEY_SCORES_BY_LAYER,
    SW_KEY_SCORE_SCALE,    /* the factor itself; 0: as SW_KEY_QUERY_SCALAR says */
    SW_KEY_QUERY_SCALAR,   /* the factor is 1 / sqrt of it; 0: of head_dim */
    SW_KEY_SCORE_CAP,      /* scores become cap * tanh(score / cap); 0: they stay */
    SW_KEY_EMBED_SCALE,    /* factor of embeddings */
    SW_KEY_RESIDUAL_SCALE, /* factor of what a branch gives */
    SW_KEY_LOGIT_SCALE,    /* factor of logits */
    SW_KEY_LOGIT_DIVISOR,  /* the same, as its inverse */
    SW_KEY_LOGIT_CAP,      /* logits become cap * tanh(logit / cap); 0: they stay */
    SW_KEY_QK_NORM,
    SW_KEY_BIDIRECTIONAL,
    SW_KEY_CROSS_ATTENTION,
    SW_KEY_SHARED_KV,      /* so many layers, the last, have keys and values of earlier ones */
    SW_KEY_WIDE_BORROWERS, /* the MLPs of these are twice as wide */
    SW_KEY_LAYER_INPUTS,   /* width of what each layer reads of an id beside the rows */
    SW_KEY_INPUT_VOCAB,    /* rows of their table, which must be those of the embedding */
    SW_KEY_EXPERTS_ON,     /* whether there are experts at all */
    SW_KEY_DECODER_LAYERS, /* of an encoder-decoder; SW_KEY_LAYERS are its encoder's. 0: as many */
    SW_KEY_BUCKETS,
    SW_KEY_BUCKET_REACH,  /* positions apart from which on all are in the last bucket */
    SW_KEY_DECODER_START, /* the id that every target begins with */
    SW_KEY_FULL_STEP,     /* every so-and-so-many-th layer attends, the others are delta nets */
    SW_KEY_DELTA_K_HEADS, /* of struct sw_delta_dims */
    SW_KEY_DELTA_V_HEADS,
    SW_KEY_DELTA_K_DIM,
    SW_KEY_DELTA_V_DIM,
    SW_KEY_DELTA_WINDOW,
    SW_KEY_TRAINED_CONTEXT, /* says nothing about what is computed, and is not read */
    SW_KEY_COUNT
};

struct sw_arch_key {
    const char *name;  /* NULL: the family has no such key, and the value is `absent` */
    const char *other; /* a second name, read where `name` is absent; NULL: none */
    double absent;     /* the value without the key; SW_REQUIRED: the file must have it */
    bool null_is_zero; /* null means 0; false: null counts as absent */
};
#define SW_REQUIRED (-1.0)

struct sw_arch {
    const char *model_type; /* as in config.json */
    const char *title;      /* for messages: "GPT-NeoX, Pythia" */
    enum sw_norm norm;
    enum sw_position position;
    enum sw_residual residual;
    enum sw_qkv qkv;
    enum sw_activation activation; /* where config.json has none */
    bool gated;                    /* act(gate x) * (up x) */
    bool conv1d;                   /* linear layers are stored (in, out) */
    bool norm_plus_one;            /* norms multiply by 1 + their weight */
    bool norm_no_bias;             /* SW_NORM_LAYER without a bias */
    bool root_embedding;           /* embeddings are multiplied by sqrt(hidden) */
    bool qk_norm_rows;             /* q_norm and k_norm are of whole rows, not of each head */
    bool qk_norm_last;             /* they come after rope */
    bool qk_norm_each;             /* each head has weights of its own, and norms are as .norm */
    bool qk_norm_plain;            /* of heads, without weights, where a layer has rope */
    bool v_norm;                   /* heads of values are normed, without weights */
    bool last_whole;               /* the last layer has no window, whatever a list says */
    bool chunked;                  /* struct sw_dims; unless a list says it, of layers with rope */
    bool growth_no_rope;           /* queries grow in layers without rope alone */
    bool scaled_input;             /* an expert's share is a factor of its input */
    bool local_rope;               /* layers with a window have a rope of their own, unscaled */
    bool sigmoid_router;           /* experts' scores are sigmoids; else shares of a softmax */
    bool best_of_group;            /* a group is as good as its best expert; else as its two best */
    bool router_bias;
    bool experts_beside;   /* the MLP is there, too, and each of both has its norms */
    bool window_rope;      /* where some layers have a window, only these have rope */
    bool rope_interleaved; /* rope rotates pairs (2i, 2i+1) */
    int position_offset;   /* row of position 0 in the position table (OPT: 2) */
    bool out_bias;         /* of the attention's output, unless SW_KEY_QKV_BIAS is read */
    bool no_out_bias;      /* not even then */
    bool head_bias;
    bool gate_by_config; /* SW_KEY_ACTIVATION says "gated-" where there is a gate */
    bool plain_scores;   /* attention scores are not scaled */
    bool scaled_slopes;  /* ALiBi is added to scores before they are scaled */
    bool output_gate;    /* behind each head's query lies a gate of what attention gives */
    bool delta_grouped;  /* q, k, v, z of delta nets lie key head by key head */
    bool gates_grouped;  /* so do b and a */
    bool delta_turns;    /* struct sw_delta_dims */
    bool delta_decays;   /* the file has decays, not their logarithms */
    bool tied_scale;     /* a tied head's logits are divided by sqrt(hidden) */
    /* Of the layers of an encoder, which come before those of `names`; NULL: it has none. */
    const struct sw_names *encoder;
    struct sw_arch_key keys[SW_KEY_COUNT];
    struct sw_names names;
};

/* The row of a model_type; NULL: unknown. */
const struct sw_arch *sw_arch_find(const char *model_type);
/* Row i; NULL past the last. */
const struct sw_arch *sw_arch_row(int i);

#endif
