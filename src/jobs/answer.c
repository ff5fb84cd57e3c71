/* Owns the form of result lines. */
#include "jobs/answer.h"

#include "jobs/answer_logprobs.h"
#include "jobs/record.h"

#include <string.h>

static void answer_put_text(struct sw_strbuf *out, const char *name, const char *text, size_t n)
{
    sw_strbuf_printf(out, "\"%s\":", name);
    sw_json_quote(out, text ? text : "", n);
}

/* [{"id", "logprob", "top": [{"id", "logprob"}, …]}, …] */
static void answer_put_plain_logprobs(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    sw_strbuf_puts(out, "[");
    for (size_t i = 0; i < c->ids.count; i++) {
        const struct sw_sampled *s = &c->sampled[i];
        sw_strbuf_printf(out, "%s{\"id\":%d,\"logprob\":", i ? "," : "", s->id);
        sw_answer_put_number(out, (double)s->logprob);
        sw_strbuf_puts(out, ",\"top\":[");
        for (int k = 0; k < s->n_top; k++) {
            sw_strbuf_printf(out, "%s{\"id\":%d,\"logprob\":", k ? "," : "", s->top[k].id);
            sw_answer_put_number(out, (double)s->top[k].logprob);
            sw_strbuf_puts(out, "}");
        }
        sw_strbuf_puts(out, "]}");
    }
    sw_strbuf_puts(out, "]");
}

static void answer_put_logprobs(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    struct sw_answer_logprobs l = {.tokenizer = c->options.tokenizer,
                                   .chat = a->request->form == SW_FORM_CHAT};
    for (size_t i = 0; i < c->ids.count; i++)
        sw_answer_logprobs_push(&l, &c->sampled[i], false);
    sw_answer_logprobs_take(&l, out);
    sw_answer_logprobs_free(&l);
}

static void answer_write_plain(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    sw_strbuf_puts(out, "{\"id\":");
    sw_strbuf_append(out, a->key->text, a->key->length);
    sw_strbuf_puts(out, ",");
    answer_put_text(out, "text", c->text.text, c->text.length);
    sw_strbuf_puts(out, ",\"ids\":[");
    for (size_t i = 0; i < c->ids.count; i++)
        sw_strbuf_printf(out, i ? ",%d" : "%d", c->ids.items[i]);
    sw_strbuf_printf(out,
                     "],\"finish_reason\":\"%s\",\"prompt_tokens\":%zu,\"generated_tokens\":%zu",
                     sw_completion_finish_reason(c), c->n_prompt, c->ids.count);
    if (c->options.logprobs) {
        sw_strbuf_puts(out, ",\"logprobs\":");
        answer_put_plain_logprobs(a, out);
    }
    sw_strbuf_puts(out, "}\n");
}

static void answer_write_body(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    const bool chat = a->request->form == SW_FORM_CHAT;
    const char *model = a->request->model ? a->request->model : a->model;
    char digits[33];
    sw_strbuf_printf(out, "{\"id\":\"%s-%s\",\"object\":\"%s\",\"created\":%lld,",
                     chat ? "chatcmpl" : "cmpl", sw_record_digits(a->key, digits),
                     chat ? "chat.completion" : "text_completion", (long long)a->created);
    answer_put_text(out, "model", model, strlen(model));
    sw_strbuf_puts(out, ",\"choices\":[{\"index\":0,");
    if (chat)
        sw_strbuf_puts(out, "\"message\":{\"role\":\"assistant\",");
    answer_put_text(out, chat ? "content" : "text", c->text.text, c->text.length);
    sw_strbuf_puts(out, chat ? ",\"refusal\":null},\"logprobs\":" : ",\"logprobs\":");
    if (!c->options.logprobs)
        sw_strbuf_puts(out, "null");
    else
        answer_put_logprobs(a, out);
    sw_strbuf_printf(out,
                     ",\"finish_reason\":\"%s\"}],\"usage\":{\"prompt_tokens\":%zu,"
                     "\"completion_tokens\":%zu,\"total_tokens\":%zu}}",
                     sw_completion_finish_reason(c), c->n_prompt, c->ids.count,
                     c->n_prompt + c->ids.count);
}

void sw_answer_write(const struct sw_answer *a, struct sw_strbuf *out)
{
    if (a->request->form == SW_FORM_PLAIN) {
        answer_write_plain(a, out);
        return;
    }
    struct sw_strbuf body = {0};
    answer_write_body(a, &body);
    sw_record_wrap(a->key, 200, body.text ? body.text : "", body.length, out);
    out->failed = out->failed || body.failed;
    sw_strbuf_free(&body);
}
