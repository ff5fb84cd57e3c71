/* Owns what a layer with a gated delta net does in the place of attention. */
#include "engine/block_impl.h"

enum sw_status sw_block_delta(const struct block *k, const struct input *in)
{
    const struct sw_device_context *device = k->device;
    const struct sw_delta_layout at = sw_model_delta_layout(k->model);
    const int64_t ld = k->qkv.width;
    SW_TRY(sw_block_qkv(k, in)); /* norms the input, too */
    SW_TRY(sw_block_product(k, &k->w->matrix[SW_W_DELTA_GATES], NULL, in->d_h, k->ld,
                            k->batch->n_rows, device->d_qkv + at.b, ld, false));
    const struct sw_delta delta = {.d_x = device->d_qkv,
                                   .ld = ld,
                                   .q = at.q,
                                   .k = at.k,
                                   .v = at.v,
                                   .z = at.z,
                                   .b = at.b,
                                   .a = at.a,
                                   .k_head = at.k_head,
                                   .v_group = at.v_group,
                                   .v_head = at.v_head,
                                   .gate_group = at.gate_group,
                                   .gate_head = at.gate_head,
                                   .d_conv = k->w->d_vector[SW_W_DELTA_CONV],
                                   .d_decay = k->w->d_vector[SW_W_DELTA_DECAY],
                                   .d_dt = k->w->d_vector[SW_W_DELTA_DT],
                                   .d_norm = k->w->d_vector[SW_W_DELTA_NORM],
                                   .eps = k->d->norm_eps,
                                   .activation = k->d->activation,
                                   .d_out = device->d_attention,
                                   .out_ld = k->s->work.attention};
    k->b->ops->delta(k->b, &delta, k->delta, k->batch->spans, k->batch->n_spans);
    return SW_OK;
}
