/* Owns the form of answers: whole ones, and the events of streams. */
#include "jobs/record.h"
#include "serve/api_error.h"
#include "serve/generation.h"

#include <string.h>

static bool reply_is_chat(const struct sw_generation *g)
{
    return g->request.form == SW_FORM_CHAT;
}

static void reply_quote(struct sw_strbuf *out, const char *text, size_t n)
{
    sw_json_quote(out, text ? text : "", n);
}

/* {"id": …, "object": …, "created": …, "model": … */
static void reply_put_head(const struct sw_generation *g, bool event, struct sw_strbuf *out)
{
    const char *object = !reply_is_chat(g) ? "text_completion"
                         : event           ? "chat.completion.chunk"
                                           : "chat.completion";
    sw_strbuf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", g->id,
                     object, (long long)g->created);
    reply_quote(out, g->rules->model, strlen(g->rules->model));
}

static void reply_put_usage(const struct sw_generation *g, struct sw_strbuf *out)
{
    size_t prompt = 0, generated = 0;
    for (int i = 0; i < g->n_prompts; i++)
        prompt += g->prompts[i].ids.count;
    for (int i = 0; i < g->n_choices; i++)
        generated += g->choices[i].completion.ids.count;
    sw_strbuf_printf(out,
                     "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
                     "\"total_tokens\":%zu}",
                     prompt, generated, prompt + generated);
}

/* The text that was not sent yet, with the prompt before it where it is echoed. */
static void reply_put_text(const struct sw_choice *c, struct sw_strbuf *out)
{
    const struct sw_generation *g = c->g;
    const struct sw_strbuf *echo = &g->prompts[c->index / g->request.n].text;
    const struct sw_strbuf *text = &c->completion.text;
    struct sw_strbuf whole = {0};
    if (!c->is_begun && g->request.echo && echo->text)
        sw_strbuf_append(&whole, echo->text, echo->length);
    if (text->text)
        sw_strbuf_append(&whole, text->text + c->sent, text->length - c->sent);
    reply_quote(out, whole.text, whole.length);
    out->failed = out->failed || whole.failed;
    sw_strbuf_free(&whole);
}

static void reply_put_logprobs(struct sw_choice *c, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, ",\"logprobs\":");
    if (c->g->request.sampling.logprobs >= 0 && c->logprobs.n > 0)
        sw_answer_logprobs_take(&c->logprobs, out);
    else
        sw_strbuf_puts(out, "null");
}

static void reply_put_choice(struct sw_choice *c, struct sw_strbuf *out)
{
    const bool chat = reply_is_chat(c->g);
    sw_strbuf_printf(out, "{\"index\":%d,%s", c->index,
                     chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":");
    reply_put_text(c, out);
    sw_strbuf_puts(out, chat ? ",\"refusal\":null}" : "");
    reply_put_logprobs(c, out);
    sw_strbuf_printf(out, ",\"finish_reason\":\"%s\"}",
                     sw_completion_finish_reason(&c->completion));
}

void sw_reply_whole(struct sw_generation *g)
{
    struct sw_strbuf out = {0};
    if (g->error) {
        sw_api_error_reply(g->x, g->error, g->message, g->param[0] ? g->param : NULL);
        return;
    }
    reply_put_head(g, false, &out);
    sw_strbuf_puts(&out, ",\"choices\":[");
    for (int i = 0; i < g->n_choices; i++) {
        sw_strbuf_puts(&out, i ? "," : "");
        reply_put_choice(&g->choices[i], &out);
    }
    sw_strbuf_puts(&out, "],");
    reply_put_usage(g, &out);
    sw_strbuf_puts(&out, "}");
    sw_exchange_reply(g->x, 200, "application/json", &out);
}

static void reply_send(struct sw_generation *g, struct sw_strbuf *event)
{
    sw_strbuf_puts(event, "\n\n");
    if (!event->failed)
        sw_exchange_write(g->x, event->text, event->length);
    sw_strbuf_free(event);
}

void sw_reply_event(struct sw_choice *c, bool last)
{
    struct sw_generation *g = c->g;
    const bool chat = reply_is_chat(g);
    struct sw_strbuf out = {0};
    sw_strbuf_puts(&out, "data: ");
    reply_put_head(g, true, &out);
    sw_strbuf_printf(&out, ",\"choices\":[{\"index\":%d,%s", c->index,
                     !chat         ? "\"text\":"
                     : c->is_begun ? "\"delta\":{\"content\":"
                                   : "\"delta\":{\"role\":\"assistant\",\"content\":");
    reply_put_text(c, &out);
    sw_strbuf_puts(&out, chat ? "}" : "");
    reply_put_logprobs(c, &out);
    if (last)
        sw_strbuf_printf(&out, ",\"finish_reason\":\"%s\"}]",
                         sw_completion_finish_reason(&c->completion));
    else
        sw_strbuf_puts(&out, ",\"finish_reason\":null}]");
    sw_strbuf_puts(&out, g->request.include_usage ? ",\"usage\":null}" : "}");
    c->is_begun = true;
    c->sent = c->completion.text.length;
    reply_send(g, &out);
}

void sw_reply_end(struct sw_generation *g)
{
    struct sw_strbuf out = {0};
    sw_strbuf_puts(&out, "data: ");
    if (g->error) {
        sw_api_error_write(g->error, g->message, NULL, &out);
    } else if (g->request.include_usage) {
        reply_put_head(g, true, &out);
        sw_strbuf_puts(&out, ",\"choices\":[],");
        reply_put_usage(g, &out);
        sw_strbuf_puts(&out, "}");
    }
    if (g->error || g->request.include_usage)
        reply_send(g, &out);
    sw_strbuf_free(&out);
    if (!g->error)
        sw_exchange_write(g->x, "data: [DONE]\n\n", 14);
    sw_exchange_finish(g->x);
}
