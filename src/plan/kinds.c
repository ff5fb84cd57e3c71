/*
 * Owns the tables of the search: prefix sums of the layers' times in each tier, for each kind of
 * rank resources and each way to run host and disk layers.
 */
#include "base/checked.h"
#include "plan/layer_time.h"

#include <stddef.h>
#include <stdlib.h>

/* Times of one layer in each tier; the fields are as in struct sw_kind. */
struct times {
    sw_ps gpu, host[2], streamed[SW_UNITS], disk[2 * SW_UNITS], least[SW_WAYS], floor[SW_WAYS];
};

/* Time of a layer in the objective's measure, at decode and for prompts in these places. */
static sw_ps kinds_time(const struct sw_cost *c, const struct sw_rank_resources *p,
                        const struct sw_layer_footprint *layer, struct sw_place at_step,
                        struct sw_place at_prompt)
{
    const struct sw_load step = sw_decode_load(c), prompt = sw_prompt_load(c, c->prompt_rows);
    return sw_cost_measure(c, sw_layer_time(c, p, layer, at_step, &step),
                           sw_layer_time(c, p, layer, at_prompt, &prompt));
}

static struct times kinds_layer(const struct sw_cost *c, const struct sw_rank_resources *p,
                                const struct sw_layer_footprint *layer)
{
    const struct sw_place host = {.tier = SW_TIER_HOST}, gpu = {.tier = SW_TIER_GPU};
    const struct sw_place passing = {.tier = SW_TIER_HOST, .by_gpu = true};
    struct times t = {.host[0] = kinds_time(c, p, layer, host, host)};
    if (p->device >= 0) {
        t.gpu = kinds_time(c, p, layer, gpu, gpu);
        t.host[1] = kinds_time(c, p, layer, host, passing);
    }
    for (int u = 0; u < c->n_units && p->device >= 0; u++) {
        const struct sw_place streamed = {.tier = SW_TIER_STREAMED, .cached = c->cached[u]};
        t.streamed[u] = kinds_time(c, p, layer, streamed, streamed);
    }
    for (int i = 0; i < 2 * c->n_units; i++) {
        const struct sw_place disk = {
            .tier = SW_TIER_DISK, .by_gpu = i & 1, .cached = c->cached[i / 2]};
        if (!p->disk)
            t.disk[i] = t.host[0];
        else if (p->device >= 0 || !disk.by_gpu)
            t.disk[i] = kinds_time(c, p, layer, disk, disk);
    }
    for (int way = 0; way < c->n_ways; way++) {
        const sw_ps on_host = t.host[way & SW_WAY_PROMPT];
        const sw_ps off = p->disk ? sw_min_i64(on_host, t.disk[way / SW_WAY_DISK]) : on_host;
        t.least[way] = sw_min_i64(t.streamed[way / SW_WAY_UNIT], off);
        t.floor[way] = sw_min_i64(t.gpu, t.least[way]);
    }
    return t;
}

/* Updates what holds for all layers with the times of one more. `first`: it is the first. */
static void kinds_compare(const struct sw_cost *c, struct sw_kind *k, const struct times *t,
                          bool first)
{
    const sw_ps crossings = 3 * (k->crossing + k->prompt_crossing);
    for (int way = 0; way < c->n_ways; way++) {
        const sw_ps from_disk = t->disk[way / SW_WAY_DISK] - t->least[way];
        const sw_ps streamed = t->streamed[way / SW_WAY_UNIT] - t->least[way];
        k->gpu_wins[way] &= t->gpu <= t->least[way];
        k->stream_costs[way] = first ? streamed : sw_min_i64(k->stream_costs[way], streamed);
        k->disk_costs[way] = first ? from_disk : sw_min_i64(k->disk_costs[way], from_disk);
    }
    for (int f = 0; f < 2; f++) {
        k->stream_loses[f] &= t->streamed[0] >= t->host[f] + crossings;
        k->disk_loses[f] &= !k->resources->disk || t->disk[0] >= t->host[f];
    }
    k->prompt_loses &= t->host[1] >= t->host[0] + 3 * k->prompt_crossing;
}

/* The sums of a kind, and where their terms are in struct times. */
struct sums {
    sw_ps **of[3 + 3 * SW_UNITS + 2 * SW_WAYS];
    size_t at[3 + 3 * SW_UNITS + 2 * SW_WAYS];
    size_t count;
};

static void sums_add(struct sums *sums, sw_ps **sum, size_t at)
{
    sums->of[sums->count] = sum;
    sums->at[sums->count++] = at / sizeof(sw_ps);
}

