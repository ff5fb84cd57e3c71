/*
 * Texts to be scored, as token ids. Texts are split into ids exactly as lm-evaluation-harness does
 * for its Hugging Face backend, so that the numbers can be compared.
 */
#ifndef SW_JOBS_SCORE_INPUT_H
#define SW_JOBS_SCORE_INPUT_H

#include "base/status.h"
#include "text/ids.h"
#include "text/tokenizer.h"

#include <stdbool.h>

/* The ids of a context and a continuation. */
struct sw_score_input {
    struct sw_ids ids;
    struct sw_ids source; /* of an encoder-decoder, whose target `ids` are; else empty */
    size_t from;          /* index of the first id that is scored; >= 1 */
};

struct sw_text {
    const char *bytes; /* (n), valid UTF-8 */
    size_t n;
};

/* The id that stands for an empty context: BOS, else EOS; -1 when the model has neither. */
int32_t sw_score_input_prefix(const struct sw_tokenizer *tok);
/*
 * Moves white space at the end of the context to the continuation and encodes both as one text. The
 * ids beyond those of the context alone are scored. An empty context is the prefix
 * (sw_score_input_prefix). The caller frees *out, also on failure. SW_EINPUT: no id to score.
 */
enum sw_status sw_score_input_encode(struct sw_tokenizer *tok, struct sw_text context,
                                     struct sw_text continuation, struct sw_score_input *out);
/*
 * The same for an encoder-decoder: the context is its source, the continuation its target behind
 * the id `start`; `end`: with what the tokenizer puts behind a text. White space at the end of the
 * context is moved as above.
 */
enum sw_status sw_score_input_target(struct sw_tokenizer *tok, int32_t start, struct sw_text source,
                                     struct sw_text target, bool end, struct sw_score_input *out);
/*
 * Drops ids on the left until the pair fits in `context` positions (the last id takes none);
 * *dropped is their number. Of an encoder-decoder those of the source. SW_EINPUT: the continuation
 * alone is longer.
 */
enum sw_status sw_score_input_fit(struct sw_score_input *pair, size_t context, size_t *dropped);
void sw_score_input_free(struct sw_score_input *input);
/* Appends the prefix and the text's ids, for sw_window. SW_EINPUT: no id to score, or the model has
 * no prefix. The caller frees out. */
enum sw_status sw_score_input_text(struct sw_tokenizer *tok, struct sw_text text,
                                   struct sw_ids *out);
/*
 * The windows in which a text of n ids after a prefix is scored: each id once, with as many ids
 * before it as fit. All windows have `context` ids; the last one begins earlier to be full. False
 * past the last window.
 */
struct sw_window {
    size_t begin, end; /* ids[begin] … ids[end - 1] of the list with the prefix are the window */
    size_t from;       /* index of the first id in that list that is scored */
};
bool sw_window(size_t n, size_t context, size_t index, struct sw_window *out);

/* The number of characters (Unicode code points). */
size_t sw_text_characters(struct sw_text text);
/* The number of words as Python counts them: len(re.split(r"\s+", text)). */
size_t sw_text_words(struct sw_text text);

#endif
