/* Owns streaming: copies of layers in host memory through the GPU's buffers. */
#include "engine/streamed.h"

#include "base/log.h"

#include <stdlib.h>

enum sw_status sw_streamed_open(struct sw_streamed *s, int n_experts)
{
    struct sw_backend *b = s->gpu;
    const size_t n = (size_t)n_experts + 1;
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        s->held[i] = -1;
    s->view.expert_up = calloc(n, sizeof *s->view.expert_up);
    s->view.expert_down = calloc(n, sizeof *s->view.expert_down);
    if (!s->view.expert_up || !s->view.expert_down)
        return sw_fail(SW_ENOMEM, "no memory for %d experts", n_experts);
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        SW_TRY(b->ops->alloc(b, s->sizes.layer, "streamed layers", &s->d_layer[i]));
    SW_TRY(b->ops->alloc(b, s->sizes.matrix, "a matrix to unpack", &s->d_matrix));
    if (s->sizes.kv)
        SW_TRY(b->ops->alloc(b, s->sizes.kv, "the KV cache of a streamed layer", &s->d_kv));
    return SW_OK;
}

void sw_streamed_close(struct sw_streamed *s)
{
    struct sw_backend *b = s->gpu;
    if (!b)
        return;
    for (int i = 0; i < SW_STREAM_BUFFERS; i++) {
        if (s->held[i] >= 0) /* it may still be under way */
            (void)s->gpu->gpu->fetched(b, i);
        s->held[i] = -1;
    }
    (void)b->ops->sync(b);
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        b->ops->free(b, s->d_layer[i], s->sizes.layer);
    b->ops->free(b, s->d_matrix, s->sizes.matrix);
    b->ops->free(b, s->d_kv, s->sizes.kv);
    free(s->view.expert_up);
    free(s->view.expert_down);
}

uint64_t sw_streamed_bytes(const struct sw_streamed *s)
{
    return s->gpu ? SW_STREAM_BUFFERS * s->sizes.layer + s->sizes.matrix + s->sizes.kv : 0;
}

static uint64_t kv_bytes(const struct sw_kv *kv)
{
    return sw_kv_bytes(kv->format, kv->slots, kv->n_kv_heads, kv->head_dim, kv->context);
}

/* Warns once: what fails for one layer fails for others. */
static bool streamed_pin(struct sw_streamed *s, void *host, uint64_t bytes)
{
    static const char message[] =
        "memory of streamed layers cannot be pinned, so copying and computing "
        "do not overlap, which may halve the speed: %s";
    if (s->gpu->gpu->pin(s->gpu, host, bytes) == SW_OK)
        return true;
    sw_log(s->pin_warned ? SW_LOG_DEBUG : SW_LOG_WARN, message, sw_error_message());
    s->pin_warned = true;
    sw_error_clear();
    return false;
}

void sw_streamed_pin(struct sw_streamed *s, struct sw_layer *layer, bool kv)
{
    layer->weights_pinned = streamed_pin(s, layer->weights.d_block, layer->weights.bytes);
    if (kv)
        layer->kv_pinned = streamed_pin(s, layer->kv.d_data, kv_bytes(&layer->kv));
}

void sw_streamed_unpin(struct sw_streamed *s, struct sw_layer *layer)
{
    if (layer->weights_pinned)
        s->gpu->gpu->unpin(s->gpu, layer->weights.d_block);
    if (layer->kv_pinned)
        s->gpu->gpu->unpin(s->gpu, layer->kv.d_data);
    layer->weights_pinned = layer->kv_pinned = false;
}

/* ---- weights */

/* The buffer that holds the layer, -1: none. */
static int buffer_of(const struct sw_streamed *s, int layer)
{
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        if (s->held[i] == layer)
            return i;
    return -1;
}

/* The layer that is streamed `ahead` layers after this one; the first one follows the last, for the
 * next micro-batch. */
static int streamed_following(const struct sw_streamed *s, int layer, int ahead)
{
    return s->from + (layer - s->from + ahead) % (s->end - s->from);
}

static enum sw_status streamed_fetch(struct sw_streamed *s, int layer, int buffer)
{
    const struct sw_weights *w = &s->layers[layer].weights;
    s->held[buffer] = layer;
    return s->gpu->gpu->fetch(s->gpu, buffer, s->d_layer[buffer], w->d_block, w->bytes);
}

