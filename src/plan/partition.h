/* Shared by partition.c (relaxed programme) and labels.c (exact search). Internal to src/plan/. */
#ifndef SW_PLAN_PARTITION_H
#define SW_PLAN_PARTITION_H

#include "plan/cost.h"

/*
 * What a search minimises: first a, then b. GOAL_SUM: a is the sum over stages and hops, b the
 * slowest stage, so that equal sums are cut evenly. GOAL_MAX: a is the slowest stage or hop, b is
 * 0.
 */
enum goal { GOAL_SUM, GOAL_MAX };
struct value {
    sw_ps a, b;
};
#define VALUE_NEVER ((struct value){SW_PS_NEVER, SW_PS_NEVER})

static inline bool value_less(struct value x, struct value y)
{
    return x.a < y.a || (x.a == y.a && x.b < y.b);
}

static inline sw_ps larger_ps(sw_ps x, sw_ps y)
{
    return x > y ? x : y;
}

/* The value of two parts of one plan together. */
static inline struct value value_join(enum goal goal, struct value x, struct value y)
{
    if (goal == GOAL_MAX)
        return (struct value){larger_ps(x.a, y.a), 0};
    return (struct value){x.a + y.a, larger_ps(x.b, y.b)};
}

static inline struct value value_stage(enum goal goal, sw_ps t)
{
    return (struct value){t, goal == GOAL_SUM ? t : 0};
}

static inline struct value value_hop(sw_ps t)
{
    return (struct value){t, 0};
}

struct priced; /* priced.h */

/*
 * A search for the least value of layers [p, L) on ranks [j, R), where each rank may use the host
 * memory of its node as if it were alone there, or an even share of it. State (j, p, local); local:
 * an earlier rank of the node of rank j has layers, so the hop to rank j stays inside the node.
 */
struct search {
    const struct sw_cost *c;
    enum goal goal;
    sw_ps limit;   /* longest time allowed for a stage or a hop */
    bool even;     /* a rank may use an even share of host memory, not all of the node's */
    sw_ps **times; /* (n_kinds, run_indices()) time of the fastest split of a run; -1: unknown */
    struct value *best;   /* (n_ranks + 1, n_layers + 1, 2) least value from a state on */
    int16_t *count;       /* (n_ranks, n_layers + 1, 2) layers of rank j in it; 0: left out */
    struct priced *floor; /* bounds of runs, where finding the fastest split takes long; or NULL */
};

static inline size_t state_index(const struct sw_cost *c, int rank, int layer, bool local)
{
    return ((size_t)rank * (size_t)(c->n_layers + 1) + (size_t)layer) * 2 + local;
}

/* The index of a run of layers; with uniform layers, runs of equal count and ends share one. */
static inline size_t run_index(const struct sw_cost *c, int first, int count)
{
    const size_t n = (size_t)c->n_layers + 1;
    if (!c->uniform)
        return (size_t)first * n + (size_t)count;
    return ((size_t)(first == 0) * 2 + (size_t)(first + count == c->n_layers)) * n + (size_t)count;
}

static inline size_t run_indices(const struct sw_cost *c)
{
    const size_t n = (size_t)c->n_layers + 1;
    return c->uniform ? 4 * n : n * n;
}

/* The time of the hop into rank `to`, whose layers start at `layer`; from rank 0 if that is 0. */
static inline sw_ps hop_into(const struct sw_cost *c, int to, int layer, bool local)
{
    if (layer == 0)
        return sw_cost_hop(c, &c->goal, -1, to);
    return local ? c->goal.local : c->goal.link;
}

/* Whether the next rank is on the same node. */
static inline bool same_node(const struct sw_cost *c, int rank)
{
    return rank + 1 < c->n_ranks && c->resources[rank].node == c->resources[rank + 1].node;
}

/* How many layers the rank may take from `layer` on, [*low, *high]: all, or as --slices states. */
static inline void count_range(const struct sw_cost *c, int rank, int layer, int *low, int *high)
{
    const struct sw_plan_options *o = c->options;
    *low = o->least;
    *high = c->n_layers - layer;
    if (o->slices)
        *low = *high = rank < o->n_slices ? o->slices[rank] : 0;
}

/* The time of the fastest split of a run on a rank, SW_PS_NEVER if there is none; kept in times. */
sw_ps sw_search_time(const struct search *s, int rank, int first, int count);
/*
 * Finds the optimum within the nodes' host memory. `s`: the solved relaxed programme; slices and
 * *bound: a plan and its value, or SW_PS_NEVER. Both are replaced when a better plan exists.
 * SW_ENOMEM.
 */
enum sw_status sw_labels(const struct search *s, struct value *bound, struct sw_slice *slices);

#endif
