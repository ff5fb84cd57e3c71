/*
 * Owns making a plan: checks the options, finds the partition, fills the stages with their bytes
 * and seconds, predicts the speed, and reports what is short when nothing fits.
 */
#include "plan/plan.h"

#include "base/units.h"
#include "plan/advice.h"
#include "plan/cost.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void sw_plan_options_init(struct sw_plan_options *options)
{
    *options = (struct sw_plan_options){.prompt_tokens = SW_DEFAULT_PROMPT,
                                        .new_tokens = SW_DEFAULT_NEW,
                                        .position = -1,
                                        .gpu_memory = UINT64_MAX,
                                        .host_memory = UINT64_MAX,
                                        .gpu_context = SW_GPU_CONTEXT_BYTES,
                                        .gpu_reserve = SW_GPU_RESERVE_BYTES,
                                        .rank_host = SW_RANK_HOST_BYTES,
                                        .node_reserve = SW_NODE_RESERVE_BYTES};
}

uint64_t sw_node_reserve(const struct sw_plan_options *o, uint64_t free)
{
    return o->node_reserve < free / 8 ? o->node_reserve : free / 8;
}

uint64_t sw_node_with_reserve(const struct sw_plan_options *o, uint64_t bytes)
{
    const uint64_t eighth = (bytes + 6) / 7, reserve = o->node_reserve;
    const uint64_t kept = reserve < eighth ? reserve : eighth;
    return bytes > UINT64_MAX - kept ? UINT64_MAX : bytes + kept;
}

void sw_plan_free(struct sw_plan *plan)
{
    free(plan->stages);
    plan->stages = NULL;
}

static enum sw_status check_slices(const struct sw_cost *c)
{
    const struct sw_plan_options *o = c->options;
    long sum = 0;
    if (!o->slices)
        return SW_OK;
    if (o->n_slices > c->n_ranks)
        return sw_fail(SW_EUSAGE, "--slices names %d ranks, the plan is for %d", o->n_slices,
                       c->n_ranks);
    for (int i = 0; i < o->n_slices; i++) {
        if (o->slices[i] < 0)
            return sw_fail(SW_EUSAGE, "--slices: rank %d cannot have %d layers", i, o->slices[i]);
        sum += o->slices[i];
    }
    if (sum != c->n_layers)
        return sw_fail(SW_EUSAGE, "--slices adds up to %ld layers, the model has %d", sum,
                       c->n_layers);
    return SW_OK;
}

static void stages_fill(const struct sw_cost *c, const struct sw_slice *slices,
                        struct sw_plan *plan)
{
    plan->embedding_rank = plan->head_rank = -1;
    for (int r = 0; r < c->n_ranks; r++) {
        const struct sw_slice *slice = &slices[r];
        struct sw_plan_stage *s = &plan->stages[r];
        *s = (struct sw_plan_stage){.rank = r,
                                    .node = c->resources[r].node,
                                    .device = c->resources[r].device,
                                    .first = slice->first,
                                    .count = slice->count};
        if (!slice->count)
            continue;
        const struct sw_split *split = &slice->split;
        s->tiers = split->tiers;
        s->embed = slice->first == 0;
        s->head = slice->first + slice->count == c->n_layers;
        s->stream_prompt = split->stream_prompt;
        if (s->embed)
            plan->embedding_rank = r;
        if (s->head)
            plan->head_rank = r;
        plan->n_stages++;
        sw_cost_stage(c, s);
    }
    sw_cost_finish(c, plan);
}

static enum sw_status plan_explain_shortage(const struct sw_cost *c, struct sw_plan *plan)
{
    const struct sw_footprint *fp = c->fp;
    const struct sw_plan_options *o = c->options;
    char need[16], gpu[16], host[16];
    uint64_t gpus = 0, hosts = 0;
    plan->needed = c->weights[c->n_layers] + c->kv[c->n_layers] + fp->embed_bytes + fp->head_bytes -
                   fp->tied_bytes;
    for (int r = 0; r < c->n_ranks; r++) {
        gpus += c->resources[r].gpu_cap;
        hosts += c->resources[r].even_cap;
    }
    plan->available = gpus + hosts;
    sw_size_format(plan->needed, need, sizeof need);
    sw_size_format(gpus, gpu, sizeof gpu);
    sw_size_format(hosts, host, sizeof host);
    return sw_fail(SW_ENOFIT,
                   "weights and KV cache take %s and workspace besides; %d %s %s of GPU and %s of "
                   "host memory after reserves%s",
                   need, c->n_ranks, c->n_ranks == 1 ? "rank has" : "ranks have", gpu, host,
                   o->slices ? " (with the slices as given)" : "");
}

