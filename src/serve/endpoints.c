/* Owns the paths of the server, and what is answered without running the model. */
#include "base/strbuf.h"
#include "jobs/record.h"
#include "serve/api_error.h"
#include "serve/server_impl.h"

#include <string.h>

static void endpoint_generate(struct sw_server *s, enum sw_form form, struct sw_exchange *x)
{
    struct sw_generation *g;
    char param[64];
    if (!sw_server_admit(s, x))
        return;
    const enum sw_status status = sw_generation_read(&s->rules, form, x, &g, param);
    if (status == SW_OK) {
        sw_server_post(s, g);
        return;
    }
    sw_server_dismiss(s);
    sw_api_error_reply(x, sw_api_error_status(status), sw_error_message(), param[0] ? param : NULL);
    sw_error_clear();
}

static void endpoint_completions(void *context, struct sw_exchange *x)
{
    endpoint_generate(context, SW_FORM_COMPLETION, x);
}

static void endpoint_chat(void *context, struct sw_exchange *x)
{
    endpoint_generate(context, SW_FORM_CHAT, x);
}

static void write_model(const struct sw_server *s, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "{\"id\":");
    sw_json_quote(out, s->rules.model, strlen(s->rules.model));
    sw_strbuf_printf(out,
                     ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"spillway\","
                     "\"max_model_len\":%d}",
                     (long long)s->created, s->context);
}

static void endpoint_models(void *context, struct sw_exchange *x)
{
    struct sw_strbuf out = {0};
    sw_strbuf_puts(&out, "{\"object\":\"list\",\"data\":[");
    write_model(context, &out);
    sw_strbuf_puts(&out, "]}");
    sw_exchange_reply(x, 200, "application/json", &out);
}

static void endpoint_model(void *context, struct sw_exchange *x)
{
    const struct sw_server *s = context;
    struct sw_strbuf out = {0};
    if (strcmp(x->rest, s->rules.model) != 0) {
        sw_api_error_reply(x, 404, "there is no such model here; /v1/models has its name", NULL);
        return;
    }
    write_model(s, &out);
    sw_exchange_reply(x, 200, "application/json", &out);
}

/* 200 while requests are taken. */
static void endpoint_health(void *context, struct sw_exchange *x)
{
    struct sw_server *s = context;
    struct sw_strbuf out = {0};
    pthread_mutex_lock(&s->lock);
    const bool stopping = s->is_stopping;
    pthread_mutex_unlock(&s->lock);
    sw_strbuf_printf(&out, "{\"status\":\"%s\"}", stopping ? "stopping" : "ok");
    sw_exchange_reply(x, stopping ? 503 : 200, "application/json", &out);
}

const struct sw_http_route sw_server_routes[] = {
    {"GET", "/", true, sw_endpoint_page},
    {"POST", "/v1/completions", false, endpoint_completions},
    {"POST", "/v1/chat/completions", false, endpoint_chat},
    {"GET", "/v1/models", false, endpoint_models},
    {"GET", "/v1/models/", false, endpoint_model},
    {"POST", "/tokenize", false, sw_endpoint_tokenize},
    {"POST", "/detokenize", false, sw_endpoint_detokenize},
    {"GET", "/metrics", false, sw_endpoint_metrics},
    {"GET", "/state", false, sw_endpoint_state},
    {"GET", "/plan.svg", false, sw_endpoint_plan},
    {"GET", "/health", true, endpoint_health},
    {0},
};
