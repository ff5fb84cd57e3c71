/*
 * Stores: where the weights of a stage's layers come from when they are needed. What is behind one
 * (memory of the device that computes, host memory and a bus) only the store knows. A new way to
 * keep weights is one new file with these operations and a row in the stage's table of tiers.
 *
 * For each micro-batch the stage announces to a store the layers it is going to use; then it
 * acquires each one, enqueues operations that read it, and releases it. A store fetches ahead by
 * itself. Layers are numbered as in the model.
 */
#ifndef SW_ENGINE_STORE_H
#define SW_ENGINE_STORE_H

#include "engine/pins.h"
#include "engine/stage_weights.h"

struct sw_store;

struct sw_store_ops {
    /* Takes a layer in, whose weights the loader reads or makes up; sets its backend and layout. */
    enum sw_status (*load)(struct sw_store *s, struct sw_loader *loader, int layer);
    /* A micro-batch begins that uses the layers [first, end) in this order, each once. */
    enum sw_status (*begin)(struct sw_store *s, int first, int end);
    /* Sets *out to the layer's weights, valid until release. Operations that are enqueued on the
     * device after this call may read its vectors, and its matrices as `matrix` gives them. */
    enum sw_status (*acquire)(struct sw_store *s, int layer, const struct sw_weights **out);
    /* Points *m, a matrix of the acquired layer, to what operations can read that are enqueued
     * before the next call. */
    enum sw_status (*matrix)(struct sw_store *s, const struct sw_matrix **m);
    /* Ends the use of the layer by what is enqueued so far. */
    enum sw_status (*release)(struct sw_store *s, int layer);
    /* Bytes of GPU memory that the store has allocated. */
    uint64_t (*bytes)(const struct sw_store *s);
    /* Waits for what the store has under way, and frees it. Called after the last computation, also
     * when a micro-batch has ended between acquire and release. */
    void (*close)(struct sw_store *s);
};

struct sw_store {
    const struct sw_store_ops *ops;
};

/* The layers of the stage: [first, first + count). A store may have only some of them. */
struct sw_store_layers {
    int first, count;
};

/* ---- store_resident.c: weights in the memory of the device that computes with them */

/* SW_ENOMEM. */
enum sw_status sw_store_resident_open(struct sw_backend *backend,
                                      const struct sw_store_layers *layers, struct sw_store **out);

/* ---- store_streamed.c: weights in host memory, copied to the GPU for each use */

struct sw_streamed_options {
    struct sw_backend *gpu, *cpu; /* who computes; whose memory the weights lie in */
    struct sw_pins *pins;         /* of the GPU; must outlive the store */
    struct sw_store_layers layers;
    int n_experts;         /* most of any layer */
    uint64_t layer_bytes;  /* of the largest layer */
    uint64_t matrix_bytes; /* of the largest matrix that is unpacked; 0: no layer is shared */
};

/* Allocates the buffers. SW_ENOMEM. */
enum sw_status sw_store_streamed_open(const struct sw_streamed_options *options,
                                      struct sw_store **out);
/* Takes a layer in that another store keeps in host memory as the CPU backend packs it. `weights`
 * must outlive the store. */
void sw_store_streamed_share(struct sw_store *store, int layer, const struct sw_weights *weights);

/* ---- store_disk.c: weights in their files, read for each use into host memory */

struct sw_stage;

struct sw_disk_options {
    struct sw_backend *cpu;         /* who computes */
    const struct sw_loader *loader; /* copied; its tensors and reader must outlive the store, which
                                       alone uses the reader from the first micro-batch on */
    const struct sw_stage *stage;   /* whose keepalive is called while a layer is waited for */
    struct sw_store_layers layers;
    uint64_t layer_bytes; /* of the largest layer */
};

/* Allocates the buffers and starts the thread that reads. SW_ENOMEM, SW_EDEVICE. */
enum sw_status sw_store_disk_open(const struct sw_disk_options *options, struct sw_store **out);

#endif
