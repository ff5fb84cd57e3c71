/*
 * Owns time and bytes of stages on the ranks of a cluster: the resources of each rank, the units in
 * which layers are read from disk, and time and bytes of one stage (times of one layer:
 * layer_time.c; tables of them: kinds.c).
 * The formulas are stated in docs/hardware.md.
 */
#include "plan/cost.h"

#include "base/checked.h"
#include "plan/layer_time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int chunk_rows(const struct sw_cost *c)
{
    return c->fp->params.max_batch_tokens > 0 ? c->fp->params.max_batch_tokens : 1;
}

static uint64_t cost_less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void resources_init(struct sw_cost *c, int rank, const int *ranks_of_node)
{
    const struct sw_plan_options *o = c->options;
    struct sw_rank_resources *p = &c->resources[rank];
    sw_cluster_rank(c->cluster, rank, &p->node, &p->device);
    if (c->fp->cpu_only)
        p->device = -1;
    const struct sw_node *node = &c->cluster->nodes[p->node];
    /* Each rank has its own cores; ranks that work at the same time share memory, bus and disk. */
    const double ranks = ranks_of_node[p->node];
    const double busy = c->groups > 0 && c->groups < ranks ? c->groups : ranks;
    const bool alone = sw_cost_alone(c);
    p->cpu_flops = node->cpu_flops / ranks;
    p->cpu_attend =
        (node->cpu_attend > 0 ? node->cpu_attend : SW_HOST_ATTEND_SHARE * node->cpu_flops) / ranks;
    p->cpu_attend_decode =
        node->cpu_attend_decode > 0 ? node->cpu_attend_decode / ranks : p->cpu_attend;
    p->host_bw = alone ? node->rank_bandwidth : node->host_bandwidth / busy;
    p->bus_bw = alone ? node->bus_bandwidth : node->bus_bandwidth / busy;
    p->both_bw = fmax(fmax(p->host_bw, p->bus_bw),
                      fmax(node->both_bandwidth, node->host_bandwidth) / (alone ? 1 : busy));
    p->disk_bw = alone ? node->disk_bandwidth : node->disk_bandwidth / busy;
    p->disk = node->disk_tier && !o->no_disk;
    p->host_cap = c->node_cap[p->node];
    if (o->host_memory < p->host_cap)
        p->host_cap = o->host_memory;
    p->sharers = ranks_of_node[p->node];
    p->even_cap = c->node_cap[p->node] / (uint64_t)p->sharers;
    if (p->even_cap > p->host_cap)
        p->even_cap = p->host_cap;
    if (p->device >= 0) {
        const struct sw_device *d = &node->devices[p->device];
        const uint64_t free = o->gpu_memory < d->free ? o->gpu_memory : d->free;
        p->gpu_cap = cost_less(free, o->gpu_reserve);
        p->gpu_bw = d->bandwidth;
        p->gpu_flops = d->flops;
        p->gpu_attend = d->attend > 0 ? d->attend : SW_GPU_ATTEND_SHARE * d->flops;
        p->gpu_launch = d->launch;
    }
}

static bool layers_alike(const struct sw_layer_footprint *a, const struct sw_layer_footprint *b)
{
    return a->weight_bytes == b->weight_bytes && a->read_bytes == b->read_bytes &&
           a->kv_bytes == b->kv_bytes && a->kv_row_bytes == b->kv_row_bytes &&
           a->token_flops == b->token_flops && a->attend_flops == b->attend_flops &&
           a->state_bytes == b->state_bytes && a->state_flops == b->state_flops &&
           a->window == b->window && a->is_encoder == b->is_encoder &&
           a->expert_bytes == b->expert_bytes && a->n_experts == b->n_experts &&
           a->n_used == b->n_used;
}

static enum sw_status sums_init(struct sw_cost *c)
{
    const struct sw_footprint *fp = c->fp;
    uint64_t total = 0, max_unit = 0;
    c->uniform = c->kv_alike = true;
    for (int i = 0; i < c->n_layers; i++) {
        const struct sw_layer_footprint *layer = &fp->layers[i];
        c->uniform &= layers_alike(layer, &fp->layers[0]);
        c->kv_alike &= layer->kv_bytes == fp->layers[0].kv_bytes;
        c->weights[i + 1] = c->weights[i] + layer->weight_bytes;
        c->kv[i + 1] = c->kv[i] + layer->kv_bytes;
        total += layer->weight_bytes;
        if (layer->weight_bytes > c->max_weight)
            c->max_weight = layer->weight_bytes;
        if (layer->kv_bytes > c->max_kv)
            c->max_kv = layer->kv_bytes;
        max_unit =
            sw_max_u64(max_unit, layer->n_experts ? (uint64_t)layer->n_used * layer->expert_bytes
                                                  : layer->weight_bytes);
    }
    c->stream_bytes = SW_STREAM_BUFFERS * c->max_weight;
    for (int by_expert = 0; by_expert < 2; by_expert++) {
        const uint64_t unit = by_expert ? max_unit : c->max_weight;
        c->disk_stream_bytes[by_expert] = SW_DISK_STREAM_BUFFERS * unit;
        c->disk_bytes[by_expert] = SW_DISK_BUFFERS * unit + fp->disk_read_bytes;
    }
    c->pass_bytes = fp->matrix_bytes + c->max_kv;
    const uint64_t stored = c->options->stored_bytes;
    c->disk_scale = stored && total ? (double)stored / (double)total : 1;
    return SW_OK;
}

