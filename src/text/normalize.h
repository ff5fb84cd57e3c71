/* What is done to a text before it is cut up: the "normalizer" of a tokenizer file. */
#ifndef SW_TEXT_NORMALIZE_H
#define SW_TEXT_NORMALIZE_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/trie.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SW_NORMALIZE_STEPS_MAX 16

struct sw_normalize_step;

/* The way of a SentencePiece model: its normalizer_spec. */
struct sw_sentencepiece_rules {
    bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
    struct sw_charsmap charsmap;
    const struct sw_trie *whole; /* user-defined pieces are passed unchanged; borrowed */
};

struct sw_normalizer {
    struct sw_normalize_step *steps[SW_NORMALIZE_STEPS_MAX];
    size_t n_steps;
    struct sw_strbuf scratch[2];
};

/* From the "normalizer" member (NULL or null: nothing is done). SW_EMODEL names what is unknown. */
enum sw_status sw_normalizer_parse(struct sw_normalizer *normalizer, const json_t *json);
/* Adds Unicode normalisation form C. */
enum sw_status sw_normalizer_add_nfc(struct sw_normalizer *normalizer);
/* Adds a SentencePiece model's rules and takes them over. */
enum sw_status sw_normalizer_add_sentencepiece(struct sw_normalizer *normalizer,
                                               const struct sw_sentencepiece_rules *rules);
/*
 * Normalises valid UTF-8 text[0..n). *out is `text` itself or memory of the normaliser, valid until
 * the next call.
 */
enum sw_status sw_normalize(struct sw_normalizer *normalizer, const char *text, size_t n,
                            const char **out, size_t *out_n);
void sw_normalizer_free(struct sw_normalizer *normalizer);

#endif
