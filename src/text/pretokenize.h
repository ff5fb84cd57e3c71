/* Splits a normalised text into the pieces that are encoded one by one. */
#ifndef SW_TEXT_PRETOKENIZE_H
#define SW_TEXT_PRETOKENIZE_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/regex.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SW_PRETOKENIZE_STEPS_MAX 16

extern const char sw_pattern_gpt2[], sw_pattern_llama3[], sw_pattern_qwen[];

struct sw_span {
    size_t start, length; /* in `text` */
    bool at_zero;         /* the span is at the beginning of the whole text */
};

struct sw_pieces {
    struct sw_strbuf text;
    struct sw_span *spans; /* (count) */
    size_t count, capacity;
};

struct sw_pretokenize_step;

struct sw_pretokenizer {
    struct sw_pretokenize_step *steps[SW_PRETOKENIZE_STEPS_MAX];
    size_t n_steps;
    bool byte_level; /* the last step turns text into bytes: the vocabulary is one of bytes */
    struct sw_pieces pieces[2];
};

/* From the "pre_tokenizer" member (NULL or null: the text stays whole). */
enum sw_status sw_pretokenizer_parse(struct sw_pretokenizer *pre, const json_t *json);
/* Adds a step: each match of `pattern` is a piece, and so is each text between matches. */
enum sw_status sw_pretokenizer_add_split(struct sw_pretokenizer *pre, const char *pattern);
/* Splits valid UTF-8 text[0..n); `at_zero`: it is the beginning of the whole text. *out is memory
 * of the pre-tokenizer, valid until the next call. */
enum sw_status sw_pretokenize(struct sw_pretokenizer *pre, const char *text, size_t n, bool at_zero,
                              const struct sw_pieces **out);
void sw_pretokenizer_free(struct sw_pretokenizer *pre);

#endif