static enum sw_status plan_partition(const struct sw_cost *c, struct sw_plan *plan)
{
    const size_t ranks = (size_t)c->n_ranks;
    SW_TRY(check_slices(c));
    struct sw_slice *slices = calloc(ranks, sizeof *slices);
    plan->stages = calloc(ranks, sizeof *plan->stages);
    plan->n_layers = c->n_layers;
    plan->n_ranks = c->n_ranks;
    plan->micro_batch = c->micro_batch;
    plan->position = c->position;
    plan->prompt_rows = c->prompt_rows;
    plan->objective = c->options->objective;
    enum sw_status status = slices && plan->stages
                                ? sw_partition(c, slices)
                                : sw_fail(SW_ENOMEM, "no memory for a plan over %zu ranks", ranks);
    if (status == SW_OK) {
        plan->fits = true;
        stages_fill(c, slices, plan);
    } else {
        sw_plan_free(plan);
    }
    free(slices);
    return status;
}

enum sw_status sw_plan_make(const struct sw_footprint *footprint, const struct sw_cluster *cluster,
                            const struct sw_plan_options *options, struct sw_plan *out)
{
    struct sw_cost cost;
    *out = (struct sw_plan){.embedding_rank = -1, .head_rank = -1};
    enum sw_status status = sw_cost_init(&cost, footprint, cluster, options);
    if (status == SW_OK)
        status = plan_partition(&cost, out);
    if (status == SW_ENOFIT && !options->no_advice) {
        status = sw_advise(&cost, out);
        if (status == SW_OK)
            status = plan_explain_shortage(&cost, out);
    }
    sw_cost_free(&cost);
#ifdef SW_DEBUG
    char why[256] = "";
    if (status == SW_OK)
        assert(sw_plan_check(out, footprint, cluster, options, why, sizeof why) && why[0] == 0);
#endif
    return status;
}

enum sw_status sw_plan_spread(const struct sw_footprint *footprint,
                              const struct sw_cluster *cluster,
                              const struct sw_plan_options *options, struct sw_plan *out)
{
    SW_TRY(sw_plan_make(footprint, cluster, options, out));
    if (options->slices || options->least > 0 || out->n_stages == out->n_ranks)
        return SW_OK;
    struct sw_plan_options all = *options;
    struct sw_plan spread;
    all.least = 1;
    all.footprint_at = NULL; /* advice is not needed when not all ranks can be used */
    const double unnoticed =
        options->objective == SW_OBJECTIVE_LATENCY ? SW_UNNOTICED_S : SW_UNNOTICED_FULL_S;
    const double limit = fmax(out->predicted.s_per_request * (1 + SW_SPREAD),
                              unnoticed * fmax(options->new_tokens, 1));
    const enum sw_status status = sw_plan_make(footprint, cluster, &all, &spread);
    if (status == SW_OK && spread.predicted.s_per_request <= limit) {
        sw_plan_free(out);
        *out = spread;
        return SW_OK;
    }
    sw_plan_free(&spread);
    if (status != SW_OK && status != SW_ENOFIT) {
        sw_plan_free(out);
        return status;
    }
    sw_error_clear();
    return SW_OK;
}

enum sw_status sw_plan_predict(const struct sw_footprint *footprint,
                               const struct sw_cluster *cluster,
                               const struct sw_plan_options *options, struct sw_plan *plan)
{
    struct sw_cost cost;
    const enum sw_status status = sw_cost_init(&cost, footprint, cluster, options);
    if (status == SW_OK)
        sw_cost_finish(&cost, plan);
    sw_cost_free(&cost);
    return status;
}
