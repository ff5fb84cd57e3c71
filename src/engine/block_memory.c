/* Owns what a decoder's layer does with a memory: keys and values of it, and attention to them. */
#include "engine/block_impl.h"

/* x += attention(norm(x)) to the memory, whose keys and values are there */
enum sw_status sw_block_cross(const struct block *k)
{
    const struct sw_device_context *device = k->device;
    const struct input in = {device->d_x, SW_W_CROSS_NORM, device->d_h};
    SW_TRY(sw_block_project(k, &in, k->ld, &k->w->matrix[SW_W_CROSS_Q], NULL, false,
                            k->batch->n_rows, device->d_qkv, k->qkv.width));
    struct sw_attention a = block_attend(k);
    a.keys = k->batch->memory;
    a.d_q = device->d_qkv;
    a.q_head = k->heads.dim;
    a.q_skip = 0;
    k->b->ops->attend(k->b, &a, k->memory_kv, k->batch->spans, k->batch->n_spans);
    return sw_block_product(k, &k->w->matrix[SW_W_CROSS_OUT], NULL, device->d_attention,
                            k->s->work.attention, k->batch->n_rows, device->d_x, k->ld, true);
}

enum sw_status sw_block_remember(struct sw_stage *s, const struct sw_block *block,
                                 const struct sw_microbatch *batch)
{
    const struct block k = block_of(s, block, batch);
    const int64_t width = k.qkv.width, dim = k.heads.dim;
    float *d_kv = k.device->d_qkv;
    SW_TRY(sw_block_product(&k, &k.w->matrix[SW_W_CROSS_KV], NULL, k.device->d_x, k.ld,
                            batch->n_rows, d_kv, width, false));
    const struct sw_heads heads = {.d_q = d_kv,
                                   .d_k = d_kv,
                                   .d_v = d_kv + k.heads.n_kv * dim,
                                   .ld = width,
                                   .kv_head = dim,
                                   .eps = k.d->norm_eps};
    k.b->ops->place_heads(k.b, &heads, k.memory_kv, batch->spans, batch->n_spans);
    return SW_OK;
}