enum sw_status sw_streamed_begin(struct sw_streamed *s, int from, int end)
{
    s->from = from;
    s->end = end;
    if (from == end)
        return SW_OK;
    const int first = from, second = streamed_following(s, from, 1);
    if (buffer_of(s, first) < 0)
        SW_TRY(streamed_fetch(s, first, s->held[0] == second ? 1 : 0));
    if (buffer_of(s, second) < 0)
        SW_TRY(streamed_fetch(s, second, 1 - buffer_of(s, first)));
    return SW_OK;
}

/* The address in the buffer of `host`, a part of the layer's block. */
static void *in_buffer(const struct sw_weights *w, char *d_buffer, const void *host)
{
    return host ? d_buffer + ((const char *)host - (const char *)w->d_block) : NULL;
}

static struct sw_matrix matrix_in_buffer(const struct sw_weights *w, char *d_buffer,
                                         const struct sw_matrix *m)
{
    struct sw_matrix there = *m;
    there.d_data = in_buffer(w, d_buffer, m->d_data);
    return there;
}

enum sw_status sw_streamed_acquire(struct sw_streamed *s, int layer)
{
    const struct sw_weights *w = &s->layers[layer].weights;
    const int buffer = buffer_of(s, layer);
    SW_TRY(s->gpu->gpu->fetched(s->gpu, buffer));
    char *d_buffer = s->d_layer[buffer];
    for (int i = 0; i < SW_W_COUNT; i++) {
        s->view.matrix[i] = matrix_in_buffer(w, d_buffer, &w->matrix[i]);
        s->view.d_vector[i] = in_buffer(w, d_buffer, w->d_vector[i]);
    }
    for (int i = 0; i < w->n_experts; i++) {
        s->view.expert_up[i] = matrix_in_buffer(w, d_buffer, &w->expert_up[i]);
        s->view.expert_down[i] = matrix_in_buffer(w, d_buffer, &w->expert_down[i]);
    }
    return SW_OK;
}

enum sw_status sw_streamed_release(struct sw_streamed *s, int layer)
{
    const int buffer = buffer_of(s, layer), next = streamed_following(s, layer, SW_STREAM_BUFFERS);
    SW_TRY(s->gpu->gpu->used(s->gpu, buffer));
    return buffer_of(s, next) < 0 ? streamed_fetch(s, next, buffer) : SW_OK;
}

enum sw_status sw_streamed_unpack(struct sw_streamed *s, const struct sw_matrix **m)
{
    const void *d_packed = (*m)->d_data;
    s->unpacked = **m;
    s->unpacked.d_data = s->d_matrix;
    *m = &s->unpacked;
    return s->gpu->gpu->unpack(s->gpu, d_packed, &s->unpacked);
}

/* ---- KV cache: each head of a slot has a row of blocks of SW_KEY_BLOCK positions */

struct kv_copy {
    struct sw_backend *gpu;
    char *d_gpu, *host;
    bool out; /* true: to host memory; false: to the GPU */
};

/* Copies blocks [first, end) of every head of a slot. */
static enum sw_status copy_blocks(const struct kv_copy *c, const struct sw_kv *kv, int slot,
                                  int64_t first, int64_t end)
{
    const uint64_t head = sw_kv_bytes(kv->format, 1, 1, kv->head_dim, kv->context);
    const uint64_t block = sw_kv_bytes(kv->format, 1, 1, kv->head_dim, SW_KEY_BLOCK);
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

static int64_t blocks_of(int64_t positions)
{
    return (positions + SW_KEY_BLOCK - 1) / SW_KEY_BLOCK;
}

enum sw_status sw_streamed_kv_in(struct sw_streamed *s, const struct sw_kv *host,
                                 const struct sw_span *spans, int n_spans, int64_t window)
{
    const struct kv_copy copy = {s->gpu, s->d_kv, host->d_data, false};
    s->kv = *host;
    s->kv.d_data = s->d_kv;
    for (int i = 0; i < n_spans; i++) {
        const int64_t seen = window > 0 ? spans[i].position - window + 1 : 0;
        SW_TRY(copy_blocks(&copy, host, spans[i].slot, seen > 0 ? seen / SW_KEY_BLOCK : 0,
                           blocks_of(spans[i].position)));
    }
    return SW_OK;
}

enum sw_status sw_streamed_kv_out(struct sw_streamed *s, const struct sw_kv *host,
                                  const struct sw_span *spans, int n_spans)
{
    const struct kv_copy copy = {s->gpu, s->d_kv, host->d_data, true};
    for (int i = 0; i < n_spans; i++)
        SW_TRY(copy_blocks(&copy, host, spans[i].slot, spans[i].position / SW_KEY_BLOCK,
                           blocks_of(spans[i].position + spans[i].n)));
    return SW_OK;
}
