/* Owns what rows have aside (struct sw_aside_layout): how it is made, lent, borrowed and read. */
#include "engine/block_impl.h"

#include <math.h>

/* Keys and values as the lender's product gives them go aside, and a borrower's come from there. */
void sw_block_lend(const struct block *k)
{
    const struct sw_aside_layout at = sw_model_aside(k->model);
    const bool slides = k->kind & SW_LAYER_SLIDING, borrows = k->kind & SW_LAYER_BORROWS;
    const int64_t width = (int64_t)k->heads.n_kv * k->heads.dim * (k->heads.keys_as_values ? 1 : 2);
    float *d_aside = k->device->d_x + at.kv[slides], *d_kv = k->device->d_qkv + k->qkv.k;
    const int n = k->batch->n_rows;
    if (borrows)
        k->b->ops->gather(k->b, d_aside, k->ld, NULL, NULL, n, width, d_kv, k->qkv.width);
    else if (k->layer == sw_model_lender(k->model, slides))
        k->b->ops->gather(k->b, d_kv, k->qkv.width, NULL, NULL, n, width, d_aside, k->ld);
}

/* x += norm(out(act(gate(x)) * input)) */
enum sw_status sw_block_take_input(const struct block *k)
{
    const struct sw_aside_layout at = sw_model_aside(k->model);
    const int64_t dim = k->d->input_dim, ld = k->s->work.up;
    const float *d_input = k->device->d_x + at.inputs + k->layer * dim;
    float *d_x = k->device->d_x, *d_up = k->device->d_up;
    const int n = k->batch->n_rows;
    SW_TRY(
        sw_block_product(k, &k->w->matrix[SW_W_INPUT_GATE], NULL, d_x, k->ld, n, d_up, ld, false));
    k->b->ops->gather(k->b, d_input, k->ld, NULL, NULL, n, dim, d_up + dim, ld);
    k->b->ops->activate(k->b, k->d->activation, true, d_up, ld, n, dim, d_up, ld);
    SW_TRY(sw_block_product(k, &k->w->matrix[SW_W_INPUT_OUT], NULL, d_up, ld, n, k->device->d_h2,
                            k->ld, false));
    sw_block_add_branch(k, SW_W_INPUT_NORM, false);
    return SW_OK;
}

void sw_stage_embed_inputs(struct sw_stage *s, const int32_t *ids, int64_t n)
{
    const struct sw_model *model = s->options.model;
    const struct sw_dims *d = &model->dims;
    const struct sw_weights *w = &s->globals[s->at];
    const struct sw_device_context *device = &s->contexts[s->at];
    struct sw_backend *b = device->backend;
    const int64_t ld = s->work.hidden, dim = d->input_dim, width = d->n_layers * dim;
    float *d_inputs = device->d_x + sw_model_aside(model).inputs;
    b->ops->embed(b, &w->matrix[SW_W_INPUT_TABLE], ids, n, d_inputs, ld);
    b->ops->scale(b, sqrtf((float)dim), NULL, 0, n, width, d_inputs, ld);
    b->ops->matmul(b, &w->matrix[SW_W_INPUT_PROJECT], NULL, device->d_x, ld, n, device->d_h, ld,
                   false);
    b->ops->scale(b, 1 / sqrtf((float)d->hidden), NULL, 0, n, width, device->d_h, ld);
    for (int64_t at = 0; at < width; at += dim)
        b->ops->norm(b, model->arch->norm, d->norm_eps, device->d_h + at, ld, n, dim,
                     w->d_vector[SW_W_INPUT_PROJECT_NORM], NULL, device->d_h + at, ld);
    b->ops->add(b, 1, device->d_h, ld, n, width, d_inputs, ld);
    b->ops->scale(b, sqrtf(0.5f), NULL, 0, n, width, d_inputs, ld);
}
