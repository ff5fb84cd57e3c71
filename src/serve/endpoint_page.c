/* Owns what a person's browser asks for: the page, the picture of the plan, and what changes. */
#include "base/strbuf.h"
#include "jobs/record.h"
#include "serve/page.h"
#include "serve/server_impl.h"

#include <string.h>

void sw_endpoint_page(void *context, struct sw_exchange *x)
{
    struct sw_strbuf out = {0};
    (void)context;
    sw_strbuf_append(&out, (const char *)sw_page, sw_page_size);
    x->policy = sw_page_policy;
    sw_exchange_reply(x, 200, "text/html; charset=utf-8", &out);
}

void sw_endpoint_plan(void *context, struct sw_exchange *x)
{
    const struct sw_server *s = context;
    struct sw_strbuf out = {0};
    sw_strbuf_append(&out, s->plan.text, s->plan.length);
    sw_exchange_reply(x, 200, "image/svg+xml", &out);
}

/* {"rank", "host", "device", "first", "count", "busy"}; under the lock. */
static void state_put_stage(const struct sw_server *s, int rank, struct sw_strbuf *out)
{
    const struct sw_session *session = s->options->session;
    const struct sw_plan_stage *stage = &session->plan.stages[rank];
    const char *host = session->transport->ranks[rank].host;
    const double busy = sw_server_busy(s, rank);
    sw_strbuf_printf(out, "{\"rank\":%d,\"host\":", rank);
    sw_json_quote(out, host, strlen(host));
    if (stage->device >= 0)
        sw_strbuf_printf(out, ",\"device\":\"gpu%d\"", stage->device);
    else
        sw_strbuf_puts(out, ",\"device\":\"cpu\"");
    sw_strbuf_printf(out, ",\"first\":%d,\"count\":%d,\"busy\":", stage->first, stage->count);
    if (busy >= 0)
        sw_strbuf_printf(out, "%.3f}", busy);
    else
        sw_strbuf_puts(out, "null}");
}

void sw_endpoint_state(void *context, struct sw_exchange *x)
{
    struct sw_server *s = context;
    const struct sw_plan *plan = &s->options->session->plan;
    const bool has_chat = s->rules.chat != NULL;
    struct sw_strbuf out = {0};
    sw_strbuf_puts(&out, "{\"model\":");
    sw_json_quote(&out, s->rules.model, strlen(s->rules.model));
    sw_strbuf_printf(&out, ",\"started\":%lld,\"context\":%d,\"slots\":%d,\"chat\":%s,\"no_chat\":",
                     (long long)s->created, s->context, s->slots, has_chat ? "true" : "false");
    sw_json_quote(&out, s->rules.no_chat, has_chat ? 0 : strlen(s->rules.no_chat));
    pthread_mutex_lock(&s->lock);
    sw_strbuf_printf(&out, ",\"running\":%d,\"waiting\":%d,\"stopping\":%s,\"stages\":[",
                     s->state.stats.running, s->state.stats.waiting,
                     s->is_stopping ? "true" : "false");
    for (int r = 0, n = 0; r < plan->n_ranks; r++)
        if (plan->stages[r].count > 0) {
            sw_strbuf_puts(&out, n++ ? "," : "");
            state_put_stage(s, r, &out);
        }
    pthread_mutex_unlock(&s->lock);
    sw_strbuf_puts(&out, "]}");
    sw_exchange_reply(x, 200, "application/json", &out);
}
