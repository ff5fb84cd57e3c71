/* Which layers a rank runs, and in which memory they are. */
#ifndef SW_ENGINE_SLICE_H
#define SW_ENGINE_SLICE_H

#include "tensor/tier.h"

#include <stdbool.h>
#include <stdint.h>

/* A rank's layers [first, first + count); count 0: none. Every rank has all ranks' slices. */
struct sw_engine_slice {
    int first, count;
    struct sw_tiers tiers;
    uint64_t gpu_memory; /* bytes that the stage allocates on the GPU, at most; 0: no GPU */
};

/* Whether the stage's first layer runs on the GPU, for every micro-batch. */
static inline bool sw_slice_begins_on_gpu(const struct sw_engine_slice *s)
{
    const struct sw_tiers *t = &s->tiers;
    return t->n_gpu > 0 ||
           (t->n_host == 0 && (t->n_streamed > 0 || (t->n_disk > 0 && t->disk_on_gpu)));
}
/* Whether the stage's last layer runs on the GPU, for every micro-batch. */
static inline bool sw_slice_ends_on_gpu(const struct sw_engine_slice *s)
{
    if (s->tiers.n_disk > 0)
        return s->tiers.disk_on_gpu;
    return s->count > 0 && (s->tiers.n_streamed > 0 || s->tiers.n_gpu == s->count);
}

#endif
