/*
 * A model: its architecture row, its dimensions, and the tensors of the checkpoint that form each
 * weight. Made from config.json alone; no weight is read here.
 */
#ifndef SW_MODEL_MODEL_H
#define SW_MODEL_MODEL_H

#include "base/status.h"
#include "model/arch.h"
#include "model/delta.h"
#include "model/rope.h"
#include "tensor/format.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_ROPES 2 /* of all layers; of those with a window, where they have their own */

/*
 * Latent attention (MLA; DeepSeek-AI, arXiv 2405.04434): keys and values of all heads are made of
 * one latent a position, which is what the cache keeps, with the part of the key that has rope.
 * Instead of making them, queries are taken to the latents' space and sums of latents from there
 * (block_latent.c): so all heads share one KV head, whose keys are latent and rope part, and whose
 * values are the latents. dims.n_kv_heads and dims.head_dim are those of this one.
 */
#define SW_LATENT_EPS 1e-6f /* of latents' norms, whatever the model's other norms have */
struct sw_latent_dims {
    int kv;    /* elements of a latent; 0: there are none, and the others say nothing */
    int q;     /* of what queries are made of; 0: of the layer's input */
    int plain; /* of a head's query, without rope; those with rope are behind */
    int out;   /* of a head's value */
};

/* The heads of a layer. */
struct sw_head_dims {
    int n_kv, dim;
    int rotary;          /* leading part of each that is rotated; 0: no rope */
    bool keys_as_values; /* values are the keys before their norm and rope */
};

struct sw_dims {
    int n_layers, hidden, n_heads, n_kv_heads, head_dim;
    struct sw_head_dims whole; /* of layers without a window, which may have their own sizes */
    int n_encoder; /* the first so many of the layers are an encoder's; 0: there is none */
    int n_buckets, bucket_reach; /* of SW_POS_BUCKETS */
    int decoder_start;           /* the id that a target begins with, of an encoder-decoder */
    int ffn;                     /* inner size of the dense MLP */
    int borrowers;               /* the last so many layers take keys and values of earlier ones */
    int borrower_ffn;            /* inner size of their dense MLP */
    int input_dim; /* of what each layer reads of a row's id (struct sw_aside_layout); 0: none */
    int vocab;     /* rows of the embedding; may exceed the tokenizer's ids */
    int context;   /* longest sequence of the model, in positions; 0: no limit (ALiBi) */
    int embed_dim; /* width of the embedding table (OPT-350m: not `hidden`) */
    float norm_eps;
    int rotary_dim; /* leading part of each head that is rotated; 0: no rope */
    struct sw_rope_dims rope[SW_ROPES];
    int n_ropes;
    struct sw_query_growth query_growth;
    struct sw_latent_dims latent;
    int window;   /* positions, in layers with a sliding window */
    bool chunked; /* a row sees its own chunk of so many positions, and not the last so many */
    struct sw_delta_dims delta;
    int n_experts, n_experts_used, expert_ffn;
    int n_groups, n_groups_used; /* of experts; 1: all are one */
    int shared_ffn;              /* width of the MLP beside the experts; 0: there is none */
    float routed_scale;          /* factor of what experts give; 1: none */
    bool norm_topk;              /* expert weights are renormalised to sum 1 */
    bool tied;                   /* the head is the embedding */
    bool tied_head;              /* tied, and the file has the tensor under the head's name only */
    bool qkv_bias, out_bias, mlp_bias, head_bias;
    bool post_norm;       /* norms after the residual sum (OPT-350m) */
    bool final_norm;      /* there is a norm before the head */
    bool normed_residual; /* BLOOM's apply_residual_connection_post_layernorm */
    enum sw_residual residual;
    enum sw_activation activation;
    float score_scale;              /* factor of attention scores */
    float score_cap, logit_cap;     /* of SW_KEY_SCORE_CAP, SW_KEY_LOGIT_CAP; 0: none */
    float embed_scale, logit_scale; /* factors; 1: none */
    float residual_scale;           /* the same, of what a branch adds */
};

