/*
 * Owns the partition: which contiguous layers each rank gets, so that the objective is least.
 *
 * A dynamic programme runs from the last rank to the first: best(j, p, local) is the least value of
 * layers [p, L) on ranks [j, R). Its step tries every count of layers on rank j, each with its
 * fastest split into tiers (split_search.c). It is exact for ranks that share nothing. Ranks of one
 * node share the node's host memory, which the programme relaxes at first: each may use all of it.
 *
 *  1. The relaxed optimum is a lower bound. If its plan keeps to every node's memory, it is the
 *     optimum. That is the common case: GPUs hold everything, or a node has one rank.
 *  2. Else the same programme with an even share of the node's memory for each rank gives a plan,
 *     an upper bound. If the bounds meet, it is the optimum.
 *  3. Else labels.c also tracks the memory used, within the bounds of 1 and 2, and is exact.
 *
 * Throughput minimises the slowest stage first (values are joined by max), and then the sum among
 * the plans whose stages are all within that limit. Latency minimises the sum, then the slowest
 * stage: a lexicographic order in which the sum, that only grows, comes first, keeps the principle
 * of optimality, so one pass does both.
 *
 * Times are integers, so sums are exact and equal plans compare equal. Of equal plans the one that
 * uses earlier ranks, with fewer layers on them, is taken, so the result is always the same.
 */
#include "plan/priced.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN (-1)

static uint64_t host_cap_of(const struct search *s, int rank)
{
    const struct sw_rank_resources *p = &s->c->resources[rank];
    return s->even ? p->even_cap : p->host_cap;
}

sw_ps sw_search_time(const struct search *s, int rank, int first, int count)
{
    const struct sw_cost *c = s->c;
    const int kind = c->resources[rank].kind;
    sw_ps *t = &s->times[kind][run_index(c, first, count)];
    if (*t == UNKNOWN) {
        struct sw_split split;
        const bool fits = sw_cost_fastest(c, kind, first, count, host_cap_of(s, rank), &split);
        *t = fits ? split.time : SW_PS_NEVER;
    }
    return *t;
}

/* The best count > 0 for a rank so far. */
struct use {
    struct value value;
    int count; /* 0: none */
};

/* Whether a plan that takes so long for n layers is the better one; of equal ones that with fewer
 * layers is. */
static bool use_is_better(const struct use *best, struct value v, int n)
{
    return value_less(v, best->value) || (!value_less(best->value, v) && n < best->count);
}

/* Tries n layers from layer p on for rank j. */
static void try_use(struct search *s, int j, int p, int n, struct use *best)
{
    const struct sw_cost *c = s->c;
    const struct value *rest = &s->best[state_index(c, j + 1, p + n, same_node(c, j))];
    const sw_ps out = p + n == c->n_layers ? sw_cost_hop(c, &c->goal, j, -1) : 0;
    if (rest->a >= SW_PS_NEVER || out > s->limit || value_less(best->value, *rest))
        return;
    const struct value behind = value_join(s->goal, *rest, value_hop(out));
    if (s->floor) {
        const sw_ps least = sw_priced_run(s->floor, c->resources[j].kind, p, n);
        if (least > s->limit ||
            !use_is_better(best, value_join(s->goal, value_stage(s->goal, least), behind), n))
            return;
    }
    const sw_ps t = sw_search_time(s, j, p, n);
    const struct value v = value_join(s->goal, value_stage(s->goal, t), behind);
    if (t <= s->limit && use_is_better(best, v, n))
        *best = (struct use){v, n};
}

/* The best count > 0 for rank j from layer p on, without the hop into it. */
static struct use best_use(struct search *s, int j, int p)
{
    const struct sw_cost *c = s->c;
    struct use best = {VALUE_NEVER, 0};
    int low, high;
    count_range(c, j, p, &low, &high);
    low = low > 1 ? low : 1;
    high = high < c->n_layers - p ? high : c->n_layers - p;
    /* what was best for the layer before comes first, so that most others need not be looked at */
    const int near = s->floor && p > 0 ? s->count[state_index(c, j, p - 1, false)] : 0;
    if (near >= low && near <= high)
        try_use(s, j, p, near, &best);
    for (int n = low; n <= high; n++)
        try_use(s, j, p, n, &best);
    return best;
}

static void partition_relax_step(struct search *s, int j, int p)
{
    const struct sw_cost *c = s->c;
    int low, high;
    const struct use use = best_use(s, j, p);
    count_range(c, j, p, &low, &high);
    for (int local = 0; local < 2; local++) {
        const bool still = local && same_node(c, j);
        struct value best = low == 0 ? s->best[state_index(c, j + 1, p, still)] : VALUE_NEVER;
        const sw_ps hop = hop_into(c, j, p, local);
        s->count[state_index(c, j, p, local)] = 0;
        if (use.count && hop <= s->limit) {
            const struct value v = value_join(s->goal, value_hop(hop), use.value);
            if (!value_less(best, v)) {
                best = v;
                s->count[state_index(c, j, p, local)] = (int16_t)use.count;
            }
        }
        s->best[state_index(c, j, p, local)] = best;
    }
}

