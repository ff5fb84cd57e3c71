/*
 * Owns advice: what would make a model fit. Each piece of advice is one change, as small as
 * possible, and is tested by planning with it.
 */
#include "plan/advice.h"

#include "base/units.h"
#include "model/weight_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NODES 256 /* most additional nodes to advise */
#define MOST_HOST 4096 /* most additional GiB of host memory on a node to advise */

struct trial {
    const struct sw_cost *cost;
    struct sw_footprint_params params;
    struct sw_plan_options options;
    struct sw_cluster cluster;
    struct sw_plan *plan;
    enum sw_status status; /* a failure other than "does not fit" ends the search */
};

/* Whether the model fits with the trial's parameters, options and cluster. */
static bool trial_fits(struct trial *t)
{
    const struct sw_footprint *fp = t->cost->fp;
    const bool changed = t->params.context != fp->params.context ||
                         t->params.slots != fp->params.slots ||
                         t->params.weights != fp->params.weights;
    struct sw_footprint other = {0};
    struct sw_cost cost = {0};
    if (t->status != SW_OK)
        return false;
    if (changed) {
        t->status = t->options.footprint_at(t->options.user, &t->params, &other);
        if (t->status != SW_OK)
            return false;
    }
    enum sw_status status = sw_cost_init(&cost, changed ? &other : fp, &t->cluster, &t->options);
    struct sw_slice *slices = NULL;
    if (status == SW_OK) {
        slices = calloc((size_t)cost.n_ranks, sizeof *slices);
        status = slices ? sw_partition(&cost, slices) : sw_fail(SW_ENOMEM, "no memory for advice");
    }
    free(slices);
    sw_cost_free(&cost);
    if (changed)
        sw_footprint_free(&other);
    if (status != SW_OK && status != SW_ENOFIT)
        t->status = status;
    return status == SW_OK;
}

static struct sw_advice *advice_add(struct trial *t, enum sw_advice_kind kind, uint64_t value)
{
    struct sw_advice *advice = &t->plan->advice[t->plan->n_advice++];
    *advice = (struct sw_advice){.kind = kind, .value = value, .format = t->params.weights};
    return advice;
}

static void try_caps(struct trial *t)
{
    const struct sw_plan_options *o = t->cost->options;
    const bool gpu = o->gpu_memory != UINT64_MAX, host = o->host_memory != UINT64_MAX;
    if (!gpu && !host)
        return;
    t->options.gpu_memory = t->options.host_memory = UINT64_MAX;
    if (trial_fits(t))
        snprintf(advice_add(t, SW_ADVICE_CAPS, 0)->text, sizeof t->plan->advice[0].text,
                 "leave out %s%s%s", gpu ? "--gpu-memory" : "", gpu && host ? " and " : "",
                 host ? "--host-memory" : "");
    t->options.gpu_memory = o->gpu_memory;
    t->options.host_memory = o->host_memory;
}

/* The largest multiple of `unit` below the given value of *field that fits; 0: none. */
static int advice_largest(struct trial *t, int *field, int unit)
{
    const int given = *field;
    int low = 0, high = (given - 1) / unit; /* low fits (or is 0) */
    while (low < high) {
        const int mid = (low + high + 1) / 2;
        *field = mid * unit;
        if (trial_fits(t))
            low = mid;
        else
            high = mid - 1;
    }
    *field = given;
    return low * unit;
}

static void try_context(struct trial *t)
{
    const int given = t->params.context;
    const int value =
        advice_largest(t, &t->params.context, given > SW_KEY_BLOCK ? SW_KEY_BLOCK : 1);
    if (value > 0)
        snprintf(advice_add(t, SW_ADVICE_CONTEXT, (uint64_t)value)->text,
                 sizeof t->plan->advice[0].text, "--context %d (instead of %d)", value, given);
}

static void try_slots(struct trial *t)
{
    const int given = t->params.slots, value = advice_largest(t, &t->params.slots, 1);
    if (value > 0)
        snprintf(advice_add(t, SW_ADVICE_SLOTS, (uint64_t)value)->text,
                 sizeof t->plan->advice[0].text, "--slots %d (instead of %d)", value, given);
}

/* What people quantize to; other formats are there for files that have them. */
static bool advice_names(enum sw_format_id format)
{
    const struct sw_format *f = sw_format_of(format);
    return !sw_format_is_quantized(format) || f->row_scale || f->ggml_type;
}

/* The largest format that is smaller than the given one and fits. */
static void try_weights(struct trial *t)
{
    const struct sw_footprint_params given = t->params;
    char named[SW_CHOICE_TEXT];
    enum sw_format_id best = SW_FORMAT_NONE;
    for (int i = 0; i < SW_FORMAT_COUNT; i++) {
        const enum sw_format_id format = (enum sw_format_id)i;
        if (!advice_names(format) || sw_format_bits(format) >= sw_format_bits(given.weights))
            continue;
        if (best != SW_FORMAT_NONE && sw_format_bits(format) <= sw_format_bits(best))
            continue;
        t->params.weights = format;
        t->params.as_stored = false;
        t->params.mix = 0;
        memset(t->params.by_role, 0, sizeof t->params.by_role);
        if (trial_fits(t))
            best = format;
    }
    t->params = given;
    if (best == SW_FORMAT_NONE)
        return;
    struct sw_advice *advice = advice_add(t, SW_ADVICE_WEIGHTS, 0);
    advice->format = best;
    snprintf(advice->text, sizeof advice->text, "--weights %s (instead of %.48s)",
             sw_format_of(best)->name, sw_weights_text(&given, named));
}

