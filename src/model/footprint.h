/*
 * What a model costs: bytes and work per layer, in a given weight format, for a given context and
 * number of slots. The planner sums these and the engine allocates by them, so that what the plan
 * says is what the run takes.
 */
#ifndef SW_MODEL_FOOTPRINT_H
#define SW_MODEL_FOOTPRINT_H

#include "base/status.h"
#include "tensor/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct sw_model;

/*
 * What a backend may take for itself at `rows` rows: converted activations, partial results.
 * The head computes at most SW_LOGIT_ROWS rows at once; a rank loads through two chunks.
 */
#define SW_SCRATCH_FIXED (4u << 20)
#define SW_LOGIT_ROWS 16
#define SW_LOAD_CHUNK (8u << 20)
uint64_t sw_scratch_bytes(const struct sw_model *model, int rows);
int64_t sw_model_max_cols(const struct sw_model *model); /* in-features of any matrix */
/* Out-features of any matrix of a layer; more where `rows` rows of them have less room than
 * SW_LOGIT_ROWS of the head's take. */
int64_t sw_model_max_out(const struct sw_model *model, int64_t rows);
/*
 * What the GPU backend takes for itself when it is opened for these sizes, known without a GPU: the
 * activations and the sums of a product of many rows (of these at most SW_GPU_SUMS_BYTES at once,
 * but a row), and SW_GPU_WORKSPACE_FIXED for the rest. With it SW_GPU_ROUNDING, which the driver
 * and the alignment of parts take of the one block that a stage has there: the driver hands out
 * pages of 2 MiB, and each of at most some 4000 parts (SW_GPU_APART) starts at a multiple of 256.
 */
#define SW_GPU_APART (1u << 20)
#define SW_GPU_ROUNDING ((2u << 20) + SW_GPU_APART)
#define SW_GPU_SUMS_BYTES (64u << 20)
#define SW_GPU_WORKSPACE_FIXED (64u << 20)
/* What the driver may take for steps that are kept as CUDA graphs: half of a plan's reserve. */
#define SW_GPU_GRAPH_BYTES (128u << 20)
uint64_t sw_gpu_workspace_bytes(int64_t rows, int64_t max_cols, int64_t max_out);

struct sw_footprint_params {
    enum sw_format_id weights;
    enum sw_format_id
        unquantized;      /* of the matrices that `weights` leaves alone (sw_weight_format) */
    enum sw_dtype kv;     /* f32, f16 or bf16 */
    int context;          /* positions each slot has room for */
    int slots;            /* sequences that can be under way at once */
    int max_batch_tokens; /* most tokens in one micro-batch (the prompt chunk) */
};

struct sw_layer_footprint {
    uint64_t weight_bytes; /* resident, as the backend packs them */
    uint64_t read_bytes;   /* weight bytes one token's step reads (fewer than all with experts) */
    uint64_t kv_bytes;     /* KV cache of all slots */
    uint64_t kv_row_bytes; /* KV that one token's step reads per earlier position of its slot */
    double token_flops;    /* 2 * multiply-adds per token, attention over the context left out */
    double attend_flops;   /* … and those of attention per token and position that it sees; … */
    int window;            /* … it sees at most so many, itself included; 0: all */
};

struct sw_footprint {
    struct sw_footprint_params params;
    int n_layers;
    struct sw_layer_footprint *layers; /* (n_layers) */
    uint64_t embed_bytes;              /* token and position embeddings, their norm, project_in */
    uint64_t embed_read_bytes;         /* of these, read per token */
    uint64_t head_bytes;               /* final norm, project_out, head */
    uint64_t tied_bytes;               /* saved when one rank holds both embedding and tied head */
    double head_flops;                 /* per token that is sampled */
    uint64_t hop_bytes;                /* hidden state of one token between stages (f32) */
    uint64_t work_bytes;               /* activations of one rank at `rows` tokens, on a CPU, */
    uint64_t gpu_work_bytes;           /* and on a GPU; in this, … */
    uint64_t gpu_workspace_bytes;      /* … what the GPU backend takes for itself */
    uint64_t matrix_bytes;             /* of the largest matrix in a layer */
    uint64_t logits_bytes;             /* the last rank's, besides, … */
    uint64_t
        sampler_bytes;   /* … and, in host memory, its samplers, as many as it can use, and ids */
    uint64_t load_bytes; /* staging while a rank loads; freed before the first token */
};

/* Floats per row of each buffer a stage works in (hidden: three of them; expert: two). */
struct sw_work {
    int64_t rows; /* each buffer has: params.max_batch_tokens, and at least SW_LOGIT_ROWS */
    int64_t hidden, qkv, attention, up, router, expert;
    int64_t rope;   /* floats of the rope table, */
    int64_t slopes; /* and of ALiBi's slopes, in all */
    uint64_t bytes; /* everything together at params.max_batch_tokens rows */
};
struct sw_work sw_work_of(const struct sw_model *model, const struct sw_footprint_params *params);

/*
 * Buffers on a GPU through which layers pass that lie in host memory: two of the largest layer as
 * it lies there; and for layers that decode on the CPU, one matrix in the GPU's own layout and one
 * layer's keys and values. Of the whole model, whatever layers a rank has.
 */
#define SW_STREAM_BUFFERS 2
struct sw_staging {
    uint64_t layer, matrix, kv;
};
struct sw_staging sw_staging_of(const struct sw_model *model,
                                const struct sw_footprint_params *params);

enum sw_status sw_footprint_of(const struct sw_model *model,
                               const struct sw_footprint_params *params, struct sw_footprint *out);
void sw_footprint_free(struct sw_footprint *footprint);

/* Positions that a token of a prompt of n sees in the layer, itself included, on the average. */
double sw_layer_prompt_sees(const struct sw_layer_footprint *layer, double n);

#endif