/* Properties in which the layers of a model can differ. */
enum sw_layer_kind {
    SW_LAYER_ROUTED = 1,
    SW_LAYER_SLIDING = 2,
    SW_LAYER_NO_ROPE = 4,
    SW_LAYER_DELTA = 8,    /* a gated delta net in the place of attention */
    SW_LAYER_BORROWS = 16, /* its keys and values are those of sw_model_lender */
    SW_LAYER_ENCODER = 32, /* every row sees all of its sequence */
    SW_LAYER_CROSS = 64,   /* rows attend to an encoder's output, too */
    SW_LAYER_LATENT = 128, /* its keys and values are latents */
};

struct json_t;

struct sw_model {
    struct sw_arch *arch; /* its own copy of a row */
    struct sw_dims dims;
    enum sw_dtype dtype; /* of the checkpoint's weights; f32 where config.json does not state it */
    bool dtype_stated;   /* whether config.json states dtype */
    unsigned char held;  /* as of struct sw_weight_source, of most of its matrices' elements */
    bool has_blocks;     /* some source's `held` is not 0 */
    uint64_t load_bytes; /* that loading takes beside its chunks, for matrices made of parts */
    /* (rotary_dim / 2) divisors of rope's frequencies that the file states; NULL: none. The second
     * count in contexts longer than rope's `original`; NULL: the first do. */
    float *rope_divisors, *rope_long_divisors;
    char *warnings; /* lines about keys that are not read, each with its newline; NULL: none */
    unsigned char *layer_kinds;     /* (n_layers), sets of enum sw_layer_kind */
    struct sw_weight_spec *weights; /* every weight, those outside the layers first */
    size_t *first_weight;           /* (n_layers + 2): where layer i - 1 begins in `weights` */
};

/*
 * Makes a model from the bytes of a config.json. `name` is for messages. SW_EMODEL: not JSON, an
 * unknown model_type (the message lists the known ones), a missing or impossible value. The caller
 * closes *out.
 */
enum sw_status sw_model_parse(const char *json, size_t length, const char *name,
                              struct sw_model **out);
/*
 * Makes a model from an object with the keys of `arch`, which is copied; the caller closes *out.
 * For files that have no config.json: they give a row with their own names of keys and tensors.
 */
enum sw_status sw_model_make(const struct json_t *root, const struct sw_arch *arch,
                             struct sw_model **out);
/* As sw_model_parse, from `dir`/config.json (or `dir` itself when it is a file). */
enum sw_status sw_model_open(const char *dir, struct sw_model **out);
/* The heads of a layer, or of those that rope `rope` is for. */
static inline struct sw_head_dims sw_dims_heads(const struct sw_dims *d, bool slides)
{
    return slides ? (struct sw_head_dims){d->n_kv_heads, d->head_dim, d->rotary_dim, false}
                  : d->whole;
}
static inline struct sw_head_dims sw_model_heads(const struct sw_model *m, int layer)
{
    return sw_dims_heads(&m->dims, m->layer_kinds[layer] & SW_LAYER_SLIDING);
}
static inline int sw_dims_rotary(const struct sw_dims *d, int rope)
{
    return sw_dims_heads(d, rope > 0).rotary;
}
/* Whether a layer has an MLP that all rows go through, a shared expert aside. */
static inline bool sw_model_has_mlp(const struct sw_model *m, int layer)
{
    return m->arch->experts_beside || !(m->layer_kinds[layer] & SW_LAYER_ROUTED);
}
/* The layer that lends its keys and values to those borrowers that slide, or do not: the last of
 * that kind before them. -1: there is none. */
int sw_model_lender(const struct sw_model *model, bool slides);
/* Inner size of a layer's dense MLP. */
static inline int sw_model_ffn(const struct sw_model *m, int layer)
{
    return m->layer_kinds[layer] & SW_LAYER_BORROWS ? m->dims.borrower_ffn : m->dims.ffn;
}
/* What a layer's attention sees, as of struct sw_attention. */
static inline int64_t sw_model_window(const struct sw_model *m, int layer)
{
    return !(m->layer_kinds[layer] & SW_LAYER_SLIDING) ? 0
           : m->dims.chunked                           ? -(int64_t)m->dims.window
                                                       : m->dims.window;
}
/*
 * How fast pair i of a head's rotary part turns with the position, in radians a position, where a
 * slot has room for `context` positions. `rope`: index in dims.rope.
 */
