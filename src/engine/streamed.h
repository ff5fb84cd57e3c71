/*
 * Layers that lie in host memory and run on the GPU: while one is computed, the next are copied
 * into the other of two buffers, a whole layer at a time, as the CPU backend packed it. A matrix is
 * unpacked into the GPU's own layout right before its product, in one buffer for all of them;
 * vectors are read where they arrive. Keys and values of a layer whose cache lies in host memory
 * come and go in whole blocks, which look alike on both devices.
 */
#ifndef SW_ENGINE_STREAMED_H
#define SW_ENGINE_STREAMED_H

#include "backend/gpu_library.h"
#include "engine/stage_weights.h"
#include "model/footprint.h"

/* A layer of a stage: its weights and its cache, wherever they lie. */
struct sw_layer {
    struct sw_weights weights;
    struct sw_kv kv;
    bool weights_pinned, kv_pinned;
};

struct sw_streamed {
    struct sw_backend *gpu;
    const struct sw_gpu_ops *ops;
    struct sw_layer *layers; /* of the stage */
    struct sw_staging sizes; /* kv 0: no layer with its cache in host memory is streamed */
    void *d_layer[SW_STREAM_BUFFERS], *d_matrix, *d_kv;
    int held[SW_STREAM_BUFFERS]; /* the layer in each buffer, or on its way there; -1: none */
    bool told_of_pinning;        /* … that it does not work */
    int from, end;               /* layers that pass with this batch */
    struct sw_weights view;      /* the layer that is run, as it lies in its buffer */
    struct sw_matrix unpacked;
    struct sw_kv kv;
};

/* gpu, ops, layers and sizes are set; n_experts: of a layer, at most. */
enum sw_status sw_streamed_open(struct sw_streamed *s, int n_experts);
/* Once, when nothing is computed any more; layers are unpinned after it. */
void sw_streamed_close(struct sw_streamed *s);
uint64_t sw_streamed_bytes(const struct sw_streamed *s); /* on the GPU */

/* Host memory of a layer, to be copied beside computing. Slower copies, but no failure, if not. */
void sw_streamed_pin(struct sw_streamed *s, struct sw_layer *layer, bool kv);
void sw_streamed_unpin(struct sw_streamed *s, struct sw_layer *layer);

/* With the batch that begins now, layers [from, end) pass in order: the first are sent for. */
enum sw_status sw_streamed_begin(struct sw_streamed *s, int from, int end);
/* What is enqueued from here on can read the layer: s->view, its matrices by unpack. */
enum sw_status sw_streamed_acquire(struct sw_streamed *s, int layer);
/* Its use ends here; its buffer takes the next but one. */
enum sw_status sw_streamed_release(struct sw_streamed *s, int layer);
/* *m, a matrix of s->view, becomes one of the GPU's, until the next call. */
enum sw_status sw_streamed_unpack(struct sw_streamed *s, const struct sw_matrix **m);

/* The rows before the spans that the spans' rows see (window as in sw_attention) come to s->kv. */
enum sw_status sw_streamed_kv_in(struct sw_streamed *s, const struct sw_kv *host,
                                 const struct sw_span *spans, int n_spans, int64_t window);
/* The spans' own rows go back to host memory. */
enum sw_status sw_streamed_kv_out(struct sw_streamed *s, const struct sw_kv *host,
                                  const struct sw_span *spans, int n_spans);

#endif
