/* Owns a plan as JSON: the fields that scripts rely on, and the bytes in full. */
#include "plan/report.h"

#include "model/weight_choice.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *bytes_json(const struct sw_bytes *b)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "weights",
                     (json_int_t)b->weights, "kv", (json_int_t)b->kv, "embedding",
                     (json_int_t)b->embed, "head", (json_int_t)b->head, "work", (json_int_t)b->work,
                     "staging", (json_int_t)b->staging, "load", (json_int_t)b->load, "context",
                     (json_int_t)b->context, "total", (json_int_t)b->total);
}

static json_t *stage_json(const struct sw_report *r, const struct sw_plan_stage *s)
{
    const struct sw_node *node = &r->cluster->nodes[s->node];
    json_t *stage =
        json_pack("{s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:{s:I, s:I, s:I}, s:{s:o, s:o}}",
                  "rank", s->rank, "node", node->name, "first", s->first, "count", s->count, "gpu",
                  s->tiers.n_gpu, "host", s->tiers.n_host, "streamed", s->tiers.n_streamed, "disk",
                  s->tiers.n_disk, "bytes", "gpu", (json_int_t)s->gpu.total, "host",
                  (json_int_t)s->host.total, "disk", (json_int_t)s->disk_bytes, "breakdown", "gpu",
                  bytes_json(&s->gpu), "host", bytes_json(&s->host));
    if (!stage)
        return NULL;
    json_object_set_new(stage, "device", s->device < 0 ? json_null() : json_integer(s->device));
    json_object_set_new(stage, "embedding", json_boolean(s->embed));
    json_object_set_new(stage, "head", json_boolean(s->head));
    json_object_set_new(stage, "embedding_on_gpu", json_boolean(s->tiers.embed_on_gpu));
    json_object_set_new(stage, "head_on_gpu", json_boolean(s->tiers.head_on_gpu));
    json_object_set_new(stage, "disk_on_gpu", json_boolean(s->tiers.disk_on_gpu));
    if (s->tiers.by_expert)
        json_object_set_new(
            stage, "experts",
            json_pack("{s:i, s:f}", "cached", s->tiers.cached_experts, "hit_rate", s->expert_hits));
    json_object_set_new(stage, "prompt_streamed", json_boolean(s->stream_prompt));
    json_object_set_new(stage, "prompt_streamed_rows", json_integer(s->tiers.stream_rows));
    json_object_set_new(stage, "predicted",
                        json_pack("{s:f, s:f, s:f, s:f}", "step_s", s->step_s, "prompt_s",
                                  s->prompt_s, "hop_s", s->hop_s, "load_s", s->load_s));
    return stage;
}

static json_t *advice_json(const struct sw_report *r, const struct sw_advice *a)
{
    static const char *const names[] = {
        [SW_ADVICE_CAPS] = "caps",   [SW_ADVICE_CONTEXT] = "context",
        [SW_ADVICE_SLOTS] = "slots", [SW_ADVICE_WEIGHTS] = "weights",
        [SW_ADVICE_NODES] = "nodes", [SW_ADVICE_DISK] = "disk",
        [SW_ADVICE_HOST] = "host",
    };
    json_t *advice = json_pack("{s:s, s:s}", "change", names[a->kind], "text", a->text);
    if (a->kind == SW_ADVICE_WEIGHTS)
        json_object_set_new(advice, "weights", json_string(sw_format_of(a->format)->name));
    else if (a->kind == SW_ADVICE_HOST)
        json_object_set_new(advice, "bytes", json_integer((json_int_t)a->value));
    else if (a->value)
        json_object_set_new(advice, "value", json_integer((json_int_t)a->value));
    if (a->kind == SW_ADVICE_HOST || a->kind == SW_ADVICE_NODES)
        json_object_set_new(advice, "node", json_string(r->cluster->nodes[a->node].name));
    return advice;
}

static json_t *stages_json(const struct sw_report *r, json_t *idle)
{
    json_t *stages = json_array();
    for (int i = 0; r->plan->stages && i < r->plan->n_ranks; i++) {
        if (r->plan->stages[i].count)
            json_array_append_new(stages, stage_json(r, &r->plan->stages[i]));
        else
            json_array_append_new(idle, json_integer(i));
    }
    return stages;
}

void sw_report_json(const struct sw_report *r, struct sw_strbuf *out)
{
    const struct sw_plan *plan = r->plan;
    const struct sw_footprint_params *params = &r->footprint->params;
    char weights[SW_CHOICE_TEXT];
    json_t *idle = json_array(), *advice = json_array();
    json_t *root = json_pack(
        "{s:s?, s:b, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "model", r->model, "fits",
        plan->fits, "objective",
        r->options->objective == SW_OBJECTIVE_LATENCY ? "latency" : "throughput", "weights",
        sw_weights_text(params, weights), "kv", sw_dtype_info(params->kv)->name, "context",
        params->context, "slots", params->slots, "chunk", params->max_batch_tokens, "layers",
        r->footprint->n_layers, "ranks", plan->n_ranks);
    if (!root || !idle || !advice) {
        json_decref(root);
        json_decref(idle);
        json_decref(advice);
        out->failed = true;
        return;
    }
    json_object_set_new(root, "request",
                        json_pack("{s:i, s:i}", "prompt_tokens", r->options->prompt_tokens,
                                  "new_tokens", r->options->new_tokens));
    json_object_set_new(root, "stages", stages_json(r, idle));
    json_object_set_new(root, "left_out", idle);
    if (plan->fits) {
        const struct sw_prediction *p = &plan->predicted;
        json_object_set_new(root, "micro_batch", json_integer(plan->micro_batch));
        json_object_set_new(root, "hidden_prompt_rows", json_integer(plan->hidden_rows));
        json_object_set_new(root, "embedding_rank", json_integer(plan->embedding_rank));
        json_object_set_new(root, "head_rank", json_integer(plan->head_rank));
        json_object_set_new(root, "predicted",
                            json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "load_s", p->load_s,
                                      "s_per_token", p->s_per_token, "tokens_per_s",
                                      p->tokens_per_s, "prompt_tokens_per_s",
                                      p->prompt_tokens_per_s, "s_per_request", p->s_per_request,
                                      "disk_bytes_per_token", p->disk_bytes));
    } else {
        json_object_set_new(root, "needed", json_integer((json_int_t)plan->needed));
        json_object_set_new(root, "available", json_integer((json_int_t)plan->available));
    }
    for (int i = 0; i < plan->n_advice; i++)
        json_array_append_new(advice, advice_json(r, &plan->advice[i]));
    json_object_set_new(root, "advice", advice);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (text) {
        sw_strbuf_puts(out, text);
        sw_strbuf_puts(out, "\n");
    } else {
        out->failed = true;
    }
    free(text);
    json_decref(root);
}
