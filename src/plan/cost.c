/*
 * Owns time and bytes of layers on the ranks of a cluster: the resources of each rank, prefix sums
 * of the layers' times in each tier (of one layer: layer_time.c), and time and bytes of one stage.
 * The formulas are stated in docs/hardware.md.
 */
#include "plan/cost.h"

#include "base/checked.h"
#include "plan/layer_time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static sw_ps to_ps(double seconds)
{
    const double ps = seconds * 1e12;
    return ps < (double)SW_PS_MAX ? (sw_ps)(ps + 0.5) : SW_PS_MAX;
}

static double embed_time(const struct sw_cost *c, const struct sw_rank_resources *p, bool on_gpu,
                         double rows)
{
    const double bytes = (double)c->fp->embed_read_bytes * rows;
    return bytes / (on_gpu ? p->gpu_bw : p->host_bw);
}

/* Of a prompt, only the last token is sampled. */
static double head_time(const struct sw_cost *c, const struct sw_rank_resources *p, bool on_gpu,
                        const struct sw_load *load)
{
    const double bytes = (double)c->fp->head_bytes;
    const double flops = c->fp->head_flops * (load->prompt > 0 ? 1 : load->rows);
    return on_gpu ? fmax(bytes / p->gpu_bw, flops / p->gpu_flops)
                  : fmax(bytes / p->host_bw, flops / p->cpu_flops);
}

static double crossing_time(const struct sw_cost *c, const struct sw_rank_resources *p, double rows)
{
    return SW_CROSSING_LATENCY + rows * (double)c->fp->hop_bytes / p->bus_bw;
}

static int prompt_tokens(const struct sw_cost *c)
{
    return c->options->prompt_tokens > 0 ? c->options->prompt_tokens : 1;
}

static struct sw_load decode_load(const struct sw_cost *c)
{
    return (struct sw_load){.rows = c->micro_batch, .position = c->position};
}

static struct sw_load prompt_load(const struct sw_cost *c, int rows)
{
    return (struct sw_load){.rows = rows, .prompt = prompt_tokens(c)};
}

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
    const bool alone = o->objective == SW_OBJECTIVE_LATENCY;
    p->cpu_flops = node->cpu_flops / ranks;
    p->cpu_attend =
        (node->cpu_attend > 0 ? node->cpu_attend : SW_HOST_ATTEND_SHARE * node->cpu_flops) / ranks;
    p->cpu_attend_decode =
        node->cpu_attend_decode > 0 ? node->cpu_attend_decode / ranks : p->cpu_attend;
    p->host_bw = alone ? node->rank_bandwidth : node->host_bandwidth / ranks;
    p->bus_bw = alone ? node->bus_bandwidth : node->bus_bandwidth / ranks;
    p->disk_bw = alone ? node->disk_bandwidth : node->disk_bandwidth / ranks;
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

static bool layers_alike(const struct sw_layer_footprint *a, const struct sw_layer_footprint *b)
{
    return a->weight_bytes == b->weight_bytes && a->read_bytes == b->read_bytes &&
           a->kv_bytes == b->kv_bytes && a->kv_row_bytes == b->kv_row_bytes &&
           a->token_flops == b->token_flops && a->attend_flops == b->attend_flops &&
           a->window == b->window;
}

/* The time of a decode step and of a chunk of a prompt in the objective's measure. */
static sw_ps cost_measure(const struct sw_cost *c, double step_s, double prompt_s)
{
    return to_ps(c->step_share * step_s + c->prompt_share * prompt_s);
}

/* Times of one layer in each tier; the fields are as in struct sw_kind. */
struct times {
    sw_ps gpu, host[2], streamed, disk[2], least[SW_WAYS], floor[SW_WAYS];
};

/* A layer's time in the faster of the host and the disk tier. */
static sw_ps cost_off_gpu(const struct times *t, int way, bool disk)
{
    const sw_ps host = t->host[(way & SW_WAY_PROMPT) != 0];
    return disk ? sw_min_i64(host, t->disk[(way & SW_WAY_DISK) != 0]) : host;
}