/* The units in which disk and streamed layers may move: whole, or by expert with so many of them
 * kept. */
static enum sw_status units_init(struct sw_cost *c)
{
    const size_t n = (size_t)c->n_layers + 1;
    int experts = 0;
    for (int i = 0; i < c->n_layers; i++)
        experts = c->fp->layers[i].n_experts > experts ? c->fp->layers[i].n_experts : experts;
    if (c->options->no_experts)
        experts = 0;
    const int counts = sw_min_int(experts, SW_UNITS - 1);
    c->n_units = 1 + counts;
    c->n_ways = SW_WAY_UNIT * c->n_units;
    c->resident[0] = calloc((size_t)c->n_units * n, sizeof **c->resident);
    if (!c->resident[0])
        return sw_fail(SW_ENOMEM, "no memory for the plan of %d layers", c->n_layers);
    for (int u = 0; u < c->n_units; u++) {
        c->resident[u] = c->resident[0] + (size_t)u * n;
        c->cached[u] = u ? (u - 1) * experts / counts : SW_READ_WHOLE;
        for (int i = 0; i < c->n_layers; i++)
            c->resident[u][i + 1] =
                c->resident[u][i] + sw_layer_resident(&c->fp->layers[i], c->cached[u]);
    }
    return SW_OK;
}

static void hops_init(struct sw_cost *c)
{
    const struct sw_cluster *cl = c->cluster;
    const double step = (double)c->fp->hop_bytes * c->micro_batch, ids = 4.0 * c->micro_batch;
    const double prompt = (double)c->fp->hop_bytes * c->prompt_rows;
    const double local_ids = cl->local_latency + ids / cl->local_bandwidth;
    const double link_ids = cl->link_latency + ids / cl->link_bandwidth;
    const double local = cl->local_latency + step / cl->local_bandwidth;
    const double link = cl->link_latency + step / cl->link_bandwidth;
    c->step =
        (struct sw_hops){sw_to_ps(local), sw_to_ps(link), sw_to_ps(local_ids), sw_to_ps(link_ids)};
    c->goal = (struct sw_hops){
        sw_cost_measure(c, local, cl->local_latency + prompt / cl->local_bandwidth),
        sw_cost_measure(c, link, cl->link_latency + prompt / cl->link_bandwidth),
        sw_cost_measure(c, local_ids, local_ids), sw_cost_measure(c, link_ids, link_ids)};
}

/* Sets the defaults that depend on the cluster. */
static void batch_init(struct sw_cost *c)
{
    const struct sw_footprint_params *params = &c->fp->params;
    const int slots = params->slots > 0 ? params->slots : 1;
    c->micro_batch = c->options->micro_batch;
    const bool full = c->options->objective == SW_OBJECTIVE_THROUGHPUT;
    const int groups = c->options->groups > 0 ? c->options->groups : c->n_ranks;
    c->groups = full ? c->options->groups : 0;
    if (c->micro_batch <= 0)
        c->micro_batch = full && slots > groups ? slots / groups : 1;
    const double middle = sw_prompt_tokens(c) + c->options->new_tokens / 2.0;
    c->position = c->options->position >= 0  ? c->options->position
                  : middle < params->context ? (int)middle
                                             : params->context;
}

/*
 * Sets the shares of prompt and decode in a request: its prompt is cut into equal chunks, or fills
 * chunks together with other prompts when the pipeline is full; each new token is a row of a step.
 */
