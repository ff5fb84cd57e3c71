/* Splits a normalised text into pre-tokens, the parts that are encoded one by one. */
#ifndef SW_TEXT_PRETOKENIZE_H
#define SW_TEXT_PRETOKENIZE_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/regex.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_PRETOKENIZE_STEPS_MAX 16

extern const char sw_pattern_gpt2[], sw_pattern_llama3[], sw_pattern_qwen[];

/* A long text has a pre-token for every few bytes. */
struct sw_pretoken {
    uint32_t start; /* in sw_pretokens.text */
    uint32_t length : 31;
    uint32_t at_zero : 1; /* whether it is at the beginning of the whole text */
};
#define SW_PRETOKENS_MAX ((size_t)INT32_MAX) /* bytes of their text */

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
    struct sw_pretokens whole, pretokens[2];
    struct sw_pretoken one; /* of `whole` */
};

/* Adds the steps of the "pre_tokenizer" member (NULL or null: none, the text stays whole).
 * SW_EMODEL names what is not supported. */
enum sw_status sw_pretokenizer_parse(struct sw_pretokenizer *pre, const json_t *json);
/* Adds a step: each match of `pattern` is a pre-token, and so is each text between matches. */
enum sw_status sw_pretokenizer_add_split(struct sw_pretokenizer *pre, const char *pattern);
/*
 * The i-th pattern whose matches become pre-tokens, with the texts between them: "" for a step that
 * is no such pattern, NULL past the last. Lives as long as the pre-tokenizer.
 */
const char *sw_pretokenizer_pattern(const struct sw_pretokenizer *pre, size_t i);
/* Splits valid UTF-8 text[0..n); `at_zero`: whether it is the beginning of the whole text. *out is
 * memory of the pre-tokenizer or the text itself, valid until the next call. SW_EINPUT: more than
 * SW_PRETOKENS_MAX bytes. */
enum sw_status sw_pretokenize(struct sw_pretokenizer *pre, const char *text, size_t n, bool at_zero,
                              const struct sw_pretokens **out);
void sw_pretokenizer_free(struct sw_pretokenizer *pre);

#endif
