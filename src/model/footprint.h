/*
 * What a model costs: bytes and work per layer, in a given weight format, for a given context and
 * number of slots. The planner sums these and the engine allocates by them, so that what the plan
 * says is what the run takes.
 */
#ifndef SW_MODEL_FOOTPRINT_H
#define SW_MODEL_FOOTPRINT_H

#include "base/status.h"
#include "model/weight_mix.h"
#include "tensor/layout.h"

#include <stdbool.h>
#include <stdint.h>

struct sw_model;

#define SW_SCRATCH_FIXED (4u << 20) /* bytes of a backend's scratch memory for any model */
#define SW_LOGIT_ROWS 16            /* most rows that the head computes at once */
#define SW_LOAD_CHUNK (8u << 20)    /* bytes; a rank loads through two chunks */
/* Bytes that a backend may take for itself at `rows` rows: converted activations, partial results.
 */
uint64_t sw_scratch_bytes(const struct sw_model *model, int rows);
/* The most in-features of any matrix. */
int64_t sw_model_max_cols(const struct sw_model *model);
/* The most out-features of any matrix of a layer; more where `rows` rows of those take less memory
 * than SW_LOGIT_ROWS rows of the head. */
int64_t sw_model_max_out(const struct sw_model *model, int64_t rows);
/*
 * Bytes that the GPU backend takes for itself when it is opened for these sizes, known without a
 * GPU. They are the sum of the activations of a GEMM, its sums (at most SW_GPU_SUMS_BYTES at once,
 * or one row), SW_GPU_WORKSPACE_FIXED for everything else, and SW_GPU_ROUNDING. The last is for the
 * one block of memory that a stage has on its GPU: the driver hands out pages of 2 MiB, and each of
 * at most some 4000 parts of the block starts at a multiple of 256 bytes (SW_GPU_APART).
 */
#define SW_GPU_APART (1u << 20)
#define SW_GPU_ROUNDING ((2u << 20) + SW_GPU_APART)
#define SW_GPU_SUMS_BYTES (64u << 20)
#define SW_GPU_WORKSPACE_FIXED (64u << 20)
/* Bytes that the driver may take for decode steps kept as CUDA graphs: half of a plan's reserve. */
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
    /* Matrices whose file has blocks are kept in them as they are; all others in `unquantized`.
     * Then `weights` is the format of most, for messages. */
    bool as_stored;
    /* Else, and unless 0: a mix of formats by layer and role (weight_mix.h), of a model like
     * mix_shape. Then `weights` is the format of most. */
    uint8_t mix;
    struct sw_mix_shape mix_shape;
    /* 1 + the enum sw_format_id of a role; 0: as the fields above say */
    uint8_t by_role[SW_ROLE_COUNT];
};

struct sw_layer_footprint {
    uint64_t weight_bytes; /* resident, as the backend packs them */
    uint64_t read_bytes;   /* weight bytes that one token reads; fewer than all with experts */
    uint64_t kv_bytes;     /* KV cache of all slots; of a delta net their states */
    uint64_t state_bytes;  /* of a delta net: one slot's state, which a token reads and writes */
    uint64_t kv_row_bytes; /* KV bytes that one token reads per earlier position of its slot */
    double token_flops;    /* flops per token without attention; a multiply-add counts as two */
    double state_flops;    /* of a delta net: flops per token on its state */
    double attend_flops;   /* flops of attention per token and position that it attends to */
    int window;            /* most positions that a token attends to, itself included; 0: all */
    bool is_encoder;       /* it runs for prompts only */
    /* Of a routed layer: bytes of an expert, part of weight_bytes; how many there are, and
     * how many a token reads. 0: it has none, or they differ in bytes. */
    uint64_t expert_bytes;
    int n_experts, n_used;
};