static void request_init(struct sw_cost *c)
{
    const struct sw_plan_options *o = c->options;
    const int prompt = sw_prompt_tokens(c);
    const int slots = c->fp->params.slots > 0 ? c->fp->params.slots : 1, most = chunk_rows(c);
    if (o->objective == SW_OBJECTIVE_THROUGHPUT) {
        c->prompt_rows = (int64_t)prompt * slots < most ? prompt * slots : most;
        c->prompt_chunks = (double)prompt / c->prompt_rows;
    } else {
        const int chunks = (prompt - 1) / most + 1;
        c->prompt_rows = (prompt - 1) / chunks + 1;
        c->prompt_chunks = chunks;
    }
    c->step_share = o->new_tokens > 0;
    c->prompt_share = o->new_tokens > 0 ? c->prompt_chunks * c->micro_batch / o->new_tokens : 1;
}

enum sw_status sw_cost_init(struct sw_cost *cost, const struct sw_footprint *fp,
                            const struct sw_cluster *cluster, const struct sw_plan_options *options)
{
    memset(cost, 0, sizeof *cost);
    const int all = sw_cluster_n_ranks(cluster);
    if (fp->n_layers < 1 || fp->n_layers > SW_MAX_LAYERS)
        return sw_fail(SW_EMODEL, "the model has %d layers; a plan can have 1 to %d", fp->n_layers,
                       SW_MAX_LAYERS);
    if (options->n_ranks < 0 || options->n_ranks > all || all < 1)
        return sw_fail(SW_EUSAGE, "%d ranks were requested, the cluster has room for %d",
                       options->n_ranks, all);
    *cost = (struct sw_cost){.fp = fp, .options = options, .cluster = cluster};
    cost->n_layers = fp->n_layers;
    cost->n_ranks = options->n_ranks ? options->n_ranks : all;
    cost->n_nodes = cluster->n_nodes;
    batch_init(cost);
    request_init(cost);
    const size_t layers = (size_t)fp->n_layers + 1, nodes = (size_t)cluster->n_nodes;
    int *ranks_of_node = calloc(nodes, sizeof *ranks_of_node);
    cost->resources = calloc((size_t)cost->n_ranks, sizeof *cost->resources);
    cost->node_cap = calloc(nodes, sizeof *cost->node_cap);
    cost->weights = calloc(layers, sizeof *cost->weights);
    cost->kv = calloc(layers, sizeof *cost->kv);
    if (!ranks_of_node || !cost->resources || !cost->node_cap || !cost->weights || !cost->kv) {
        free(ranks_of_node);
        return sw_fail(SW_ENOMEM, "no memory for a plan over %d ranks", cost->n_ranks);
    }
    for (int n = 0; n < cost->n_nodes; n++)
        cost->node_cap[n] = cost_less(cluster->nodes[n].host_free,
                                      sw_node_reserve(options, cluster->nodes[n].host_free));
    for (int r = 0, node, device; r < cost->n_ranks; r++) {
        sw_cluster_rank(cluster, r, &node, &device);
        ranks_of_node[node]++;
    }
    for (int r = 0; r < cost->n_ranks; r++)
        resources_init(cost, r, ranks_of_node);
    free(ranks_of_node);
    SW_TRY(sums_init(cost));
    cost->bounce_bytes =
        2 * fp->hop_bytes *
        (uint64_t)(fp->params.max_batch_tokens > 0 ? fp->params.max_batch_tokens : 1);
    hops_init(cost);
    SW_TRY(units_init(cost));
    return sw_kinds_init(cost);
}

void sw_cost_free(struct sw_cost *cost)
{
    sw_kinds_free(cost);
    free(cost->resident[0]); /* one block for all units */
    free(cost->resources);
    free(cost->node_cap);
    free(cost->weights);
    free(cost->kv);
    memset(cost, 0, sizeof *cost);
}

sw_ps sw_cost_hop(const struct sw_cost *cost, const struct sw_hops *hops, int from, int to)
{
    const int a = from < 0 ? 0 : from, b = to < 0 ? 0 : to;
    const bool ids = from < 0 || to < 0;
    if (a == b)
        return 0;
    if (cost->resources[a].node == cost->resources[b].node)
        return ids ? hops->local_ids : hops->local;
    return ids ? hops->link_ids : hops->link;
}

/* Number of hand-overs between GPU and CPU in a stage; passing: host layers run on the GPU. */
static int cost_crossings(const struct sw_plan_stage *s, bool passing)
{
    const struct sw_tiers *t = &s->tiers;
    const bool on_gpu[SW_TIERS] = {true, passing, true, t->disk_on_gpu};
    int at = s->embed ? t->embed_on_gpu : -1, n = 0;
    for (int i = 0; i <= s->count; i++) {
        if (i == s->count && !s->head)
            break;
        const bool on = i < s->count ? on_gpu[sw_tier_at(t, i)] : t->head_on_gpu;
        n += at >= 0 && at != on;
        at = on;
    }
    return n;
}