double sw_model_rope_frequency(const struct sw_model *model, int rope, int context, int i);
/* Adds a line to model->warnings. */
enum sw_status sw_model_warn(struct sw_model *model, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Logs model->warnings; only one rank should call it. */
void sw_model_log_warnings(const struct sw_model *model);
void sw_model_close(struct sw_model *model);

/* The weights that a rank keeps; each is one matrix or one vector (f32). */
enum sw_weight {
    /* outside the layers */
    SW_W_EMBED,
    SW_W_POSITIONS,
    SW_W_EMBED_NORM,
    SW_W_EMBED_NORM_BIAS,
    SW_W_PROJECT_IN,
    SW_W_FINAL_NORM,
    SW_W_FINAL_NORM_BIAS,
    SW_W_PROJECT_OUT,
    SW_W_HEAD,
    SW_W_HEAD_BIAS,
    SW_W_INPUT_TABLE, /* what layers read of an id, one layer's behind the other */
    SW_W_INPUT_PROJECT,
    SW_W_INPUT_PROJECT_NORM, /* of each layer's */
    /* of one layer */
    SW_W_ATTN_NORM,
    SW_W_ATTN_NORM_BIAS,
    SW_W_QKV,
    SW_W_QKV_BIAS,
    SW_W_Q_NORM,
    SW_W_K_NORM,
    SW_W_OUT,
    SW_W_OUT_BIAS,
    SW_W_ATTN_POST_NORM,
    SW_W_LAYER_SCALE, /* (1) */
    SW_W_INPUT_GATE,
    SW_W_INPUT_OUT,
    SW_W_INPUT_NORM,
    SW_W_MLP_NORM,
    SW_W_MLP_NORM_BIAS,
    SW_W_DENSE_POST_NORM, /* of experts beside the MLP, to SW_W_ROUTER_SHARES */
    SW_W_EXPERT_NORM,
    SW_W_EXPERT_POST_NORM,
    SW_W_ROUTER_NORM,
    SW_W_ROUTER_SHARES,
    SW_W_SINKS,
    SW_W_ROUTER,
    SW_W_ROUTER_BIAS,
    SW_W_ROUTER_CORRECTION,
    SW_W_EXPERT_UP_BIAS, /* of each expert, one behind the other (sw_vector_bytes each) */
    SW_W_EXPERT_DOWN_BIAS,
    SW_W_SHARED_ROUTER,
    SW_W_SHARED_UP,
    SW_W_SHARED_DOWN,
    SW_W_UP, /* gate rows first, then up rows, where the MLP is gated */
    SW_W_UP_BIAS,
    SW_W_DOWN,
    SW_W_DOWN_BIAS,
    SW_W_MLP_POST_NORM,
    SW_W_DELTA_GATES, /* b's rows, then a's; of grouped ones those of a key head side by side */
    SW_W_DELTA_CONV,  /* (channels, window); channels: all of q, of k, of v */
    SW_W_DELTA_DECAY, /* (v_heads), below 0 */
    SW_W_DELTA_DT,    /* (v_heads) */
    SW_W_DELTA_NORM,  /* (v_dim) */
    SW_W_BUCKETS,     /* (n_buckets, n_heads), the same tensor in all layers of a stack */
    SW_W_CROSS_NORM,
    SW_W_CROSS_Q,
    SW_W_CROSS_KV, /* all keys' rows, then all values' */
    SW_W_CROSS_OUT,
    SW_W_MEMORY_NORM, /* behind the last layer of an encoder */
    /* Of latent attention: SW_W_QKV gives the queries or their latents, and the latents with the
     * rope part of keys; norms of q and k are of latents. */
    SW_W_Q_UP, /* latents of queries to queries */
    SW_W_K_UP, /* a matrix a head, one behind the other: its plain query to a latent */
    SW_W_V_UP, /* the same: a latent to its value */
    SW_W_COUNT
};

/* Which part of a model a weight belongs to. */
enum sw_weight_part {
    SW_PART_LAYER = 0,
    SW_PART_EMBED = 1, /* before the first layer */
    SW_PART_HEAD = 2,  /* after the last layer */
};

#define SW_GLOBAL (-1) /* as a layer: outside the layers */
#define SW_TENSOR_NAME_MAX 192
#define SW_MAX_SOURCES 3

/* What is done to a vector when it is loaded. */
enum sw_weight_change { SW_CHANGE_NONE, SW_CHANGE_PLUS_ONE, SW_CHANGE_MINUS_EXP };

/* One weight: its shape, and the tensors of the file that are stacked to form it. */
struct sw_weight_spec {
    enum sw_weight id;
    enum sw_weight_part part;
    int layer;      /* SW_GLOBAL where part is not SW_PART_LAYER */
    int named;      /* the layer that its tensors' names have */
    int expert;     /* -1: not an expert's, or a bias */
    int index;      /* of the expert that a bias is of, or the head; -1: no such one's */
    bool is_matrix; /* (rows, cols) in a weight format; false: a vector (rows) of f32 */
    bool is_linear; /* a linear matrix of a layer: may be quantized */
    bool is_norm;   /* weight of a norm, whose values lie around 1 */
    bool is_flat;   /* a vector whose tensor is a matrix: its rows one after the other */
    enum sw_weight_change change;
    bool is_repeated;   /* an earlier layer has the same tensor */
    int64_t rows, cols; /* cols is 1 for a vector; of a flat one those of the tensor */
    int n_sources;
    struct sw_weight_source {
        const char *pattern; /* of the tensor's name; '#' is the layer, '@' the expert */
        const char *suffix;  /* ".weight" or ".bias" */
        int64_t rows;        /* of the weight that this tensor fills */
        bool transposed;     /* stored (cols, rows): GPT-2 */
        int64_t first, of;   /* `of`: rows of the tensor, of which those from `first` on are taken;
                              * 0: all are */
        /* 1 + the enum sw_format_id of the blocks in the file; 0: elements, or blocks that weights
         * cannot be kept in. And of the tensor without its twin. */
        unsigned char held, held_alone;
        uint64_t behind; /* what lies behind these blocks, as of struct sw_tensor; 0: nothing */
    } sources[SW_MAX_SOURCES];
};

/* The matrix as it is kept: its twin, where the directory has one. */
static inline const struct sw_tensor *sw_model_twin(const struct sw_tensors *tensors,
                                                    const struct sw_tensor *tensor)
{
    return tensor->twin ? &tensors->items[tensor->twin - 1] : tensor;
}
/* Fills in `held` of the model and its sources by the blocks that the tensors are of. Tensors that
 * are missing are left to sw_model_check. */
void sw_model_hold(struct sw_model *model, const struct sw_tensors *tensors);
/* The same where only a format is known, of all linear matrices, or of experts alone. */
void sw_model_hold_linear(struct sw_model *model, const struct sw_format *format,
                          bool experts_only);
/*
 * The weights of layer `layer`, or those outside the layers (SW_GLOBAL), in a fixed order: *specs
 * is in the model. Returns how many. A tied head is listed like any other.
 */
size_t sw_model_weights(const struct sw_model *model, int layer,
                        const struct sw_weight_spec **specs);
/* Fills model->weights when the rest of the model is known. SW_EMODEL: more weights than any model
 * has. */
enum sw_status sw_model_list(struct sw_model *model);
/*
 * Name of a source's tensor, as the family's checkpoints spell it; a tied head has the embedding's,
 * or the embedding the head's (dims.tied, dims.tied_head).
 */
void sw_weight_tensor_name(const struct sw_model *model, const struct sw_weight_spec *spec,
                           int source, char name[SW_TENSOR_NAME_MAX]);
/* Of a norm or a matrix that can have a bias: the bias's id. SW_W_COUNT: it has none. */
enum sw_weight sw_weight_bias(enum sw_weight id);
/*
 * Finds the tensor of a source: by its name, else with the family's prefix removed or added, or
 * with the prefixes that torch.compile and data-parallel training add to all names. SW_EMODEL, with
 * expected and actual: missing, or of another shape than `spec` expects.
 */
enum sw_status sw_model_find(const struct sw_model *model, const struct sw_tensors *tensors,
                             const struct sw_weight_spec *spec, int source,
                             const struct sw_tensor **out);
/* The embedding, the head or the inputs of layers (SW_W_EMBED, SW_W_HEAD, SW_W_INPUT_TABLE) by its
 * own name; NULL: no such tensor. */
const struct sw_tensor *sw_model_tensor(const struct sw_model *model,
                                        const struct sw_tensors *tensors, enum sw_weight id);
/* Checks every weight of the model against the directory. SW_EMODEL names the first that fails. */
enum sw_status sw_model_check(const struct sw_model *model, const struct sw_tensors *tensors);
/* "qkv", "mlp norm bias", …: for messages and reports. */
const char *sw_weight_name(enum sw_weight id);
/* Parameters in the checkpoint (a tied head counts once). */
uint64_t sw_model_parameters(const struct sw_model *model);

/*
 * Offsets of a head's query, key and value in one row of the QKV product, in floats. The rows of W
 * keep the file's order, so fused weights need not be reordered at load.
 */
struct sw_qkv_layout {
    int64_t q, k, v;         /* offsets for head 0 */
    int64_t q_head, kv_head; /* distance from one head to the next */
    int64_t q_skip;          /* added to it where the next head reads another KV head */
    int64_t width;           /* length of the row */
};
struct sw_qkv_layout sw_model_qkv_layout(const struct sw_model *model, int layer);

/* What a row of the residual stream has behind its `hidden` elements, from embedding to head, for
 * later layers: so it is there whatever rank or device these are on. */
struct sw_aside_layout {
    int64_t kv[2];  /* keys, then values unless they are the same, as the lender's product gives
                     * them, before norm and rope; of layers without a window, with one */
    int64_t inputs; /* input_dim of each layer */
    int64_t width;  /* of the whole row; hidden where there is nothing behind */
};
struct sw_aside_layout sw_model_aside(const struct sw_model *model);

/* The row of latent attention: the product's outputs, then what is made of them. Of these `queries`
 * and `k` are those of struct sw_qkv_layout. */
struct sw_latent_layout {
    int64_t q, kv;   /* queries or their latents; the latent, then the key's part with rope */
    int64_t heads;   /* queries of each head: the plain part, then that with rope */
    int64_t queries; /* the same in the latents' space, as attention takes them */
    int64_t sums;    /* what attention gives: a latent a head */
    int64_t width;   /* of the row */
};
struct sw_latent_layout sw_model_latent_layout(const struct sw_model *model);
/* Outputs of the QKV product, which are the first of the row. */
int64_t sw_model_qkv_rows(const struct sw_model *model, int layer);
/* What attention gives, over all heads, to the output's product. */
int64_t sw_model_attention_width(const struct sw_model *model, int layer);
/* The largest of these, and of the rows' widths, of all layers. */
struct sw_attention_widths {
    int64_t row, made, attention;
};
struct sw_attention_widths sw_model_attention_widths(const struct sw_model *model);
/* The bytes of one KV cache of a layer. */
struct sw_footprint_params;
uint64_t sw_model_kv_bytes(const struct sw_model *model, const struct sw_footprint_params *params,
                           int layer);
/* The same of a gated delta net. */
struct sw_delta_layout {
    int64_t q, k, v, z, b, a; /* offsets for head 0 */
    int64_t k_head;           /* from one key head to the next, of q and k */
    int64_t v_group, v_head;  /* the same of v and z; and inside of a key head's */
    int64_t gate_group;       /* from one key head to the next, of b and a; */
    int64_t gate_head;        /* and inside of a key head's */
    int64_t width;            /* length of the row */
};
struct sw_delta_layout sw_model_delta_layout(const struct sw_model *model);

#endif
