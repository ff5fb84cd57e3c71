/* Owns the operations that go by spans: rope, keys and values, attention. */
#include "gpu/cuda.h"

static struct sw_gpu_kv cache_of(const struct sw_kv *kv)
{
    return (struct sw_gpu_kv){.format = kv->format,
                              .slots = kv->slots,
                              .n_kv_heads = kv->n_kv_heads,
                              .head_dim = kv->head_dim,
                              .context = kv->context,
                              .data = kv->d_data};
}

static enum sw_status rotate(struct sw_cuda *cuda, const struct sw_rope *rope, int64_t first,
                             int64_t n, int n_heads, float *d_x, int64_t ld, int64_t head)
{
    CUDA_TRY(cuda, sw_gpu_rope(rope->rotary_dim, rope->interleaved, rope->d_cos_sin,
                               cuda->spans.positions + (first - cuda->spans.first), n, n_heads,
                               d_x + first * ld, ld, head, cuda->compute));
    return SW_OK;
}

static enum sw_status rope_spans(struct sw_cuda *cuda, const struct sw_rope *rope,
                                 const struct sw_span *spans, int n_spans, int n_heads, float *d_x,
                                 int64_t ld, int64_t head)
{
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_cuda_spans_send(cuda, spans, n_spans, &batch));
    if (!cuda->spans.gaps)
        return rotate(cuda, rope, cuda->spans.first, cuda->spans.n_rows, n_heads, d_x, ld, head);
    for (int i = 0; i < n_spans; i++)
        SW_TRY(rotate(cuda, rope, spans[i].row, spans[i].n, n_heads, d_x, ld, head));
    return SW_OK;
}

void sw_cuda_rope(struct sw_backend *b, const struct sw_rope *rope, const struct sw_span *spans,
                  int n_spans, int n_heads, float *d_x, int64_t ld, int64_t head)
{
    if (n_spans > 0)
        (void)rope_spans(sw_cuda_of(b), rope, spans, n_spans, n_heads, d_x, ld, head);
}

static enum sw_status store(struct sw_cuda *cuda, const struct sw_kv *kv,
                            const struct sw_span *spans, int n_spans, const float *d_k,
                            const float *d_v, int64_t ld, int64_t head)
{
    const struct sw_gpu_kv cache = cache_of(kv);
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_cuda_spans_send(cuda, spans, n_spans, &batch));
    CUDA_TRY(cuda, sw_gpu_kv_store(&cache, &batch, d_k, d_v, ld, head, cuda->compute));
    return SW_OK;
}

void sw_cuda_kv_store(struct sw_backend *b, const struct sw_kv *kv, const struct sw_span *spans,
                      int n_spans, const float *d_k, const float *d_v, int64_t ld, int64_t head)
{
    if (n_spans > 0)
        (void)store(sw_cuda_of(b), kv, spans, n_spans, d_k, d_v, ld, head);
}

static enum sw_status copy_slot(struct sw_cuda *cuda, const struct sw_kv *kv, int from, int to,
                                int64_t n)
{
    const struct sw_gpu_kv cache = cache_of(kv);
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
    const struct sw_gpu_kv cache = cache_of(kv);
    const struct sw_gpu_attention attention = {.n_heads = a->n_heads,
                                               .scale = a->scale,
                                               .window = a->window,
                                               .slopes = a->d_slopes,
                                               .q = a->d_q,
                                               .q_ld = a->q_ld,
                                               .q_head = a->q_head,
                                               .out = a->d_out,
                                               .out_ld = a->out_ld};
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    SW_TRY(sw_cuda_spans_send(cuda, spans, n_spans, &batch));
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
