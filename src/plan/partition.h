/* Shared by partition.c (relaxed programme) and labels.c (exact one). Internal to src/plan/. */
#ifndef SW_PLAN_PARTITION_H
#define SW_PLAN_PARTITION_H

#include "plan/cost.h"

/*
 * What is minimised, lexicographically. SUM: a is the sum over stages and hops, b the slowest
 * stage (so that equal sums are cut evenly). MAX: a is the slowest stage or hop, b is 0.
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

/* The value of two parts of one plan. */
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

/*
 * A search: the least value of layers [p, L) on ranks [j, R), when each rank may use its host
 * memory as if it were alone (or an even share). `local`: an earlier rank of rank j's node has
 * layers, so that the hop into the next stage of this node stays inside it.
 */
struct search {
    const struct sw_cost *c;
    enum goal goal;
    sw_ps limit;        /* stages and hops that take longer are not allowed */
    bool even;          /* host memory: even shares instead of all of the node's */
    sw_ps **times;      /* per kind: the fastest split of each run of layers, see run_index() */
    struct value *best; /* (n_ranks + 1, n_layers + 1, 2) */
    int16_t *count;     /* (n_ranks, n_layers + 1, 2): layers of rank j then; 0: left out */
};

static inline size_t state_index(const struct sw_cost *c, int rank, int layer, bool local)
{
    return ((size_t)rank * (size_t)(c->n_layers + 1) + (size_t)layer) * 2 + local;
}

/* Runs that cost the same share an index: with uniform layers only the count and the ends matter.
 */
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

/* The hop into rank `to`, which is the first with layers (layer 0) or follows another. */
static inline sw_ps hop_into(const struct sw_cost *c, int to, int layer, bool local)
{
    if (layer == 0)
        return sw_cost_hop(c, &c->goal, -1, to);
    return local ? c->goal.local : c->goal.link;
}

/* Is the next rank on the same node? */
static inline bool same_node(const struct sw_cost *c, int rank)
{
    return rank + 1 < c->n_ranks && c->resources[rank].node == c->resources[rank + 1].node;
}

/* The counts that rank may take from layer on: [*low, *high], by --slices or all of them. */
static inline void count_range(const struct sw_cost *c, int rank, int layer, int *low, int *high)
{
    const struct sw_plan_options *o = c->options;
    *low = o->least;
    *high = c->n_layers - layer;
    if (o->slices)
        *low = *high = rank < o->n_slices ? o->slices[rank] : 0;
}

/*
 * Starts from the relaxed programme `s` and the plan in `slices` of value *bound, if there is one;
 * replaces both when a plan of less value keeps to the nodes' host memory. Exact.
 */
enum sw_status sw_labels(const struct search *s, struct value *bound, struct sw_slice *slices);

#endif
