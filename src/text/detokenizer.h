/*
 * Text out of ids that arrive one by one. What has come out so far is always the beginning of what
 * sw_tokenizer_decode would say of all ids so far: a character whose bytes are spread over several
 * tokens comes out with its last byte.
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
    bool begun;       /* a token has been seen: a later leading space is the text's own */
    bool byte_tokens; /* `pending` came from <0xHH> tokens: each bad byte is one U+FFFD */
    unsigned n_pending;
    unsigned char pending[4]; /* the beginning of a character */
};

/* No allocation, nothing to free. `tok` must outlive the stream. */
void sw_detokenizer_begin(struct sw_detokenizer *stream, const struct sw_tokenizer *tok,
                          bool skip_special);
/*
 * Goes on as if ids[0..n) had been pushed before, without their text: to stream what follows a
 * prompt, so that the leading space of a continuation is kept.
 */
enum sw_status sw_detokenizer_skip(struct sw_detokenizer *stream, const int32_t *ids, size_t n);
/* Appends the text that became certain with `id`. SW_EINPUT for an id outside the vocabulary. */
enum sw_status sw_detokenizer_push(struct sw_detokenizer *stream, int32_t id,
                                   struct sw_strbuf *out);
/* Appends what was held back, as U+FFFD: no more ids will come. */
void sw_detokenizer_finish(struct sw_detokenizer *stream, struct sw_strbuf *out);

#endif
