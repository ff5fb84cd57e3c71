/*
 * A stage at work: the layers [first, first + count) of a model, with the KV cache of all slots,
 * and the embedding or the head where the stage is the first or the last. Which layers lie and run
 * where is the plan's choice; here it is carried out, and nowhere else.
 */
#ifndef SW_ENGINE_STAGE_H
#define SW_ENGINE_STAGE_H

#include "engine/device_context.h"
#include "engine/microbatch.h"
#include "engine/slice.h"
#include "engine/stage_weights.h"
#include "engine/streamed.h"
#include "model/footprint.h"

struct sw_stage_options {
    const struct sw_model *model;
    struct sw_backend *cpu; /* NULL: nothing lies in host memory */
    struct sw_backend *gpu; /* NULL: there is none */
    const struct sw_gpu_ops *gpu_ops;
    struct sw_footprint_params params; /* formats, context, slots, most rows of a batch */
    int first, count;
    struct sw_tiers tiers;
    bool embed, head;
};

struct sw_stage {
    struct sw_stage_options options;
    struct sw_work work;
    struct sw_device_context contexts[SW_DEVICE_KINDS];
    struct sw_weights globals[SW_DEVICE_KINDS]; /* embedding and head, each on its device */
    struct sw_layer *layers;                    /* (count) */
    struct sw_streamed streamed;                /* gpu NULL: no layer is streamed */
    struct sw_qkv_layout qkv;
    float *d_logits; /* (SW_LOGIT_ROWS, vocab); only with the head on the GPU */
    bool received;   /* a batch's rows have come into sw_stage_rows by themselves; no `in` */
    int at;          /* the device on which the residual stream is; … */
    int n_rows;      /* … of so many rows */
    bool is_warned;  /* that values of it were not finite */
    int32_t *rows;   /* (max rows) host scratch: row lists and positions, … */
    float *shares;   /* … expert weights, … */
    float *scores;   /* … router scores (rows, n_experts), … */
    int32_t *chosen; /* … and experts (rows, n_experts_used) */
    /* Called with each layer's output (n_rows, hidden) in host memory; index -1: the embedding. */
    enum sw_status (*hidden_hook)(void *context, int layer, const float *hidden, int n_rows);
    /* Called after each layer whose operations are enqueued one by one: a sign of life to the other
     * ranks. NULL: nobody asks. */
    enum sw_status (*keepalive)(void *context);
    void *hook_context; /* of both */
};

/*
 * Allocates exactly what the footprint counted and loads the weights (loader's backend, model and
 * format are set here). SW_ENOMEM when a device cannot hold it.
 */
enum sw_status sw_stage_open(const struct sw_stage_options *options, struct sw_loader *loader,
                             struct sw_stage **out);
void sw_stage_close(struct sw_stage *stage);
/* The residual stream in GPU memory, (rows, *ld) with hidden <= *ld, the same on all ranks: where
 * a link between GPUs takes it from and puts it, when the slice ends or begins there. */
float *sw_stage_rows(const struct sw_stage *stage, int64_t *ld);
/* What the stage has allocated on the GPU, besides the backend's own workspace. */
uint64_t sw_stage_gpu_bytes(const struct sw_stage *stage);

/*
 * Runs the batch through the stage's layers. `in`: hidden states (n_rows, hidden) from the stage
 * before, NULL on the first stage, which embeds batch->ids. `out`: where hidden states go, NULL to
 * leave them for sw_stage_logits or in sw_stage_rows.
 */
enum sw_status sw_stage_forward(struct sw_stage *stage, const struct sw_microbatch *batch,
                                const float *in, float *out);
/* The first n positions of slot `from` become those of slot `to`, in every layer. */
void sw_stage_copy(struct sw_stage *stage, int from, int to, int n);
/* Logits (n, vocab) of rows[0..n) of the last forward, n <= SW_LOGIT_ROWS. Last stage only. */
enum sw_status sw_stage_logits(struct sw_stage *stage, const int32_t *rows, int n, float *logits);

/* A layer that is about to run: where, and with what. */
struct sw_block {
    int layer; /* of the model */
    struct sw_device_context *device;
    const struct sw_weights *weights;
    const struct sw_kv *kv;
    struct sw_streamed *streamed; /* NULL: the matrices are the device's own already */
};
/* block.c: in place on the device's d_x. */
enum sw_status sw_block_run(struct sw_stage *stage, const struct sw_block *block,
                            const struct sw_microbatch *batch);

#endif