#define SW_CPU_ONLY_LATENT UINT8_MAX      /* nor have they for latents so wide */
#define SW_CPU_ONLY_HEADS (UINT8_MAX - 1) /* nor for heads so wide */
struct sw_footprint {
    struct sw_footprint_params params;
    int n_layers;
    struct sw_layer_footprint *layers; /* (n_layers) */
    uint64_t embed_bytes;              /* token and position embeddings, their norm, project_in */
    uint64_t embed_read_bytes;         /* bytes of the embeddings that are read per token */
    uint64_t head_bytes;               /* final norm, project_out and head */
    uint64_t tied_bytes;               /* saved when one rank holds both embedding and tied head */
    double head_flops;                 /* flops of the head per token that is sampled */
    uint64_t hop_bytes;                /* hidden state of one token between stages, f32 */
    uint64_t work_bytes;               /* activations of a rank on a CPU at max_batch_tokens rows */
    uint64_t gpu_work_bytes;      /* activations of a rank on a GPU, with gpu_workspace_bytes */
    uint64_t gpu_workspace_bytes; /* sw_gpu_workspace_bytes of this model */
    uint64_t matrix_bytes;        /* the largest matrix of any layer */
    uint64_t logits_bytes;        /* logits, on the last rank only; not part of work_bytes */
    uint64_t sampler_bytes; /* samplers and ids of slots in host memory, on the last rank only */
    uint64_t load_bytes;    /* buffers while a rank loads; freed before the first token */
    /* Buffers of a rank with disk layers, in host memory, besides SW_DISK_BUFFERS of the largest
     * layer: what is read goes through them for the whole run. */
    uint64_t disk_read_bytes;
    /* 1 + the format of a weight that GPUs have no kernels for, so that no layer can be on one, or
     * SW_CPU_ONLY_LATENT or SW_CPU_ONLY_HEADS; 0: there is none. */
    uint8_t cpu_only;
    bool has_encoder; /* some layers are an encoder's; host layers do not pass a GPU for prompts */
};

/* The buffers that a stage works in: three of `hidden`, two of `expert`, one of each other. */
struct sw_work {
    int64_t rows; /* rows of each buffer: max_batch_tokens, and at least SW_LOGIT_ROWS */
    int64_t hidden, qkv, attention, up, router, expert; /* floats per row */
    int64_t rope;                                       /* floats of a whole rope table */
    int64_t slopes;                                     /* floats of all slopes of ALiBi */
    int64_t ones;                                       /* of the weight of norms without */
    int64_t buckets; /* of the tables of position buckets, an int32_t for each distance */
    uint64_t kv;     /* bytes of keys and values of the rows that an encoder's layer computes */
    uint64_t bytes;  /* of all buffers and tables together */
};
struct sw_work sw_work_of(const struct sw_model *model, const struct sw_footprint_params *params);

/*
 * Bytes of the buffers on a GPU for streamed layers, for the largest layer of the whole model,
 * whatever layers a rank has. `matrix` and `kv` are for layers that decode on the CPU.
 */
#define SW_STREAM_BUFFERS 2
/* Disk layers that the GPU runs go through these, too; where no layer is streamed, through one:
 * buses are so much faster than disks that a layer can be copied when the one before it has been
 * run. */
#define SW_DISK_STREAM_BUFFERS 1
/* Layers that a rank with disk layers has in host memory: one that is used, or on its way to the
 * GPU (where it has a stream buffer, too), and one that is being read. */
#define SW_DISK_BUFFERS 2
struct sw_staging {
    uint64_t layer;  /* the largest layer as it lies in host memory; there are two such buffers */
    uint64_t matrix; /* the largest matrix in the GPU's own layout */
    uint64_t kv;     /* one layer's keys and values */
    uint64_t unit;   /* the largest part of a layer that is read at once where disk layers are read
                      * by expert: a token's experts, or a layer without any */
};
struct sw_staging sw_staging_of(const struct sw_model *model,
                                const struct sw_footprint_params *params);

/* Bytes of each expert of a layer; 0: it has none, or they differ, and it is read whole. */
uint64_t sw_expert_bytes(const struct sw_model *model, const struct sw_footprint_params *params,
                         int layer);

/* KV caches of a layer: an encoder's has none, one with cross-attention two, the second for the
 * encoder's output; all of one size. */
int sw_model_kv_caches(const struct sw_model *model, int layer);
/* Bytes of what a layer keeps of all slots: its KV caches, or the states of a delta net. */
uint64_t sw_model_layer_bytes(const struct sw_model *model,
                              const struct sw_footprint_params *params, int layer);
/* States that a layer keeps for so many slots: one each, and behind those, where another slot could
 * take it, a snapshot of each. */
int sw_model_states(int slots);
/* Whether prefixes can be shared only where a slot's rows end: some layers keep a state. */
bool sw_model_keeps_states(const struct sw_model *model);

enum sw_status sw_footprint_of(const struct sw_model *model,
                               const struct sw_footprint_params *params, struct sw_footprint *out);
void sw_footprint_free(struct sw_footprint *footprint);

/* The average number of positions, itself included, that a token of a prompt of n attends to in the
 * layer. */
double sw_layer_prompt_sees(const struct sw_layer_footprint *layer, double n);

#endif
