/*
 * Streamed layers: in host memory, computed on the GPU. While one layer is computed, the next one
 * is copied into the other of two buffers, as the CPU backend packed it. A matrix is unpacked to
 * the GPU's layout right before its product, into one buffer that all matrices share; vectors are
 * used in place. If the KV cache is in host memory, keys and values are copied in whole blocks,
 * which have the same layout on both devices.
 */
#ifndef SW_ENGINE_STREAMED_H
#define SW_ENGINE_STREAMED_H

#include "backend/gpu_library.h"
#include "engine/stage_weights.h"
#include "model/footprint.h"

/* A layer of a stage: its weights and its KV cache, in any memory. */
struct sw_layer {
    struct sw_weights weights;
    struct sw_kv kv;
    bool weights_pinned, kv_pinned;
};

struct sw_streamed {
    struct sw_backend *gpu;
    struct sw_layer *layers; /* the stage's */
    struct sw_staging sizes; /* sizes.kv 0: no streamed layer has its KV cache in host memory */
    void *d_layer[SW_STREAM_BUFFERS], *d_matrix, *d_kv; /* buffers on the GPU */
    int held[SW_STREAM_BUFFERS]; /* layer in each buffer, or being copied to it; -1: none */
    bool pin_warned;             /* the warning that pinning fails was logged */
    int from, end;               /* layers [from, end) are streamed for this micro-batch */
    struct sw_weights view;      /* the acquired layer, pointing into its buffer */
    struct sw_matrix unpacked;   /* the last matrix unpacked, in d_matrix */
    struct sw_kv kv;             /* the layer's KV cache in d_kv */
};

/* Allocates the buffers; gpu, ops, layers and sizes are set before. n_experts: most of any layer.
 * SW_ENOMEM; close frees in any case. */
enum sw_status sw_streamed_open(struct sw_streamed *s, int n_experts);
/* Waits for copies and frees. Called once, after the last computation; unpin the layers after it.
 */
void sw_streamed_close(struct sw_streamed *s);
/* Bytes allocated on the GPU. */
uint64_t sw_streamed_bytes(const struct sw_streamed *s);

/* Pins a layer's host memory, so that copies overlap computing. If that fails it warns once, and
 * copies are slower. */
void sw_streamed_pin(struct sw_streamed *s, struct sw_layer *layer, bool kv);
void sw_streamed_unpin(struct sw_streamed *s, struct sw_layer *layer);

/* Begins a micro-batch that streams layers [from, end) in order; starts to fetch the first ones. */
enum sw_status sw_streamed_begin(struct sw_streamed *s, int from, int end);
/* Operations enqueued after this call can read the layer by s->view, its matrices after unpack. */
enum sw_status sw_streamed_acquire(struct sw_streamed *s, int layer);
/* Ends the layer's use; its buffer is filled with the layer after the next. */
enum sw_status sw_streamed_release(struct sw_streamed *s, int layer);
/* Unpacks *m, a matrix of s->view, and points *m to the result, valid until the next call. */
enum sw_status sw_streamed_unpack(struct sw_streamed *s, const struct sw_matrix **m);

/* Copies to s->kv the positions before the spans that their rows attend to (window: as in
 * sw_attention). */
enum sw_status sw_streamed_kv_in(struct sw_streamed *s, const struct sw_kv *host,
                                 const struct sw_span *spans, int n_spans, int64_t window);
/* Copies the spans' own positions back to host memory. */
enum sw_status sw_streamed_kv_out(struct sw_streamed *s, const struct sw_kv *host,
                                  const struct sw_span *spans, int n_spans);

#endif
