/* Shared by block.c, block_aside.c, block_delta.c, block_experts.c, block_latent.c and
 * block_memory.c: what a call of the block works on. Internal to src/engine/.
 */
#ifndef SW_ENGINE_BLOCK_IMPL_H
#define SW_ENGINE_BLOCK_IMPL_H

#include "engine/stage.h"

/* Shorthands of one call. */
struct block {
    struct sw_stage *s;
    const struct sw_device_context *device;
    struct sw_backend *b;
    const struct sw_model *model;
    const struct sw_dims *d;
    struct sw_head_dims heads; /* of the layer */
    struct sw_qkv_layout qkv;  /* the same; its width is that of all layers' rows */
    const struct sw_weights *w;
    const struct sw_kv *kv, *memory_kv;
    const struct sw_delta_states *delta;
    struct sw_store *store; /* which the weights come from */
    float *d_sum;           /* what experts give is added to these rows, k->ld apart */
    const struct sw_microbatch *batch;
    int64_t ld; /* floats from one row to the next in buffers of `hidden` */
    int layer;  /* index in the model */
    int kind;   /* set of enum sw_layer_kind */
};

/* The input of a branch: norm(x), which is written to h; or h itself, when x is NULL. */
struct input {
    const float *d_x;
    enum sw_weight norm;
    float *d_h;
};

/* What attention of any kind has in common. */
static inline struct sw_attention block_attend(const struct block *k)
{
    const struct sw_device_context *device = k->device;
    const struct sw_qkv_layout *at = &k->qkv;
    return (struct sw_attention){.n_heads = k->d->n_heads,
                                 .scale = k->d->score_scale,
                                 .cap = k->d->score_cap,
                                 .d_q = device->d_qkv + at->q,
                                 .q_ld = at->width,
                                 .q_head = at->q_head,
                                 .q_skip = at->q_skip,
                                 .d_out = device->d_attention,
                                 .out_ld = k->s->work.attention};
}

/* The rope of this layer; none where its kind has none. */
static inline struct sw_rope block_rope(const struct block *k)
{
    const bool own = k->kind & SW_LAYER_SLIDING && k->d->n_ropes > 1;
    return k->kind & SW_LAYER_NO_ROPE ? (struct sw_rope){0} : k->device->rope[own];
}

static inline struct block block_of(struct sw_stage *s, const struct sw_block *block,
                                    const struct sw_microbatch *batch)
{
    const struct sw_model *model = s->options.model;
    struct sw_qkv_layout qkv = sw_model_qkv_layout(model, block->layer);
    qkv.width = s->work.qkv;
    return (struct block){.s = s,
                          .device = block->device,
                          .b = block->device->backend,
                          .model = model,
                          .d = &model->dims,
                          .heads = sw_model_heads(model, block->layer),
                          .qkv = qkv,
                          .w = block->weights,
                          .kv = block->kv,
                          .memory_kv = block->memory_kv,
                          .delta = block->delta,
                          .store = block->store,
                          .d_sum = block->device->d_x,
                          .batch = batch,
                          .ld = s->work.hidden,
                          .layer = block->layer,
                          .kind = model->layer_kinds[block->layer]};
}

/* block.c: y (n, m->rows) = x · Wᵀ + bias, or y += that. */
enum sw_status sw_block_product(const struct block *k, const struct sw_matrix *m,
                                const float *d_bias, const float *d_x, int64_t ld_x, int n,
                                float *d_y, int64_t ld_y, bool add);
/* block.c: y (n, m->rows) = in · Wᵀ + bias; `up`: with the activation, where the device can. */
enum sw_status sw_block_project(const struct block *k, const struct input *in, int64_t ld_h,
                                const struct sw_matrix *m, const float *d_bias, bool up, int n,
                                float *d_y, int64_t ld_y);
/* block.c: the QKV product of a row, d_qkv. */
enum sw_status sw_block_qkv(const struct block *k, const struct input *in);
/* block.c: y = norm(x), in buffers of `hidden`. */
void sw_block_norm(const struct block *k, enum sw_weight id, const float *d_x, float *d_y);
/* block.c: the rows of an input, normed. */
const float *sw_block_input(const struct block *k, const struct input *in);
/* block.c: d_up = up(in), activated if the device has the `project` operation */
enum sw_status sw_block_up(const struct block *k, const struct input *in);
/* block.c: y (+)= down(act(d_up)), n rows. */
enum sw_status sw_block_down(const struct block *k, const struct sw_matrix *m, const float *d_bias,
                             int n, float *d_y, int64_t ld_y, bool add);
/* block.c: x += what a branch left in d_h2, normed and scaled; unless it was `added`. */
void sw_block_add_branch(const struct block *k, enum sw_weight post_norm, bool added);
/* block_experts.c: x += what a row's experts give to the normed input */
enum sw_status sw_block_routed(const struct block *k, const struct input *in);
/* block_experts.c: x += norm(norm(experts) + norm(mlp(in))) */
enum sw_status sw_block_beside(const struct block *k, const struct input *in);
/* block_aside.c: keys and values of a lender go aside, a borrower's come from there. */
void sw_block_lend(const struct block *k);
/* block_aside.c: x += what the layer makes of its input */
enum sw_status sw_block_take_input(const struct block *k);
/* block_latent.c: d_attention = what all heads of latent attention give. */
enum sw_status sw_block_latent(const struct block *k, const struct input *in);
/* block_delta.c: d_attention = what a gated delta net gives. */
enum sw_status sw_block_delta(const struct block *k, const struct input *in);
/* block_memory.c: x += attention(norm(x)) to the memory, whose keys and values are there */
enum sw_status sw_block_cross(const struct block *k);

#endif
