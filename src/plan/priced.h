/*
 * Lower bounds for plans whose ranks share host memory, by a price on each byte of it (Lagrange's
 * relaxation). A plan that keeps to every node's memory takes at least
 *
 *     the least, over all plans, of its time + price * (host bytes used - host bytes there are)
 *
 * in which ranks no longer depend on each other, so a dynamic programme over ranks and layers finds
 * it. A rank's run of layers is bounded by each layer's cheapest tier. Without a price ranks could
 * all use the whole node; with the best one the bound is short by about one layer on disk.
 * Internal to src/plan/.
 */
#ifndef SW_PLAN_PRICED_H
#define SW_PLAN_PRICED_H

#include "plan/partition.h"

/* One way in which a rank holds a run: which tiers it has besides the GPU's. */
struct priced_mode {
    bool wins;     /* no layer is cheaper off the GPU */
    uint64_t have; /* bytes of GPU memory for layers, embedding and head */
    sw_ps fixed;   /* of host bytes that do not depend on the layers */
    sw_ps *off;    /* (n_layers + 1) prefix sums of each layer's least time and price off the GPU */
    sw_ps *all;    /* (n_layers + 1) and in any tier */
    int16_t *room; /* (n_layers + 1) how many layers from each on fit into the GPU */
};

struct priced_kind {
    struct priced_mode *modes; /* (n_modes) */
    int n_modes;
    sw_ps *runs; /* (run_indices()) sw_priced_run of each run; NULL where layers differ */
};

struct priced {
    const struct search *s;
    int64_t price;             /* picoseconds for each KiB of host memory */
    struct priced_kind *kinds; /* (n_kinds) */
    sw_ps *to;    /* (n_ranks + 1, n_layers + 1) least of layers [p, L) on ranks [j, R) */
    sw_ps *after; /* (n_nodes) price of the memory of all nodes behind this one */
};

/* The bound with the best price that was found. SW_ENOMEM. The caller frees *out, on failure too.
 */
enum sw_status sw_priced_init(const struct search *s, struct priced *out);
/* Only what sw_priced_run gives, without a price: the least time of a run. */
enum sw_status sw_priced_init_runs(const struct search *s, struct priced *out);
void sw_priced_free(struct priced *p);
/* The least time and price of a rank of this kind with a run of layers, without hops. */
sw_ps sw_priced_run(const struct priced *p, int kind, int first, int count);
/* The least time of layers [layer, L) on ranks [rank, R), when `host` bytes of the node of `rank`
 * are used. */
sw_ps sw_priced_rest(const struct priced *p, int rank, int layer, uint64_t host);
/* The same, as part of it: layers [layer + count, L) behind a run that is on `rank`, and the run.
 */
sw_ps sw_priced_rest_with(const struct priced *p, int rank, int layer, int count, uint64_t host);

#endif
