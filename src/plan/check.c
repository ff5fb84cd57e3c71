/* Owns sw_plan_check: computes all that a plan states again, from its stages alone. */
#include "plan/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            snprintf(why, cap, __VA_ARGS__);                                                       \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-12;
}

static bool check_stage(const struct sw_cost *c, const struct sw_plan_stage *s, char *why,
                        size_t cap)
{
    const struct sw_rank_resources *p = &c->resources[s->rank];
    const struct sw_tiers *t = &s->tiers;
    struct sw_plan_stage again = *s;
    CHECK(s->node == p->node && s->device == p->device, "rank %d is elsewhere", s->rank);
    CHECK(t->n_gpu >= 0 && t->n_host >= 0 && t->n_streamed >= 0 && t->n_disk >= 0,
          "rank %d has a negative count", s->rank);
    CHECK(sw_tiers_layers(t) == s->count, "the tiers of rank %d are not its %d layers", s->rank,
          s->count);
    CHECK(s->device >= 0 || (!t->n_gpu && !t->n_streamed && !t->embed_on_gpu && !t->head_on_gpu &&
                             !s->stream_prompt && !s->gpu.total),
          "rank %d has no GPU", s->rank);
    CHECK(p->disk || !t->n_disk, "rank %d has no disk tier", s->rank);
    CHECK(!t->disk_on_gpu || (t->n_disk && s->device >= 0 && !c->options->no_disk_gpu),
          "rank %d runs no disk layers on a GPU", s->rank);
    CHECK(!t->by_expert || (!t->disk_on_gpu && !t->n_streamed) || !c->options->no_gpu_experts,
          "rank %d moves no single experts to a GPU", s->rank);
    CHECK(!t->by_expert || (t->n_disk + t->n_streamed > 0 && t->cached_experts >= 0),
          "rank %d moves no experts", s->rank);
    CHECK(s->embed == (s->count && s->first == 0), "rank %d and the embedding", s->rank);
    CHECK(s->head == (s->count && s->first + s->count == c->n_layers), "rank %d and the head",
          s->rank);
    if (!s->count) {
        CHECK(!s->gpu.total && !s->host.total && !s->stream_prompt,
              "rank %d is left out but holds bytes", s->rank);
        return true;
    }
    sw_cost_stage(c, &again);
    CHECK(!memcmp(&again.gpu, &s->gpu, sizeof s->gpu), "the GPU bytes of rank %d", s->rank);
    CHECK(!memcmp(&again.host, &s->host, sizeof s->host), "the host bytes of rank %d", s->rank);
    CHECK(again.hidden_rows == s->hidden_rows, "the hidden rows of rank %d", s->rank);
    CHECK(near(again.disk_read, s->disk_read) && near(again.expert_hits, s->expert_hits),
          "what rank %d reads from disk", s->rank);
    CHECK(again.disk_bytes == s->disk_bytes, "the disk bytes of rank %d", s->rank);
    CHECK(!s->stream_prompt || t->n_host > 0, "rank %d has nothing to stream for prompts", s->rank);
    CHECK(again.tiers.stream_rows == t->stream_rows, "streaming of rank %d's prompt", s->rank);
    CHECK((t->stream_rows > 0) == s->stream_prompt, "rank %d streams from %d rows on", s->rank,
          t->stream_rows);
    CHECK(near(again.step_s, s->step_s) && near(again.prompt_s, s->prompt_s),
          "the seconds of rank %d", s->rank);
    CHECK(s->gpu.total <= p->gpu_cap, "rank %d takes %llu of %llu GPU bytes", s->rank,
          (unsigned long long)s->gpu.total, (unsigned long long)p->gpu_cap);
    CHECK(s->host.total <= p->host_cap, "rank %d takes %llu of %llu host bytes", s->rank,
          (unsigned long long)s->host.total, (unsigned long long)p->host_cap);
    return true;
}

static bool check_cut(const struct sw_cost *c, const struct sw_plan *plan, char *why, size_t cap)
{
    const struct sw_plan_options *o = c->options;
    int next = 0, stages = 0, node = -1;
    uint64_t used = 0;
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        CHECK(s->rank == r, "stage %d says rank %d", r, s->rank);
        CHECK(s->first == next && s->count >= 0, "rank %d starts at layer %d, not %d", r, s->first,
              next);
        CHECK(!o->slices || s->count == (r < o->n_slices ? o->slices[r] : 0),
              "rank %d has %d layers, not its slice", r, s->count);
        next += s->count;
        stages += s->count > 0;
        if (!check_stage(c, s, why, cap))
            return false;
        used = s->node == node ? used : 0;
        node = s->node;
        used += s->host.total;
        CHECK(used <= c->node_cap[node], "the ranks of node %d take %llu of %llu host bytes", node,
              (unsigned long long)used, (unsigned long long)c->node_cap[node]);
        CHECK(!s->embed || plan->embedding_rank == r, "the embedding is not on rank %d", r);
        CHECK(!s->head || plan->head_rank == r, "the head is not on rank %d", r);
    }
    CHECK(next == c->n_layers, "%d of %d layers are placed", next, c->n_layers);
    CHECK(stages == plan->n_stages, "%d stages, not %d", stages, plan->n_stages);
    return true;
}

static bool check_prediction(const struct sw_cost *c, const struct sw_plan *plan, char *why,
                             size_t cap)
{
    struct sw_plan again = *plan;
    again.stages = malloc((size_t)plan->n_ranks * sizeof *again.stages);
    CHECK(again.stages, "no memory to check the plan");
    memcpy(again.stages, plan->stages, (size_t)plan->n_ranks * sizeof *again.stages);
    sw_cost_finish(c, &again);
    const struct sw_prediction *a = &again.predicted, *b = &plan->predicted;
    bool same = near(a->load_s, b->load_s) && near(a->s_per_token, b->s_per_token) &&
                near(a->tokens_per_s, b->tokens_per_s) &&
                near(a->prompt_tokens_per_s, b->prompt_tokens_per_s) &&
                near(a->s_per_request, b->s_per_request) && near(a->disk_bytes, b->disk_bytes);
    for (int r = 0; r < plan->n_ranks; r++)
        same &= near(again.stages[r].hop_s, plan->stages[r].hop_s);
    free(again.stages);
    CHECK(same, "the prediction is not that of its stages");
    return true;
}

bool sw_plan_check(const struct sw_plan *plan, const struct sw_footprint *footprint,
                   const struct sw_cluster *cluster, const struct sw_plan_options *options,
                   char *why, size_t cap)
{
    struct sw_cost cost;
    if (cap)
        why[0] = 0;
    if (!plan->fits) {
        CHECK(!plan->stages && !plan->n_stages, "a plan that does not fit has stages");
        return true;
    }
    bool ok = sw_cost_init(&cost, footprint, cluster, options) == SW_OK;
    if (!ok || plan->n_ranks != cost.n_ranks || plan->n_layers != cost.n_layers) {
        snprintf(why, cap, "the plan is for another model or cluster");
        ok = false;
    }
    ok = ok && check_cut(&cost, plan, why, cap) && check_prediction(&cost, plan, why, cap);
    sw_cost_free(&cost);
    return ok;
}
