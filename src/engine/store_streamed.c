/*
 * Owns the store of layers in host memory that the GPU computes. While one layer is computed, the
 * next one is copied into the other of two buffers. What the store loads itself lies in the GPU's
 * own layout and is used in the buffer. Matrices of a shared layer are as the CPU backend packed
 * them: each is unpacked right before its product, into one buffer that all of them share. After
 * the last layer of a micro-batch the first ones are fetched for the next.
 */
#include "engine/store.h"

#include <stdlib.h>

/* A layer as it lies in host memory. */
struct streamed_layer {
    struct sw_weights own;            /* what this store loaded, in the GPU's layout */
    const struct sw_weights *weights; /* &own; or another store's, as the CPU packs them; NULL: not
                                         in this store */
    bool is_pinned;
};

struct streamed_store {
    struct sw_store base; /* must be first: streamed_of converts a pointer to it */
    struct sw_streamed_options options;
    void *d_layer[SW_STREAM_BUFFERS], *d_matrix; /* buffers on the GPU */
    int held[SW_STREAM_BUFFERS];    /* layer in each buffer, or being copied to it; -1: none */
    bool is_packed;                 /* the acquired layer's matrices must be unpacked */
    int first, end;                 /* the layers of this micro-batch */
    struct sw_weights view;         /* the acquired layer, pointing into its buffer */
    struct sw_matrix unpacked;      /* the last matrix unpacked, in d_matrix */
    struct streamed_layer layers[]; /* (options.layers.count) */
};

static struct streamed_store *streamed_of(struct sw_store *s)
{
    return (struct streamed_store *)(void *)s;
}

static struct streamed_layer *streamed_layer(struct streamed_store *s, int layer)
{
    return &s->layers[layer - s->options.layers.first];
}

/* ---- taking layers in */

static void streamed_take(struct streamed_store *s, int layer, const struct sw_weights *weights)
{
    struct streamed_layer *l = streamed_layer(s, layer);
    l->weights = weights;
    l->is_pinned = sw_pins_add(s->options.pins, weights->d_block, weights->bytes);
}

static enum sw_status streamed_load(struct sw_store *base, struct sw_loader *loader, int layer)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_weights *own = &streamed_layer(s, layer)->own;
    loader->backend = s->options.cpu;
    loader->layout = s->options.gpu;
    SW_TRY(sw_weights_load(loader, layer, 0, own));
    streamed_take(s, layer, own);
    return SW_OK;
}

void sw_store_streamed_share(struct sw_store *base, int layer, const struct sw_weights *weights)
{
    streamed_take(streamed_of(base), layer, weights);
}

/* ---- copies */

/* The buffer that holds the layer, -1: none. */
static int streamed_buffer(const struct streamed_store *s, int layer)
{
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        if (s->held[i] == layer)
            return i;
    return -1;
}

/* The layer that is used `ahead` layers after this one; the first one follows the last, for the
 * next micro-batch. */
static int streamed_following(const struct streamed_store *s, int layer, int ahead)
{
    return s->first + (layer - s->first + ahead) % (s->end - s->first);
}

static enum sw_status streamed_fetch(struct streamed_store *s, int layer, int buffer)
{
    const struct sw_weights *w = streamed_layer(s, layer)->weights;
    struct sw_backend *gpu = s->options.gpu;
    s->held[buffer] = layer;
    return gpu->gpu->fetch(gpu, buffer, s->d_layer[buffer], w->d_block, w->bytes);
}

static enum sw_status streamed_begin(struct sw_store *base, int first, int end)
{
    struct streamed_store *s = streamed_of(base);
    s->first = first;
    s->end = end;
    const int second = streamed_following(s, first, 1);
    if (streamed_buffer(s, first) < 0)
        SW_TRY(streamed_fetch(s, first, s->held[0] == second ? 1 : 0));
    if (streamed_buffer(s, second) < 0)
        SW_TRY(streamed_fetch(s, second, 1 - streamed_buffer(s, first)));
    return SW_OK;
}

/* ---- use */

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
    there.d_order = in_buffer(w, d_buffer, m->d_order);
    return there;
}

