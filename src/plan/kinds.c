/*
 * Owns the tables of the search: prefix sums of the layers' times in each tier, for each kind of
 * rank resources and each way to run host and disk layers.
 */
#include "base/checked.h"
#include "plan/layer_time.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* Times of one layer in each tier; the first fields are as in struct sw_kind. */
struct times {
    sw_ps gpu, streamed[SW_UNITS], disk[2 * SW_UNITS], least[SW_WAYS], floor[SW_WAYS];
    struct sw_parts parts[SW_ASKING];
    sw_ps alike[2]; /* of a host layer, by SW_WAY_PROMPT, if all of them are like this one */
    /* At least so much as a layer in host memory: where all are host layers, all are streamed, or
     * there are both. host_beside, and streamed[0]: wherever there may be both. */
    sw_ps host[2], only_streamed, host_of_both[2], streamed_of_both[2], host_beside[2];
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

static struct sw_parts kinds_parts(const struct sw_cost *c, const struct sw_rank_resources *p,
                                   const struct sw_layer_footprint *layer, enum sw_asking asking)
{
    static const struct sw_place places[SW_ASKING] = {
        [SW_STEP_HOST] = {.tier = SW_TIER_HOST},
        [SW_STEP_STREAMED] = {.tier = SW_TIER_STREAMED},
        [SW_PROMPT_HOST] = {.tier = SW_TIER_HOST},
        [SW_PROMPT_STREAMED] = {.tier = SW_TIER_STREAMED},
        [SW_PROMPT_PASSING] = {.tier = SW_TIER_HOST, .by_gpu = true}};
    const bool step = asking < SW_PROMPT_HOST;
    const struct sw_load load = step ? sw_decode_load(c) : sw_prompt_load(c, c->prompt_rows);
    const struct sw_layer_parts parts = sw_layer_parts(c, p, layer, places[asking], &load);
    const double share = step ? c->step_share : c->prompt_share;
    return (struct sw_parts){sw_to_ps(share * parts.computing), sw_to_ps(share * parts.bus),
                             sw_to_ps(share * parts.memory)};
}

static struct times kinds_layer(const struct sw_cost *c, const struct sw_rank_resources *p,
                                const struct sw_layer_footprint *layer)
{
    const struct sw_place host = {.tier = SW_TIER_HOST}, gpu = {.tier = SW_TIER_GPU};
    struct times t = {0};
    for (int a = 0; a < SW_ASKING; a++)
        if (p->device >= 0 || a == SW_STEP_HOST || a == SW_PROMPT_HOST)
            t.parts[a] = kinds_parts(c, p, layer, (enum sw_asking)a);
    const sw_ps step = sw_parts_time(t.parts[SW_STEP_HOST], false);
    t.alike[0] = step + sw_parts_time(t.parts[SW_PROMPT_HOST], false);
    if (p->device >= 0) {
        t.gpu = kinds_time(c, p, layer, gpu, gpu);
        t.alike[1] = step + sw_parts_time(t.parts[SW_PROMPT_PASSING], false);
    }
    for (int u = 1; u < c->n_units && p->device >= 0; u++) {
        const struct sw_place streamed = {.tier = SW_TIER_STREAMED, .cached = c->cached[u]};
        t.streamed[u] = kinds_time(c, p, layer, streamed, streamed);
    }
    for (int i = 0; i < 2 * c->n_units; i++) {
        const struct sw_place disk = {
            .tier = SW_TIER_DISK, .by_gpu = i & 1, .cached = c->cached[i / 2]};
        if (!p->disk)
            t.disk[i] = kinds_time(c, p, layer, host, host);
        else if (p->device >= 0 || !disk.by_gpu)
            t.disk[i] = kinds_time(c, p, layer, disk, disk);
    }
    return t;
}

/*
 * The largest of three sums is at least any weighted mean of them, and that is a sum over layers.
 * So shares, the same for all layers, give a lower bound of what layers in host memory take, which
 * can be summed up and compared layer by layer as the times of other tiers are.
 */
struct shares {
    double computing, bus, memory; /* together 1 or a little less, for rounding */
};

static double weighted(const struct shares *w, const struct sw_parts *parts)
{
    return w->computing * (double)parts->computing + w->bus * (double)parts->bus +
           w->memory * (double)parts->memory;
}

static sw_ps weighted_least(const struct shares *w, const struct sw_parts *parts)
{
    return (sw_ps)weighted(w, parts);
}

/* The same where CPU and bus work at once. */
static sw_ps weighted_both(const struct shares *w, const struct sw_parts *parts)
{
    const sw_ps t = (sw_ps)(weighted(w, parts) * (1 + 1.0 / SW_BOTH_LOSS)) - 1;
    return t > 0 ? t : 0;
}

/* The best shares where all layers are of one kind, which have these sums. */
static struct shares shares_alone(const struct sw_parts *sums)
{
    const struct shares bus = {.bus = 1}, computing = {.computing = 1};
    return sums->bus > sums->computing ? bus : computing;
}

/* Good ones where there are host and streamed layers, of which all together would have these sums:
 * with them a layer of either kind takes about as long. */
static struct shares shares_of_both(const struct sw_parts *host, const struct sw_parts *streamed)
{
    const double cpu = (double)host->computing, gpu = (double)streamed->computing;
    const double bus = (double)streamed->bus, little = 1e-12;
    const double share = cpu > gpu && bus > 0 ? bus / (cpu - gpu + bus) : 1;
    const struct shares memory = {.memory = 1};
    const struct shares even = {.computing = share * (1 - little),
                                .bus = (1 - share) * (1 - little)};
    const double a = fmin(weighted(&even, host), weighted(&even, streamed));
    const double b = fmin(weighted(&memory, host), weighted(&memory, streamed));
    return a > b ? even : memory;
}

/* The shares of a kind, from its sums over all layers. */
struct bounds {
    struct shares step_streamed, prompt_streamed, passing; /* alone */
    struct shares step_both, prompt_both;
};

static struct bounds bounds_of(const struct sw_cost *c, const struct sw_kind *k)
{
    const struct sw_parts *sums[SW_ASKING];
    for (int a = 0; a < SW_ASKING; a++)
        sums[a] = &k->parts[a][c->n_layers];
    return (struct bounds){.step_streamed = shares_alone(sums[SW_STEP_STREAMED]),
                           .prompt_streamed = shares_alone(sums[SW_PROMPT_STREAMED]),
                           .passing = shares_alone(sums[SW_PROMPT_PASSING]),
                           .step_both = shares_of_both(sums[SW_STEP_HOST], sums[SW_STEP_STREAMED]),
                           .prompt_both =
                               shares_of_both(sums[SW_PROMPT_HOST], sums[SW_PROMPT_STREAMED])};
}

static void kinds_bounds(const struct sw_cost *c, const struct sw_kind *k, const struct bounds *b,
                         struct times *t)
{
    const struct sw_parts *q = t->parts;
    const bool disk = k->resources->disk, gpu = k->resources->device >= 0;
    const sw_ps step = q[SW_STEP_HOST].computing;
    t->host[0] = t->host[1] = step + q[SW_PROMPT_HOST].computing;
    t->only_streamed = t->host_of_both[0] = t->host_of_both[1] = t->host[0];
    t->streamed_of_both[0] = t->streamed_of_both[1] = t->host[0]; /* without a GPU there are none */
    if (gpu) {
        const sw_ps host = weighted_both(&b->step_both, &q[SW_STEP_HOST]);
        const sw_ps streamed = weighted_both(&b->step_both, &q[SW_STEP_STREAMED]);
        t->host[1] = step + weighted_least(&b->passing, &q[SW_PROMPT_PASSING]);
        t->only_streamed = weighted_least(&b->step_streamed, &q[SW_STEP_STREAMED]) +
                           weighted_least(&b->prompt_streamed, &q[SW_PROMPT_STREAMED]);
        t->host_of_both[0] = host + weighted_both(&b->prompt_both, &q[SW_PROMPT_HOST]);
        t->host_of_both[1] = host + weighted_least(&b->passing, &q[SW_PROMPT_PASSING]);
        t->streamed_of_both[0] = streamed + weighted_both(&b->prompt_both, &q[SW_PROMPT_STREAMED]);
        t->streamed_of_both[1] = streamed + weighted_least(&b->passing, &q[SW_PROMPT_STREAMED]);
    }
    t->streamed[0] = t->only_streamed;
    for (int f = 0; f < 2; f++) {
        t->host_beside[f] = sw_min_i64(t->host[f], t->host_of_both[f]);
        t->streamed[0] = sw_min_i64(t->streamed[0], t->streamed_of_both[f]);
    }
    for (int way = 0; way < c->n_ways; way++) {
        const int f = way & SW_WAY_PROMPT, unit = way / SW_WAY_UNIT;
        sw_ps least = unit ? t->host[f] : t->host_beside[f];
        if (gpu)
            least = sw_min_i64(least, t->streamed[unit]);
        t->least[way] = disk ? sw_min_i64(least, t->disk[way / SW_WAY_DISK]) : least;
        t->floor[way] = gpu ? sw_min_i64(t->gpu, t->least[way]) : t->least[way];
    }
}

/* Updates what holds for all layers with the times of one more. `first`: it is the first. */
static void kinds_compare(const struct sw_cost *c, struct sw_kind *k, const struct times *t,
                          bool first)
{
    const sw_ps crossings = 3 * (k->crossing + k->prompt_crossing);
    for (int way = 0; way < c->n_ways; way++) {
        const int f = way & SW_WAY_PROMPT;
        const sw_ps from_disk = t->disk[way / SW_WAY_DISK] - t->least[way];
        const int unit = way / SW_WAY_UNIT;
        const sw_ps streamed =
            (unit ? t->streamed[unit] : sw_min_i64(t->only_streamed, t->streamed_of_both[f])) -
            t->least[way];
        k->gpu_wins[way] &= t->gpu <= t->least[way];
        k->stream_costs[way] = first ? streamed : sw_min_i64(k->stream_costs[way], streamed);
        k->disk_costs[way] = first ? from_disk : sw_min_i64(k->disk_costs[way], from_disk);
    }
    for (int f = 0; f < 2; f++) {
        k->stream_loses[f] &=
            t->host_of_both[f] >= t->alike[f] &&
            sw_min_i64(t->only_streamed, t->streamed_of_both[f]) >= t->alike[f] + crossings;
        k->disk_loses[f] &= !k->resources->disk || t->disk[0] >= t->alike[f];
    }
    k->prompt_loses &= t->host[1] >= t->alike[0] + 3 * k->prompt_crossing;
}

/* The sums of a kind, and where their terms are in struct times. */
struct sums {
    sw_ps **of[5 + 3 * SW_UNITS + 2 * SW_WAYS];
    size_t at[5 + 3 * SW_UNITS + 2 * SW_WAYS];
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
    for (size_t f = 0; f < 2; f++) {
        const size_t at = f * sizeof(sw_ps);
        sums_add(&sums, &k->host[f], offsetof(struct times, host) + at);
        sums_add(&sums, &k->host_beside[f], offsetof(struct times, host_beside) + at);
    }
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

/* Sums up what the layers ask for in host memory. */
static void kinds_ask(const struct sw_cost *c, struct sw_kind *k)
{
    struct times t = {0};
    for (int i = 0; i < c->n_layers; i++) {
        if (i == 0 || !c->uniform)
            t = kinds_layer(c, k->resources, &c->fp->layers[i]);
        for (int a = 0; a < SW_ASKING; a++) {
            const struct sw_parts *sum = &k->parts[a][i], *more = &t.parts[a];
            k->parts[a][i + 1] = (struct sw_parts){
                sum->computing + more->computing, sum->bus + more->bus, sum->memory + more->memory};
        }
    }
}

static enum sw_status kind_init(const struct sw_cost *c, struct sw_kind *k)
{
    const bool gpu = k->resources->device >= 0;
    const size_t n = (size_t)c->n_layers + 1;
    const struct sums sums = sums_of(c, k);
    sw_ps *block = calloc(sums.count * n, sizeof *block);
    struct sw_parts *parts = calloc(SW_ASKING * n, sizeof *parts);
    *sums.of[0] = block; /* sw_kinds_free frees both */
    k->parts[0] = parts;
    if (!block || !parts)
        return sw_fail(SW_ENOMEM, "no memory for the plan of %d layers", c->n_layers);
    for (size_t i = 0; i < sums.count; i++)
        *sums.of[i] = block + i * n;
    for (size_t a = 0; a < SW_ASKING; a++)
        k->parts[a] = parts + a * n;
    kinds_ends(c, k);
    for (int way = 0; way < c->n_ways; way++)
        k->gpu_wins[way] = gpu;
    for (int f = 0; f < 2; f++) {
        k->stream_loses[f] = gpu;
        k->disk_loses[f] = true;
    }
    k->prompt_loses = true;
    kinds_ask(c, k);
    const struct bounds bounds = bounds_of(c, k);
    struct times t = {0};
    for (int i = 0; i < c->n_layers; i++) {
        if (i == 0 || !c->uniform) {
            t = kinds_layer(c, k->resources, &c->fp->layers[i]);
            kinds_bounds(c, k, &bounds, &t);
        }
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
           a->both_bw == b->both_bw && a->disk_bw == b->disk_bw && a->disk == b->disk;
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
    for (int k = 0; k < c->n_kinds; k++) {
        free(c->kinds[k].gpu); /* one block for all sums */
        free(c->kinds[k].parts[0]);
    }
    free(c->kinds);
}
