/* Owns decoding: ids to bytes to characters, holding back what is not yet a whole character. */
#include "text/detokenizer.h"

#include "base/utf8.h"
#include "text/bytes.h"
#include "text/tokenizer_impl.h"

#include <string.h>

void sw_detokenizer_begin(struct sw_detokenizer *detok, const struct sw_tokenizer *tok,
                          bool skip_special)
{
    *detok = (struct sw_detokenizer){.tok = tok, .skip_special = skip_special};
}

static void put_characters(struct sw_detokenizer *detok, const char *text, size_t n,
                           struct sw_strbuf *out)
{
    if (!detok->begun && n > 0) {
        detok->begun = true;
        if (detok->tok->decoder.strip && text[0] == ' ') {
            text++;
            n--;
        }
    }
    if (out)
        sw_strbuf_append(out, text, n);
}

/* The oldest `bytes` pending ones cannot become a character. */
static void drop_pending(struct sw_detokenizer *detok, unsigned bytes, struct sw_strbuf *out)
{
    for (unsigned i = 0; i < (detok->byte_tokens ? bytes : 1); i++)
        put_characters(detok, SW_REPLACEMENT, 3, out);
    detok->n_pending -= bytes;
    memmove(detok->pending, detok->pending + bytes, detok->n_pending);
}

static void push_byte(struct sw_detokenizer *detok, unsigned char byte, struct sw_strbuf *out)
{
    detok->pending[detok->n_pending++] = byte;
    while (detok->n_pending > 0) {
        const int length = sw_utf8_next(detok->pending, detok->n_pending);
        if (length == 0)
            return;
        if (length < 0) {
            drop_pending(detok, (unsigned)-length, out);
            continue;
        }
        put_characters(detok, (const char *)detok->pending, (size_t)length, out);
        detok->n_pending = 0;
    }
}

static void push_bytes(struct sw_detokenizer *detok, const char *bytes, size_t n,
                       struct sw_strbuf *out)
{
    for (size_t i = 0; i < n;) {
        size_t run = i;
        for (int length; detok->n_pending == 0 && run < n; run += (size_t)length)
            if ((length = sw_utf8_next((const unsigned char *)bytes + run, n - run)) <= 0)
                break;
        put_characters(detok, bytes + i, run - i, out);
        if ((i = run) < n)
            push_byte(detok, (unsigned char)bytes[i++], out);
    }
}

void sw_detokenizer_finish(struct sw_detokenizer *detok, struct sw_strbuf *out)
{
    if (detok->n_pending > 0)
        drop_pending(detok, detok->n_pending, out);
}

/* A piece of characters, with its spaces made visible. */
static void push_text(struct sw_detokenizer *detok, const char *piece, size_t n, bool added,
                      struct sw_strbuf *out)
{
    const char *mark = detok->tok->decoder.space;
    const size_t mark_n = added ? 0 : strlen(mark);
    sw_detokenizer_finish(detok, out);
    detok->byte_tokens = false;
    for (const char *hit; mark_n > 0 && (hit = memmem(piece, n, mark, mark_n));) {
        push_bytes(detok, piece, (size_t)(hit - piece), out);
        push_bytes(detok, " ", 1, out);
        n -= (size_t)(hit - piece) + mark_n;
        piece = hit + mark_n;
    }
    push_bytes(detok, piece, n, out);
    sw_detokenizer_finish(detok, out);
}

/* `out` may be NULL. */
static enum sw_status push_id(struct sw_detokenizer *detok, int32_t id, struct sw_strbuf *out)
{
    const struct sw_tokenizer *tok = detok->tok;
    size_t n;
    if (id < 0 || (size_t)id >= tok->vocab.count)
        return sw_fail(SW_EINPUT, "token id %d is outside the vocabulary; ids are 0 to %zu", id,
                       tok->vocab.count - 1);
    const char *piece = sw_vocab_piece(&tok->vocab, id, &n);
    if (!piece || (detok->skip_special && (tok->flags[id] & SW_ID_SPECIAL)))
        return SW_OK;
    const bool added = tok->flags[id] & SW_ID_ADDED;
    const int byte = tok->decoder.byte_fallback && !added ? sw_byte_of_token(piece, n) : -1;
    if (tok->decoder.byte_level) {
        push_bytes(detok, piece, n, out);
    } else if (byte >= 0) {
        detok->byte_tokens = true;
        push_byte(detok, (unsigned char)byte, out);
    } else {
        push_text(detok, piece, n, added, out);
    }
    return SW_OK;
}

enum sw_status sw_detokenizer_push(struct sw_detokenizer *detok, int32_t id, struct sw_strbuf *out)
{
    SW_TRY(push_id(detok, id, out));
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for the text of a token") : SW_OK;
}

enum sw_status sw_detokenizer_skip(struct sw_detokenizer *detok, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        SW_TRY(push_id(detok, ids[i], NULL));
    return SW_OK;
}

void sw_tokenizer_bytes(const struct sw_tokenizer *tok, int32_t id, struct sw_strbuf *out)
{
    size_t n;
    const bool known = id >= 0 && (size_t)id < tok->vocab.count;
    const char *piece = known ? sw_vocab_piece(&tok->vocab, id, &n) : NULL,
               *mark = tok->decoder.space;
    if (!piece || (tok->flags[id] & SW_ID_SPECIAL))
        return;
    const bool added = tok->flags[id] & SW_ID_ADDED;
    const int byte = tok->decoder.byte_fallback && !added ? sw_byte_of_token(piece, n) : -1;
    const char one = (char)byte;
    if (byte >= 0 && !tok->decoder.byte_level) {
        sw_strbuf_append(out, &one, 1);
        return;
    }
    const size_t mark_n = added || tok->decoder.byte_level ? 0 : strlen(mark);
    for (const char *hit; mark_n > 0 && (hit = memmem(piece, n, mark, mark_n));) {
        sw_strbuf_append(out, piece, (size_t)(hit - piece));
        sw_strbuf_puts(out, " ");
        n -= (size_t)(hit - piece) + mark_n;
        piece = hit + mark_n;
    }
    sw_strbuf_append(out, piece, n);
}

enum sw_status sw_tokenizer_decode(const struct sw_tokenizer *tok, const int32_t *ids, size_t n,
                                   bool skip_special, struct sw_strbuf *out)
{
    struct sw_detokenizer detok;
    sw_detokenizer_begin(&detok, tok, skip_special);
    for (size_t i = 0; i < n; i++)
        SW_TRY(sw_detokenizer_push(&detok, ids[i], out));
    sw_detokenizer_finish(&detok, out);
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for a decoded text") : SW_OK;
}
