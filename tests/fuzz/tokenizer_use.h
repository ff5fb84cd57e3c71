/* What the tokenizer fuzz targets do with a tokenizer that was read: encode and decode a little. */
#ifndef SW_TESTS_FUZZ_TOKENIZER_USE_H
#define SW_TESTS_FUZZ_TOKENIZER_USE_H

#include "text/detokenizer.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

static inline void use_text(struct sw_tokenizer *tok, const char *text, size_t n)
{
    struct sw_ids ids = {0};
    struct sw_strbuf whole = {0}, streamed = {0};
    struct sw_detokenizer detok;
    const unsigned flags = SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL;
    if (sw_tokenizer_encode(tok, text, n, n % 2 ? flags : 0, &ids) == SW_OK &&
        sw_tokenizer_decode(tok, ids.items, ids.count, n % 3 == 0, &whole) == SW_OK) {
        sw_detokenizer_begin(&detok, tok, n % 3 == 0);
        for (size_t i = 0; i < ids.count; i++)
            if (sw_detokenizer_push(&detok, ids.items[i], &streamed) != SW_OK)
                abort();
        sw_detokenizer_finish(&detok, &streamed);
        if (streamed.length != whole.length ||
            (whole.length && memcmp(streamed.text, whole.text, whole.length) != 0))
            abort();
    }
    sw_ids_free(&ids);
    sw_strbuf_free(&whole);
    sw_strbuf_free(&streamed);
}

/* A tokenizer must bear hard text and the tail of the bytes that it was made of; it is closed. */
static inline void use_opened(struct sw_tokenizer *tok, const uint8_t *data, size_t size)
{
    static const char text[] = " Hello  abc ab c 123,. aaaa\n\xE2\x96\x81x\xF0\x9F\x91\xA9\xFF<x> "
                               "e\xCC\x81\xE4\xBD\xA0<s></s><|endoftext|><sep>";
    const size_t tail = size < 128 ? size : 128;
    use_text(tok, text, sizeof text - 1);
    use_text(tok, (const char *)data + size - tail, tail);
    use_text(tok, "", 0);
    sw_tokenizer_close(tok);
}

/* Reads the bytes with `read`, and uses the tokenizer. */
static inline void use_tokenizer(enum sw_status (*read)(struct sw_tokenizer *, const char *,
                                                        size_t),
                                 const uint8_t *data, size_t size)
{
    struct sw_tokenizer *tok;
    if (sw_tokenizer_new(&tok) != SW_OK)
        return;
    if (read(tok, (const char *)data, size) == SW_OK && sw_tokenizer_finish(tok, NULL) == SW_OK)
        use_opened(tok, data, size);
    else
        sw_tokenizer_close(tok);
}

#endif
