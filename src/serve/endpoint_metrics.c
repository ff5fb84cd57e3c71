/* Owns /metrics: the server's state in Prometheus' text format. */
#include "base/strbuf.h"
#include "serve/server_impl.h"

#include <stddef.h>

struct metric {
    const char *name, *type, *help;
    double value;
};

static void prometheus_put_head(struct sw_strbuf *out, const char *name, const char *type,
                                const char *help)
{
    sw_strbuf_printf(out, "# HELP spillway_%s %s\n# TYPE spillway_%s %s\n", name, help, name, type);
}

static void prometheus_put_all(const struct metric *rows, size_t n, struct sw_strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        prometheus_put_head(out, rows[i].name, rows[i].type, rows[i].help);
        sw_strbuf_printf(out, "spillway_%s %.15g\n", rows[i].name, rows[i].value);
    }
}

/* Under the server's lock. */
static void prometheus_put_state(struct sw_server *s, struct sw_strbuf *out)
{
    static const char *const ends[] = {"answered", "failed", "client_left", "refused"};
    const struct sw_server_state *state = &s->state;
    const struct sw_scheduler_stats *t = &state->stats;
    const int64_t counts[] = {state->answered, state->failed, state->left, state->refused};
    const struct metric rows[] = {
        {"uptime_seconds", "gauge", "Seconds since the server is ready.", state->seconds},
        {"requests_open", "gauge", "Requests that have not ended.", s->n_open},
        {"sequences_waiting", "gauge", "Sequences that wait for a slot.", t->waiting},
        {"sequences_running", "gauge", "Sequences in a slot.", t->running},
        {"slots", "gauge", "Sequences that can run at once.", s->slots},
        {"kv_positions", "gauge", "Positions of the KV cache that running sequences hold.",
         (double)state->positions},
        {"kv_positions_limit", "gauge", "Positions of the KV cache.",
         (double)s->slots * s->context},
        {"prompt_tokens_total", "counter", "Prompt tokens of ended requests.",
         (double)state->prompt_tokens},
        {"generated_tokens_total", "counter", "Tokens generated.", (double)t->generated},
        {"scored_tokens_total", "counter", "Prompt tokens scored.", (double)t->scored},
        {"rows_total", "counter", "Tokens computed, of prompts and generated.",
         (double)t->rows_sent},
        {"prefix_hit_tokens_total", "counter",
         "Prompt tokens that were not computed, as another sequence had them.",
         (double)t->prefix_hits},
        {"micro_batches_total", "counter", "Micro-batches submitted.", (double)t->batches},
        {"micro_batches_under_way", "gauge", "Micro-batches in the pipeline.", t->under_way},
    };
    const struct metric experts[] = {
        {"expert_uses_total", "counter", "Experts that rank 0's layers on disk used.",
         (double)state->experts.uses},
        {"expert_hits_total", "counter", "Those of them that were in memory.",
         (double)state->experts.hits},
    };
    prometheus_put_all(rows, sizeof rows / sizeof rows[0], out);
    if (state->has_experts)
        prometheus_put_all(experts, sizeof experts / sizeof experts[0], out);
    prometheus_put_head(out, "requests_total", "counter", "Requests by how they ended.");
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sw_strbuf_printf(out, "spillway_requests_total{end=\"%s\"} %lld\n", ends[i],
                         (long long)counts[i]);
    prometheus_put_head(out, "stage_busy_ratio", "gauge",
                        "Share of the time in which a rank computed, lately.");
    for (int r = 0; r < s->n_ranks; r++)
        if (sw_server_busy(s, r) >= 0)
            sw_strbuf_printf(out, "spillway_stage_busy_ratio{rank=\"%d\"} %.4g\n", r,
                             sw_server_busy(s, r));
}

void sw_endpoint_metrics(void *context, struct sw_exchange *x)
{
    struct sw_server *s = context;
    const struct metric own = {"http_connections", "gauge", "Connections that are open.",
                               sw_http_connections(s->http)};
    struct sw_strbuf out = {0};
    pthread_mutex_lock(&s->lock);
    prometheus_put_state(s, &out);
    pthread_mutex_unlock(&s->lock);
    prometheus_put_all(&own, 1, &out);
    sw_exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}