static enum sw_status streamed_acquire(struct sw_store *base, int layer,
                                       const struct sw_weights **out)
{
    struct streamed_store *s = streamed_of(base);
    const struct streamed_layer *l = streamed_layer(s, layer);
    const struct sw_weights *w = l->weights;
    struct sw_backend *gpu = s->options.gpu;
    const int buffer = streamed_buffer(s, layer);
    SW_TRY(gpu->gpu->fetched(gpu, buffer));
    char *d_buffer = s->d_layer[buffer];
    for (int i = 0; i < SW_W_COUNT; i++) {
        s->view.matrix[i] = matrix_in_buffer(w, d_buffer, &w->matrix[i]);
        s->view.d_vector[i] = in_buffer(w, d_buffer, w->d_vector[i]);
    }
    for (int i = 0; i < SW_MAX_SOURCES - 1; i++)
        s->view.qkv_rest[i] = matrix_in_buffer(w, d_buffer, &w->qkv_rest[i]);
    for (int i = 0; i < w->n_experts; i++) {
        s->view.expert_up[i] = matrix_in_buffer(w, d_buffer, &w->expert_up[i]);
        s->view.expert_down[i] = matrix_in_buffer(w, d_buffer, &w->expert_down[i]);
    }
    s->view.n_experts = w->n_experts;
    s->is_packed = w != &l->own;
    *out = &s->view;
    return SW_OK;
}

static enum sw_status streamed_matrix(struct sw_store *base, const struct sw_matrix **m)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_backend *gpu = s->options.gpu;
    const void *d_packed = (*m)->d_data;
    if (!s->is_packed)
        return SW_OK;
    s->unpacked = **m;
    s->unpacked.d_data = s->d_matrix;
    *m = &s->unpacked;
    return gpu->gpu->unpack(gpu, d_packed, &s->unpacked);
}

/* The buffer is filled with the layer after the next. */
static enum sw_status streamed_release(struct sw_store *base, int layer)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_backend *gpu = s->options.gpu;
    const int buffer = streamed_buffer(s, layer);
    const int next = streamed_following(s, layer, SW_STREAM_BUFFERS);
    SW_TRY(gpu->gpu->used(gpu, buffer));
    return streamed_buffer(s, next) < 0 ? streamed_fetch(s, next, buffer) : SW_OK;
}

/* ---- opening and closing */

static uint64_t streamed_bytes(const struct sw_store *base)
{
    const struct streamed_store *s = (const struct streamed_store *)(const void *)base;
    return SW_STREAM_BUFFERS * s->options.layer_bytes + s->options.matrix_bytes;
}

static void streamed_close(struct sw_store *base)
{
    struct streamed_store *s = streamed_of(base);
    const struct sw_streamed_options *o = &s->options;
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        if (s->held[i] >= 0) /* it may still be under way */
            (void)o->gpu->gpu->fetched(o->gpu, i);
    (void)o->gpu->ops->sync(o->gpu);
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        o->gpu->ops->free(o->gpu, s->d_layer[i], o->layer_bytes);
    o->gpu->ops->free(o->gpu, s->d_matrix, o->matrix_bytes);
    for (int i = 0; i < o->layers.count; i++) {
        struct streamed_layer *l = &s->layers[i];
        if (l->is_pinned)
            sw_pins_remove(o->pins, l->weights->d_block);
        sw_weights_free(o->cpu, &l->own);
    }
    free(s->view.expert_up);
    free(s->view.expert_down);
    free(s);
}

static enum sw_status streamed_make_buffers(struct streamed_store *s)
{
    const struct sw_streamed_options *o = &s->options;
    const size_t n = (size_t)o->n_experts + 1;
    struct sw_backend *b = o->gpu;
    s->view.expert_up = calloc(n, sizeof *s->view.expert_up);
    s->view.expert_down = calloc(n, sizeof *s->view.expert_down);
    if (!s->view.expert_up || !s->view.expert_down)
        return sw_fail(SW_ENOMEM, "no memory for %d experts", o->n_experts);
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        SW_TRY(b->ops->alloc(b, o->layer_bytes, "streamed layers", &s->d_layer[i]));
    return o->matrix_bytes ? b->ops->alloc(b, o->matrix_bytes, "a matrix to unpack", &s->d_matrix)
                           : SW_OK;
}

static const struct sw_store_ops streamed_ops = {.load = streamed_load,
                                                 .begin = streamed_begin,
                                                 .acquire = streamed_acquire,
                                                 .matrix = streamed_matrix,
                                                 .release = streamed_release,
                                                 .bytes = streamed_bytes,
                                                 .close = streamed_close};

enum sw_status sw_store_streamed_open(const struct sw_streamed_options *options,
                                      struct sw_store **out)
{
    const size_t count = (size_t)options->layers.count;
    struct streamed_store *s = calloc(1, sizeof *s + count * sizeof *s->layers);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a store of %zu layers", count);
    s->base.ops = &streamed_ops;
    s->options = *options;
    for (int i = 0; i < SW_STREAM_BUFFERS; i++)
        s->held[i] = -1;
    const enum sw_status status = streamed_make_buffers(s);
    if (status != SW_OK) {
        streamed_close(&s->base);
        return status;
    }
    *out = &s->base;
    return SW_OK;
}
