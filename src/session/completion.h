/*
 * A completion: the sampled ids of one request become its text. It knows where a text ends (an
 * end-of-text id, a stop string), holds back what could still become a stop string, keeps
 * log-probabilities and counts tokens. Whoever runs requests has one for each, passes it the
 * scheduler's callbacks and reads its fields.
 */
#ifndef SW_SESSION_COMPLETION_H
#define SW_SESSION_COMPLETION_H

#include "base/strbuf.h"
#include "engine/scheduler.h"
#include "text/detokenizer.h"
#include "text/stop_strings.h"

struct sw_completion_options {
    const struct sw_tokenizer *tokenizer; /* must outlive the completion; NULL: ids have no text */
    bool apart; /* the text does not go on from the prompt: it is an encoder-decoder's source */
    bool ignore_end;         /* an end-of-text id is a token like the others */
    bool special;            /* special tokens are part of the text */
    bool logprobs;           /* keep what was sampled with each token */
    const char *const *stop; /* (n_stop) stop strings, copied */
    size_t n_stop;
};

struct sw_completion {
    struct sw_strbuf text;      /* what is certain so far, valid UTF-8; only grows */
    struct sw_ids ids;          /* generated tokens, without the id that ended the text */
    struct sw_sampled *sampled; /* (ids.count) with `logprobs`; not valid before the first token */
    size_t n_prompt;            /* tokens of the prompt */
    bool stopped;               /* by an end-of-text id or a stop string */
    /* private */
    struct sw_completion_options options;
    size_t sampled_capacity;
    struct sw_detokenizer detokenizer;
    struct sw_stop *stops;
    struct sw_strbuf piece; /* the newest characters */
};

/*
 * Begins the text that follows the prompt's ids. SW_EINPUT when a stop string is empty or too long,
 * or an id of the prompt is none of the tokenizer's. The caller frees by sw_completion_free, also
 * on failure.
 */
enum sw_status sw_completion_begin(struct sw_completion *completion,
                                   const struct sw_completion_options *options,
                                   const int32_t *prompt, size_t n_prompt);
/* Takes the next token; as sw_request.token, *stop is set when the text ends with it. SW_ENOMEM. */
enum sw_status sw_completion_push(struct sw_completion *completion, const struct sw_sampled *token,
                                  bool *stop);
/* After the last token: the text that was held back becomes part of `text`. SW_ENOMEM. */
enum sw_status sw_completion_finish(struct sw_completion *completion);
/* Why a finished text ended, as APIs say it: "stop" or "length". */
const char *sw_completion_finish_reason(const struct sw_completion *completion);
void sw_completion_free(struct sw_completion *completion);

#endif
