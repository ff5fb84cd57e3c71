/*
 * Owns the store of layers that the GPU computes in buffers of its own. While one layer is
 * computed, the next one is copied into the other buffer, or waits for the only one. What the store
 * loads itself lies in host memory in the GPU's own layout, and so does what is read from disk
 * (disk_layers.h); both are used in the buffer. Matrices of a shared layer are as the CPU backend
 * packed them: each is unpacked right before its product, into one buffer that all of them share.
 * After the last layer of a micro-batch the first ones are fetched for the next.
 */
#include "engine/store.h"

#include <assert.h>
#include <stdlib.h>

/* A layer as it lies in host memory. */
struct streamed_layer {
    struct sw_weights own;            /* what this store loaded, in the GPU's layout */
    const struct sw_weights *weights; /* &own; or another store's, as the CPU packs them; NULL: not
                                         in this store, or on disk */
    bool is_pinned;
    int turn; /* its place in the order of this micro-batch */
};

/* A buffer on the GPU. */
struct streamed_buffer {
    void *d_layer;
    int layer;              /* that it holds, or that is being copied to it; -1: none */
    bool is_packed;         /* its matrices must be unpacked */
    struct sw_weights view; /* the layer, pointing into the buffer */
};

struct streamed_store {
    struct sw_store base; /* must be first: streamed_of converts a pointer to it */
    struct sw_streamed_options options;
    struct sw_disk_layers *disk;                       /* NULL: no layer is on disk */
    int disk_first, disk_end;                          /* the layers on disk */
    void *d_matrix;                                    /* buffer on the GPU */
    struct streamed_buffer buffers[SW_STREAM_BUFFERS]; /* (options.n_buffers) */
    int *order, n_order; /* (options.layers.count) the layers of this micro-batch, in their order */
    const struct streamed_buffer *used; /* of the acquired layer */
    struct sw_matrix unpacked;          /* the last matrix unpacked, in d_matrix */
    struct streamed_layer layers[];     /* (options.layers.count) */
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

static bool streamed_on_disk(const struct streamed_store *s, int layer)
{
    return layer >= s->disk_first && layer < s->disk_end;
}

static enum sw_status streamed_load(struct sw_store *base, struct sw_loader *loader, int layer)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_weights *own = &streamed_layer(s, layer)->own;
    if (streamed_on_disk(s, layer))
        return SW_OK;
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
static int streamed_holding(const struct streamed_store *s, int layer)
{
    for (int i = 0; i < s->options.n_buffers; i++)
        if (s->buffers[i].layer == layer)
            return i;
    return -1;
}

/* The layer that is used `ahead` layers after this one; the first one follows the last, for the
 * next micro-batch. */
static int streamed_following(const struct streamed_store *s, int layer, int ahead)
{
    return s->order[(s->layers[layer - s->options.layers.first].turn + ahead) % s->n_order];
}

/* A buffer that holds none of the layers that are used `from` layers after this one and then. There
 * is one when one of these is in no buffer. */
static int streamed_spare(const struct streamed_store *s, int layer, int from)
{
    int spare = -1;
    for (int i = 0; i < s->options.n_buffers; i++) {
        bool wanted = false;
        for (int k = from; k < from + s->options.n_buffers; k++)
            wanted |= s->buffers[i].layer == streamed_following(s, layer, k);
        if (!wanted && spare < 0)
            spare = i;
    }
    assert(spare >= 0);
    return spare;
}

/* Waits for the layer if it is on disk. */
static enum sw_status streamed_fetch(struct streamed_store *s, int layer, int buffer)
{
    const struct streamed_layer *l = streamed_layer(s, layer);
    const struct sw_weights *w = l->weights;
    struct streamed_buffer *b = &s->buffers[buffer];
    struct sw_backend *gpu = s->options.gpu;
    if (streamed_on_disk(s, layer))
        SW_TRY(sw_disk_layers_wait(s->disk, layer, &w));
    b->layer = layer;
    b->is_packed = l->weights && l->weights != &l->own;
    sw_weights_view(w, b->d_layer, &b->view); /* a layer from disk leaves host memory then */
    SW_TRY(gpu->gpu->fetch(gpu, buffer, b->d_layer, w->d_block, w->bytes));
    return streamed_on_disk(s, layer) ? sw_disk_layers_leave(s->disk, layer) : SW_OK;
}

/* Whether a layer that is used `ahead` layers after this one can be fetched without waiting. Layers
 * on disk are fetched once in each micro-batch, in order, so none is for the next one. */
static bool streamed_at_hand(struct streamed_store *s, int layer, int ahead)
{
    const int next = streamed_following(s, layer, ahead);
    if (!streamed_on_disk(s, next))
        return true;
    return streamed_layer(s, layer)->turn + ahead < s->n_order &&
           sw_disk_layers_ready(s->disk, next);
}

/* Fetches the layers that are used `from` layers after this one and then, as many as there are
 * buffers, without waiting for a disk. */
static enum sw_status streamed_fetch_ahead(struct streamed_store *s, int layer, int from)
{
    for (int k = from; k < from + s->options.n_buffers; k++) {
        const int next = streamed_following(s, layer, k);
        if (streamed_holding(s, next) < 0 && streamed_at_hand(s, layer, k))
            SW_TRY(streamed_fetch(s, next, streamed_spare(s, layer, from)));
    }
    return SW_OK;
}

static enum sw_status streamed_begin(struct sw_store *base, const int *layers, int n)
{
    struct streamed_store *s = streamed_of(base);
    s->n_order = n;
    for (int i = 0; i < n; i++) {
        s->order[i] = layers[i];
        streamed_layer(s, layers[i])->turn = i;
    }
    if (s->disk) {
        sw_disk_layers_begin(s->disk);
        for (int i = 0; i < s->options.n_buffers && !sw_disk_layers_all_fit(s->disk); i++)
            if (streamed_on_disk(s, s->buffers[i].layer))
                s->buffers[i].layer = -1;
    }
    return streamed_fetch_ahead(s, layers[0], 0);
}

/* ---- use */

static enum sw_status streamed_acquire(struct sw_store *base, int layer,
                                       const struct sw_weights **out)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_backend *gpu = s->options.gpu;
    if (streamed_holding(s, layer) < 0)
        SW_TRY(streamed_fetch(s, layer, streamed_spare(s, layer, 0)));
    const int buffer = streamed_holding(s, layer);
    SW_TRY(streamed_fetch_ahead(s, layer, 0));
    SW_TRY(gpu->gpu->fetched(gpu, buffer));
    s->used = &s->buffers[buffer];
    *out = &s->used->view;
    return SW_OK;
}

