/*
 * What is scored, as token ids: texts are cut into ids exactly as lm-evaluation-harness does for
 * its Hugging Face backend, so that the numbers can be compared.
 */
#ifndef SW_JOBS_SCORE_INPUT_H
#define SW_JOBS_SCORE_INPUT_H

#include "base/status.h"
#include "text/ids.h"
#include "text/tokenizer.h"

#include <stdbool.h>

/* Ids to be fed; those from `from` on are scored. */
struct sw_score_input {
    struct sw_ids ids;
    size_t from; /* >= 1 */
};

struct sw_text {
    const char *bytes; /* (n), valid UTF-8 */
    size_t n;
};

/* What texts without a beginning begin with: BOS, else EOS; -1 when the model has neither. */
int32_t sw_score_input_prefix(const struct sw_tokenizer *tok);
/*
 * White space at the end of the context goes to the continuation; both are encoded as one text; the
 * continuation is what goes beyond the context's own ids. No context: the prefix stands for it.
 * The caller frees out->ids, also on failure. SW_EINPUT: nothing is left to score.
 */
enum sw_status sw_score_input_encode(struct sw_tokenizer *tok, struct sw_text context,
                                     struct sw_text continuation, struct sw_score_input *out);
/*
 * Drops ids on the left until the pair can be fed to `context` positions (the last id need not
 * be); *dropped are so many. SW_EINPUT: the continuation alone is longer.
 */
enum sw_status sw_score_input_fit(struct sw_score_input *pair, size_t context, size_t *dropped);
/* The prefix and the text's ids, for sw_window. */
enum sw_status sw_score_input_text(struct sw_tokenizer *tok, struct sw_text text,
                                   struct sw_ids *out);
/*
 * The windows in which a text of n ids behind a prefix is scored, each id once and with as much
 * before it as fits: the first has `context` ids, so has every later one, and the last reaches back
 * to be full. False past the last window. ids[begin] … ids[end - 1] are fed, scored from `from` on,
 * counted in the list with the prefix.
 */
struct sw_window {
    size_t begin, from, end;
};
bool sw_window(size_t n, size_t context, size_t index, struct sw_window *out);

/* Characters; and what re.split(r"\s+", text) counts as words. */
size_t sw_text_characters(struct sw_text text);
size_t sw_text_words(struct sw_text text);

#endif
