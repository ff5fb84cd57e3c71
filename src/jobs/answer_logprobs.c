/* Owns the form of log-probabilities in answers of the API. */
#include "jobs/answer_logprobs.h"

#include "base/utf8.h"
#include "jobs/record.h"
#include "text/detokenizer.h"

void sw_answer_put_number(struct sw_strbuf *out, double value)
{
    sw_strbuf_printf(out, "%.9g", value < -1e30 ? -1e30 : value); /* JSON knows no infinity */
}

static void logprobs_put_number(const struct sw_answer_logprobs *l, float value,
                                struct sw_strbuf *out)
{
    if (l->exact && value > -1e30f)
        sw_strbuf_printf(out, "%.17g", (double)value);
    else
        sw_answer_put_number(out, (double)value);
}

/* Fills l->bytes with what the token stands for, perhaps not a whole character. */
static void logprobs_find_bytes(struct sw_answer_logprobs *l, int32_t id)
{
    const struct sw_tokenizer *tokenizer = l->tokenizer;
    struct sw_strbuf *bytes = &l->bytes;
    struct sw_detokenizer detokenizer;
    bytes->length = 0;
    sw_strbuf_append(bytes, "", 0);
    if (!tokenizer || id < 0 || (size_t)id >= sw_tokenizer_size(tokenizer))
        return;
    sw_detokenizer_begin(&detokenizer, tokenizer, false);
    detokenizer.begun = true; /* the token is inside a text: keep its leading space */
    if (sw_detokenizer_push(&detokenizer, id, bytes) == SW_OK)
        sw_strbuf_append(bytes, (const char *)detokenizer.pending, detokenizer.n_pending);
}

/* The token as the API's text member has it: "bytes:\\xe2\\x80" when it is no whole text. */
static void logprobs_put_token(struct sw_answer_logprobs *l, int32_t id, struct sw_strbuf *out)
{
    const struct sw_strbuf *bytes = &l->bytes;
    logprobs_find_bytes(l, id);
    if (bytes->failed || sw_utf8_valid(bytes->text, bytes->length)) {
        sw_json_quote(out, bytes->text ? bytes->text : "", bytes->length);
        return;
    }
    sw_strbuf_puts(out, "\"bytes:");
    for (size_t i = 0; i < bytes->length; i++)
        sw_strbuf_printf(out, "\\\\x%02x", (unsigned char)bytes->text[i]);
    sw_strbuf_puts(out, "\"");
}

/* "token": …, "logprob": …, "bytes": […] */
static void logprobs_put_chat_token(struct sw_answer_logprobs *l, int32_t id, float logprob,
                                    struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "{\"token\":");
    logprobs_put_token(l, id, out);
    sw_strbuf_puts(out, ",\"logprob\":");
    logprobs_put_number(l, logprob, out);
    sw_strbuf_puts(out, ",\"bytes\":[");
    for (size_t i = 0; i < l->bytes.length; i++)
        sw_strbuf_printf(out, "%s%d", i ? "," : "", (unsigned char)l->bytes.text[i]);
    sw_strbuf_puts(out, "]");
}

static void logprobs_push_chat(struct sw_answer_logprobs *l, const struct sw_sampled *s)
{
    struct sw_strbuf *out = &l->tokens;
    sw_strbuf_puts(out, l->n ? "," : "");
    logprobs_put_chat_token(l, s->id, s->logprob, out);
    sw_strbuf_puts(out, ",\"top_logprobs\":[");
    for (int k = 0; k < s->n_top; k++) {
        sw_strbuf_puts(out, k ? "," : "");
        logprobs_put_chat_token(l, s->top[k].id, s->top[k].logprob, out);
        sw_strbuf_puts(out, "}");
    }
    sw_strbuf_puts(out, "]}");
}

static void logprobs_push_completion(struct sw_answer_logprobs *l, const struct sw_sampled *s,
                                     bool unknown)
{
    const char *comma = l->n ? "," : "";
    sw_strbuf_puts(&l->logprobs, comma);
    sw_strbuf_puts(&l->top, comma);
    if (unknown) {
        sw_strbuf_puts(&l->logprobs, "null");
        sw_strbuf_puts(&l->top, "null");
    } else {
        logprobs_put_number(l, s->logprob, &l->logprobs);
        sw_strbuf_puts(&l->top, "{");
        for (int k = 0; k < s->n_top; k++) {
            sw_strbuf_puts(&l->top, k ? "," : "");
            logprobs_put_token(l, s->top[k].id, &l->top);
            sw_strbuf_puts(&l->top, ":");
            logprobs_put_number(l, s->top[k].logprob, &l->top);
        }
        sw_strbuf_puts(&l->top, "}");
    }
    sw_strbuf_printf(&l->offsets, "%s%zu", comma, l->offset);
    sw_strbuf_puts(&l->tokens, comma);
    logprobs_put_token(l, s->id, &l->tokens);
    for (size_t k = 0; k < l->bytes.length; k++) /* characters, not bytes */
        l->offset += ((unsigned char)l->bytes.text[k] & 0xC0) != 0x80;
}

void sw_answer_logprobs_push(struct sw_answer_logprobs *l, const struct sw_sampled *token,
                             bool unknown)
{
    if (l->chat)
        logprobs_push_chat(l, token);
    else
        logprobs_push_completion(l, token, unknown);
    l->n++;
}

static void logprobs_move(struct sw_strbuf *from, const char *before, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, before);
    sw_strbuf_append(out, from->text ? from->text : "", from->length);
    out->failed = out->failed || from->failed;
    from->length = 0;
}

void sw_answer_logprobs_take(struct sw_answer_logprobs *l, struct sw_strbuf *out)
{
    if (l->chat) {
        logprobs_move(&l->tokens, "{\"content\":[", out);
        sw_strbuf_puts(out, "],\"refusal\":null}");
    } else {
        logprobs_move(&l->tokens, "{\"tokens\":[", out);
        logprobs_move(&l->logprobs, "],\"token_logprobs\":[", out);
        logprobs_move(&l->top, "],\"top_logprobs\":[", out);
        logprobs_move(&l->offsets, "],\"text_offset\":[", out);
        sw_strbuf_puts(out, "]}");
    }
    out->failed = out->failed || l->bytes.failed;
    l->n = 0;
}

void sw_answer_logprobs_free(struct sw_answer_logprobs *l)
{
    struct sw_strbuf *const all[] = {&l->tokens, &l->logprobs, &l->top, &l->offsets, &l->bytes};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sw_strbuf_free(all[i]);
}
