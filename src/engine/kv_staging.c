/* Owns the copies of a layer's KV cache to the GPU and back. */
#include "engine/kv_staging.h"

enum sw_status sw_kv_staging_open(struct sw_kv_staging *s, struct sw_backend *gpu, uint64_t bytes)
{
    s->gpu = gpu;
    s->bytes = bytes;
    return gpu->ops->alloc(gpu, bytes, "the KV cache of a streamed layer", &s->d_kv);
}

void sw_kv_staging_close(struct sw_kv_staging *s)
{
    if (s->gpu)
        s->gpu->ops->free(s->gpu, s->d_kv, s->bytes);
    *s = (struct sw_kv_staging){0};
}

/* Each head of a slot has a row of blocks of SW_KEY_BLOCK positions. */
struct kv_copy {
    struct sw_backend *gpu;
    char *d_gpu, *host;
    bool out; /* true: to host memory; false: to the GPU */
};

/* Copies blocks [first, end) of every head of a slot. */
static enum sw_status kv_copy_blocks(const struct kv_copy *c, const struct sw_kv *kv, int slot,
                                     int64_t first, int64_t end)
{
    const uint64_t head = sw_kv_span_bytes(kv, kv->context);
    const uint64_t block = sw_kv_span_bytes(kv, SW_KEY_BLOCK);
    const size_t bytes = (size_t)((uint64_t)(end - first) * block);
    if (first >= end)
        return SW_OK;
    for (int h = 0; h < kv->n_kv_heads; h++) {
        const uint64_t at = ((uint64_t)slot * (uint64_t)kv->n_kv_heads + (uint64_t)h) * head +
                            (uint64_t)first * block;
        SW_TRY(c->out ? c->gpu->ops->download(c->gpu, c->host + at, c->d_gpu + at, bytes)
                      : c->gpu->ops->upload(c->gpu, c->d_gpu + at, c->host + at, bytes));
    }
    return SW_OK;
}

static int64_t kv_blocks(int64_t positions)
{
    return (positions + SW_KEY_BLOCK - 1) / SW_KEY_BLOCK;
}

enum sw_status sw_kv_staging_in(struct sw_kv_staging *s, const struct sw_kv *host,
                                const struct sw_span *spans, int n_spans, int64_t window,
                                const struct sw_kv **out)
{
    const struct kv_copy copy = {s->gpu, s->d_kv, host->d_data, false};
    s->kv = *host;
    s->kv.d_data = s->d_kv;
    for (int i = 0; i < n_spans; i++) {
        const int64_t seen = window > 0   ? spans[i].position - window + 1
                             : window < 0 ? spans[i].position - spans[i].position % -window
                                          : 0;
        SW_TRY(kv_copy_blocks(&copy, host, spans[i].slot, seen > 0 ? seen / SW_KEY_BLOCK : 0,
                              kv_blocks(spans[i].position)));
    }
    *out = &s->kv;
    return SW_OK;
}

enum sw_status sw_kv_staging_out(struct sw_kv_staging *s, const struct sw_kv *host,
                                 const struct sw_span *spans, int n_spans)
{
    const struct kv_copy copy = {s->gpu, s->d_kv, host->d_data, true};
    for (int i = 0; i < n_spans; i++)
        SW_TRY(kv_copy_blocks(&copy, host, spans[i].slot, spans[i].position / SW_KEY_BLOCK,
                              kv_blocks(spans[i].position + spans[i].n)));
    return SW_OK;
}

static enum sw_status states_copy(struct sw_kv_staging *s, const struct sw_delta_states *host,
                                  const struct sw_span *spans, int n_spans, bool out)
{
    const int64_t floats = sw_delta_floats(&host->dims);
    const size_t bytes = (size_t)floats * sizeof(float);
    struct sw_backend *gpu = s->gpu;
    for (int i = 0; i < n_spans; i++) {
        float *d_gpu = (float *)s->d_kv + spans[i].slot * floats;
        float *at = host->d_data + spans[i].slot * floats;
        if (out)
            SW_TRY(gpu->ops->download(gpu, at, d_gpu, bytes));
        else if (spans[i].position > 0)
            SW_TRY(gpu->ops->upload(gpu, d_gpu, at, bytes));
    }
    return SW_OK;
}

enum sw_status sw_state_staging_in(struct sw_kv_staging *s, const struct sw_delta_states *host,
                                   const struct sw_span *spans, int n_spans,
                                   const struct sw_delta_states **out)
{
    s->states = *host;
    s->states.d_data = s->d_kv;
    *out = &s->states;
    return states_copy(s, host, spans, n_spans, false);
}

enum sw_status sw_state_staging_out(struct sw_kv_staging *s, const struct sw_delta_states *host,
                                    const struct sw_span *spans, int n_spans)
{
    return states_copy(s, host, spans, n_spans, true);
}
