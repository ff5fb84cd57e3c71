/*
 * Owns the exact partition where ranks share their node's host memory, by label setting.
 *
 * A label states that ranks [0, j) hold layers [0, p), with the host memory used on rank j's node
 * and the value so far. Of two labels of one state, one that uses no less memory and has no better
 * value is dropped: whatever follows it can follow the other. A label is also dropped when its
 * value with a bound for the rest cannot beat the best plan known: the relaxed programme's, and one
 * with a price on memory (priced.h). Both keep an optimum, so the plan left at the end is one.
 * Memory starts at 0 on each node, where one label per state is left.
 *
 * For the least sum, plans close to the bound are sought first, then farther ones: how many labels
 * there are depends on how far they may be from it, and the optimum is close. The least maximum is
 * found by halving: whether there is a plan with no stage above a limit takes one label per state,
 * that with the least memory.
 */
#include "plan/priced.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

struct label {
    uint64_t host;
    struct value value;
    int parent; /* index of the label before in the archive; -1: the start */
    int count;  /* layers of the rank before; 0: that rank is left out */
    int split;  /* index of the split of the rank before, in splits */
};

struct cell {
    struct label *items; /* by rising host bytes and falling value */
    int count, capacity;
};

struct step {
    int parent, count, split;
};

struct work {
    const struct search *s;
    const struct sw_cost *c;
    struct value bound;
    bool any;                    /* any plan within the bound will do: values are not counted */
    sw_ps above;                 /* then, the least maximum that was rejected */
    const struct priced *priced; /* for the least sum; else NULL */
    struct cell *now, *next;     /* (n_layers + 1, 2) */
    struct step *archive;
    int n_archive, archive_capacity;
    struct sw_splits splits;
    int **from, **to; /* (n_kinds, run_indices()) splits of a run, [from, to); -1: unknown */
    int final;        /* archive index of the best complete plan; -1: none */
};

static enum sw_status labels_out_of_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory for the planner's search");
}

static enum sw_status labels_archive(struct work *w, const struct label *label, int *index)
{
    if (w->n_archive == w->archive_capacity) {
        const int capacity = w->archive_capacity ? 2 * w->archive_capacity : 4096;
        struct step *items = realloc(w->archive, (size_t)capacity * sizeof *items);
        if (!items)
            return labels_out_of_memory();
        w->archive = items;
        w->archive_capacity = capacity;
    }
    w->archive[w->n_archive] = (struct step){label->parent, label->count, label->split};
    *index = w->n_archive++;
    return SW_OK;
}

/* Inserts unless an item is as good in memory and value; removes those it beats. */
static enum sw_status labels_insert(struct cell *cell, const struct label *label)
{
    struct label *items = cell->items;
    int low = 0, high = cell->count;
    while (low < high) {
        const int mid = (low + high) / 2;
        if (items[mid].host <= label->host)
            low = mid + 1;
        else
            high = mid;
    }
    if (low > 0 && !value_less(label->value, items[low - 1].value))
        return SW_OK;
    int from = low, to = low;
    if (from > 0 && items[from - 1].host == label->host)
        from--;
    while (to < cell->count && !value_less(items[to].value, label->value))
        to++;
    if (from == to && cell->count == cell->capacity) {
        const int capacity = cell->capacity ? 2 * cell->capacity : 4;
        items = realloc(items, (size_t)capacity * sizeof *items);
        if (!items)
            return labels_out_of_memory();
        cell->items = items;
        cell->capacity = capacity;
    }
    memmove(items + from + 1, items + to, (size_t)(cell->count - to) * sizeof *items);
    items[from] = *label;
    cell->count += from + 1 - to;
    return SW_OK;
}

static enum sw_status labels_splits(struct work *w, int rank, int first, int count, int *from,
                                    int *to)
{
    const struct sw_rank_resources *p = &w->c->resources[rank];
    const size_t run = run_index(w->c, first, count);
    int *a = &w->from[p->kind][run], *b = &w->to[p->kind][run];
    if (*a < 0) {
        *a = w->splits.count;
        struct sw_split split;
        if (p->sharers > 1)
            SW_TRY(sw_cost_frontier(w->c, p->kind, first, count, p->host_cap, &w->splits));
        else if (sw_cost_fastest(w->c, p->kind, first, count, p->host_cap, &split))
            SW_TRY(sw_splits_add(&w->splits, &split));
        *b = w->splits.count;
    }
    *from = *a;
    *to = *b;
    return SW_OK;
}

