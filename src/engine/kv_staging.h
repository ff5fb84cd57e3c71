/*
 * The KV cache of a layer that decodes on the CPU, while the GPU runs it: keys and values are
 * copied to a buffer on the GPU and back, in whole blocks, which have the same layout on both
 * devices.
 */
#ifndef SW_ENGINE_KV_STAGING_H
#define SW_ENGINE_KV_STAGING_H

#include "backend/backend.h"

struct sw_kv_staging {
    struct sw_backend *gpu;        /* NULL: not open */
    uint64_t bytes;                /* of the buffer: one layer's KV cache */
    struct sw_kv kv;               /* the layer's, in the buffer; */
    struct sw_delta_states states; /* or these */
    void *d_kv;
};

/* Allocates the buffer of `bytes`. SW_ENOMEM; close frees in any case. */
enum sw_status sw_kv_staging_open(struct sw_kv_staging *staging, struct sw_backend *gpu,
                                  uint64_t bytes);
/* Also allowed when it was never opened and is all zeros. */
void sw_kv_staging_close(struct sw_kv_staging *staging);

/* Copies the positions before the spans that their rows attend to (window: as in sw_attention) to
 * the buffer. *out: the layer's cache there. */
enum sw_status sw_kv_staging_in(struct sw_kv_staging *staging, const struct sw_kv *host,
                                const struct sw_span *spans, int n_spans, int64_t window,
                                const struct sw_kv **out);
/* Copies the spans' own positions back to host memory. */
enum sw_status sw_kv_staging_out(struct sw_kv_staging *staging, const struct sw_kv *host,
                                 const struct sw_span *spans, int n_spans);
/* The same of a layer that keeps states: those of the spans' slots, whole. */
enum sw_status sw_state_staging_in(struct sw_kv_staging *staging,
                                   const struct sw_delta_states *host, const struct sw_span *spans,
                                   int n_spans, const struct sw_delta_states **out);
enum sw_status sw_state_staging_out(struct sw_kv_staging *staging,
                                    const struct sw_delta_states *host, const struct sw_span *spans,
                                    int n_spans);

#endif
