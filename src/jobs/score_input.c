/* Owns splitting texts to be scored into ids. */
#include "jobs/score_input.h"

#include "base/utf8.h"

#include <string.h>

/* White space by Python's str.isspace and re's \s. */
static bool is_space(uint32_t c)
{
    return sw_utf8_is_space(c) || (c >= 0x1C && c <= 0x1F);
}

int32_t sw_score_input_prefix(const struct sw_tokenizer *tok)
{
    const int32_t bos = sw_tokenizer_bos(tok);
    return bos >= 0 ? bos : sw_tokenizer_eos(tok);
}

/* Encodes with BOS where the model has one, unless the text begins with it. */
static enum sw_status score_input_encode(struct sw_tokenizer *tok, const char *text, size_t n,
                                         struct sw_ids *out)
{
    unsigned flags = SW_ENCODE_PARSE_SPECIAL | SW_ENCODE_ADD_SPECIAL;
    const int32_t prefix = sw_score_input_prefix(tok);
    struct sw_strbuf written = {0};
    if (prefix >= 0) {
        const enum sw_status status = sw_tokenizer_decode(tok, &prefix, 1, false, &written);
        if (status == SW_OK && written.length <= n &&
            memcmp(text, written.text ? written.text : "", written.length) == 0)
            flags = SW_ENCODE_PARSE_SPECIAL;
        sw_strbuf_free(&written);
        SW_TRY(status);
    }
    return sw_tokenizer_encode(tok, text, n, flags, out);
}

static size_t without_trailing_space(struct sw_text text)
{
    size_t n = text.n;
    while (n > 0) {
        size_t at = n - 1;
        int length;
        while (at > 0 && ((unsigned char)text.bytes[at] & 0xC0) == 0x80)
            at--;
        if (!is_space(sw_utf8_decode(text.bytes + at, &length)))
            break;
        n = at;
    }
    return n;
}

static enum sw_status nothing_left(const char *what)
{
    return sw_fail(SW_EINPUT, "%s has no tokens to score", what);
}

/* Encodes a continuation without context: the prefix (once, if the text begins with it) and the
 * text. */
static enum sw_status encode_alone(struct sw_tokenizer *tok, struct sw_text text,
                                   struct sw_score_input *out)
{
    const int32_t prefix = sw_score_input_prefix(tok);
    if (prefix < 0)
        return sw_fail(
            SW_EINPUT,
            "\"context\" is empty, and the model has neither a BOS nor an EOS token to start with");
    SW_TRY(sw_ids_push(&out->ids, prefix));
    SW_TRY(sw_tokenizer_encode(tok, text.bytes, text.n, SW_ENCODE_PARSE_SPECIAL, &out->ids));
    out->from = 1;
    if (out->ids.count > 1 && out->ids.items[1] == prefix) {
        out->ids.count--;
        memmove(out->ids.items + 1, out->ids.items + 2,
                (out->ids.count - 1) * sizeof *out->ids.items);
    }
    return out->ids.count > 1 ? SW_OK : nothing_left("\"continuation\"");
}

enum sw_status sw_score_input_encode(struct sw_tokenizer *tok, struct sw_text context,
                                     struct sw_text continuation, struct sw_score_input *out)
{
    struct sw_strbuf whole = {0};
    struct sw_ids ids = {0};
    *out = (struct sw_score_input){0};
    if (context.n == 0)
        return encode_alone(tok, continuation, out);
    sw_strbuf_append(&whole, context.bytes, context.n);
    sw_strbuf_append(&whole, continuation.bytes, continuation.n);
    enum sw_status status =
        whole.failed
            ? sw_fail(SW_ENOMEM, "no memory for a text")
            : score_input_encode(tok, context.bytes, without_trailing_space(context), &out->ids);
    out->from = out->ids.count;
    if (status == SW_OK)
        status = score_input_encode(tok, whole.text, whole.length, &ids);
    if (status == SW_OK && out->from == 0 &&
        sw_score_input_prefix(tok) >= 0) { /* nothing but space */
        status = sw_ids_push(&out->ids, sw_score_input_prefix(tok));
        if (status == SW_OK)
            status = sw_ids_append(&out->ids, ids.items, ids.count);
        out->from = 1;
    } else if (status == SW_OK && ids.count > out->from) {
        status = sw_ids_append(&out->ids, ids.items + out->from, ids.count - out->from);
    }
    sw_ids_free(&ids);
    sw_strbuf_free(&whole);
    if (status == SW_OK && (out->from == 0 || out->ids.count == out->from))
        status = nothing_left("\"continuation\"");
    return status;
}