/* Whether a plan whose value is at least this cannot be better. */
static bool labels_reject(struct work *w, struct value value)
{
    if (value_less(value, w->bound))
        return false;
    w->above = sw_min_i64(w->above, value.a);
    return true;
}

/* Whether a plan whose value is at least `value` with so much more of its sum cannot be better. */
static bool labels_hopeless(const struct work *w, struct value value, sw_ps more)
{
    value.a += more;
    return !value_less(value, w->bound);
}

/* Adds a label to the state of the next rank, unless it cannot lead to a better plan. */
static enum sw_status labels_pass(struct work *w, int j, int p, bool local, struct label *label)
{
    const struct sw_cost *c = w->c;
    const bool same = same_node(c, j);
    const size_t rest = state_index(c, j + 1, p, same && local);
    if (w->s->best[rest].a >= SW_PS_NEVER ||
        labels_reject(w, value_join(w->s->goal, label->value, w->s->best[rest])))
        return SW_OK;
    if (!same)
        label->host = 0;
    if (w->priced &&
        labels_hopeless(w, label->value, sw_priced_rest(w->priced, j + 1, p, label->host)))
        return SW_OK;
    if (p == c->n_layers) { /* complete, and better than any so far */
        w->bound = label->value;
        return labels_archive(w, label, &w->final);
    }
    return labels_insert(&w->next[p * 2 + (same && local)], label);
}

/* The first split that takes at most `limit`: of those the one with the least memory. */
static int labels_within(const struct work *w, int from, int to, sw_ps limit)
{
    while (from < to) {
        const int mid = (from + to) / 2;
        if (w->splits.items[mid].time <= limit)
            to = mid;
        else
            from = mid + 1;
    }
    return from;
}

static enum sw_status labels_use_rank(struct work *w, int j, int p, int n, bool local,
                                      const struct label *label, int parent)
{
    const struct sw_cost *c = w->c;
    const enum goal goal = w->s->goal;
    const uint64_t room = c->node_cap[c->resources[j].node] - label->host;
    const sw_ps in = hop_into(c, j, p, local);
    const sw_ps out = p + n == c->n_layers ? sw_cost_hop(c, &c->goal, j, -1) : 0;
    const struct value value = value_join(goal, label->value, value_hop(in));
    int from, to;
    const sw_ps limit = w->any ? sw_min_i64(w->bound.a - 1, w->s->limit) : w->s->limit;
    if (in > limit || out > limit) {
        w->above = sw_min_i64(w->above, larger_ps(in, out));
        return SW_OK;
    }
    SW_TRY(labels_splits(w, j, p, n, &from, &to));
    const int least = from;
    from = labels_within(w, from, to, limit);
    if (from > least)
        w->above = sw_min_i64(w->above, w->splits.items[from - 1].time);
    to = w->any && from < to ? from + 1 : to;
    for (int i = from; i < to && w->splits.items[i].host_bytes <= room; i++) {
        const struct sw_split *split = &w->splits.items[i];
        struct label next = {
            .host = label->host + split->host_bytes, .parent = parent, .count = n, .split = i};
        if (!w->any) {
            next.value = value_join(goal, value, value_stage(goal, split->time));
            next.value = value_join(goal, next.value, value_hop(out));
        }
        SW_TRY(labels_pass(w, j, p + n, true, &next));
    }
    return SW_OK;
}

