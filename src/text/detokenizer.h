/*
 * Converts ids that arrive one by one to text. The output so far is always the beginning of what
 * sw_tokenizer_decode gives for all ids so far: a character whose bytes come from several tokens is
 * output with its last byte.
 */
#ifndef SW_TEXT_DETOKENIZER_H
#define SW_TEXT_DETOKENIZER_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

struct sw_detokenizer {
    const struct sw_tokenizer *tok;
    bool skip_special;
    bool begun; /* text was output, so a leading space belongs to it */
    bool
        byte_tokens; /* whether `pending` came from <0xHH> tokens: then each bad byte is a U+FFFD */
    unsigned n_pending;
    unsigned char pending[4]; /* (n_pending) the first bytes of an incomplete character */
};

/* Begins a text. Allocates nothing, so there is nothing to free. `tok` must outlive *detok. */
void sw_detokenizer_begin(struct sw_detokenizer *detok, const struct sw_tokenizer *tok,
                          bool skip_special);
/*
 * Continues as if ids[0..n) had been pushed, without their text: for text after a prompt, where the
 * leading space of a continuation must be kept.
 */
enum sw_status sw_detokenizer_skip(struct sw_detokenizer *detok, const int32_t *ids, size_t n);
/* Appends the text that `id` completes. SW_EINPUT for an id outside the vocabulary. */
enum sw_status sw_detokenizer_push(struct sw_detokenizer *detok, int32_t id, struct sw_strbuf *out);
/* At the end of the ids: appends U+FFFD for bytes that were held back. */
void sw_detokenizer_finish(struct sw_detokenizer *detok, struct sw_strbuf *out);

#endif
