/*
 * Stores: where the weights of a stage's layers come from when they are needed. What is behind one
 * (memory of the device that computes, host memory and a bus, a disk) only the store knows. A new
 * way to keep weights is one new file with these operations and a row in the stage's table of
 * tiers.
 *
 * For each micro-batch the stage announces to a store the layers it is going to use; then it
 * acquires each one, enqueues operations that read it, and releases it. A store fetches ahead by
 * itself. Layers are numbered as in the model.
 */
#ifndef SW_ENGINE_STORE_H
#define SW_ENGINE_STORE_H

#include "engine/disk_layers.h"
#include "engine/pins.h"
#include "engine/stage_weights.h"

struct sw_store;

struct sw_store_ops {
    /* Takes a layer in, whose weights the loader reads or makes up; sets its backend and layout. */
    enum sw_status (*load)(struct sw_store *s, struct sw_loader *loader, int layer);
    /* A micro-batch begins that uses these n > 0 layers, in this order, each once. */
    enum sw_status (*begin)(struct sw_store *s, const int *layers, int n);
    /* Sets *out to the layer's weights, valid until release. Operations that are enqueued on the
     * device after this call may read its vectors, and its matrices as `matrix` gives them. */
    enum sw_status (*acquire)(struct sw_store *s, int layer, const struct sw_weights **out);
    /* Points *m, a matrix of the acquired layer, to what operations can read that are enqueued
     * before the next call. */
    enum sw_status (*matrix)(struct sw_store *s, const struct sw_matrix **m);
    /* The rows of the acquired layer, which is routed, chose `n` experts, each of `chosen` once, in
     * the order in which they will be used; if any order will do, the store may change it, so that
     * what is there comes first. NULL: all experts are there. */
    enum sw_status (*choose)(struct sw_store *s, int n_rows, int32_t *chosen, int n,
                             bool any_order);
    /* Waits until the matrices of an expert, the next of those, are there. They stay until the next
     * call. NULL with `choose`. */
    enum sw_status (*expert)(struct sw_store *s, int expert);
    /* Sets *next to the weights of the layer after the acquired one, if the store wants to know
     * which experts are likely to be chosen there; else to NULL. After `choose`. NULL: it never
     * does. */
    void (*look_ahead)(struct sw_store *s, const struct sw_weights **next);
    /* They are these, each once. */
    void (*foresee)(struct sw_store *s, const int32_t *experts, int n);
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

/* ---- store_streamed.c: weights in host memory or on disk, copied to the GPU for each use */

struct sw_streamed_options {
    struct sw_backend *gpu, *cpu; /* who computes; whose memory the weights lie in */
    struct sw_pins *pins;         /* of the GPU; must outlive the store */
    struct sw_store_layers layers;
    int n_experts;         /* most of any layer */
    int n_buffers;         /* layers on the GPU at once: 1 to SW_STREAM_BUFFERS */
    uint64_t layer_bytes;  /* of the largest layer */
    uint64_t matrix_bytes; /* of the largest matrix that is unpacked; 0: no layer is shared */
    const struct sw_disk_options *disk; /* the layers that come from disk; NULL: none do */
};

/* Allocates the buffers. SW_ENOMEM; with layers from disk SW_EDEVICE, too. */
enum sw_status sw_store_streamed_open(const struct sw_streamed_options *options,
                                      struct sw_store **out);
/* Takes a layer in that another store keeps in host memory as the CPU backend packs it. `weights`
 * must outlive the store. */
void sw_store_streamed_share(struct sw_store *store, int layer, const struct sw_weights *weights);

/* ---- store_disk.c: weights on disk, read for each use into host memory, where the CPU computes */

/* Allocates the buffers and starts the thread that reads. SW_ENOMEM, SW_EDEVICE. */
enum sw_status sw_store_disk_open(const struct sw_disk_options *options, struct sw_store **out);

/* ---- store_experts.c: the same, of which everything but the experts is kept in host memory, and
 * some experts are */

struct sw_experts_options {
    struct sw_backend *cpu; /* who computes, or whose memory is read into */
    struct sw_backend
        *gpu;             /* who computes: only experts are read, in its layout, and layers without
                             whole, for a store in front of this one; NULL: the CPU does */
    struct sw_pins *pins; /* of the GPU; must outlive the store */
    const struct sw_loader *loader; /* as of struct sw_disk_options */
    const struct sw_stage *stage;   /* the same */
    struct sw_store_layers layers;  /* those that are on disk */
    int cached;                     /* experts that are kept for each layer */
    uint64_t spare_bytes; /* for experts besides, and for a layer without: sw_staging.unit times
                             SW_DISK_BUFFERS */
    /* (model's layers, n_experts) how often each was chosen in an earlier run; those most used are
     * loaded first. NULL: none are. Read only while the store opens. */
    const uint64_t *uses;
    bool look_ahead; /* from the beginning; else it has to show first that it pays */
};

/* Allocates all memory and starts the thread that reads. SW_ENOMEM, SW_EDEVICE. */
enum sw_status sw_store_experts_open(const struct sw_experts_options *options,
                                     struct sw_store **out);

/* Of micro-batches that have no more rows than there are slots: of a row or more of each sequence,
 * and not of prompts' chunks. */
struct sw_expert_stats {
    uint64_t uses, hits;   /* experts that rows of a micro-batch chose; those that were there */
    uint64_t decode_rows;  /* tokens */
    uint64_t decode_bytes; /* read from files for them */
    uint64_t copied_bytes; /* copied to the GPU for them */
    uint64_t ahead;        /* experts that were read ahead and then chosen */
};
void sw_store_experts_stats(struct sw_store *store, struct sw_expert_stats *out);

/* ---- store_gpu_experts.c: everything but the experts, and some experts, in the memory of the GPU
 * that computes; all experts in host memory, or on disk */

struct sw_gpu_experts_options {
    struct sw_backend *gpu, *cpu; /* who computes; whose memory the experts lie in */
    struct sw_pins *pins;         /* of the GPU; must outlive the store */
    const struct sw_model *model;
    const struct sw_footprint_params *params;
    struct sw_store_layers layers;
    int cached;            /* experts that are kept on the GPU for each layer */
    uint64_t spare_bytes;  /* there, for experts besides, and for a layer without: sw_staging.unit
                              times SW_DISK_STREAM_BUFFERS */
    const uint64_t *uses;  /* as of struct sw_experts_options */
    struct sw_store *disk; /* that of the layers from disk_first on; NULL: all are in host memory.
                              Closed later than this store. */
    int disk_first;
};

/* Allocates the GPU's places. SW_ENOMEM. */
enum sw_status sw_store_gpu_experts_open(const struct sw_gpu_experts_options *options,
                                         struct sw_store **out);
/* With what was read from disk. */
void sw_store_gpu_experts_stats(struct sw_store *store, struct sw_expert_stats *out);

#endif