static struct times cost_layer_times(const struct sw_cost *c, const struct sw_rank_resources *p,
                                     const struct sw_layer_footprint *layer)
{
    const struct sw_load step = decode_load(c), prompt = prompt_load(c, c->prompt_rows);
    double at[SW_TIERS][2][2]; /* by the CPU, or by_gpu; a step, a prompt */
    for (int tier = 0; tier < SW_TIERS; tier++)
        for (int g = 0; g < 2; g++) {
            at[tier][g][0] = sw_layer_time(c, p, layer, (enum sw_tier)tier, g, &step);
            at[tier][g][1] = sw_layer_time(c, p, layer, (enum sw_tier)tier, g, &prompt);
        }
#define AT(tier, step_by, prompt_by) cost_measure(c, at[tier][step_by][0], at[tier][prompt_by][1])
    struct times t = {.gpu = AT(SW_TIER_GPU, 0, 0),
                      .host = {AT(SW_TIER_HOST, 0, 0), AT(SW_TIER_HOST, 0, 1)},
                      .streamed = AT(SW_TIER_STREAMED, 0, 0),
                      .disk = {AT(SW_TIER_DISK, 0, 0), AT(SW_TIER_DISK, 1, 1)}};
#undef AT
    if (!p->disk)
        t.disk[0] = t.disk[1] = t.host[0];
    if (p->device < 0)
        t.gpu = t.streamed = t.host[1] = t.disk[1] = 0;
    for (int way = 0; way < SW_WAYS; way++) {
        const sw_ps off = cost_off_gpu(&t, way, p->disk);
        t.least[way] = sw_min_i64(t.streamed, off);
        t.floor[way] = sw_min_i64(t.gpu, t.least[way]);
    }
    return t;
}

/* Updates what holds for all layers with the times of one more. `first`: it is the first. */
static void cost_compare(struct sw_kind *k, const struct times *t, bool disk, bool first)
{
    const sw_ps crossings = 3 * (k->crossing + k->prompt_crossing);
    for (int way = 0; way < SW_WAYS; way++) {
        const sw_ps from_disk = t->disk[(way & SW_WAY_DISK) != 0] - t->least[way];
        const sw_ps streamed = t->streamed - t->least[way];
        k->gpu_wins[way] &= t->gpu <= t->least[way];
        k->stream_costs[way] = first ? streamed : sw_min_i64(k->stream_costs[way], streamed);
        k->disk_costs[way] = first ? from_disk : sw_min_i64(k->disk_costs[way], from_disk);
    }
    for (int f = 0; f < 2; f++) {
        k->stream_loses[f] &= t->streamed >= t->host[f] + crossings;
        k->disk_loses[f] &= !disk || t->disk[0] >= t->host[f];
    }
    k->prompt_loses &= t->host[1] >= t->host[0] + 3 * k->prompt_crossing;
}

/* Prefix sums of a kind: gpu, host, streamed, disk; then least and floor by way. */
#define N_SUMS (6 + 2 * SW_WAYS)