static struct sums sums_of(const struct sw_cost *c, struct sw_kind *k)
{
    struct sums sums = {.count = 0};
    sums_add(&sums, &k->gpu, offsetof(struct times, gpu));
    sums_add(&sums, &k->host[0], offsetof(struct times, host[0]));
    sums_add(&sums, &k->host[1], offsetof(struct times, host[1]));
    for (int u = 0; u < c->n_units; u++)
        sums_add(&sums, &k->streamed[u],
                 offsetof(struct times, streamed) + (size_t)u * sizeof(sw_ps));
    for (int i = 0; i < 2 * c->n_units; i++)
        sums_add(&sums, &k->disk[i], offsetof(struct times, disk) + (size_t)i * sizeof(sw_ps));
    for (int way = 0; way < c->n_ways; way++) {
        const size_t at = (size_t)way * sizeof(sw_ps);
        sums_add(&sums, &k->least[way], offsetof(struct times, least) + at);
        sums_add(&sums, &k->floor[way], offsetof(struct times, floor) + at);
    }
    return sums;
}

static void kinds_ends(const struct sw_cost *c, struct sw_kind *k)
{
    const struct sw_rank_resources *p = k->resources;
    const struct sw_load step = sw_decode_load(c), prompt = sw_prompt_load(c, c->prompt_rows);
    const bool gpu = p->device >= 0;
    if (gpu) {
        k->crossing = sw_cost_measure(c, sw_crossing_time(c, p, step.rows), 0);
        k->prompt_crossing = sw_cost_measure(c, 0, sw_crossing_time(c, p, prompt.rows));
    }
    for (int g = 0; g < 1 + gpu; g++) {
        k->embed[g] = sw_cost_measure(c, sw_embed_time(c, p, g, step.rows),
                                      sw_embed_time(c, p, g, prompt.rows));
        k->head[g] =
            sw_cost_measure(c, sw_head_time(c, p, g, &step), sw_head_time(c, p, g, &prompt));
    }
}

static enum sw_status kind_init(const struct sw_cost *c, struct sw_kind *k)
{
    const bool gpu = k->resources->device >= 0;
    const size_t n = (size_t)c->n_layers + 1;
    const struct sums sums = sums_of(c, k);
    sw_ps *block = calloc(sums.count * n, sizeof *block);
    if (!block)
        return sw_fail(SW_ENOMEM, "no memory for the plan of %d layers", c->n_layers);
    for (size_t i = 0; i < sums.count; i++)
        *sums.of[i] = block + i * n;
    kinds_ends(c, k);
    for (int way = 0; way < c->n_ways; way++)
        k->gpu_wins[way] = gpu;
    for (int f = 0; f < 2; f++) {
        k->stream_loses[f] = gpu;
        k->disk_loses[f] = true;
    }
    k->prompt_loses = true;
    struct times t = {0};
    for (int i = 0; i < c->n_layers; i++) {
        if (i == 0 || !c->uniform)
            t = kinds_layer(c, k->resources, &c->fp->layers[i]);
        if (gpu)
            kinds_compare(c, k, &t, i == 0);
        for (size_t s = 0; s < sums.count; s++)
            (*sums.of[s])[i + 1] = (*sums.of[s])[i] + ((const sw_ps *)&t)[sums.at[s]];
    }
    return SW_OK;
}

static bool resources_alike(const struct sw_rank_resources *a, const struct sw_rank_resources *b)
{
    return (a->device < 0) == (b->device < 0) && a->gpu_cap == b->gpu_cap &&
           a->host_cap == b->host_cap && a->even_cap == b->even_cap && a->sharers == b->sharers &&
           a->gpu_bw == b->gpu_bw && a->gpu_flops == b->gpu_flops &&
           a->gpu_attend == b->gpu_attend && a->cpu_attend == b->cpu_attend &&
           a->cpu_attend_decode == b->cpu_attend_decode && a->gpu_launch == b->gpu_launch &&
           a->host_bw == b->host_bw && a->cpu_flops == b->cpu_flops && a->bus_bw == b->bus_bw &&
           a->disk_bw == b->disk_bw && a->disk == b->disk;
}

enum sw_status sw_kinds_init(struct sw_cost *c)
{
    c->kinds = calloc((size_t)c->n_ranks, sizeof *c->kinds);
    if (!c->kinds)
        return sw_fail(SW_ENOMEM, "no memory for a plan over %d ranks", c->n_ranks);
    for (int r = 0; r < c->n_ranks; r++) {
        int k = 0;
        while (k < c->n_kinds && !resources_alike(c->kinds[k].resources, &c->resources[r]))
            k++;
        c->resources[r].kind = k;
        if (k < c->n_kinds)
            continue;
        c->kinds[k].resources = &c->resources[r];
        c->n_kinds++;
        SW_TRY(kind_init(c, &c->kinds[k]));
    }
    return SW_OK;
}

void sw_kinds_free(struct sw_cost *c)
{
    for (int k = 0; k < c->n_kinds; k++)
        free(c->kinds[k].gpu); /* one block for all sums */
    free(c->kinds);
}
