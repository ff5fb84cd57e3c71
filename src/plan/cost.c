/*
 * Time and bytes of layers on the ranks of a cluster: what each rank may use, the time of every
 * layer in every tier, and the account of one stage. The formulas are stated in docs/hardware.md.
 */
#include "plan/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What travels through a layer together: tokens, and KV positions that are read for them. */
struct load {
    double rows, kv_rows;
    bool prompt;
};

enum tier { TIER_GPU, TIER_HOST, TIER_STREAMED, TIER_DISK };

static sw_ps to_ps(double seconds)
{
    const double ps = seconds * 1e12;
    return ps < (double)SW_PS_MAX ? (sw_ps)(ps + 0.5) : SW_PS_MAX;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Weight bytes a micro-batch reads: all of a dense layer; of experts, those that some row chose. */
static double read_bytes(const struct sw_layer_footprint *layer, double rows)
{
    const double all = (double)layer->weight_bytes, one = (double)layer->read_bytes;
    if (one >= all)
        return all;
    return all * (1 - pow(1 - one / all, rows));
}

static sw_ps layer_time(const struct sw_cost *c, const struct sw_place *p,
                        const struct sw_layer_footprint *layer, enum tier tier,
                        const struct load *load)
{
    const double kv = (double)layer->kv_row_bytes * load->kv_rows;
    const double bytes = read_bytes(layer, load->rows) + kv;
    const double flops = layer->token_flops * load->rows;
    const bool on_gpu = tier == TIER_GPU || tier == TIER_STREAMED;
    double t = on_gpu ? larger(bytes / p->gpu_bw, flops / p->gpu_flops)
                      : larger(bytes / p->host_bw, flops / p->cpu_flops);
    if (tier == TIER_STREAMED)
        t = larger(t, (double)layer->weight_bytes / p->bus_bw);
    if (tier == TIER_STREAMED && load->prompt) /* its KV is in host memory: earlier rows come along
                                                  and new ones go back, before and after the rest */
        t += (kv + (double)layer->kv_row_bytes * load->rows) / p->bus_bw;
    if (tier == TIER_DISK)
        t = larger(t, (double)layer->weight_bytes * c->disk_scale / p->disk_bw);
    return to_ps(t);
}

static sw_ps embed_time(const struct sw_cost *c, const struct sw_place *p, bool on_gpu, double rows)
{
    const double bytes = (double)c->fp->embed_read_bytes * rows;
    return to_ps(bytes / (on_gpu ? p->gpu_bw : p->host_bw));
}

static sw_ps head_time(const struct sw_cost *c, const struct sw_place *p, bool on_gpu, double rows)
{
    const double bytes = (double)c->fp->head_bytes, flops = c->fp->head_flops * rows;
    return on_gpu ? to_ps(larger(bytes / p->gpu_bw, flops / p->gpu_flops))
                  : to_ps(larger(bytes / p->host_bw, flops / p->cpu_flops));
}

static sw_ps crossing_time(const struct sw_cost *c, const struct sw_place *p, double rows)
{
    return to_ps(SW_CROSSING_LATENCY + rows * (double)c->fp->hop_bytes / p->bus_bw);
}

static struct load decode_load(const struct sw_cost *c)
{
    const double rows = c->micro_batch;
    return (struct load){.rows = rows, .kv_rows = rows * c->position};
}

/* A prompt's chunk reads the KV of its one slot once; half the positions, on the average. */
static struct load prompt_load(const struct sw_cost *c, int rows)
{
    return (struct load){.rows = rows, .kv_rows = c->position / 2.0, .prompt = true};
}

static int chunk_rows(const struct sw_cost *c)
{
    return c->fp->params.rows > 0 ? c->fp->params.rows : 1;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void place_init(struct sw_cost *c, int rank, const int *ranks_of_node)
{
    const struct sw_plan_options *o = c->options;
    struct sw_place *p = &c->places[rank];
    sw_cluster_rank(c->cluster, rank, &p->node, &p->device);
    const struct sw_node *node = &c->cluster->nodes[p->node];
    /* Every rank has its own cores; memory, bus and disk are shared by those that work at a time.
     */
    const double ranks = ranks_of_node[p->node];
    const bool alone = o->objective == SW_OBJECTIVE_LATENCY;
    p->cpu_flops = node->cpu_flops / ranks;
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
        p->gpu_cap = less(free, o->gpu_reserve);
        p->gpu_bw = d->bandwidth;
        p->gpu_flops = d->flops;
    }
}

static bool place_alike(const struct sw_place *a, const struct sw_place *b)
{
    return (a->device < 0) == (b->device < 0) && a->gpu_cap == b->gpu_cap &&
           a->host_cap == b->host_cap && a->even_cap == b->even_cap && a->sharers == b->sharers &&
           a->gpu_bw == b->gpu_bw && a->gpu_flops == b->gpu_flops && a->host_bw == b->host_bw &&
           a->cpu_flops == b->cpu_flops && a->bus_bw == b->bus_bw && a->disk_bw == b->disk_bw &&
           a->disk == b->disk;
}

static bool layers_alike(const struct sw_layer_footprint *a, const struct sw_layer_footprint *b)
{
    return a->weight_bytes == b->weight_bytes && a->read_bytes == b->read_bytes &&
           a->kv_bytes == b->kv_bytes && a->kv_row_bytes == b->kv_row_bytes &&
           a->token_flops == b->token_flops;
}

static enum sw_status kind_init(const struct sw_cost *c, struct sw_kind *k)
{
    const struct sw_place *p = k->place;
    const struct load load = decode_load(c);
    const bool gpu = p->device >= 0;
    const size_t n = (size_t)c->n_layers + 1;
    sw_ps *t = calloc(4 * n, sizeof *t);
    if (!t)
        return sw_fail(SW_ENOMEM, "no memory for the plan of %d layers", c->n_layers);
    k->gpu = t;
    k->host = t + n;
    k->streamed = t + 2 * n;
    k->disk = t + 3 * n;
    k->crossing = gpu ? crossing_time(c, p, load.rows) : 0;
    for (int g = 0; g < 1 + gpu; g++) {
        k->embed[g] = embed_time(c, p, g, load.rows);
        k->head[g] = head_time(c, p, g, load.rows);
    }
    k->gpu_wins = k->stream_loses = gpu;
    sw_ps tg = 0, th = 0, ts = 0, td = 0;
    for (int i = 0; i < c->n_layers; i++) {
        const struct sw_layer_footprint *layer = &c->fp->layers[i];
        if (i == 0 || !c->uniform) {
            th = layer_time(c, p, layer, TIER_HOST, &load);
            td = p->disk ? layer_time(c, p, layer, TIER_DISK, &load) : th;
            tg = gpu ? layer_time(c, p, layer, TIER_GPU, &load) : 0;
            ts = gpu ? layer_time(c, p, layer, TIER_STREAMED, &load) : 0;
        }
        k->gpu_wins &= tg <= th && tg <= ts && tg <= td;
        k->stream_loses &= ts >= th + 3 * k->crossing;
        k->gpu[i + 1] = k->gpu[i] + tg;
        k->host[i + 1] = k->host[i] + th;
        k->streamed[i + 1] = k->streamed[i] + ts;
        k->disk[i + 1] = k->disk[i] + td;
    }
    return SW_OK;
}

/* Gives every place its kind: equal places share the tables. */
static enum sw_status kinds_init(struct sw_cost *c)
{
    c->kinds = calloc((size_t)c->n_ranks, sizeof *c->kinds);
    if (!c->kinds)
        return sw_fail(SW_ENOMEM, "no memory for a plan over %d ranks", c->n_ranks);
    for (int r = 0; r < c->n_ranks; r++) {
        int k = 0;
        while (k < c->n_kinds && !place_alike(c->kinds[k].place, &c->places[r]))
            k++;
        c->places[r].kind = k;
        if (k < c->n_kinds)
            continue;
        c->kinds[k].place = &c->places[r];
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
    c->stream_bytes = SW_STREAM_BUFFERS * c->max_weight + fp->matrix_bytes;
    const uint64_t stored = c->options->stored_bytes;
    c->disk_scale = stored && total ? (double)stored / (double)total : 1;
    return SW_OK;
}

static void hops_init(struct sw_cost *c)
{
    const struct sw_cluster *cl = c->cluster;
    const double hop = (double)c->fp->hop_bytes * c->micro_batch, ids = 4.0 * c->micro_batch;
    c->local_hop = to_ps(cl->local_latency + hop / cl->local_bandwidth);
    c->link_hop = to_ps(cl->link_latency + hop / cl->link_bandwidth);
    c->local_ids = to_ps(cl->local_latency + ids / cl->local_bandwidth);
    c->link_ids = to_ps(cl->link_latency + ids / cl->link_bandwidth);
}

/* The defaults that depend on the cluster. */
static void batch_init(struct sw_cost *c)
{
    const struct sw_footprint_params *params = &c->fp->params;
    const int slots = params->slots > 0 ? params->slots : 1;
    c->micro_batch = c->options->micro_batch;
    if (c->micro_batch <= 0)
        c->micro_batch = c->options->objective == SW_OBJECTIVE_THROUGHPUT && slots > c->n_ranks
                             ? slots / c->n_ranks
                             : 1;
    c->position = c->options->position >= 0 ? c->options->position : params->context / 2;
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
        return sw_fail(SW_EUSAGE, "%d ranks are asked for, the cluster has room for %d",
                       options->n_ranks, all);
    *cost = (struct sw_cost){.fp = fp, .options = options, .cluster = cluster};
    cost->n_layers = fp->n_layers;
    cost->n_ranks = options->n_ranks ? options->n_ranks : all;
    cost->n_nodes = cluster->n_nodes;
    batch_init(cost);
    const size_t layers = (size_t)fp->n_layers + 1, nodes = (size_t)cluster->n_nodes;
    int *ranks_of_node = calloc(nodes, sizeof *ranks_of_node);
    cost->places = calloc((size_t)cost->n_ranks, sizeof *cost->places);
    cost->node_cap = calloc(nodes, sizeof *cost->node_cap);
    cost->weights = calloc(layers, sizeof *cost->weights);
    cost->kv = calloc(layers, sizeof *cost->kv);
    if (!ranks_of_node || !cost->places || !cost->node_cap || !cost->weights || !cost->kv) {
        free(ranks_of_node);
        return sw_fail(SW_ENOMEM, "no memory for a plan over %d ranks", cost->n_ranks);
    }
    for (int n = 0; n < cost->n_nodes; n++)
        cost->node_cap[n] = less(cluster->nodes[n].host_free, options->node_reserve);
    for (int r = 0, node, device; r < cost->n_ranks; r++) {
        sw_cluster_rank(cluster, r, &node, &device);
        ranks_of_node[node]++;
    }
    for (int r = 0; r < cost->n_ranks; r++)
        place_init(cost, r, ranks_of_node);
    free(ranks_of_node);
    SW_TRY(sums_init(cost));
    cost->bounce_bytes = 2 * fp->hop_bytes * (uint64_t)(fp->params.rows > 0 ? fp->params.rows : 1);
    hops_init(cost);
    return kinds_init(cost);
}

void sw_cost_free(struct sw_cost *cost)
{
    for (int k = 0; k < cost->n_kinds; k++)
        free(cost->kinds[k].gpu); /* one block for all four */
    free(cost->kinds);
    free(cost->places);
    free(cost->node_cap);
    free(cost->weights);
    free(cost->kv);
    memset(cost, 0, sizeof *cost);
}

sw_ps sw_cost_hop(const struct sw_cost *cost, int from, int to)
{
    const int a = from < 0 ? 0 : from, b = to < 0 ? 0 : to;
    const bool ids = from < 0 || to < 0;
    if (a == b)
        return 0;
    if (cost->places[a].node == cost->places[b].node)
        return ids ? cost->local_ids : cost->local_hop;
    return ids ? cost->link_ids : cost->link_hop;
}

/* Hand-overs between GPU and CPU on the way through a stage whose host layers run on `host`. */
static int crossings(const struct sw_stage *s, enum tier host)
{
    const int on[6] = {
        s->embed ? s->embed_on_gpu : -1, s->n_gpu ? 1 : -1,  s->n_host ? host == TIER_STREAMED : -1,
        s->n_streamed ? 1 : -1,          s->n_disk ? 0 : -1, s->head ? s->head_on_gpu : -1};
    int at = -1, n = 0;
    for (int i = 0; i < 6; i++) {
        if (on[i] < 0)
            continue;
        n += at >= 0 && at != on[i];
        at = on[i];
    }
    return n;
}

static void sum_range(const struct sw_cost *c, int from, int count, uint64_t *weights, uint64_t *kv)
{
    for (int i = from; i < from + count; i++) {
        if (weights)
            *weights += c->fp->layers[i].weight_bytes;
        if (kv)
            *kv += c->fp->layers[i].kv_bytes;
    }
}

static void add_up(struct sw_bytes *b)
{
    const uint64_t passing = b->staging > b->load ? b->staging : b->load;
    b->total = b->weights + b->kv + b->embed + b->head + b->work + b->context + passing;
}

static void stage_bytes(const struct sw_cost *c, struct sw_stage *s)
{
    const struct sw_footprint *fp = c->fp;
    const int host = s->first + s->n_gpu, streamed = host + s->n_host;
    const int disk = streamed + s->n_streamed;
    struct sw_bytes gpu = {0}, cpu = {0};
    s->disk_bytes = 0;
    sum_range(c, s->first, s->n_gpu, &gpu.weights, &gpu.kv);
    sum_range(c, host, s->n_host, &cpu.weights, &cpu.kv);
    sum_range(c, streamed, s->n_streamed, &cpu.weights, &gpu.kv);
    sum_range(c, disk, s->n_disk, &s->disk_bytes, &cpu.kv);
    if (s->embed)
        *(s->embed_on_gpu ? &gpu.embed : &cpu.embed) = fp->embed_bytes;
    if (s->head)
        *(s->head_on_gpu ? &gpu.head : &cpu.head) =
            fp->head_bytes - (s->embed ? fp->tied_bytes : 0);
    if (s->n_streamed || s->stream_prompt)
        gpu.staging = c->stream_bytes + (s->stream_prompt ? c->max_kv : 0);
    if (s->n_disk)
        cpu.staging = 2 * c->max_weight;
    const bool gpu_works =
        s->n_gpu || s->n_streamed || s->stream_prompt || s->embed_on_gpu || s->head_on_gpu;
    const bool cpu_works =
        s->n_host || s->n_disk || (s->embed && !s->embed_on_gpu) || (s->head && !s->head_on_gpu);
    if (gpu_works) {
        gpu.context = c->options->gpu_context;
        gpu.work = fp->gpu_work_bytes + (s->head && s->head_on_gpu ? fp->logits_bytes : 0);
    }
    cpu.work = s->device >= 0 ? c->bounce_bytes : 0;
    cpu.work += (cpu_works ? fp->work_bytes : 0) + (s->head ? fp->logits_bytes : 0);
    cpu.context = c->options->rank_host;
    cpu.load = fp->load_bytes;
    add_up(&gpu);
    add_up(&cpu);
    s->gpu = gpu;
    s->host = cpu;
}

/* A micro-batch's time, with the host layers run as `host` says. */
static sw_ps sum_time(const struct sw_cost *c, const struct sw_stage *s, enum tier host,
                      const struct load *load)
{
    const struct sw_place *p = &c->places[s->rank];
    const int n[4] = {s->n_gpu, s->n_host, s->n_streamed, s->n_disk};
    const enum tier tiers[4] = {TIER_GPU, host, TIER_STREAMED, TIER_DISK};
    sw_ps t = (sw_ps)crossings(s, host) * (p->device >= 0 ? crossing_time(c, p, load->rows) : 0);
    int i = s->first;
    for (int k = 0; k < 4; k++) {
        /* streamed layers that are no host layers have their KV on the GPU */
        const struct load l = {load->rows, load->kv_rows, load->prompt && k != 2};
        for (const int end = i + n[k]; i < end; i++)
            t += layer_time(c, p, &c->fp->layers[i], tiers[k], &l);
    }
    if (s->embed)
        t += embed_time(c, p, s->embed_on_gpu, load->rows);
    if (s->head) /* of a prompt, only the last token is sampled */
        t += head_time(c, p, s->head_on_gpu, load->prompt ? 1 : load->rows);
    return t;
}

/* Is a chunk of so many rows done sooner with the host layers streamed? */
static bool streaming_pays(const struct sw_cost *c, const struct sw_stage *s, int rows)
{
    const struct load load = prompt_load(c, rows);
    return sum_time(c, s, TIER_STREAMED, &load) < sum_time(c, s, TIER_HOST, &load);
}

/* A number of rows from which it pays, when it pays for `rows`: with one row less it does not. */
static int least_rows(const struct sw_cost *c, const struct sw_stage *s, int rows)
{
    int low = 0; /* does not pay */
    while (rows - low > 1) {
        const int middle = low + (rows - low) / 2;
        if (streaming_pays(c, s, middle))
            rows = middle;
        else
            low = middle;
    }
    return rows;
}

/* The prompt's time, and whether it pays (and there is room) to stream what is not on the GPU. */
static sw_ps prompt_time(const struct sw_cost *c, struct sw_stage *s)
{
    const struct load load = prompt_load(c, chunk_rows(c));
    const struct sw_place *p = &c->places[s->rank];
    s->stream_prompt = false;
    s->stream_rows = 0;
    if (p->device >= 0 && s->n_host > 0 && streaming_pays(c, s, chunk_rows(c))) {
        s->stream_prompt = true;
        stage_bytes(c, s);
        s->stream_prompt = s->gpu.total <= p->gpu_cap && s->host.total <= p->host_cap;
    }
    if (s->stream_prompt)
        s->stream_rows = least_rows(c, s, chunk_rows(c));
    return sum_time(c, s, s->stream_prompt ? TIER_STREAMED : TIER_HOST, &load);
}

void sw_cost_stage(const struct sw_cost *cost, struct sw_stage *s)
{
    const struct load load = decode_load(cost);
    s->step_s = (double)sum_time(cost, s, TIER_HOST, &load) * 1e-12;
    s->prompt_s = (double)prompt_time(cost, s) * 1e-12;
    stage_bytes(cost, s);
}