static enum sw_status kind_init(const struct sw_cost *c, struct sw_kind *k)
{
    const struct sw_rank_resources *p = k->resources;
    const struct sw_load step = decode_load(c), prompt = prompt_load(c, c->prompt_rows);
    const bool gpu = p->device >= 0;
    const size_t n = (size_t)c->n_layers + 1;
    sw_ps **sums[N_SUMS] = {&k->gpu,      &k->host[0], &k->host[1],
                            &k->streamed, &k->disk[0], &k->disk[1]};
    for (int way = 0; way < SW_WAYS; way++) {
        sums[N_SUMS - 2 * SW_WAYS + way] = &k->least[way];
        sums[N_SUMS - SW_WAYS + way] = &k->floor[way];
    }
    sw_ps *block = calloc(N_SUMS * n, sizeof *block);
    if (!block)
        return sw_fail(SW_ENOMEM, "no memory for the plan of %d layers", c->n_layers);
    for (size_t i = 0; i < N_SUMS; i++)
        *sums[i] = block + i * n;
    if (gpu) {
        k->crossing = cost_measure(c, crossing_time(c, p, step.rows), 0);
        k->prompt_crossing = cost_measure(c, 0, crossing_time(c, p, prompt.rows));
    }
    for (int g = 0; g < 1 + gpu; g++) {
        k->embed[g] =
            cost_measure(c, embed_time(c, p, g, step.rows), embed_time(c, p, g, prompt.rows));
        k->head[g] = cost_measure(c, head_time(c, p, g, &step), head_time(c, p, g, &prompt));
    }
    for (int way = 0; way < SW_WAYS; way++)
        k->gpu_wins[way] = gpu;
    for (int f = 0; f < 2; f++) {
        k->stream_loses[f] = gpu;
        k->disk_loses[f] = true;
    }
    k->prompt_loses = true;
    struct times t = {0};
    for (int i = 0; i < c->n_layers; i++) {
        if (i == 0 || !c->uniform)
            t = cost_layer_times(c, p, &c->fp->layers[i]);
        if (gpu)
            cost_compare(k, &t, p->disk, i == 0);
        sw_ps of[N_SUMS] = {t.gpu, t.host[0], t.host[1], t.streamed, t.disk[0], t.disk[1]};
        memcpy(of + N_SUMS - 2 * SW_WAYS, t.least, sizeof t.least);
        memcpy(of + N_SUMS - SW_WAYS, t.floor, sizeof t.floor);
        for (size_t s = 0; s < N_SUMS; s++)
            (*sums[s])[i + 1] = (*sums[s])[i] + of[s];
    }
    return SW_OK;
}

/* Gives each rank its kind: ranks with equal resources share the tables. */
static enum sw_status kinds_init(struct sw_cost *c)
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

static enum sw_status sums_init(struct sw_cost *c)
{
    const struct sw_footprint *fp = c->fp;
    uint64_t total = 0;
    c->uniform = true;
    for (int i = 0; i < c->n_layers; i++) {
        const struct sw_layer_footprint *layer = &fp->layers[i];
        c->uniform &= layers_alike(layer, &fp->layers[0]);
        c->weights[i + 1] = c->weights[i] + layer->weight_bytes;
        c->kv[i + 1] = c->kv[i] + layer->kv_bytes;
        total += layer->weight_bytes;
        if (layer->weight_bytes > c->max_weight)
            c->max_weight = layer->weight_bytes;
        if (layer->kv_bytes > c->max_kv)
            c->max_kv = layer->kv_bytes;
    }
    c->stream_bytes = SW_STREAM_BUFFERS * c->max_weight;
    c->disk_stream_bytes = SW_DISK_STREAM_BUFFERS * c->max_weight;
    c->disk_bytes = SW_DISK_BUFFERS * c->max_weight + fp->disk_read_bytes;
    c->pass_bytes = fp->matrix_bytes + c->max_kv;
    const uint64_t stored = c->options->stored_bytes;
    c->disk_scale = stored && total ? (double)stored / (double)total : 1;
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
    c->step = (struct sw_hops){to_ps(local), to_ps(link), to_ps(local_ids), to_ps(link_ids)};
    c->goal = (struct sw_hops){
        cost_measure(c, local, cl->local_latency + prompt / cl->local_bandwidth),
        cost_measure(c, link, cl->link_latency + prompt / cl->link_bandwidth),
        cost_measure(c, local_ids, local_ids), cost_measure(c, link_ids, link_ids)};
}

/* Sets the defaults that depend on the cluster. */
static void batch_init(struct sw_cost *c)
{
    const struct sw_footprint_params *params = &c->fp->params;
    const int slots = params->slots > 0 ? params->slots : 1;
    c->micro_batch = c->options->micro_batch;
    if (c->micro_batch <= 0)
        c->micro_batch = c->options->objective == SW_OBJECTIVE_THROUGHPUT && slots > c->n_ranks
                             ? slots / c->n_ranks
                             : 1;
    const double middle = prompt_tokens(c) + c->options->new_tokens / 2.0;
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
    const int prompt = prompt_tokens(c);
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
        cost->node_cap[n] = cost_less(cluster->nodes[n].host_free, options->node_reserve);
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
    return kinds_init(cost);
}