static enum sw_status streamed_matrix(struct sw_store *base, const struct sw_matrix **m)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_backend *gpu = s->options.gpu;
    const void *d_packed = (*m)->d_data;
    if (!s->used->is_packed)
        return SW_OK;
    s->unpacked = **m;
    s->unpacked.d_data = s->d_matrix;
    *m = &s->unpacked;
    return gpu->gpu->unpack(gpu, d_packed, &s->unpacked);
}

/* The buffer is filled with a later layer. */
static enum sw_status streamed_release(struct sw_store *base, int layer)
{
    struct streamed_store *s = streamed_of(base);
    struct sw_backend *gpu = s->options.gpu;
    SW_TRY(gpu->gpu->used(gpu, streamed_holding(s, layer)));
    return streamed_fetch_ahead(s, layer, 1);
}

/* ---- opening and closing */

static uint64_t streamed_bytes(const struct sw_store *base)
{
    const struct streamed_store *s = (const struct streamed_store *)(const void *)base;
    return (uint64_t)s->options.n_buffers * s->options.layer_bytes + s->options.matrix_bytes;
}

static void streamed_close(struct sw_store *base)
{
    struct streamed_store *s = streamed_of(base);
    const struct sw_streamed_options *o = &s->options;
    for (int i = 0; i < o->n_buffers; i++)
        if (s->buffers[i].layer >= 0) /* it may still be under way */
            (void)o->gpu->gpu->fetched(o->gpu, i);
    (void)o->gpu->ops->sync(o->gpu);
    if (s->disk)
        sw_disk_layers_close(s->disk);
    for (int i = 0; i < o->n_buffers; i++) {
        o->gpu->ops->free(o->gpu, s->buffers[i].d_layer, o->layer_bytes);
        sw_weights_forget_block(&s->buffers[i].view);
    }
    o->gpu->ops->free(o->gpu, s->d_matrix, o->matrix_bytes);
    for (int i = 0; i < o->layers.count; i++) {
        struct streamed_layer *l = &s->layers[i];
        if (l->is_pinned)
            sw_pins_remove(o->pins, l->weights->d_block);
        sw_weights_free(o->cpu, &l->own);
    }
    free(s->order);
    free(s);
}

static enum sw_status streamed_make_buffer(struct streamed_store *s, struct streamed_buffer *b)
{
    const struct sw_streamed_options *o = &s->options;
    const size_t n = (size_t)o->n_experts + 1;
    b->view.expert_up = calloc(n, sizeof *b->view.expert_up);
    b->view.expert_down = calloc(n, sizeof *b->view.expert_down);
    if (!b->view.expert_up || !b->view.expert_down)
        return sw_fail(SW_ENOMEM, "no memory for %d experts", o->n_experts);
    return o->gpu->ops->alloc(o->gpu, o->layer_bytes, "streamed layers", &b->d_layer);
}

static enum sw_status streamed_start(struct streamed_store *s)
{
    const struct sw_streamed_options *o = &s->options;
    s->order = malloc((size_t)o->layers.count * sizeof *s->order);
    if (!s->order)
        return sw_fail(SW_ENOMEM, "no memory for the order of %d layers", o->layers.count);
    for (int i = 0; i < o->n_buffers; i++)
        SW_TRY(streamed_make_buffer(s, &s->buffers[i]));
    if (o->matrix_bytes)
        SW_TRY(o->gpu->ops->alloc(o->gpu, o->matrix_bytes, "a matrix to unpack", &s->d_matrix));
    if (!o->disk)
        return SW_OK;
    s->disk_first = o->disk->first;
    s->disk_end = o->disk->first + o->disk->count;
    return sw_disk_layers_open(o->disk, &s->disk);
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
        s->buffers[i].layer = -1;
    const enum sw_status status = streamed_start(s);
    if (status != SW_OK) {
        streamed_close(&s->base);
        return status;
    }
    *out = &s->base;
    return SW_OK;
}
