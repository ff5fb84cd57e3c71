/* Attention: chooses the kernels for short and for long spans. */
#include "kernels/cuda/attend.cuh"

cudaError_t sw_gpu_attend(const struct sw_gpu_attention *a, const struct sw_gpu_kv *kv,
                          const struct sw_gpu_batch *batch, void *work, size_t work_bytes,
                          cudaStream_t stream)
{
    if (sw::kv_format_row(kv->format) < 0 || (!kv->value_dim && kv->head_dim > SW_GPU_HEAD_DIM) ||
        a->n_heads % kv->n_kv_heads != 0)
        return cudaErrorInvalidValue;
    struct sw::attention t;
    t.a = *a;
    t.cache = sw::cache_of(kv);
    t.group = a->n_heads / kv->n_kv_heads;
    t.spans = batch->spans;
    t.n_spans = batch->n;
    if (kv->value_dim)
        return sw::attend_latent(t, kv->format, kv->context, batch->host, work, work_bytes, stream);
    const cudaError_t error =
        sw::attend_split(t, kv->format, kv->context, batch->host, work, work_bytes, stream);
    if (error != cudaSuccess)
        return error;
    if (kv->format == SW_F32 || kv->head_dim > sw::half_head_dim)
        return sw::attend_tiled(t, kv->format, batch->host, stream);
    return sw::attend_half(t, kv->format, batch->host, stream);
}