enum sw_status sw_score_input_target(struct sw_tokenizer *tok, int32_t start, struct sw_text source,
                                     struct sw_text target, bool end, struct sw_score_input *out)
{
    const unsigned flags = SW_ENCODE_PARSE_SPECIAL | (end ? SW_ENCODE_ADD_SPECIAL : 0);
    const size_t n = without_trailing_space(source);
    struct sw_strbuf text = {0};
    *out = (struct sw_score_input){.from = 1};
    sw_strbuf_append(&text, source.bytes + n, source.n - n);
    sw_strbuf_append(&text, target.bytes, target.n);
    enum sw_status status = text.failed ? sw_fail(SW_ENOMEM, "no memory for a text") : SW_OK;
    if (status == SW_OK)
        status = sw_tokenizer_encode(tok, source.bytes, n,
                                     SW_ENCODE_PARSE_SPECIAL | SW_ENCODE_ADD_SPECIAL, &out->source);
    if (status == SW_OK)
        status = sw_ids_push(&out->ids, start);
    if (status == SW_OK)
        status = sw_tokenizer_encode(tok, text.text, text.length, flags, &out->ids);
    sw_strbuf_free(&text);
    if (status == SW_OK && out->ids.count == 1)
        status = nothing_left("the target");
    return status;
}

void sw_score_input_free(struct sw_score_input *input)
{
    sw_ids_free(&input->ids);
    sw_ids_free(&input->source);
}

/* The source's newest ids, as many as have room. */
static void fit_source(struct sw_ids *source, size_t room, size_t *dropped)
{
    if (source->count <= room)
        return;
    *dropped = source->count - room;
    source->count = room;
    memmove(source->items, source->items + *dropped, room * sizeof *source->items);
}

enum sw_status sw_score_input_fit(struct sw_score_input *pair, size_t context, size_t *dropped)
{
    const size_t n = pair->ids.count, scored = n - pair->from;
    *dropped = 0;
    if (scored > context)
        return sw_fail(SW_EINPUT,
                       "the continuation has %zu tokens, but the context has room for %zu; raise "
                       "--context, if the model allows it",
                       scored, context);
    fit_source(&pair->source, context, dropped);
    if (n <= context + 1)
        return SW_OK;
    *dropped = n - (context + 1);
    memmove(pair->ids.items, pair->ids.items + *dropped, (context + 1) * sizeof(int32_t));
    pair->ids.count = context + 1;
    pair->from -= *dropped;
    return SW_OK;
}

enum sw_status sw_score_input_text(struct sw_tokenizer *tok, struct sw_text text,
                                   struct sw_ids *out)
{
    const int32_t prefix = sw_score_input_prefix(tok);
    if (prefix < 0)
        return sw_fail(SW_EINPUT,
                       "the model has neither a BOS nor an EOS token for a text to start with");
    SW_TRY(sw_ids_push(out, prefix));
    SW_TRY(score_input_encode(tok, text.bytes, text.n, out));
    return out->count > 1 ? SW_OK : nothing_left("\"text\"");
}

bool sw_window(size_t n, size_t context, size_t index, struct sw_window *out)
{
    const size_t scored = index * context; /* by the windows before */
    if (scored >= n)
        return false;
    const size_t end = n - scored < context ? n : scored + context;
    *out = (struct sw_window){
        .begin = index == 0 ? 0 : end - context, .from = scored + 1, .end = end + 1};
    return true;
}

size_t sw_text_characters(struct sw_text text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.bytes[i] & 0xC0) != 0x80;
    return n;
}

size_t sw_text_words(struct sw_text text)
{
    size_t n = 1;
    bool before = false;
    int length;
    for (size_t i = 0; i < text.n; i += (size_t)length) {
        const bool space = is_space(sw_utf8_decode(text.bytes + i, &length));
        n += space && !before;
        before = space;
    }
    return n;
}