static void cost_add_up(struct sw_bytes *b)
{
    const uint64_t passing = b->staging > b->load ? b->staging : b->load;
    b->total = b->weights + b->kv + b->embed + b->head + b->work + b->context + passing;
}

static int cost_cached(const struct sw_tiers *t)
{
    return t->by_expert ? t->cached_experts : SW_READ_WHOLE;
}

uint64_t sw_cost_gpu_staging(const struct sw_cost *c, const struct sw_tiers *t, bool stream_prompt)
{
    const bool streams = t->n_streamed > 0, from_disk = t->n_disk > 0 && t->disk_on_gpu;
    const bool whole = stream_prompt || (streams && !t->by_expert);
    uint64_t bytes = whole ? c->stream_bytes + (stream_prompt ? c->pass_bytes : 0) : 0;
    if (t->by_expert ? streams || from_disk : from_disk && !whole)
        bytes += c->disk_stream_bytes[t->by_expert];
    return bytes;
}

/* Adds what a layer that is streamed, or from disk, keeps where it is run; returns the rest. */
static uint64_t stage_keep(const struct sw_cost *c, const struct sw_tiers *t, int layer,
                           struct sw_bytes *runs)
{
    const struct sw_layer_footprint *l = &c->fp->layers[layer];
    const uint64_t kept = sw_layer_resident(l, cost_cached(t));
    runs->weights += kept;
    return l->weight_bytes - kept;
}

static void stage_bytes(const struct sw_cost *c, struct sw_plan_stage *s)
{
    const struct sw_footprint *fp = c->fp;
    const struct sw_tiers *t = &s->tiers;
    struct sw_bytes gpu = {0}, cpu = {0};
    struct sw_bytes *const runs_disk = t->disk_on_gpu ? &gpu : &cpu;
    struct sw_bytes *const runs[SW_TIERS] = {&gpu, &cpu, &gpu, runs_disk};
    s->disk_bytes = 0;
    for (int i = 0; i < s->count; i++) {
        const struct sw_layer_footprint *layer = &fp->layers[s->first + i];
        const enum sw_tier tier = sw_tier_at(t, i);
        runs[tier]->kv += layer->kv_bytes;
        if (tier == SW_TIER_DISK)
            s->disk_bytes += stage_keep(c, t, s->first + i, runs_disk);
        else if (tier != SW_TIER_STREAMED)
            runs[tier]->weights += layer->weight_bytes;
        else { /* host memory has all experts */
            (void)stage_keep(c, t, s->first + i, &gpu);
            cpu.weights +=
                layer->weight_bytes - sw_layer_resident(layer, t->by_expert ? 0 : SW_READ_WHOLE);
        }
    }
    if (s->embed)
        *(t->embed_on_gpu ? &gpu.embed : &cpu.embed) = fp->embed_bytes;
    if (s->head)
        *(t->head_on_gpu ? &gpu.head : &cpu.head) =
            fp->head_bytes - (s->embed ? fp->tied_bytes : 0);
    gpu.staging = sw_cost_gpu_staging(c, t, s->stream_prompt);
    if (t->n_disk)
        cpu.staging = c->disk_bytes[t->by_expert];
    const bool gpu_works = t->n_gpu || t->n_streamed || s->stream_prompt || t->disk_on_gpu ||
                           t->embed_on_gpu || t->head_on_gpu;
    const bool cpu_works = t->n_host || (t->n_disk && !t->disk_on_gpu) ||
                           (s->embed && !t->embed_on_gpu) || (s->head && !t->head_on_gpu);
    if (gpu_works) {
        gpu.context = c->options->gpu_context;
        gpu.work = fp->gpu_work_bytes + (s->head && t->head_on_gpu ? fp->logits_bytes : 0);
    }
    cpu.work = s->device >= 0 ? c->bounce_bytes : 0;
    cpu.work +=
        (cpu_works ? fp->work_bytes : 0) + (s->head ? fp->logits_bytes + fp->sampler_bytes : 0);
    cpu.context = c->options->rank_host;
    cpu.load = fp->load_bytes;
    cost_add_up(&gpu);
    cost_add_up(&cpu);
    s->gpu = gpu;
    s->host = cpu;
}

