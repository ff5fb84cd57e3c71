/* Owns decoding: ids to bytes to characters, holding back what is not yet a whole character. */
#include "text/detokenizer.h"

#include "base/utf8.h"
#include "text/bytes.h"
#include "text/tokenizer_impl.h"

#include <string.h>

void sw_detokenizer_begin(struct sw_detokenizer *stream, const struct sw_tokenizer *tok,
                          bool skip_special)
{
    *stream = (struct sw_detokenizer){.tok = tok, .skip_special = skip_special};
}

static void emit(struct sw_detokenizer *stream, const char *text, size_t n, struct sw_strbuf *out)
{
    if (!stream->begun && n > 0) {
        stream->begun = true;
        if (stream->tok->decoder.strip && text[0] == ' ') {
            text++;
            n--;
        }
    }
    if (out)
        sw_strbuf_append(out, text, n);
}

/* The oldest `bytes` pending ones cannot become a character. */
static void detokenizer_give_up(struct sw_detokenizer *stream, unsigned bytes,
                                struct sw_strbuf *out)
{
    for (unsigned i = 0; i < (stream->byte_tokens ? bytes : 1); i++)
        emit(stream, SW_REPLACEMENT, 3, out);
    stream->n_pending -= bytes;
    memmove(stream->pending, stream->pending + bytes, stream->n_pending);
}

static void push_byte(struct sw_detokenizer *stream, unsigned char byte, struct sw_strbuf *out)
{
    stream->pending[stream->n_pending++] = byte;
    while (stream->n_pending > 0) {
        const int length = sw_utf8_next(stream->pending, stream->n_pending);
        if (length == 0)
            return;
        if (length < 0) {
            detokenizer_give_up(stream, (unsigned)-length, out);
            continue;
        }
        emit(stream, (const char *)stream->pending, (size_t)length, out);
        stream->n_pending = 0;
    }
}

static void push_bytes(struct sw_detokenizer *stream, const char *bytes, size_t n,
                       struct sw_strbuf *out)
{
    for (size_t i = 0; i < n;) {
        size_t run = i;
        for (int length; stream->n_pending == 0 && run < n; run += (size_t)length)
            if ((length = sw_utf8_next((const unsigned char *)bytes + run, n - run)) <= 0)
                break;
        emit(stream, bytes + i, run - i, out);
        if ((i = run) < n)
            push_byte(stream, (unsigned char)bytes[i++], out);
    }
}

void sw_detokenizer_finish(struct sw_detokenizer *stream, struct sw_strbuf *out)
{
    if (stream->n_pending > 0)
        detokenizer_give_up(stream, stream->n_pending, out);
}

/* A piece of characters, with its spaces made visible. */
static void push_text(struct sw_detokenizer *stream, const char *piece, size_t n, bool added,
                      struct sw_strbuf *out)
{
    const char *mark = stream->tok->decoder.space;
    const size_t mark_n = added ? 0 : strlen(mark);
    sw_detokenizer_finish(stream, out);
    stream->byte_tokens = false;
    for (const char *hit; mark_n > 0 && (hit = memmem(piece, n, mark, mark_n));) {
        push_bytes(stream, piece, (size_t)(hit - piece), out);
        push_bytes(stream, " ", 1, out);
        n -= (size_t)(hit - piece) + mark_n;
        piece = hit + mark_n;
    }
    push_bytes(stream, piece, n, out);
    sw_detokenizer_finish(stream, out);
}

/* `out` may be NULL. */
static enum sw_status push(struct sw_detokenizer *stream, int32_t id, struct sw_strbuf *out)
{
    const struct sw_tokenizer *tok = stream->tok;
    size_t n;
    if (id < 0 || (size_t)id >= tok->vocab.count)
        return sw_fail(SW_EINPUT, "token id %d is outside the vocabulary; ids are 0 to %zu", id,
                       tok->vocab.count - 1);
    const char *piece = sw_vocab_piece(&tok->vocab, id, &n);
    if (!piece || (stream->skip_special && (tok->flags[id] & SW_ID_SPECIAL)))
        return SW_OK;
    const bool added = tok->flags[id] & SW_ID_ADDED;
    const int byte = tok->decoder.byte_fallback && !added ? sw_byte_of_token(piece, n) : -1;
    if (tok->decoder.byte_level) {
        push_bytes(stream, piece, n, out);
    } else if (byte >= 0) {
        stream->byte_tokens = true;
        push_byte(stream, (unsigned char)byte, out);
    } else {
        push_text(stream, piece, n, added, out);
    }
    return SW_OK;
}

enum sw_status sw_detokenizer_push(struct sw_detokenizer *stream, int32_t id, struct sw_strbuf *out)
{
    SW_TRY(push(stream, id, out));
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for the text of a token") : SW_OK;
}

enum sw_status sw_detokenizer_skip(struct sw_detokenizer *stream, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        SW_TRY(push(stream, ids[i], NULL));
    return SW_OK;
}

enum sw_status sw_tokenizer_decode(const struct sw_tokenizer *tok, const int32_t *ids, size_t n,
                                   bool skip_special, struct sw_strbuf *out)
{
    struct sw_detokenizer stream;
    sw_detokenizer_begin(&stream, tok, skip_special);
    for (size_t i = 0; i < n; i++)
        SW_TRY(sw_detokenizer_push(&stream, ids[i], out));
    sw_detokenizer_finish(&stream, out);
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for a decoded text") : SW_OK;
}
