/* Normalises a text before it is split: the "normalizer" of a tokenizer file. */
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

/* Where a SentencePiece model adds the space that its words begin with. */
enum sw_dummy_prefix {
    SW_PREFIX_NEVER,
    SW_PREFIX_FIRST, /* at the beginning of the text */
    SW_PREFIX_ALWAYS /* at the beginning of the text and after each added token */
};

/* The normalizer_spec of a SentencePiece model. */
struct sw_sentencepiece_rules {
    enum sw_dummy_prefix prefix;
    bool remove_extra_whitespaces; /* one space for several, none at the ends */
    bool escape_whitespaces;       /* U+2581 for each space */
    struct sw_charsmap charsmap;
    const struct sw_trie *whole; /* user-defined pieces are passed unchanged; borrowed */
};

struct sw_normalizer {
    struct sw_normalize_step *steps[SW_NORMALIZE_STEPS_MAX];
    size_t n_steps;
    struct sw_strbuf scratch[2];
};

/* Adds the steps of the "normalizer" member; NULL or null has none. SW_EMODEL names what is not
 * supported. */
enum sw_status sw_normalizer_parse(struct sw_normalizer *normalizer, const json_t *json);
/* Adds Unicode normalisation form C. */
enum sw_status sw_normalizer_add_nfc(struct sw_normalizer *normalizer);
/* Whether normalising is Unicode's form C alone; *none: or nothing at all. */
bool sw_normalizer_is_nfc(const struct sw_normalizer *normalizer, bool *none);
/* Adds a SentencePiece model's rules; the normalizer then owns the rules' charsmap. */
enum sw_status sw_normalizer_add_sentencepiece(struct sw_normalizer *normalizer,
                                               const struct sw_sentencepiece_rules *rules);
/* Changes the prefix of a SentencePiece model's rules; without such rules does nothing. */
void sw_normalizer_set_prefix(struct sw_normalizer *normalizer, enum sw_dummy_prefix prefix);
/*
 * Normalises valid UTF-8 text[0..n); `begins`: whether it is the beginning of the whole text. *out
 * is `text` itself or memory of the normalizer, valid until the next call.
 */
enum sw_status sw_normalize(struct sw_normalizer *normalizer, const char *text, size_t n,
                            bool begins, const char **out, size_t *out_n);
void sw_normalizer_free(struct sw_normalizer *normalizer);

#endif
