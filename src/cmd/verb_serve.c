/* Owns the verb `serve`: a loaded model behind the OpenAI API. */
#include "base/log.h"
#include "checkpoint/open_model.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "plan/plan_slots.h"
#include "serve/http.h"
#include "serve/server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct serving {
    const struct sw_call *call;
    struct sw_session *s;
    struct sw_chat *chat;
    char no_chat[512];
    const char *model;
    int socket, port;
    struct sw_api_keys keys;
};

/* Everything that can be wrong is said before the model is loaded. */
static enum sw_status serve_open(struct serving *v)
{
    const struct sw_options *o = &v->call->options;
    bool loopback = false;
    if (o->api_key_file)
        SW_TRY(sw_api_keys_read(o->api_key_file, &v->keys));
    SW_TRY(sw_http_bind(o->listen, &v->port, &loopback, &v->socket));
    if (!loopback && !o->api_key_file)
        return sw_fail(SW_EUSAGE,
                       "--listen %s: others can reach this address, so it needs --api-key-file",
                       o->listen);
    if (o->max_body < 1024 || o->max_body > 1u << 30)
        return sw_fail(SW_EUSAGE, "--max-body: must be from 1 KiB to 1 GiB");
    return sw_call_files(v->call, NULL, NULL);
}

/* Without a tokenizer prompts are ids; without a template there are no chats. */
static enum sw_status serve_prepare(struct serving *v)
{
    const char *model = v->call->arguments[0];
    size_t n = strlen(model);
    while (n > 1 && model[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && model[from - 1] != '/')
        from--;
    v->model = model + from;
    SW_TRY(sw_session_tokenizer(v->s, false));
    const enum sw_status status = v->s->tokenizer
                                      ? sw_open_chat(v->call->models[0], &v->chat)
                                      : sw_fail(SW_EMODEL, "%s: the model has no tokenizer", model);
    if (status != SW_OK && status != SW_EMODEL) /* SW_EMODEL: no template, or not supported */
        return status;
    snprintf(v->no_chat, sizeof v->no_chat, "%s", sw_error_message());
    sw_error_clear();
    return SW_OK;
}

static void serve_ready(void *context)
{
    const struct serving *v = context;
    const struct sw_options *o = &v->call->options;
    const bool is_v6 = strchr(o->listen, ':') != NULL;
    const struct sw_footprint_params *p = &v->s->params;
    char url[300];
    snprintf(url, sizeof url, "http://%s%.200s%s:%d", is_v6 ? "[" : "", o->listen, is_v6 ? "]" : "",
             v->port);
    sw_log(SW_LOG_INFO, "serve: %s is ready at %s: %d request%s at once, of up to %d tokens",
           v->model, url, p->slots, p->slots == 1 ? "" : "s", p->context);
    if (o->json)
        (void)sw_json_print(json_pack("{s:s, s:i, s:s, s:i, s:i, s:f}", "url", url, "port", v->port,
                                      "model", v->model, "slots", p->slots, "context", p->context,
                                      "load_s", v->s->load_s));
    (void)sw_output_flush();
}

static enum sw_status serve_work(struct serving *v)
{
    const struct sw_options *o = &v->call->options;
    const struct sw_session_defaults defaults = {.objective = SW_OBJECTIVE_THROUGHPUT,
                                                 .slots = SW_DEFAULT_SLOTS,
                                                 .most_slots = SW_SLOTS_LARGEST,
                                                 .new_tokens = 128};
    SW_TRY(serve_open(v));
    SW_TRY(serve_prepare(v));
    SW_TRY(sw_session_start(v->s, &defaults));
    const struct sw_server_options options = {.session = v->s,
                                              .chat = v->chat,
                                              .no_chat = v->no_chat,
                                              .model = v->model,
                                              .socket = v->socket,
                                              .keys = o->api_key_file ? &v->keys : NULL,
                                              .allow_origin = o->allow_origin,
                                              .max_connections = o->max_connections,
                                              .max_body = (size_t)o->max_body,
                                              .queue = o->queue,
                                              .timeout_s = o->request_timeout,
                                              .grace_s = o->grace,
                                              .stop = v->call->asked_to_stop,
                                              .ready = serve_ready,
                                              .context = v};
    v->socket = -1; /* the server closes it */
    SW_TRY(sw_server_run(&options));
    SW_TRY(sw_session_stop(v->s));
    sw_log(SW_LOG_INFO, "serve: stopped");
    return SW_OK;
}

static enum sw_status serve_drive(struct sw_call *call, struct sw_session *s)
{
    struct serving v = {.call = call, .s = s, .socket = -1, .port = call->options.port};
    const enum sw_status status = serve_work(&v);
    if (v.socket >= 0)
        close(v.socket);
    sw_chat_free(v.chat);
    sw_api_keys_free(&v.keys);
    return status;
}

static enum sw_status serve_run(struct sw_call *call)
{
    if (!sw_http_is_built_in())
        return sw_fail(SW_EUSAGE, "serve: this spillway was built without its HTTP server; install "
                                  "libmicrohttpd (Debian: libmicrohttpd-dev) and build it again");
    call->grace_s = call->options.grace < 0.001 ? 0.001 : call->options.grace;
    return sw_call_run(call, serve_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"port", 'p', "N", "TCP port on rank 0's host (default: 8080; 0: any free one)", FIELD(port),
     sw_parse_port},
    {"listen", 0, "ADDRESS",
     "address to listen on (default: 127.0.0.1); one that others can reach needs --api-key-file",
     FIELD(listen), sw_parse_text},
    {"api-key-file", 0, "FILE", "clients must send one of the keys in FILE, a line each",
     FIELD(api_key_file), sw_parse_file},
    {"allow-origin", 0, "ORIGIN", "pages of this origin (https://host) may ask, too",
     FIELD(allow_origin), sw_parse_text},
    {"max-connections", 0, "N", "connections at once (default: 512)", FIELD(max_connections),
     sw_parse_count},
    {"queue", 0, "N", "requests that may wait while all slots are busy (default: 256)",
     FIELD(queue), sw_parse_natural},
    {"max-body", 0, "SIZE", "largest body of a request (default: 16MiB)", FIELD(max_body),
     sw_parse_bytes},
    {"request-timeout", 0, "SECONDS", "most time for a request, its wait included (default: 3600)",
     FIELD(request_timeout), sw_parse_number},
    {"grace", 0, "SECONDS", "after a signal, running requests have this long (default: 20)",
     FIELD(grace), sw_parse_number},
    {0}};

const struct sw_verb sw_verb_serve = {
    .name = "serve",
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "answer the OpenAI API over HTTP",
    .description =
        "Loads MODEL over the ranks and answers on rank 0's host: /v1/completions,\n"
        "/v1/chat/completions (for models with a chat template), /v1/models, /tokenize,\n"
        "/detokenize, /metrics, /health; and in a browser, at /, a page to chat on. As many\n"
        "requests run at once as there are slots, others wait. A request that gives no "
        "temperature\n"
        "has 1, as in the OpenAI API.\n\n"
        "TERM, INT, USR1 or HUP stop it: no new requests, and those that run have --grace\n"
        "seconds. Without --listen only this host can ask; from another one, go through ssh:\n"
        "ssh -L 8080:localhost:8080 HOST\n\n"
        "  spillway serve llama\n"
        "  mpirun --hostfile hostfiles/lab spillway serve opt-66b --listen 0.0.0.0 --api-key-file "
        "keys\n"
        "  curl localhost:8080/v1/completions -d '{\"prompt\": \"The reservoir was full, so\"}'",
    .own = {own},
    .takes = SW_TAKES_MODEL,
    .run = serve_run,
};
