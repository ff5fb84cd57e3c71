/*
 * Tiers: in which memory the layers of a stage lie, and which device runs them. The planner chooses
 * them, and the engine carries that out.
 */
#ifndef SW_TENSOR_TIER_H
#define SW_TENSOR_TIER_H

#include <stdbool.h>

enum sw_tier {
    SW_TIER_GPU,      /* in GPU memory, run by the GPU */
    SW_TIER_HOST,     /* in host memory, run by the CPU */
    SW_TIER_STREAMED, /* in host memory, copied to the GPU for each use; KV in GPU memory */
    SW_TIER_DISK,     /* read from disk for each use; run, with KV, as disk_on_gpu says */
    SW_TIERS
};

/* The tiers of a stage. GPU layers come first and disk layers last; sw_tier_at says how host and
 * streamed layers lie between them. */
struct sw_tiers {
    int n_gpu, n_host, n_streamed, n_disk; /* layers in each tier */
    int stream_rows; /* micro-batches of at least so many rows run the host layers on the GPU, as if
                        they were streamed; 0: none do */
    bool embed_on_gpu,
        head_on_gpu; /* where the embedding and the head are, if the stage has them */
    /* Disk layers go on to the GPU, as streamed ones do, and have their KV there; else the CPU runs
     * them, with KV in host memory. False without disk layers. */
    bool disk_on_gpu;
    /* Streamed and disk layers with experts move by expert: the rest of them is kept in the memory
     * of what runs them, and so many experts of each, as a cache. Else these layers move whole. */
    bool by_expert;
    int cached_experts;
};

static inline int sw_tiers_count(const struct sw_tiers *t, enum sw_tier tier)
{
    const int n[SW_TIERS] = {t->n_gpu, t->n_host, t->n_streamed, t->n_disk};
    return n[tier];
}
static inline int sw_tiers_layers(const struct sw_tiers *t)
{
    return t->n_gpu + t->n_host + t->n_streamed + t->n_disk;
}

/* Whether CPU and bus are at work at the same time: see sw_tier_at. */
static inline bool sw_tiers_mixed(const struct sw_tiers *t)
{
    return t->n_host > 0 && t->n_streamed > 0 && !t->by_expert;
}

/* Whether the i-th of `all` things is one of n of them that are spread evenly, the last one among
 * them. */
static inline bool sw_is_spread(int i, int n, int all)
{
    return (long)(i + 1) * n / all > (long)i * n / all;
}

/*
 * The tier of a stage's i-th layer. Streamed layers are spread evenly among the host layers, so
 * that some pass over the bus while the CPU computes others; the first of all these is a host layer
 * if there are any, and the last one a streamed layer. By expert they come behind the host layers:
 * what is to pass is known only when the layer before has been computed.
 */
static inline enum sw_tier sw_tier_at(const struct sw_tiers *t, int i)
{
    const int mixed = t->n_host + t->n_streamed;
    if (i < t->n_gpu)
        return SW_TIER_GPU;
    if (i >= t->n_gpu + mixed)
        return SW_TIER_DISK;
    const bool streamed =
        t->by_expert ? i >= t->n_gpu + t->n_host : sw_is_spread(i - t->n_gpu, t->n_streamed, mixed);
    return streamed ? SW_TIER_STREAMED : SW_TIER_HOST;
}

#endif
