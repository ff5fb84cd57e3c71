/* Owns the operations on spans: heads, the KV cache, attention. */
#include "gpu/cuda.h"

static struct sw_gpu_kv gpu_attention_cache_of(const struct sw_kv *kv)
{
    return (struct sw_gpu_kv){.format = kv->format,
                              .slots = kv->slots,
                              .n_kv_heads = kv->n_kv_heads,
                              .head_dim = kv->head_dim,
                              .context = kv->context,
                              .data = kv->d_data,
                              .value_dim = kv->value_dim};
}

static enum sw_status gpu_attention_place(struct sw_cuda *cuda, const struct sw_heads *h,
                                          const struct sw_kv *kv, const struct sw_span *spans,
                                          int n_spans)
{
    const struct sw_gpu_kv cache = gpu_attention_cache_of(kv);
    const struct sw_gpu_heads heads = {.q = h->d_q,
                                       .k = h->d_k,
                                       .v = h->d_v,
                                       .ld = h->ld,
                                       .q_head = h->q_head,
                                       .q_skip = h->q_skip,
                                       .kv_head = h->kv_head,
                                       .q_norm = h->d_q_norm,
                                       .k_norm = h->d_k_norm,
                                       .v_norm = h->d_v_norm,
                                       .keys_as_values = h->keys_as_values,
                                       .cos_sin = h->rope.d_cos_sin,
                                       .eps = h->eps,
                                       .norm_last = h->norm_last,
                                       .layer_norm = h->layer_norm,
                                       .norm_step = h->norm_step,
                                       .growth = h->growth,
                                       .n_heads = h->n_heads,
                                       .rotary_dim = h->rope.rotary_dim,
                                       .interleaved = h->rope.interleaved,
                                       .rotary_first = h->rope.first,
                                       .q_rotary = h->d_q_rotary,
                                       .q_rotary_head = h->q_rotary_head};
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_cuda_spans_send(cuda, spans, NULL, n_spans, &batch));
    CUDA_TRY(cuda, sw_gpu_place_heads(&heads, &cache, &batch, cuda->compute));
    return SW_OK;
}

void sw_cuda_place_heads(struct sw_backend *b, const struct sw_heads *heads, const struct sw_kv *kv,
                         const struct sw_span *spans, int n_spans)
{
    if (n_spans > 0)
        (void)gpu_attention_place(sw_cuda_of(b), heads, kv, spans, n_spans);
}

static enum sw_status copy_slot(struct sw_cuda *cuda, const struct sw_kv *kv, int from, int to,
                                int64_t n)
{
    const struct sw_gpu_kv cache = gpu_attention_cache_of(kv);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, sw_gpu_kv_copy(&cache, from, to, n, cuda->compute));
    return SW_OK;
}

void sw_cuda_kv_copy(struct sw_backend *b, const struct sw_kv *kv, int from, int to, int64_t n)
{
    if (n > 0)
        (void)copy_slot(sw_cuda_of(b), kv, from, to, n);
}

static enum sw_status attend_spans(struct sw_cuda *cuda, const struct sw_attention *a,
                                   const struct sw_kv *kv, const struct sw_span *spans, int n_spans)
{
    const struct sw_gpu_kv cache = gpu_attention_cache_of(kv);
    const struct sw_gpu_attention attention = {.n_heads = a->n_heads,
                                               .scale = a->scale,
                                               .window = a->window,
                                               .cap = a->cap,
                                               .slopes = a->d_slopes,
                                               .sinks = a->d_sinks,
                                               .q = a->d_q,
                                               .q_ld = a->q_ld,
                                               .q_head = a->q_head,
                                               .q_skip = a->q_skip,
                                               .out = a->d_out,
                                               .out_ld = a->out_ld,
                                               .bias = a->d_bias,
                                               .buckets = a->d_buckets,
                                               .reach = a->bias_reach,
                                               .whole = a->keys != NULL};
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_cuda_spans_send(cuda, spans, a->keys, n_spans, &batch));
    CUDA_TRY(cuda, sw_gpu_attend(&attention, &cache, &batch, cuda->work, cuda->work_bytes,
                                 cuda->compute));
    return SW_OK;
}

void sw_cuda_attend(struct sw_backend *b, const struct sw_attention *a, const struct sw_kv *kv,
                    const struct sw_span *spans, int n_spans)
{
    if (n_spans > 0)
        (void)attend_spans(sw_cuda_of(b), a, kv, spans, n_spans);
}
