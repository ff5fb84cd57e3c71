/*
 * A stage at work: the layers [first, first + count) of a model on one device, with the KV cache
 * of all slots, and the embedding or the head where the stage is the first or the last.
 */
#ifndef SW_ENGINE_STAGE_H
#define SW_ENGINE_STAGE_H

#include "engine/batch.h"
#include "engine/weights.h"
#include "model/footprint.h"

struct sw_stage_options {
    const struct sw_model *model;
    struct sw_backend *backend;
    struct sw_footprint_params params; /* formats, context, slots, most rows of a batch */
    int first, count;
    bool embed, head;
};

struct sw_stage_run {
    struct sw_stage_options options;
    struct sw_work work;
    struct sw_weights globals;
    struct sw_weights *layers; /* (count) */
    struct sw_kv *kv;          /* (count) */
    struct sw_qkv_layout qkv;
    struct sw_rope rope;
    void *d_work;      /* work.bytes; the buffers below lie in it */
    float *d_x;        /* (rows, hidden): the residual stream */
    float *d_h, *d_h2; /* (rows, hidden): normed */
    float *d_qkv, *d_attention, *d_up, *d_router, *d_expert_in, *d_expert_out;
    float *d_slopes;
    float *d_logits; /* (SW_LOGIT_ROWS, vocab); only with the head */
    int32_t *rows;   /* (max rows) host scratch: row lists and positions, … */
    float *shares;   /* … expert weights, … */
    float *scores;   /* … router scores (rows, n_experts), … */
    int32_t *chosen; /* … and experts (rows, n_experts_used) */
    /* Called with each layer's output (n_rows, hidden) in host memory; index -1: the embedding. */
    enum sw_status (*tap)(void *context, int layer, const float *hidden, int n_rows);
    /* Called after each layer: a sign of life to the other ranks. NULL: nobody asks. */
    enum sw_status (*breathe)(void *context);
    void *tap_context; /* of both */
};

/*
 * Allocates exactly what the footprint counted and loads the weights (loader's backend, model and
 * format are set here). SW_ENOMEM when the device cannot hold it.
 */
enum sw_status sw_stage_open(const struct sw_stage_options *options, struct sw_loader *loader,
                             struct sw_stage_run **out);
void sw_stage_close(struct sw_stage_run *stage);

/*
 * Runs the batch through the stage's layers. `in`: hidden states (n_rows, hidden) from the stage
 * before, NULL on the first stage, which embeds batch->ids. `out`: where hidden states go, NULL to
 * leave them for sw_stage_logits.
 */
enum sw_status sw_stage_forward(struct sw_stage_run *stage, const struct sw_batch *batch,
                                const float *in, float *out);
/* The first n positions of slot `from` become those of slot `to`, in every layer. */
void sw_stage_copy(struct sw_stage_run *stage, int from, int to, int n);
/* Logits (n, vocab) of rows[0..n) of the last forward, n <= SW_LOGIT_ROWS. Last stage only. */
enum sw_status sw_stage_logits(struct sw_stage_run *stage, const int32_t *rows, int n,
                               float *logits);

/* block.c: layer `index` of the stage (0 is its first), in place on d_x. */
enum sw_status sw_block_run(struct sw_stage_run *stage, int index, const struct sw_batch *batch);

#endif
