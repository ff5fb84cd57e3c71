/* Owns the store of layers from disk that the CPU computes with where they were read. */
#include "engine/store.h"

#include <stdlib.h>

struct disk_store {
    struct sw_store base; /* must be first: disk_of converts a pointer to it */
    struct sw_disk_layers *layers;
};

static struct sw_disk_layers *disk_of(struct sw_store *s)
{
    return ((struct disk_store *)(void *)s)->layers;
}

/* Nothing is loaded before it is used; the plan counted the layer's bytes for the disk. */
static enum sw_status disk_load(struct sw_store *s, struct sw_loader *loader, int layer)
{
    (void)s, (void)loader, (void)layer;
    return SW_OK;
}

static enum sw_status disk_begin(struct sw_store *s, const int *layers, int n)
{
    (void)layers, (void)n; /* all of them, in any micro-batch */
    sw_disk_layers_begin(disk_of(s));
    return SW_OK;
}

static enum sw_status disk_acquire(struct sw_store *s, int layer, const struct sw_weights **out)
{
    return sw_disk_layers_wait(disk_of(s), layer, out);
}

/* Matrices are read where they are. */
static enum sw_status disk_matrix(struct sw_store *s, const struct sw_matrix **m)
{
    (void)s, (void)m;
    return SW_OK;
}

/* The CPU has computed. */
static enum sw_status disk_release(struct sw_store *s, int layer)
{
    return sw_disk_layers_leave(disk_of(s), layer);
}

static uint64_t disk_bytes(const struct sw_store *s)
{
    (void)s;
    return 0; /* none are a GPU's */
}

static void disk_close(struct sw_store *s)
{
    sw_disk_layers_close(disk_of(s));
    free(s);
}

static const struct sw_store_ops disk_ops = {.load = disk_load,
                                             .begin = disk_begin,
                                             .acquire = disk_acquire,
                                             .matrix = disk_matrix,
                                             .release = disk_release,
                                             .bytes = disk_bytes,
                                             .close = disk_close};

enum sw_status sw_store_disk_open(const struct sw_disk_options *options, struct sw_store **out)
{
    struct disk_store *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", options->count);
    s->base.ops = &disk_ops;
    const enum sw_status status = sw_disk_layers_open(options, &s->layers);
    if (status != SW_OK) {
        free(s);
        return status;
    }
    *out = &s->base;
    return SW_OK;
}
