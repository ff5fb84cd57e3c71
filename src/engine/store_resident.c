/* Owns the store of weights that lie in the memory of the device that computes with them. */
#include "engine/store.h"

#include <stdlib.h>

struct resident_store {
    struct sw_store base; /* must be first: resident_of converts a pointer to it */
    struct sw_backend *backend;
    struct sw_store_layers layers;
    struct sw_weights weights[]; /* (layers.count) */
};

static struct resident_store *resident_of(struct sw_store *s)
{
    return (struct resident_store *)(void *)s;
}

static enum sw_status resident_load(struct sw_store *base, struct sw_loader *loader, int layer)
{
    struct resident_store *s = resident_of(base);
    loader->backend = s->backend;
    loader->layout = NULL;
    return sw_weights_load(loader, layer, 0, &s->weights[layer - s->layers.first]);
}

/* Nothing is to be fetched. */
static enum sw_status resident_begin(struct sw_store *s, const int *layers, int n)
{
    (void)s, (void)layers, (void)n;
    return SW_OK;
}

static enum sw_status resident_acquire(struct sw_store *base, int layer,
                                       const struct sw_weights **out)
{
    struct resident_store *s = resident_of(base);
    *out = &s->weights[layer - s->layers.first];
    return SW_OK;
}

/* Matrices are read where they are. */
static enum sw_status resident_matrix(struct sw_store *s, const struct sw_matrix **m)
{
    (void)s, (void)m;
    return SW_OK;
}

static enum sw_status resident_release(struct sw_store *s, int layer)
{
    (void)s, (void)layer;
    return SW_OK;
}

static uint64_t resident_bytes(const struct sw_store *base)
{
    const struct resident_store *s = (const struct resident_store *)(const void *)base;
    uint64_t bytes = 0;
    for (int i = 0; i < s->layers.count && s->backend->gpu; i++)
        bytes += s->weights[i].bytes;
    return bytes;
}

static void resident_close(struct sw_store *base)
{
    struct resident_store *s = resident_of(base);
    for (int i = 0; i < s->layers.count; i++)
        sw_weights_free(s->backend, &s->weights[i]);
    free(s);
}

static const struct sw_store_ops resident_ops = {.load = resident_load,
                                                 .begin = resident_begin,
                                                 .acquire = resident_acquire,
                                                 .matrix = resident_matrix,
                                                 .release = resident_release,
                                                 .bytes = resident_bytes,
                                                 .close = resident_close};

enum sw_status sw_store_resident_open(struct sw_backend *backend,
                                      const struct sw_store_layers *layers, struct sw_store **out)
{
    struct resident_store *s = calloc(1, sizeof *s + (size_t)layers->count * sizeof *s->weights);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", layers->count);
    s->base.ops = &resident_ops;
    s->backend = backend;
    s->layers = *layers;
    *out = &s->base;
    return SW_OK;
}