static void partition_relax(struct search *s)
{
    const struct sw_cost *c = s->c;
    for (int p = 0; p <= c->n_layers; p++)
        for (int local = 0; local < 2; local++)
            s->best[state_index(c, c->n_ranks, p, local)] =
                p == c->n_layers ? (struct value){0, 0} : VALUE_NEVER;
    for (int j = c->n_ranks - 1; j >= 0; j--) {
        for (int p = 0; p < c->n_layers; p++)
            partition_relax_step(s, j, p);
        for (int local = 0; local < 2; local++) {
            int low, high; /* all layers are placed: the ranks that are left stay out */
            count_range(c, j, c->n_layers, &low, &high);
            const size_t i = state_index(c, j, c->n_layers, local);
            s->best[i] =
                low == 0 ? s->best[state_index(c, j + 1, c->n_layers, local)] : VALUE_NEVER;
            s->count[i] = 0;
        }
    }
}

/* The plan of the relaxed optimum. Returns whether it keeps to every node's host memory. */
static bool read_plan(const struct search *s, struct sw_slice *slices)
{
    const struct sw_cost *c = s->c;
    uint64_t used = 0;
    bool local = false, kept = true;
    for (int j = 0, p = 0; j < c->n_ranks; j++) {
        const int n = s->count[state_index(c, j, p, local)];
        slices[j] = (struct sw_slice){.first = p, .count = n};
        if (n) {
            sw_cost_fastest(c, c->resources[j].kind, p, n, host_cap_of(s, j), &slices[j].split);
            used += slices[j].split.host_bytes;
            kept &= used <= c->node_cap[c->resources[j].node];
        }
        p += n;
        local = same_node(c, j) && (local || n);
        if (!same_node(c, j))
            used = 0;
    }
    return kept;
}

static bool partition_has_disk(const struct sw_cost *c)
{
    for (int k = 0; k < c->n_kinds; k++)
        if (c->kinds[k].resources->disk)
            return true;
    return false;
}

static enum sw_status search_bound_runs(struct search *s)
{
    if (s->c->uniform || !partition_has_disk(s->c))
        return SW_OK;
    s->floor = calloc(1, sizeof *s->floor);
    return s->floor ? sw_priced_init_runs(s, s->floor)
                    : sw_fail(SW_ENOMEM, "no memory for the planner's bounds");
}

static void search_free(struct search *s)
{
    if (s->floor)
        sw_priced_free(s->floor);
    free(s->floor);
    for (int k = 0; s->times && k < s->c->n_kinds; k++)
        free(s->times[k]);
    free(s->times);
    free(s->best);
    free(s->count);
    *s = (struct search){0};
}

static enum sw_status search_init(struct search *s, const struct sw_cost *c, bool even)
{
    const size_t states = state_index(c, c->n_ranks + 1, 0, 0), runs = run_indices(c);
    *s = (struct search){.c = c, .even = even, .limit = SW_PS_NEVER - 1};
    s->best = calloc(states, sizeof *s->best);
    s->count = calloc(states, sizeof *s->count);
    s->times = calloc((size_t)c->n_kinds, sizeof *s->times);
    bool ok = s->best && s->count && s->times;
    for (int k = 0; ok && k < c->n_kinds; k++) {
        ok = (s->times[k] = malloc(runs * sizeof **s->times)) != NULL;
        for (size_t i = 0; ok && i < runs; i++)
            s->times[k][i] = UNKNOWN;
    }
    enum sw_status status = SW_OK;
    if (ok && (status = search_bound_runs(s)) == SW_OK)
        return SW_OK;
    search_free(s);
    if (status != SW_OK)
        return status;
    return sw_fail(SW_ENOMEM, "no memory to plan %d layers over %d ranks", c->n_layers, c->n_ranks);
}

static enum sw_status optimise(struct search *alone, struct search *even, enum goal goal,
                               sw_ps limit, struct sw_slice *slices, sw_ps *slowest)
{
    const struct sw_cost *c = alone->c;
    alone->goal = even->goal = goal;
    alone->limit = even->limit = limit;
    partition_relax(alone);
    struct value bound = alone->best[0];
    if (bound.a >= SW_PS_NEVER)
        return SW_ENOFIT;
    if (!read_plan(alone, slices)) {
        if (!even->best)
            SW_TRY(search_init(even, c, true));
        even->goal = goal;
        even->limit = limit;
        partition_relax(even);
        bound = even->best[0];
        if (bound.a < SW_PS_NEVER)
            read_plan(even, slices);
        const bool good_enough = c->options->rough && bound.a < SW_PS_NEVER;
        if (value_less(alone->best[0], bound) && !good_enough)
            SW_TRY(sw_labels(alone, &bound, slices));
        if (bound.a >= SW_PS_NEVER)
            return SW_ENOFIT;
    }
    *slowest = bound.a;
    return SW_OK;
}

enum sw_status sw_partition(const struct sw_cost *cost, struct sw_slice *slices)
{
    struct search alone, even = {0};
    sw_ps limit = SW_PS_NEVER - 1;
    SW_TRY(search_init(&alone, cost, false));
    enum sw_status status = SW_OK;
    if (!sw_cost_alone(cost))
        status = optimise(&alone, &even, GOAL_MAX, limit, slices, &limit);
    sw_ps sum;
    if (status == SW_OK)
        status = optimise(&alone, &even, GOAL_SUM, limit, slices, &sum);
    search_free(&alone);
    if (even.c)
        search_free(&even);
    return status;
}
