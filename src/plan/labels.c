/*
 * Owns the exact partition where ranks share their node's host memory, by label setting.
 *
 * A label states that ranks [0, j) hold layers [0, p), with the host memory used on rank j's node
 * and the value so far. Of two labels of one state, one that uses no less memory and has no better
 * value is dropped: whatever follows it can follow the other. A label is also dropped when its
 * value with the relaxed bound for the rest cannot beat the best plan known. Both keep an optimum,
 * so the plan left at the end is one. Memory starts at 0 on each node, where one label per state is
 * left.
 */
#include "plan/partition.h"

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
    struct cell *now, *next; /* (n_layers + 1, 2) */
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

/* Adds a label to the state of the next rank, unless it cannot lead to a better plan. */
static enum sw_status labels_pass(struct work *w, int j, int p, bool local, struct label *label)
{
    const struct sw_cost *c = w->c;
    const bool same = same_node(c, j);
    const size_t rest = state_index(c, j + 1, p, same && local);
    if (w->s->best[rest].a >= SW_PS_NEVER ||
        !value_less(value_join(w->s->goal, label->value, w->s->best[rest]), w->bound))
        return SW_OK;
    if (!same)
        label->host = 0;
    if (p == c->n_layers) { /* complete, and better than any so far */
        w->bound = label->value;
        return labels_archive(w, label, &w->final);
    }
    return labels_insert(&w->next[p * 2 + (same && local)], label);
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
    if (in > w->s->limit || out > w->s->limit)
        return SW_OK;
    SW_TRY(labels_splits(w, j, p, n, &from, &to));
    for (int i = from; i < to && w->splits.items[i].host_bytes <= room; i++) {
        const struct sw_split *split = &w->splits.items[i];
        if (split->time > w->s->limit)
            continue;
        struct label next = {
            .host = label->host + split->host_bytes, .parent = parent, .count = n, .split = i};
        next.value = value_join(goal, value, value_stage(goal, split->time));
        next.value = value_join(goal, next.value, value_hop(out));
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
    if (!value_less(value_join(s->goal, label->value, s->best[state_index(c, j, p, local)]),
                    w->bound))
        return SW_OK;
    SW_TRY(labels_archive(w, label, &parent));
    count_range(c, j, p, &low, &high);
    for (int n = low > 1 ? low : 1; n <= high && p + n <= c->n_layers; n++) {
        const struct value *rest = &s->best[state_index(c, j + 1, p + n, same_node(c, j))];
        const sw_ps t = s->times[resources->kind][run_index(c, p, n)];
        if (rest->a >= SW_PS_NEVER || t > s->limit) /* t is -1 where the programme needed none */
            continue;
        struct value least = value_join(s->goal, label->value, *rest);
        if (t > 0)
            least = value_join(s->goal, least, value_stage(s->goal, t));
        if (value_less(least, w->bound))
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
            for (int k = 0; k < w->now[i].count; k++)
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

enum sw_status sw_labels(const struct search *s, struct value *bound, struct sw_slice *slices)
{
    struct work w = {.s = s, .c = s->c, .bound = *bound, .final = -1};
    enum sw_status status = work_init(&w);
    if (status == SW_OK)
        status = labels_run(&w);
    if (status == SW_OK && w.final >= 0) {
        *bound = w.bound;
        read_plan(&w, slices);
    }
    work_free(&w);
    return status;
}
