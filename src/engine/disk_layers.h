/*
 * Layers that stay in the files of their model. A thread reads them in order, over and over, as
 * they were published, into buffers in host memory, and packs them there for the CPU or in the
 * layout of a GPU. While one is used the next is read; after the last one come the first again, for
 * the next micro-batch. Files are looked at again for each layer, so that one that changed is
 * named.
 */
#ifndef SW_ENGINE_DISK_LAYERS_H
#define SW_ENGINE_DISK_LAYERS_H

#include "engine/pins.h"
#include "engine/stage_weights.h"

struct sw_disk_layers;
struct sw_stage;

struct sw_disk_options {
    struct sw_backend *cpu;         /* whose memory the buffers are */
    struct sw_backend *gpu;         /* whose layout the layers get; NULL: that of the CPU */
    struct sw_pins *pins;           /* of the GPU; must outlive the layers */
    const struct sw_loader *loader; /* copied; its tensors and reader must outlive the layers, which
                                       alone use the reader from the first micro-batch on */
    const struct sw_stage *stage;   /* whose keepalive is called while a layer is waited for, at
                                       most its stall_s without a byte */
    int first, count;               /* the layers; count > 0 */
    uint64_t layer_bytes;           /* of the largest one */
};

/* Allocates the buffers and starts the thread. SW_ENOMEM, SW_EDEVICE. */
enum sw_status sw_disk_layers_open(const struct sw_disk_options *options,
                                   struct sw_disk_layers **out);
/* Ends what is being read. What was fetched from the buffers has ended before. */
void sw_disk_layers_close(struct sw_disk_layers *d);

/* A micro-batch begins that uses all layers in order, each once. The first one starts the reading.
 */
void sw_disk_layers_begin(struct sw_disk_layers *d);
/* Whether the layer has been read, so that sw_disk_layers_wait returns it at once. */
bool sw_disk_layers_ready(struct sw_disk_layers *d, int layer);
/* Waits until the layer has been read. *out is valid until it is left. SW_EMODEL, SW_EIO, and what
 * the stage's keepalive returns. */
enum sw_status sw_disk_layers_wait(struct sw_disk_layers *d, int layer,
                                   const struct sw_weights **out);
/* The layer is not used any more: by the CPU from now on, by a GPU when what was fetched so far has
 * been copied. Its buffer is for a later layer then, unless all of them have one. */
enum sw_status sw_disk_layers_leave(struct sw_disk_layers *d, int layer);
/* Whether all layers have a buffer, so that none is read twice. */
bool sw_disk_layers_all_fit(const struct sw_disk_layers *d);

#endif