/* Extends a label, with layers [0, p) on earlier ranks, by all counts of layers on rank j. */
static enum sw_status labels_expand(struct work *w, int j, int p, bool local,
                                    const struct label *label)
{
    const struct sw_cost *c = w->c;
    const struct search *s = w->s;
    const struct sw_rank_resources *resources = &c->resources[j];
    int low, high, parent;
    /* checked again: the bound may be lower now */
    if (labels_reject(w, value_join(s->goal, label->value, s->best[state_index(c, j, p, local)])))
        return SW_OK;
    SW_TRY(labels_archive(w, label, &parent));
    count_range(c, j, p, &low, &high);
    for (int n = low > 1 ? low : 1; n <= high && p + n <= c->n_layers; n++) {
        const struct value *rest = &s->best[state_index(c, j + 1, p + n, same_node(c, j))];
        sw_ps t = s->times[resources->kind][run_index(c, p, n)];
        const bool known = t >= 0; /* else the programme needed none */
        if (!known)
            t = s->floor ? sw_priced_run(s->floor, resources->kind, p, n) : 0;
        if (rest->a >= SW_PS_NEVER || t > s->limit)
            continue;
        if (w->priced &&
            labels_hopeless(w, label->value, sw_priced_rest_with(w->priced, j, p, n, label->host)))
            continue;
        const struct value around = value_join(s->goal, label->value, *rest);
        if (labels_reject(w, value_join(s->goal, around, value_stage(s->goal, t))))
            continue;
        if (!known)
            t = sw_search_time(s, j, p, n);
        if (t > s->limit || labels_reject(w, value_join(s->goal, around, value_stage(s->goal, t))))
            continue;
        SW_TRY(labels_use_rank(w, j, p, n, local, label, parent));
    }
    if (low > 0)
        return SW_OK;
    struct label skip = {.host = label->host, .value = label->value, .parent = parent};
    return labels_pass(w, j, p, local, &skip);
}

static enum sw_status labels_run(struct work *w)
{
    const struct sw_cost *c = w->c;
    const int cells = 2 * (c->n_layers + 1);
    SW_TRY(labels_insert(&w->now[0], &(struct label){.parent = -1}));
    for (int j = 0; j < c->n_ranks; j++) {
        for (int i = 0; i < cells; i++) {
            for (int k = 0; k < w->now[i].count && !(w->any && w->final >= 0); k++)
                SW_TRY(labels_expand(w, j, i / 2, i % 2, &w->now[i].items[k]));
            w->now[i].count = 0;
        }
        struct cell *swap = w->now;
        w->now = w->next;
        w->next = swap;
    }
    return SW_OK;
}

/* Fills the slices with the best plan; ranks after the last step have no layers. */
static void read_plan(const struct work *w, struct sw_slice *slices)
{
    int depth = 0, end = w->c->n_layers;
    for (int i = w->final; w->archive[i].parent >= 0; i = w->archive[i].parent)
        depth++;
    for (int j = w->c->n_ranks - 1; j >= depth; j--)
        slices[j] = (struct sw_slice){.first = end};
    for (int i = w->final; w->archive[i].parent >= 0; i = w->archive[i].parent) {
        const struct step *step = &w->archive[i];
        end -= step->count;
        slices[--depth] = (struct sw_slice){.first = end, .count = step->count};
        if (step->count)
            slices[depth].split = w->splits.items[step->split];
    }
}

static enum sw_status work_init(struct work *w)
{
    const size_t cells = 2 * ((size_t)w->c->n_layers + 1), runs = run_indices(w->c);
    const size_t kinds = (size_t)w->c->n_kinds;
    w->now = calloc(cells, sizeof *w->now);
    w->next = calloc(cells, sizeof *w->next);
    w->from = calloc(kinds, sizeof *w->from);
    w->to = calloc(kinds, sizeof *w->to);
    if (!w->now || !w->next || !w->from || !w->to)
        return labels_out_of_memory();
    for (size_t k = 0; k < kinds; k++) {
        w->from[k] = malloc(runs * sizeof **w->from);
        w->to[k] = malloc(runs * sizeof **w->to);
        if (!w->from[k] || !w->to[k])
            return labels_out_of_memory();
        for (size_t i = 0; i < runs; i++)
            w->from[k][i] = -1;
    }
    return SW_OK;
}

static void work_free(struct work *w)
{
    for (int i = 0; i < 2 * (w->c->n_layers + 1); i++) {
        if (w->now)
            free(w->now[i].items);
        if (w->next)
            free(w->next[i].items);
    }
    for (int k = 0; k < w->c->n_kinds; k++) {
        if (w->from)
            free(w->from[k]);
        if (w->to)
            free(w->to[k]);
    }
    free(w->now);
    free(w->next);
    free(w->from);
    free(w->to);
    free(w->archive);
    free(w->splits.items);
}

