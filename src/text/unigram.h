/*
 * Unigram segmentation: of all ways to cut a text into pieces, the one with the greatest sum of
 * scores (Kudo 2018). A character that no piece of its own covers may be unknown, at 10 less than
 * the least score; neighbouring unknown ones become one id.
 */
#ifndef SW_TEXT_UNIGRAM_H
#define SW_TEXT_UNIGRAM_H

#include "base/status.h"
#include "text/ids.h"
#include "text/trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_unigram_step;

struct sw_unigram {
    struct sw_trie pieces;
    double *scores; /* (n_scores) by id; NULL: the tokenizer is no Unigram */
    size_t n_scores;
    double unknown;         /* the score of an unknown character */
    int32_t unk;            /* -1: unknown characters are dropped */
    const int32_t *byte_id; /* (256) the pieces of an unknown character's bytes, each -1 where there
                               is none; NULL: unknown characters have no other ids. Borrowed */
    bool single; /* sums are rounded to f32, as SentencePiece's; else f64, as those of Hugging
                    Face's tokenizers and of llama.cpp. They differ where cuts are equally good */

    struct sw_unigram_step *steps; /* (capacity) scratch memory of one encoding */
    size_t capacity;
};

/* Appends the ids of text[0..n), valid UTF-8. Memory: as long as the longest stretch that pieces
 * overlap in, not the text. */
enum sw_status sw_unigram_encode(struct sw_unigram *unigram, const char *text, size_t n,
                                 struct sw_ids *out);
void sw_unigram_free(struct sw_unigram *unigram);

#endif
