/* Which layers a rank runs, and where they lie. */
#ifndef SW_ENGINE_SLICE_H
#define SW_ENGINE_SLICE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Where a stage's layers lie (plan/plan.h has the words): the first n_gpu in GPU memory, the last
 * n_streamed in host memory to be copied to the GPU for each use, those between in host memory.
 * All 0: everything is on the CPU.
 */
struct sw_tiers {
    int n_gpu, n_streamed;
    /* Batches of at least so many rows take the layers between through the GPU, too; 0: none. */
    int stream_rows;
    bool embed_on_gpu, head_on_gpu;
};

/* count 0: no layers. The same on every rank. */
struct sw_engine_slice {
    int first, count;
    struct sw_tiers tiers;
    uint64_t gpu_memory; /* what the stage will allocate on the GPU, and may; 0: it uses none */
};

/* Do the rows of every batch come into the stage's first layer, or out of its last, on the GPU? */
static inline bool sw_slice_begins_on_gpu(const struct sw_engine_slice *s)
{
    return s->count > 0 && (s->tiers.n_gpu > 0 || s->tiers.n_streamed == s->count);
}
static inline bool sw_slice_ends_on_gpu(const struct sw_engine_slice *s)
{
    return s->count > 0 && (s->tiers.n_streamed > 0 || s->tiers.n_gpu == s->count);
}

#endif
