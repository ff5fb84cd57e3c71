/*
 * A stage at run time: the layers [first, first + count) of a model with the KV cache of all slots.
 * The first stage has the embedding, the last one the head. The plan chooses the tier of each
 * layer. When the stage opens, a table with a row a layer is made of the tiers, and running a
 * micro-batch only reads its rows.
 */
#ifndef SW_ENGINE_STAGE_H
#define SW_ENGINE_STAGE_H

#include "engine/device_context.h"
#include "engine/kv_staging.h"
#include "engine/microbatch.h"
#include "engine/pins.h"
#include "engine/slice.h"
#include "engine/store.h"
#include "model/footprint.h"

struct sw_stage_options {
    const struct sw_model *model;
    struct sw_backend *cpu;            /* NULL: nothing is in host memory */
    struct sw_backend *gpu;            /* NULL: the stage uses no GPU */
    struct sw_footprint_params params; /* formats, context, slots, max_batch_tokens */
    int first, count;
    struct sw_tiers tiers;
    bool embed, head;
    const uint64_t *expert_uses; /* as of struct sw_experts_options; may be NULL */
    bool look_ahead;             /* the same */
};

/* A micro-batch of at least tiers.stream_rows rows takes the way for prompts, a smaller one, or any
 * when stream_rows is 0, the way for decoding. */
enum sw_phase { SW_DECODE, SW_PROMPT, SW_PHASES };

/* How a layer runs: the device that computes it, and the store that has its weights there. */
struct sw_layer_way {
    enum sw_device_kind device;
    struct sw_store *store;
};

struct sw_layer_row {
    int layer; /* index in the model */
    struct sw_layer_way ways[SW_PHASES];
    enum sw_device_kind kv_at;    /* whose memory the KV cache is in */
    struct sw_kv kv;              /* d_data NULL: the layer keeps none */
    struct sw_delta_states delta; /* of a gated delta net; d_data NULL: the layer is none */
    struct sw_kv memory_kv; /* of the memory that the layer attends to; d_data NULL: it has none */
    bool kv_pinned;
    bool replayable; /* it needs nothing from the host: weights and KV in GPU memory, no experts */
};

enum sw_store_kind {
    SW_STORE_CPU,
    SW_STORE_GPU,
    SW_STORE_STREAMED,
    SW_STORE_DISK,
    SW_STORE_EXPERTS,     /* of disk layers that are read by expert */
    SW_STORE_GPU_EXPERTS, /* of streamed and disk layers that a GPU runs by expert */
    SW_STORE_KINDS
};

struct sw_stage {
    struct sw_stage_options options;
    struct sw_work work;
    struct sw_device_context contexts[SW_DEVICE_KINDS];
    struct sw_weights globals[SW_DEVICE_KINDS]; /* embedding and head, each on its own device */
    enum sw_device_kind embed_at, head_at;
    struct sw_layer_row *layers;             /* (count) */
    struct sw_store *stores[SW_STORE_KINDS]; /* NULL: no layer is kept so */
    struct sw_kv_staging kv_staging; /* for layers whose KV is not on the device that runs them */
    struct sw_pins pins;
    float *d_logits; /* (SW_LOGIT_ROWS, vocab); only with the head on the GPU */
    bool received;   /* an NCCL link writes a batch's rows to sw_stage_rows; `in` is NULL then */
    enum sw_device_kind at; /* where the residual stream is */
    enum sw_phase phase;    /* of the micro-batch under way */
    int n_rows;             /* its rows */
    bool is_warned;         /* the warning about values that are not finite was logged */
    int32_t *rows;          /* (max_batch_tokens) host scratch: row lists, positions */
    float *shares;     /* (max_batch_tokens + 1, n_experts_used + 1) host scratch: expert weights */
    float *scores;     /* (max_batch_tokens, n_experts) host scratch: router scores */
    float *correction; /* (4 n_experts) the same: what is added to them where experts are chosen,
                        * room for choosing, factors of shares */
    int32_t *groups;   /* (n_experts) room for choosing among groups of experts */
    int32_t *chosen;   /* (max_batch_tokens, n_experts_used) host scratch: experts of each row */
    int32_t *experts;  /* (n_experts) host scratch: those that some row chose */
    int32_t *foreseen; /* (n_experts) the same of the next layer, as far as that can be foreseen */
    int *uses;         /* (count) host scratch: the layers that a micro-batch takes from a store */
    /* Called with the output of each layer of hidden_layers, (n_rows, hidden) in host memory, of
     * the rows hidden_rows; layer -1: the embedding. NULL: not called. */
    enum sw_status (*hidden_hook)(void *context, int layer, const float *hidden, int n_rows);
    const char *hidden_layers;  /* (n_layers + 1) booleans, [0] the embedding's; with hidden_hook */
    const int32_t *hidden_rows; /* (n_hidden_rows) of the micro-batch, ascending */
    int n_hidden_rows;
    /* Called with the experts that each row chose in a routed layer, (n_rows, n_experts_used), the
     * most weighted first. NULL: not called. */
    enum sw_status (*route_hook)(void *context, int layer, const int32_t *chosen, int n_rows);
    /* Called after each layer whose operations are enqueued one by one, to send a heartbeat to the
     * other ranks. NULL: not called. */
    enum sw_status (*keepalive)(void *context);
    double stall_s; /* seconds without any progress after which a wait for a disk fails; 0: none */
    void *hook_context; /* passed to the callbacks */
};

