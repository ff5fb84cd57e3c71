/* Owns the list of the tokens' bytes. */
#include "session/token_bytes.h"

#include "grammar/token_trie.h"

enum sw_status sw_token_bytes(const struct sw_tokenizer *tok, int vocab, struct sw_strbuf *out)
{
    for (int32_t id = 0; id < vocab && !out->failed; id++) {
        const size_t at = out->length;
        sw_strbuf_append(out, "\0\0", 2);
        if (!sw_tokenizer_is_end(tok, id))
            sw_tokenizer_bytes(tok, id, out);
        if (out->failed)
            break;
        if (out->length - at - 2 > SW_TOKEN_BYTES_MAX)
            out->length = at + 2;
        const size_t n = out->length - at - 2;
        const unsigned head = (unsigned)n | (sw_tokenizer_is_end(tok, id) ? SW_TOKEN_END : 0);
        out->text[at] = (char)(head & 0xff);
        out->text[at + 1] = (char)(head >> 8);
    }
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for the tokens' bytes") : SW_OK;
}
