/* Owns the operations of gated delta nets, and the gate of attention's output. */
#include "gpu/cuda.h"

static enum sw_status delta_run(struct sw_cuda *cuda, const struct sw_delta *d,
                                const struct sw_delta_states *states, const struct sw_span *spans,
                                int n_spans)
{
    const struct sw_gpu_delta delta = {.dims = states->dims,
                                       .activation = d->activation,
                                       .eps = d->eps,
                                       .x = d->d_x,
                                       .ld = d->ld,
                                       .q = d->q,
                                       .k = d->k,
                                       .v = d->v,
                                       .z = d->z,
                                       .b = d->b,
                                       .a = d->a,
                                       .k_head = d->k_head,
                                       .v_group = d->v_group,
                                       .v_head = d->v_head,
                                       .gate_group = d->gate_group,
                                       .gate_head = d->gate_head,
                                       .conv = d->d_conv,
                                       .decay = d->d_decay,
                                       .dt = d->d_dt,
                                       .norm = d->d_norm,
                                       .states = states->d_data,
                                       .out = d->d_out,
                                       .out_ld = d->out_ld};
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_cuda_spans_send(cuda, spans, NULL, n_spans, &batch));
    CUDA_TRY(cuda, sw_gpu_delta_run(&delta, &batch, cuda->compute));
    return SW_OK;
}

void sw_cuda_delta(struct sw_backend *b, const struct sw_delta *d,
                   const struct sw_delta_states *states, const struct sw_span *spans, int n_spans)
{
    if (n_spans > 0)
        (void)delta_run(sw_cuda_of(b), d, states, spans, n_spans);
}

static enum sw_status delta_copy_state(struct sw_cuda *cuda, const struct sw_delta_states *states,
                                       int from, int to)
{
    const int64_t floats = sw_delta_floats(&states->dims);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, sw_gpu_copy(states->d_data + from * floats, floats, states->d_data + to * floats,
                               cuda->compute));
    return SW_OK;
}

void sw_cuda_delta_copy(struct sw_backend *b, const struct sw_delta_states *states, int from,
                        int to)
{
    (void)delta_copy_state(sw_cuda_of(b), states, from, to);
}

static enum sw_status delta_gate(struct sw_cuda *cuda, const float *d_gate, int64_t ld_gate,
                                 int64_t gate_head, int64_t n, int heads, int64_t dim, float *d_y,
                                 int64_t ld_y)
{
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda,
             sw_gpu_gate(d_gate, ld_gate, gate_head, n, heads, dim, d_y, ld_y, cuda->compute));
    return SW_OK;
}

void sw_cuda_gate(struct sw_backend *b, const float *d_gate, int64_t ld_gate, int64_t gate_head,
                  int64_t n, int heads, int64_t dim, float *d_y, int64_t ld_y)
{
    (void)delta_gate(sw_cuda_of(b), d_gate, ld_gate, gate_head, n, heads, dim, d_y, ld_y);
}