void sw_cost_free(struct sw_cost *cost)
{
    for (int k = 0; k < cost->n_kinds; k++)
        free(cost->kinds[k].gpu); /* one block for all sums */
    free(cost->kinds);
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
    const int on[6] = {s->embed ? t->embed_on_gpu : -1, t->n_gpu ? 1 : -1,
                       t->n_host ? passing : -1,        t->n_streamed ? 1 : -1,
                       t->n_disk ? t->disk_on_gpu : -1, s->head ? t->head_on_gpu : -1};
    int at = -1, n = 0;
    for (int i = 0; i < 6; i++) {
        if (on[i] < 0)
            continue;
        n += at >= 0 && at != on[i];
        at = on[i];
    }
    return n;
}

static void cost_sum_range(const struct sw_cost *c, int from, int count, uint64_t *weights,
                           uint64_t *kv)
{
    for (int i = from; i < from + count; i++) {
        if (weights)
            *weights += c->fp->layers[i].weight_bytes;
        if (kv)
            *kv += c->fp->layers[i].kv_bytes;
    }
}

static void cost_add_up(struct sw_bytes *b)
{
    const uint64_t passing = b->staging > b->load ? b->staging : b->load;
    b->total = b->weights + b->kv + b->embed + b->head + b->work + b->context + passing;
}

static void stage_bytes(const struct sw_cost *c, struct sw_plan_stage *s)
{
    const struct sw_footprint *fp = c->fp;
    const struct sw_tiers *t = &s->tiers;
    const int host = s->first + t->n_gpu, streamed = host + t->n_host;
    const int disk = streamed + t->n_streamed;
    struct sw_bytes gpu = {0}, cpu = {0};
    s->disk_bytes = 0;
    cost_sum_range(c, s->first, t->n_gpu, &gpu.weights, &gpu.kv);
    cost_sum_range(c, host, t->n_host, &cpu.weights, &cpu.kv);
    cost_sum_range(c, streamed, t->n_streamed, &cpu.weights, &gpu.kv);
    cost_sum_range(c, disk, t->n_disk, &s->disk_bytes, t->disk_on_gpu ? &gpu.kv : &cpu.kv);
    if (s->embed)
        *(t->embed_on_gpu ? &gpu.embed : &cpu.embed) = fp->embed_bytes;
    if (s->head)
        *(t->head_on_gpu ? &gpu.head : &cpu.head) =
            fp->head_bytes - (s->embed ? fp->tied_bytes : 0);
    if (t->n_streamed || s->stream_prompt)
        gpu.staging = c->stream_bytes + (s->stream_prompt ? c->pass_bytes : 0);
    else if (t->disk_on_gpu)
        gpu.staging = c->disk_stream_bytes;
    if (t->n_disk)
        cpu.staging = c->disk_bytes;
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
        t += cost_crossings(s, passing) * to_ps(crossing_time(c, p, load->rows));
    int i = s->first;
    for (int k = 0; k < SW_TIERS; k++) {
        const bool by_gpu = k == SW_TIER_DISK ? s->tiers.disk_on_gpu : passing;
        for (const int end = i + sw_tiers_count(&s->tiers, (enum sw_tier)k); i < end; i++)
            t += to_ps(sw_layer_time(c, p, &c->fp->layers[i], (enum sw_tier)k, by_gpu, load));
    }
    if (s->embed)
        t += to_ps(embed_time(c, p, s->tiers.embed_on_gpu, load->rows));
    if (s->head)
        t += to_ps(head_time(c, p, s->tiers.head_on_gpu, load));
    return t;
}

/* Whether a chunk of so many rows is faster with the host layers streamed. */
static bool cost_streaming_pays(const struct sw_cost *c, const struct sw_plan_stage *s, int rows)
{
    const struct sw_load load = prompt_load(c, rows);
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

void sw_cost_stage(const struct sw_cost *cost, struct sw_plan_stage *s)
{
    const struct sw_load step = decode_load(cost), prompt = prompt_load(cost, cost->prompt_rows);
    s->step_s = (double)cost_stage_time(cost, s, false, &step) * 1e-12;
    s->prompt_s = (double)cost_stage_time(cost, s, s->stream_prompt, &prompt) * 1e-12;
    s->tiers.stream_rows = s->stream_prompt ? cost_least_rows(cost, s, cost->prompt_rows) : 0;
    stage_bytes(cost, s);
}
