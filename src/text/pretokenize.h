/* Splits a normalised text into pre-tokens, the parts that are encoded one by one. */
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

struct sw_pretoken {
    size_t start, length; /* in sw_pretokens.text */
    bool at_zero;         /* whether it is at the beginning of the whole text */
};

struct sw_pretokens {
    struct sw_strbuf text;
    struct sw_pretoken *items; /* (count) */
    size_t count, capacity;
};

struct sw_pretokenize_step;

struct sw_pretokenizer {
    struct sw_pretokenize_step *steps[SW_PRETOKENIZE_STEPS_MAX];
    size_t n_steps;
    bool byte_level; /* whether the last step turns text into bytes for a byte-level vocabulary */
    struct sw_pretokens pretokens[2];
};

/* Adds the steps of the "pre_tokenizer" member (NULL or null: none, the text stays whole).
 * SW_EMODEL names what is not supported. */
enum sw_status sw_pretokenizer_parse(struct sw_pretokenizer *pre, const json_t *json);
/* Adds a step: each match of `pattern` is a pre-token, and so is each text between matches. */
enum sw_status sw_pretokenizer_add_split(struct sw_pretokenizer *pre, const char *pattern);
/* Splits valid UTF-8 text[0..n); `at_zero`: whether it is the beginning of the whole text. *out is
 * memory of the pre-tokenizer, valid until the next call. */
enum sw_status sw_pretokenize(struct sw_pretokenizer *pre, const char *text, size_t n, bool at_zero,
                              const struct sw_pretokens **out);
void sw_pretokenizer_free(struct sw_pretokenizer *pre);

#endif