/* Seeks a plan that is better than `bound`, the best or any; w->final tells whether there is one.
 */
static enum sw_status labels_seek(struct work *w, struct value bound)
{
    for (int i = 0; i < 2 * (w->c->n_layers + 1); i++)
        w->now[i].count = w->next[i].count = 0;
    w->n_archive = 0;
    w->final = -1;
    w->bound = bound;
    w->above = SW_PS_NEVER;
    return labels_run(w);
}

/* The value of a plan. */
static struct value labels_value(const struct search *s, const struct sw_slice *slices)
{
    const struct sw_cost *c = s->c;
    struct value value = {0, 0};
    bool local = false;
    for (int j = 0; j < c->n_ranks; j++) {
        const struct sw_slice *slice = &slices[j];
        const int end = slice->first + slice->count;
        if (slice->count > 0) {
            const sw_ps in = hop_into(c, j, slice->first, local);
            const sw_ps out = end == c->n_layers ? sw_cost_hop(c, &c->goal, j, -1) : 0;
            value = value_join(s->goal, value, value_hop(in));
            value = value_join(s->goal, value, value_stage(s->goal, slice->split.time));
            value = value_join(s->goal, value, value_hop(out));
        }
        local = same_node(c, j) && (local || slice->count > 0);
    }
    return value;
}

/*
 * The least maximum: nothing is below s->best[0], *bound is known to be reached, or never. A search
 * that finds nothing tells the least limit at which another could go another way.
 */
static enum sw_status labels_halve(struct work *w, struct value *bound, struct sw_slice *slices)
{
    sw_ps low = w->s->best[0].a, mid = low;
    w->any = true;
    while (low < bound->a && low < SW_PS_NEVER) { /* the lowest first: it is often reached */
        SW_TRY(labels_seek(w, (struct value){mid + 1, 0}));
        if (w->final >= 0) {
            read_plan(w, slices);
            *bound = labels_value(w->s, slices);
        } else {
            low = w->above;
        }
        mid = bound->a >= SW_PS_NEVER ? w->s->limit : low + (bound->a - low) / 2;
    }
    w->any = false;
    return SW_OK;
}

/* A plan of any value, for want of a bound. */
static enum sw_status labels_first(struct work *w, struct value *bound, struct sw_slice *slices)
{
    w->any = true;
    SW_TRY(labels_seek(w, VALUE_NEVER));
    w->any = false;
    if (w->final >= 0) {
        read_plan(w, slices);
        *bound = labels_value(w->s, slices);
    }
    return SW_OK;
}

/* The least sum: plans at most so far from what all take at least are sought, then farther ones. */
static enum sw_status labels_widen(struct work *w, struct value *bound, struct sw_slice *slices)
{
    struct priced priced;
    if (bound->a >= SW_PS_NEVER)
        SW_TRY(labels_first(w, bound, slices));
    if (bound->a >= SW_PS_NEVER)
        return SW_OK; /* nothing fits */
    enum sw_status status = sw_priced_init(w->s, &priced);
    if (status == SW_OK) {
        const sw_ps least = larger_ps(w->s->best[0].a, sw_priced_rest(&priced, 0, 0, 0));
        const sw_ps gap = bound->a - least;
        w->priced = &priced;
        w->final = -1;
        for (int share = 64; share > 0 && status == SW_OK && w->final < 0; share /= 2) {
            const struct value near = {least + gap / share + 1, 0};
            const bool all = share == 1 || !value_less(near, *bound);
            status = labels_seek(w, all ? *bound : near);
            if (all)
                break;
        }
        w->priced = NULL;
    }
    sw_priced_free(&priced);
    if (status == SW_OK && w->final >= 0) {
        *bound = w->bound;
        read_plan(w, slices);
    }
    return status;
}

enum sw_status sw_labels(const struct search *s, struct value *bound, struct sw_slice *slices)
{
    struct work w = {.s = s, .c = s->c, .final = -1};
    enum sw_status status = work_init(&w);
    if (status == SW_OK)
        status =
            s->goal == GOAL_MAX ? labels_halve(&w, bound, slices) : labels_widen(&w, bound, slices);
    work_free(&w);
    return status;
}
