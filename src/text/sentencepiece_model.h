/* A SentencePiece vocabulary, BPE or Unigram, while a tokenizer is made of it (private to
 * src/text). */
#ifndef SW_TEXT_SENTENCEPIECE_MODEL_H
#define SW_TEXT_SENTENCEPIECE_MODEL_H

#include "text/tokenizer_impl.h"

/* As in SentencePiece's files, and in GGUF's. */
enum sw_piece_type {
    SW_PIECE_NORMAL = 1,
    SW_PIECE_UNKNOWN,
    SW_PIECE_CONTROL,
    SW_PIECE_USER_DEFINED,
    SW_PIECE_UNUSED,
    SW_PIECE_BYTE
};

struct sw_sp_model {
    struct sw_tokenizer *tok;
    struct sw_sentencepiece_rules rules;
    bool byte_fallback;
    bool unigram;          /* cuts texts by Unigram; false: merges by BPE */
    bool single;           /* sums of Unigram are of f32 (struct sw_unigram) */
    int64_t unk, bos, eos; /* ids; where such a piece is of another type, there is none */
    uint8_t *types;        /* (n_pieces) enum sw_piece_type */
    float *scores;         /* (n_pieces) */
    size_t n_pieces, capacity;
};

/* Adds the piece of the next id. SW_EMODEL: it is empty, not UTF-8, or its type or score is none.
 */
enum sw_status sw_sp_model_add(struct sw_sp_model *model, const char *piece, size_t n, uint8_t type,
                               float score);
/* Makes the tokenizer, when all pieces are there; the rules' charsmap is the tokenizer's then. */
enum sw_status sw_sp_model_apply(struct sw_sp_model *model);
void sw_sp_model_free(struct sw_sp_model *model);

#endif
