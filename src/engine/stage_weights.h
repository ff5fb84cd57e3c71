/* A stage's weights on its device: read from the checkpoint, or made up. */
#ifndef SW_ENGINE_STAGE_WEIGHTS_H
#define SW_ENGINE_STAGE_WEIGHTS_H

#include "backend/backend.h"
#include "base/pool.h"
#include "model/model.h"

#include <stdatomic.h>
#include <stdint.h>

/* The weights of one layer, or those outside the layers. What a family lacks is NULL. */
struct sw_weights {
    struct sw_matrix matrix[SW_W_COUNT]; /* d_data NULL: absent */
    /* Where Q, K and V differ in format: the outputs behind those of matrix[SW_W_QKV], in order. */
    struct sw_matrix qkv_rest[SW_MAX_SOURCES - 1]; /* d_data NULL: no more */
    float *d_vector[SW_W_COUNT];
    struct sw_matrix *expert_up, *expert_down; /* (n_experts); NULL: a dense layer */
    int n_experts;
    void *d_block; /* all of the above lie in here */
    uint64_t bytes;
};

#define SW_ONLY_DENSE (-1)
#define SW_ONLY_EXPERTS (-2)

struct sw_loader {
    const struct sw_model *model;
    const struct sw_tensors *tensors; /* NULL: weights are made up */
    struct sw_reader *reader;         /* of the tensors */
    struct sw_backend *backend;       /* whose memory the weights get into */
    struct sw_backend *layout; /* a GPU: `backend` is a CPU, and matrices are made in its memory in
                                  the GPU's layout; NULL: in the layout of `backend` */
    struct sw_pool *pool;      /* makes weights up; NULL: the caller alone */
    int threads;               /* that pack what is read; 0: as the disk needs them */
    bool past_cache;           /* files are read past the page cache */
    bool apart; /* while the backend computes: its threads are left alone, and `pool` packs */
    /* What of a layer is loaded: 0: all; SW_ONLY_DENSE: all but the experts; SW_ONLY_EXPERTS: the
     * experts; 1 + e: expert e. In a block each expert is one piece, and begins with its up matrix.
     */
    int only;
    /* Raised by the bytes of what is collected next (below), and lowered as they are stored; NULL:
     * nobody asks. */
    atomic_uint_fast64_t *left;
    struct sw_footprint_params params; /* of these the formats */
    /* Called now and then with the bytes stored so far; a failure ends the load. May be NULL. */
    enum sw_status (*progress)(void *context, uint64_t bytes);
    void *context;
    uint64_t bytes; /* stored on the device so far */
    /* Matrices in a CPU's memory are collected here, without contents, until sw_weights_read reads
     * them together. */
    struct sw_weights_list {
        struct sw_weights_target *targets; /* (count) */
        size_t count, capacity;
        atomic_uint_fast64_t bytes; /* stored, and not yet reported */
    } list;
};

/* A loader as `from`, for a thread that reads while the backend computes, past the page cache, as
 * no memory is left: into the memory of `cpu`, in the layout of `gpu` (NULL: of `cpu`). */
struct sw_loader sw_loader_apart(const struct sw_loader *from, struct sw_backend *cpu,
                                 struct sw_backend *gpu,
                                 enum sw_status (*progress)(void *context, uint64_t bytes),
                                 void *context);

/*
 * Loads layer `layer`; or, for SW_GLOBAL, the `parts` (a set of enum sw_weight_part; a tied head
 * that is loaded together with the embedding is the same memory). Large matrices in a CPU's memory
 * have their contents after sw_weights_read only. Peak host memory in addition to the weights: two
 * chunks of SW_LOAD_CHUNK (or one whole tensor where it is stored transposed).
 */
enum sw_status sw_weights_load(struct sw_loader *loader, int layer, unsigned parts,
                               struct sw_weights *out);
/* As sw_weights_load, into `d_block`, which has room for the layer and stays the caller's: *out is
 * given up by sw_weights_forget_block. */
enum sw_status sw_weights_load_into(struct sw_loader *loader, int layer, void *d_block,
                                    struct sw_weights *out);
void sw_weights_forget_block(struct sw_weights *weights);
/* Reads the matrices that were collected, by all threads, and empties the list. */
enum sw_status sw_weights_read(struct sw_loader *loader);
/* Empties the list, when what it would fill is given up. */
void sw_weights_forget(struct sw_loader *loader);
void sw_weights_free(struct sw_backend *backend, struct sw_weights *weights);

/* Points *view, whose lists of experts have room for the layer's, to a copy of the weights' block
 * at d_block. */
void sw_weights_view(const struct sw_weights *weights, void *d_block, struct sw_weights *view);
/* A copy of the matrix of a block at `from` in one at d_to. */
struct sw_matrix sw_matrix_copied(const struct sw_matrix *m, const void *from, void *d_to);

/*
 * Element `index` of the made-up tensor `name`: uniform, of a size that keeps activations near 1.
 * The same for every cut of the model and in checkpoints written by tests.
 */
void sw_weights_random(const struct sw_model *model, const struct sw_weight_spec *spec, int source,
                       int64_t first, int64_t n, float *out);

#endif
