/* Bodies of requests to the server, of completions and of chats: what reads as one gets answers
 * that are JSON, whole and as events; what does not gets an error that is JSON. */
#include "base/json.h"
#include "serve/api_error.h"
#include "serve/generation.h"

#include <stdlib.h>
#include <string.h>

void sw_server_ended(struct sw_generation *g)
{
    (void)g;
}

static void check(const char *text, size_t n)
{
    json_t *root;
    if (sw_json_read(text, n, SW_JSON_LINE, &root) != SW_OK)
        abort();
    json_decref(root);
}

/* What was written to the client, whole or as events. */
static void check_answer(struct sw_exchange *x)
{
    const char *at = x->out.text, *end = at + x->out.length;
    if (!x->is_stream) {
        check(at, x->out.length);
        return;
    }
    for (const char *next; at < end; at = next + 2) {
        next = strstr(at, "\n\n");
        if (!next || strncmp(at, "data: ", 6) != 0)
            abort();
        if (strncmp(at + 6, "[DONE]", 6) != 0)
            check(at + 6, (size_t)(next - at) - 6);
    }
}

static void do_nothing(void *connection)
{
    (void)connection;
}

/* As if the model had given two tokens for each choice, of up to 8. */
static void answer(struct sw_generation *g, bool failed)
{
    char text[] = "t\n\"";
    const struct sw_sampled token = {.id = 1, .logprob = -1, .n_top = 1, .top = {{1, -1}}};
    if (g->n_choices > 8)
        return;
    if (g->request.stream)
        sw_exchange_begin_stream(g->x);
    for (int i = 0; i < g->n_choices; i++) {
        struct sw_choice *c = &g->choices[i];
        c->logprobs.chat = g->request.form == SW_FORM_CHAT;
        sw_strbuf_append(&c->completion.text, text, 3);
        if (g->request.sampling.logprobs >= 0)
            sw_answer_logprobs_push(&c->logprobs, &token, g->request.echo);
        if (g->request.stream) {
            sw_reply_event(c, false);
            sw_reply_event(c, true);
        }
    }
    g->error = failed ? 500 : 0;
    if (g->request.stream)
        sw_reply_end(g);
    else
        sw_reply_whole(g);
    check_answer(g->x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sw_generation_rules rules = {
        .no_chat = "no template", .model = "m", .vocab = 1000, .context = 64};
    for (int form = SW_FORM_COMPLETION; form <= SW_FORM_CHAT; form++) {
        struct sw_exchange *x = sw_exchange_create();
        struct sw_generation *g;
        char param[64];
        if (!x)
            return 0;
        x->resume = do_nothing;
        x->connection = x;
        sw_strbuf_append(&x->body, (const char *)data, size);
        if (sw_generation_read(&rules, (enum sw_form)form, x, &g, param) == SW_OK) {
            answer(g, size & 1);
            sw_generation_free(g);
        } else {
            sw_api_error_reply(x, 400, sw_error_message(), param);
            check_answer(x);
        }
        sw_exchange_release(x);
    }
    return 0;
}
