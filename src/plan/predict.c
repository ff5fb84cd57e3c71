/* Owns the prediction of a finished plan: hops between its stages, loading, seconds per token. */
#include "plan/cost.h"

#include <math.h>

static int next_stage(const struct sw_plan *plan, int rank)
{
    for (int r = rank + 1; r < plan->n_ranks; r++)
        if (plan->stages[r].count)
            return r;
    return -1;
}

/* Seconds of a hop with the hidden states of a prompt's chunk. */
static double prompt_hop(const struct sw_cost *c, int from, int to)
{
    const struct sw_cluster *cl = c->cluster;
    const double bytes = (double)c->fp->hop_bytes * c->prompt_rows;
    if (c->resources[from].node == c->resources[to].node)
        return cl->local_latency + bytes / cl->local_bandwidth;
    return cl->link_latency + bytes / cl->link_bandwidth;
}

/* Bytes that this stage reads from its files; layers that stay on disk are not loaded. */
static double loaded(const struct sw_cost *c, const struct sw_plan_stage *s)
{
    const uint64_t ends = s->gpu.embed + s->gpu.head + s->host.embed + s->host.head;
    return ((double)s->gpu.weights + (double)s->host.weights + (double)ends) * c->disk_scale;
}

/* Seconds to load on a node: its ranks load at the same time, share its disk and end together. */
static double load_seconds(const struct sw_cost *c, const struct sw_plan *plan, int node)
{
    double bytes = 0;
    for (int r = 0; r < plan->n_ranks; r++)
        if (plan->stages[r].count && plan->stages[r].node == node)
            bytes += loaded(c, &plan->stages[r]);
    return bytes / c->cluster->nodes[node].disk_bandwidth;
}

void sw_cost_finish(const struct sw_cost *cost, struct sw_plan *plan)
{
    const int slots = cost->fp->params.slots > 0 ? cost->fp->params.slots : 1;
    double sum = 0, slowest = 0, prompt_sum = 0, prompt_slowest = 0, load = 0, node_load = 0;
    double disk = 0;
    plan->hidden_rows = cost->fp->params.max_batch_tokens;
    for (int r = 0, node = -1; r < plan->n_ranks; r++) {
        struct sw_plan_stage *s = &plan->stages[r];
        if (!s->count)
            continue;
        const int to = next_stage(plan, r);
        if (s->node != node)
            node_load = load_seconds(cost, plan, node = s->node);
        s->load_s = node_load;
        s->hop_s = (double)sw_cost_hop(cost, &cost->step, r, to) * 1e-12;
        s->prompt_hop_s = to < 0 ? s->hop_s : prompt_hop(cost, r, to);
        const double in = s->embed ? (double)sw_cost_hop(cost, &cost->step, -1, r) * 1e-12 : 0;
        sum += in + s->step_s + s->hop_s;
        slowest = fmax(slowest, fmax(in, fmax(s->step_s, s->hop_s)));
        prompt_sum += in + s->prompt_s + s->prompt_hop_s;
        prompt_slowest = fmax(prompt_slowest, fmax(s->prompt_s, s->prompt_hop_s));
        load = fmax(load, s->load_s);
        disk += s->disk_read;
        plan->hidden_rows = s->hidden_rows < plan->hidden_rows ? s->hidden_rows : plan->hidden_rows;
    }
    struct sw_prediction *p = &plan->predicted;
    sum = fmax(sum, 1e-12); /* a model without any work */
    prompt_sum = fmax(prompt_sum, 1e-12);
    prompt_slowest = fmax(prompt_slowest, 1e-12);
    p->load_s = load;
    p->disk_bytes = disk / plan->micro_batch;
    p->s_per_token = sum;
    p->tokens_per_s = 1 / sum;
    p->prompt_tokens_per_s = cost->prompt_rows / prompt_sum;
    if (plan->objective == SW_OBJECTIVE_THROUGHPUT) {
        /* so many micro-batches are under way; a step of one waits for the others when many */
        const double batches = fmax(1, floor((double)slots / plan->micro_batch));
        p->s_per_token = fmax(sum, batches * slowest);
        p->tokens_per_s = batches * plan->micro_batch / p->s_per_token;
        p->prompt_tokens_per_s =
            cost->prompt_rows / (sw_cost_alone(cost) ? prompt_sum : prompt_slowest);
    }
    p->s_per_request = cost->prompt_chunks * cost->prompt_rows / p->prompt_tokens_per_s +
                       cost->options->new_tokens / p->tokens_per_s;
}
