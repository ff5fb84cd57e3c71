/* Small clusters, models and wishes made up from a seed, each case possible and many of them tight.
 */
#ifndef TESTS_PLAN_RANDOM_CASE_H
#define TESTS_PLAN_RANDOM_CASE_H

#include "plan/plan.h"

#define LAYERS 5
#define MOST_EXPERTS 3

static uint64_t state;
static unsigned roll(unsigned n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

/* Makes most layers routed, with the same number of experts. */
static void random_experts(const struct sw_footprint *fp, struct sw_layer_footprint *layers)
{
    const int n = 1 + (int)roll(MOST_EXPERTS), used = 1 + (int)roll((unsigned)n);
    for (int i = 0; i < fp->n_layers; i++) {
        struct sw_layer_footprint *l = &layers[i];
        if (i && fp->layers[i].weight_bytes == layers[0].weight_bytes) {
            *l = layers[0];
            continue;
        }
        if (roll(5) == 0)
            continue;
        l->n_experts = n;
        l->n_used = used;
        l->expert_bytes = (l->weight_bytes - roll(900)) / (uint64_t)n;
        l->read_bytes = l->weight_bytes - (uint64_t)(n - used) * l->expert_bytes;
    }
}

static void random_footprint(struct sw_footprint *fp, struct sw_layer_footprint *layers,
                             int least_layers)
{
    const bool uniform = roll(2);
    const unsigned more = (unsigned)(LAYERS - least_layers);
    *fp = (struct sw_footprint){.n_layers = least_layers + (int)roll(more + 1), .layers = layers};
    fp->params =
        (struct sw_footprint_params){.weights = SW_FORMAT_F16,
                                     .kv = SW_F16,
                                     .context = 1 + (int)roll(50),
                                     .slots = 1 + (int)roll(6),
                                     .max_batch_tokens = 1 + (int)(roll(2) ? roll(9) : roll(60))};
    for (int i = 0; i < fp->n_layers; i++) {
        struct sw_layer_footprint *l = &layers[i];
        if (i && uniform) {
            *l = layers[0];
            continue;
        }
        *l = (struct sw_layer_footprint){.weight_bytes = 1000 + roll(2000)};
        l->read_bytes = roll(3) ? l->weight_bytes : l->weight_bytes / (1 + roll(4));
        l->kv_bytes = roll(4) ? roll(800) : 0;
        l->kv_row_bytes = roll(20);
        l->token_flops = roll(4) ? 2.0 * (double)l->read_bytes : 1000.0 * roll(100);
        l->attend_flops = roll(3) ? roll(200) : 0;
        l->window = roll(3) ? 0 : 1 + (int)roll(40);
    }
    if (least_layers == 1 && roll(3) == 0)
        random_experts(fp, layers);
    fp->embed_bytes = roll(1500);
    fp->embed_read_bytes = roll(50);
    fp->head_bytes = 100 + roll(1500);
    fp->tied_bytes = roll(2) ? 0 : roll((unsigned)fp->head_bytes);
    if (fp->tied_bytes > fp->embed_bytes)
        fp->tied_bytes = fp->embed_bytes;
    fp->head_flops = roll(3000);
    fp->hop_bytes = roll(60);
    fp->work_bytes = roll(400);
    fp->gpu_work_bytes = roll(400);
    fp->matrix_bytes = roll(800);
    fp->logits_bytes = roll(200);
    fp->sampler_bytes = fp->logits_bytes / 3;
    fp->load_bytes = roll(900);
    fp->disk_read_bytes = fp->load_bytes / 2;
}

static void random_cluster(struct sw_cluster *cl, int most_ranks)
{
    sw_cluster_init(cl);
    const bool slow_gpu = roll(6) == 0;
    for (int ranks = 0; ranks < most_ranks;) {
        struct sw_node *node = sw_cluster_add_node(cl);
        const int n = 1 + (int)roll((unsigned)(most_ranks - ranks));
        const int devices = (int)roll((unsigned)n + 1);
        node->host_free = node->host_total = 600 + roll(14000);
        node->rank_bandwidth = 1e6 * (1 + roll(40));
        node->host_bandwidth = node->rank_bandwidth * (1 + roll(3));
        /* half of them compute about as fast as they read: good for steps, not for prompts */
        node->cpu_flops = roll(2) ? 1e6 * (1 + roll(400)) : node->rank_bandwidth * (1 + roll(6));
        node->cpu_attend = roll(2) ? node->cpu_flops / (1 + roll(9)) : 0;
        node->cpu_attend_decode = roll(2) ? node->cpu_flops / (1 + roll(20)) : 0;
        node->bus_bandwidth = 1e6 * (1 + roll(60));
        node->both_bandwidth = roll(2) ? 0 : 1e6 * (1 + roll(150));
        node->disk_bandwidth = 1e6 * (1 + roll(10));
        node->disk_tier = roll(2);
        for (int d = 0; d < devices; d++) {
            struct sw_device *device = sw_node_add_device(node);
            device->free = device->total = 500 + roll(roll(3) ? 9000 : 16000);
            device->bandwidth = slow_gpu ? 1e6 * (1 + roll(30)) : 1e6 * (50 + roll(500));
            device->flops = slow_gpu ? 1e6 * (1 + roll(300)) : 1e9;
            device->launch = 1e-6 * roll(8);
            device->attend = roll(2) ? device->flops / (1 + roll(9)) : 0;
            if (d && roll(2))
                *device = node->devices[d - 1];
        }
        node->n_ranks = n;
        ranks += n;
        if (roll(3) == 0)
            break;
    }
    cl->link_latency = roll(3) * 20e-6;
    cl->link_bandwidth = 1e6 * (1 + roll(50));
    cl->local_latency = roll(2) * 2e-6;
    cl->local_bandwidth = 1e6 * (20 + roll(100));
}

/* Shares of so many experts, the first with most. */
static const double *random_popularity(int n)
{
    static double shares[MOST_EXPERTS];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += shares[i] = (i ? shares[i - 1] : 1) * (1 + roll(4)) / 4.0;
    for (int i = 0; i < n; i++)
        shares[i] /= sum;
    return shares;
}

static void random_options(struct sw_plan_options *o, const struct sw_cluster *cl, int n_layers,
                           int *slices)
{
    sw_plan_options_init(o);
    o->no_experts = roll(6) == 0;
    o->no_disk_gpu = roll(6) == 0;
    o->no_gpu_experts = roll(6) == 0;
    if (roll(2)) {
        o->n_popularity = 1 + (int)roll(MOST_EXPERTS);
        o->popularity = random_popularity(o->n_popularity);
    }
    o->objective = roll(2) ? SW_OBJECTIVE_LATENCY : SW_OBJECTIVE_THROUGHPUT;
    o->micro_batch = (int)roll(4);
    o->groups = roll(2) ? 0 : 1 + (int)roll(3);
    o->prompt_tokens = 1 + (int)roll(150);
    o->new_tokens = roll(5) ? 1 + (int)roll(20) : 0;
    o->gpu_context = roll(200);
    o->gpu_reserve = roll(100);
    o->rank_host = roll(100);
    o->node_reserve = roll(100);
    o->gpu_memory = roll(5) ? UINT64_MAX : 3000 + roll(5000);
    o->host_memory = roll(5) ? UINT64_MAX : 3000 + roll(5000);
    o->no_disk = roll(6) == 0;
    o->position = roll(2) ? -1 : (int)roll(30);
    if (roll(5) == 0) {
        const int ranks = sw_cluster_n_ranks(cl);
        for (int r = 0, rest = n_layers; r < ranks; r++) {
            slices[r] = r + 1 == ranks ? rest : (int)roll((unsigned)rest + 1);
            rest -= slices[r];
        }
        o->slices = slices;
        o->n_slices = ranks;
    }
}
/* Makes it a case where prompts may be worth room on the GPUs: each rank has one with room for the
 * buffers and some layers, next to a CPU that computes about as fast as it reads. */
static void favour_prompts(struct sw_footprint *fp, struct sw_cluster *cl)
{
    uint64_t most = 0;
    fp->params.max_batch_tokens = 20 + (int)roll(60);
    for (int i = 0; i < fp->n_layers; i++) {
        struct sw_layer_footprint *l = &fp->layers[i];
        l->token_flops = 2.0 * (double)l->weight_bytes;
        most = l->weight_bytes > most ? l->weight_bytes : most;
    }
    for (int n = 0; n < cl->n_nodes; n++) {
        struct sw_node *node = &cl->nodes[n];
        node->cpu_flops = node->rank_bandwidth * (1 + roll(4));
        node->host_free = node->host_total = 3000 + roll(14000);
        while (node->n_devices < node->n_ranks) {
            struct sw_device *device = sw_node_add_device(node);
            device->bandwidth = 1e6 * (50 + roll(500));
            device->flops = 1e9;
        }
        for (int d = 0; d < node->n_devices; d++)
            node->devices[d].free = node->devices[d].total =
                2 * most + fp->matrix_bytes + fp->gpu_work_bytes + roll(4 * (unsigned)most);
    }
}

/* Makes it a case where CPU and bus may be faster together: either takes about as long for a layer,
 * and host memory has something for both. */
static void favour_both(struct sw_footprint *fp, struct sw_cluster *cl)
{
    favour_prompts(fp, cl);
    for (int n = 0; n < cl->n_nodes; n++) {
        struct sw_node *node = &cl->nodes[n];
        node->bus_bandwidth = node->rank_bandwidth * (1 + roll(8)) / 4;
        node->both_bandwidth = node->host_bandwidth + node->bus_bandwidth * (1 + roll(4)) / 4;
        node->cpu_flops = node->rank_bandwidth * (1 + roll(20));
    }
}

#endif