static bool node_alike(const struct sw_node *a, const struct sw_node *b)
{
    if (a->n_devices != b->n_devices || a->host_free != b->host_free || a->n_ranks != b->n_ranks)
        return false;
    for (int i = 0; i < a->n_devices; i++)
        if (a->devices[i].free != b->devices[i].free)
            return false;
    return true;
}

static bool node_repeats(const struct sw_cluster *cluster, int node)
{
    for (int i = 0; i < node; i++)
        if (node_alike(&cluster->nodes[i], &cluster->nodes[node]))
            return true;
    return false;
}

/* The least additional memory, in GiB, on one node: that which needs least. */
static void try_host(struct trial *t)
{
    const uint64_t unit = 1ull << 30;
    uint64_t best = (t->cost->weights[t->cost->n_layers] + t->cost->kv[t->cost->n_layers] +
                     t->cost->fp->embed_bytes + t->cost->fp->head_bytes) /
                        unit +
                    64;
    int best_node = -1, tried = 0;
    best = best < MOST_HOST ? best : MOST_HOST;
    for (int n = 0; n < t->cluster.n_nodes && tried < 8; n++) {
        struct sw_node *node = &t->cluster.nodes[n];
        const uint64_t free = node->host_free;
        if (node_repeats(&t->cluster, n))
            continue;
        tried++;
        node->host_free = free + best * unit;
        uint64_t low = 0, high = best; /* high fits */
        if (trial_fits(t)) {
            while (low + 1 < high) {
                const uint64_t mid = (low + high) / 2;
                node->host_free = free + mid * unit;
                if (trial_fits(t))
                    high = mid;
                else
                    low = mid;
            }
            if (best_node < 0 || high < best) {
                best = high;
                best_node = n;
            }
        }
        node->host_free = free;
    }
    if (best_node < 0)
        return;
    struct sw_advice *advice = advice_add(t, SW_ADVICE_HOST, best * unit);
    advice->node = best_node;
    snprintf(advice->text, sizeof advice->text, "%llu GiB more host memory on %s",
             (unsigned long long)best, t->cluster.nodes[best_node].name);
}

static enum sw_status advice_add_node_like(struct sw_cluster *cluster, const struct sw_node *like)
{
    struct sw_node *node = sw_cluster_add_node(cluster);
    if (!node)
        return sw_fail(SW_ENOMEM, "no memory for advice");
    struct sw_node copy = *like;
    copy.devices = NULL;
    copy.n_devices = 0;
    *node = copy;
    for (int i = 0; i < like->n_devices; i++) {
        struct sw_device *device = sw_node_add_device(node);
        if (!device)
            return sw_fail(SW_ENOMEM, "no memory for advice");
        *device = like->devices[i];
    }
    node->n_ranks = like->n_ranks;
    return SW_OK;
}

/* Whether it fits with `more` nodes like the last one. */
static bool fits_with_nodes(struct trial *t, int more)
{
    struct sw_cluster small = t->cluster, grown;
    if (t->status == SW_OK)
        t->status = sw_cluster_copy(&small, &grown);
    if (t->status != SW_OK)
        return false;
    for (int i = 0; t->status == SW_OK && i < more; i++)
        t->status = advice_add_node_like(&grown, &small.nodes[small.n_nodes - 1]);
    t->cluster = grown;
    const bool ok = trial_fits(t);
    sw_cluster_free(&t->cluster);
    t->cluster = small;
    return ok;
}

static void try_nodes(struct trial *t)
{
    if (t->options.slices || t->options.n_ranks)
        return;
    int low = 0, high = 1;
    while (high <= MOST_NODES && !fits_with_nodes(t, high)) {
        low = high;
        high *= 2;
    }
    if (high > MOST_NODES)
        return;
    while (low + 1 < high) {
        const int mid = (low + high) / 2;
        if (fits_with_nodes(t, mid))
            high = mid;
        else
            low = mid;
    }
    struct sw_advice *advice = advice_add(t, SW_ADVICE_NODES, (uint64_t)high);
    advice->node = t->cluster.n_nodes - 1;
    snprintf(advice->text, sizeof advice->text, "%d more node%s like %s", high,
             high == 1 ? "" : "s", t->cluster.nodes[advice->node].name);
}

static void try_disk(struct trial *t)
{
    bool all = true;
    if (t->options.no_disk)
        return;
    for (int n = 0; n < t->cluster.n_nodes; n++) {
        all &= t->cluster.nodes[n].disk_tier;
        t->cluster.nodes[n].disk_tier = true;
    }
    if (!all && trial_fits(t))
        snprintf(advice_add(t, SW_ADVICE_DISK, 0)->text, sizeof t->plan->advice[0].text,
                 "layers left on disk, with disk:%.3gGB/s in the cluster (slow)",
                 t->cluster.nodes[0].disk_bandwidth / 1e9);
    for (int n = 0; n < t->cluster.n_nodes; n++)
        t->cluster.nodes[n].disk_tier = t->cost->cluster->nodes[n].disk_tier;
}

enum sw_status sw_advise(const struct sw_cost *cost, struct sw_plan *plan)
{
    struct trial t = {
        .cost = cost, .params = cost->fp->params, .options = *cost->options, .plan = plan};
    t.options.objective = SW_OBJECTIVE_LATENCY;
    SW_TRY(sw_cluster_copy(cost->cluster, &t.cluster));
    try_caps(&t);
    if (t.options.footprint_at) {
        try_context(&t);
        try_slots(&t);
        try_weights(&t);
    }
    try_host(&t);
    try_nodes(&t);
    try_disk(&t);
    sw_cluster_free(&t.cluster);
    return t.status;
}