/*
 * Allocates exactly what the footprint counted and loads the weights. Sets the loader's backend,
 * model and formats. SW_ENOMEM when a device cannot hold the stage. The caller frees by
 * sw_stage_close.
 */
enum sw_status sw_stage_open(const struct sw_stage_options *options, struct sw_loader *loader,
                             struct sw_stage **out);
void sw_stage_close(struct sw_stage *stage);
/* The residual stream in GPU memory, (rows, *ld) with hidden <= *ld and *ld the same on all ranks.
 * A link between GPUs reads and writes it when the slice ends or begins on the GPU. */
float *sw_stage_rows(const struct sw_stage *stage, int64_t *ld);
/* Bytes that the stage has allocated on the GPU, without the backend's own workspace. */
uint64_t sw_stage_gpu_bytes(const struct sw_stage *stage);

/* ---- stage_forward.c */

/*
 * Runs the micro-batch through the stage's layers. `in`: hidden states (n_rows, width of struct
 * sw_aside_layout) from the stage before; NULL on the first stage, which embeds batch->ids, or when
 * `received`. `out`: receives the same; NULL: they stay for sw_stage_logits or a link.
 */
enum sw_status sw_stage_forward(struct sw_stage *stage, const struct sw_microbatch *batch,
                                const float *in, float *out);
/* Copies the first n positions of slot `from` to slot `to`, in every layer's KV cache, and the
 * state of just these. From `slots` on they are snapshots of the slots' states, which have the
 * slots' KV caches. */
void sw_stage_copy(struct sw_stage *stage, int from, int to, int n);
/* Writes logits (n, vocab) of rows[0..n) of the last forward, n <= SW_LOGIT_ROWS. Last stage only.
 */
enum sw_status sw_stage_logits(struct sw_stage *stage, const int32_t *rows, int n, float *logits);

/* block_aside.c: makes what each layer reads of these ids, of the embeddings of n rows in d_x. */
void sw_stage_embed_inputs(struct sw_stage *stage, const int32_t *ids, int64_t n);

/* What running one layer needs. */
struct sw_block {
    int layer; /* index in the model */
    struct sw_device_context *device;
    struct sw_store *store;           /* which the layer is acquired from */
    const struct sw_weights *weights; /* as it was acquired */
    const struct sw_kv *kv;           /* where the keys and values of its rows go */
    const struct sw_kv *memory_kv;
    const struct sw_delta_states *delta;
};
/* block.c: makes keys and values of the memory in d_x, for the layer to attend to. */
enum sw_status sw_block_remember(struct sw_stage *stage, const struct sw_block *block,
                                 const struct sw_microbatch *batch);
/* block.c: runs the layer in place on the device's d_x. */
enum sw_status sw_block_run(struct sw_stage *stage, const struct sw_block *block,
                            const struct sw_microbatch *batch);

#endif
