/* Which layers a rank runs, and in which memory they are. */
#ifndef SW_ENGINE_SLICE_H
#define SW_ENGINE_SLICE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The tiers of a stage's layers (plan/plan.h). The first n_gpu layers are in GPU memory. The last
 * n_streamed layers are in host memory and are copied to the GPU for each use. The layers between
 * are in host memory and run on the CPU. All fields 0: everything is on the CPU.
 */
struct sw_tiers {
    int n_gpu, n_streamed;
    /* Micro-batches of at least this many rows stream the layers between, too; 0: none do. */
    int stream_rows;
    bool embed_on_gpu, head_on_gpu;
};

/* A rank's layers [first, first + count); count 0: none. Every rank has all ranks' slices. */
struct sw_engine_slice {
    int first, count;
    struct sw_tiers tiers;
    uint64_t gpu_memory; /* bytes that the stage allocates on the GPU, at most; 0: no GPU */
};

/* Whether the stage's first layer runs on the GPU, for every micro-batch. */
static inline bool sw_slice_begins_on_gpu(const struct sw_engine_slice *s)
{
    return s->count > 0 && (s->tiers.n_gpu > 0 || s->tiers.n_streamed == s->count);
}
/* Whether the stage's last layer runs on the GPU, for every micro-batch. */
static inline bool sw_slice_ends_on_gpu(const struct sw_engine_slice *s)
{
    return s->count > 0 && (s->tiers.n_streamed > 0 || s->tiers.n_gpu == s->count);
}

#endif
