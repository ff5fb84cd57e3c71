/* Owns the form of result lines. */
#include "jobs/answer.h"

#include "base/utf8.h"
#include "jobs/record.h"

#include <string.h>

static void answer_put_number(struct sw_strbuf *out, double value)
{
    sw_strbuf_printf(out, "%.9g", value < -1e30 ? -1e30 : value); /* JSON knows no infinity */
}

static void answer_put_text(struct sw_strbuf *out, const char *name, const char *text, size_t n)
{
    sw_strbuf_printf(out, "\"%s\":", name);
    sw_json_quote(out, text ? text : "", n);
}

/* The bytes one token stands for, perhaps not a whole character. */
static void answer_token_bytes(const struct sw_answer *a, int32_t id, struct sw_strbuf *bytes)
{
    struct sw_detokenizer detokenizer;
    bytes->length = 0;
    sw_strbuf_append(bytes, "", 0);
    const struct sw_tokenizer *tokenizer = a->completion->options.tokenizer;
    if (!tokenizer || id < 0 || (size_t)id >= sw_tokenizer_size(tokenizer))
        return;
    sw_detokenizer_begin(&detokenizer, tokenizer, false);
    detokenizer.begun = true; /* the token is inside a text: keep its leading space */
    if (sw_detokenizer_push(&detokenizer, id, bytes) == SW_OK)
        sw_strbuf_append(bytes, (const char *)detokenizer.pending, detokenizer.n_pending);
}

/* The token as the API's text member has it: "bytes:\\xe2\\x80" when it is no whole text. */
static void answer_put_token(const struct sw_answer *a, int32_t id, struct sw_strbuf *bytes,
                             struct sw_strbuf *out)
{
    answer_token_bytes(a, id, bytes);
    if (bytes->failed || sw_utf8_valid(bytes->text, bytes->length)) {
        sw_json_quote(out, bytes->text ? bytes->text : "", bytes->length);
        return;
    }
    sw_strbuf_puts(out, "\"bytes:");
    for (size_t i = 0; i < bytes->length; i++)
        sw_strbuf_printf(out, "\\\\x%02x", (unsigned char)bytes->text[i]);
    sw_strbuf_puts(out, "\"");
}

/* [{"id", "logprob", "top": [{"id", "logprob"}, …]}, …] */
static void answer_put_plain_logprobs(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    sw_strbuf_puts(out, "[");
    for (size_t i = 0; i < c->ids.count; i++) {
        const struct sw_sampled *s = &c->sampled[i];
        sw_strbuf_printf(out, "%s{\"id\":%d,\"logprob\":", i ? "," : "", s->id);
        answer_put_number(out, (double)s->logprob);
        sw_strbuf_puts(out, ",\"top\":[");
        for (int k = 0; k < s->n_top; k++) {
            sw_strbuf_printf(out, "%s{\"id\":%d,\"logprob\":", k ? "," : "", s->top[k].id);
            answer_put_number(out, (double)s->top[k].logprob);
            sw_strbuf_puts(out, "}");
        }
        sw_strbuf_puts(out, "]}");
    }
    sw_strbuf_puts(out, "]");
}

/* {"tokens": […], "token_logprobs": […], "top_logprobs": [{TOKEN: …}, …], "text_offset": […]} */
static void answer_put_completion_logprobs(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    struct sw_strbuf bytes = {0};
    size_t offset = 0;
    sw_strbuf_puts(out, "{\"tokens\":[");
    for (size_t i = 0; i < c->ids.count; i++) {
        sw_strbuf_puts(out, i ? "," : "");
        answer_put_token(a, c->sampled[i].id, &bytes, out);
    }
    sw_strbuf_puts(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < c->ids.count; i++) {
        sw_strbuf_puts(out, i ? "," : "");
        answer_put_number(out, (double)c->sampled[i].logprob);
    }
    sw_strbuf_puts(out, "],\"top_logprobs\":[");
    for (size_t i = 0; i < c->ids.count; i++) {
        const struct sw_sampled *s = &c->sampled[i];
        sw_strbuf_puts(out, i ? ",{" : "{");
        for (int k = 0; k < s->n_top; k++) {
            sw_strbuf_puts(out, k ? "," : "");
            answer_put_token(a, s->top[k].id, &bytes, out);
            sw_strbuf_puts(out, ":");
            answer_put_number(out, (double)s->top[k].logprob);
        }
        sw_strbuf_puts(out, "}");
    }
    sw_strbuf_puts(out, "],\"text_offset\":[");
    for (size_t i = 0; i < c->ids.count; i++) {
        sw_strbuf_printf(out, "%s%zu", i ? "," : "", offset);
        answer_token_bytes(a, c->sampled[i].id, &bytes);
        for (size_t k = 0; k < bytes.length; k++) /* characters, not bytes */
            offset += ((unsigned char)bytes.text[k] & 0xC0) != 0x80;
    }
    sw_strbuf_puts(out, "]}");
    out->failed = out->failed || bytes.failed;
    sw_strbuf_free(&bytes);
}

/* "token": …, "logprob": …, "bytes": […] */
static void answer_put_chat_token(const struct sw_answer *a, int32_t id, float logprob,
                                  struct sw_strbuf *bytes, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "{\"token\":");
    answer_put_token(a, id, bytes, out);
    sw_strbuf_puts(out, ",\"logprob\":");
    answer_put_number(out, (double)logprob);
    sw_strbuf_puts(out, ",\"bytes\":[");
    for (size_t i = 0; i < bytes->length; i++)
        sw_strbuf_printf(out, "%s%d", i ? "," : "", (unsigned char)bytes->text[i]);
    sw_strbuf_puts(out, "]");
}

/* {"content": [{"token", "logprob", "bytes", "top_logprobs": [the same, …]}, …], "refusal": null}
 */
static void answer_put_chat_logprobs(const struct sw_answer *a, struct sw_strbuf *out)
{
    const struct sw_completion *c = a->completion;
    struct sw_strbuf bytes = {0};
    sw_strbuf_puts(out, "{\"content\":[");
    for (size_t i = 0; i < c->ids.count; i++) {
        const struct sw_sampled *s = &c->sampled[i];
        sw_strbuf_puts(out, i ? "," : "");
        answer_put_chat_token(a, s->id, s->logprob, &bytes, out);
        sw_strbuf_puts(out, ",\"top_logprobs\":[");
        for (int k = 0; k < s->n_top; k++) {
            sw_strbuf_puts(out, k ? "," : "");
            answer_put_chat_token(a, s->top[k].id, s->top[k].logprob, &bytes, out);
            sw_strbuf_puts(out, "}");
        }
        sw_strbuf_puts(out, "]}");
    }
    sw_strbuf_puts(out, "],\"refusal\":null}");
    out->failed = out->failed || bytes.failed;
    sw_strbuf_free(&bytes);
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
    else if (chat)
        answer_put_chat_logprobs(a, out);
    else
        answer_put_completion_logprobs(a, out);
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