/* The time of a micro-batch in a stage; passing: host layers are streamed to the GPU for it. */
static sw_ps cost_stage_time(const struct sw_cost *c, const struct sw_plan_stage *s, bool passing,
                             const struct sw_load *load)
{
    const struct sw_rank_resources *p = &c->resources[s->rank];
    sw_ps t = 0;
    if (p->device >= 0)
        t += cost_crossings(s, passing) * sw_to_ps(sw_crossing_time(c, p, load->rows));
    struct sw_parts parts = {0};
    for (int i = 0; i < s->count; i++) {
        const struct sw_layer_footprint *layer = &c->fp->layers[s->first + i];
        struct sw_place place = {
            .tier = sw_tier_at(&s->tiers, i), .by_gpu = passing, .cached = cost_cached(&s->tiers)};
        if (place.tier == SW_TIER_HOST || (place.tier == SW_TIER_STREAMED && !s->tiers.by_expert)) {
            const struct sw_layer_parts more = sw_layer_parts(c, p, layer, place, load);
            parts.computing += sw_to_ps(more.computing);
            parts.bus += sw_to_ps(more.bus);
            parts.memory += sw_to_ps(more.memory);
            continue;
        }
        place.by_gpu = s->tiers.disk_on_gpu;
        t += sw_to_ps(sw_layer_time(c, p, layer, place, load));
    }
    t += sw_parts_time(parts, sw_tiers_mixed(&s->tiers) && !passing);
    if (s->embed)
        t += sw_to_ps(sw_embed_time(c, p, s->tiers.embed_on_gpu, load->rows));
    if (s->head)
        t += sw_to_ps(sw_head_time(c, p, s->tiers.head_on_gpu, load));
    return t;
}

/* Whether a chunk of so many rows is faster with the host layers streamed. */
static bool cost_streaming_pays(const struct sw_cost *c, const struct sw_plan_stage *s, int rows)
{
    const struct sw_load load = sw_prompt_load(c, rows);
    return cost_stage_time(c, s, true, &load) < cost_stage_time(c, s, false, &load);
}

/* The fewest rows from which streaming pays, given that it pays for `rows`. */
static int cost_least_rows(const struct sw_cost *c, const struct sw_plan_stage *s, int rows)
{
    int low = 0; /* does not pay */
    while (rows - low > 1) {
        const int middle = low + (rows - low) / 2;
        if (cost_streaming_pays(c, s, middle))
            rows = middle;
        else
            low = middle;
    }
    return rows;
}

/* The share of the choices of experts in streamed and disk layers that are of kept ones. */
static double cost_hits(const struct sw_cost *c, const struct sw_plan_stage *s)
{
    double hits = 0, choices = 0;
    const int moving = s->tiers.n_streamed + s->tiers.n_disk;
    for (int i = s->first + s->count - moving; i < s->first + s->count; i++) {
        const struct sw_layer_footprint *layer = &c->fp->layers[i];
        choices += layer->n_used;
        hits += layer->n_used * sw_layer_hits(c, layer, cost_cached(&s->tiers));
    }
    return choices > 0 ? hits / choices : 0;
}

/* Bytes that a micro-batch reads from disk. */
static double cost_disk_read(const struct sw_cost *c, const struct sw_plan_stage *s,
                             const struct sw_load *load)
{
    double bytes = 0;
    for (int i = s->first + s->count - s->tiers.n_disk; i < s->first + s->count; i++)
        bytes += sw_layer_moved_bytes(c, &c->fp->layers[i], cost_cached(&s->tiers), load->rows);
    return bytes * c->disk_scale;
}

/* The most rows of a chunk that hide behind a decode step; 0: not even one does. */
static int cost_hidden_rows(const struct sw_cost *c, const struct sw_plan_stage *s)
{
    const struct sw_load step = sw_decode_load(c);
    const double most = (double)cost_stage_time(c, s, false, &step) * (1 + SW_HIDDEN);
    int low = 0, high = chunk_rows(c); /* low rows do */
    while (low < high) {
        const int middle = low + (high - low + 1) / 2;
        const struct sw_load load = sw_prompt_load(c, middle);
        if ((double)cost_stage_time(c, s, false, &load) <= most)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void sw_cost_stage(const struct sw_cost *cost, struct sw_plan_stage *s)
{
    const struct sw_load step = sw_decode_load(cost),
                         prompt = sw_prompt_load(cost, cost->prompt_rows);
    s->step_s = (double)cost_stage_time(cost, s, false, &step) * 1e-12;
    s->prompt_s = (double)cost_stage_time(cost, s, s->stream_prompt, &prompt) * 1e-12;
    s->hidden_rows = cost_hidden_rows(cost, s);
    s->expert_hits = cost_hits(cost, s);
    s->disk_read = cost_disk_read(cost, s, &step);
    s->tiers.stream_rows = s->stream_prompt ? cost_least_rows(cost, s, cost->prompt_rows) : 0;
    stage_bytes(cost, s);
}
