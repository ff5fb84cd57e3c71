/*
 * A tokenizer from a table of pieces, as GGUF files hold it, in place of a model's own tokenizer
 * files.
 */
#ifndef SW_TEXT_TOKEN_TABLE_H
#define SW_TEXT_TOKEN_TABLE_H

#include "text/tokenizer.h"

struct sw_token_table {
    const char *model; /* "llama": SentencePiece BPE; "t5": its Unigram; "gpt2": byte-level BPE;
                        * "gemma4": BPE of whole texts, by merges */
    const char *pre;   /* how "gpt2" cuts a text: "llama-bpe", "qwen2", …; NULL: not stated */
    size_t n_tokens, n_merges;
    const void *context;
    /* Piece i, n bytes: of the vocabulary; of the merges, "LEFT RIGHT". NULL: there is none. */
    const char *(*token)(const void *context, size_t i, size_t *n);
    const char *(*merge)(const void *context, size_t i, size_t *n);
    const float *scores;        /* (n_tokens); NULL: "gpt2" has none */
    const int32_t *types;       /* (n_tokens) enum sw_piece_type; NULL: all are normal */
    int64_t bos, eos, eot, unk; /* ids; -1: not stated */
    /* Whether these are put around a text, and a space before it. -1: not stated. */
    int add_bos, add_eos, add_space_prefix;
    int remove_extra_whitespaces; /* of "t5": one space for several, none at the ends */
    const char *charsmap; /* (n_charsmap bytes) of "t5": SentencePiece's precompiled_charsmap */
    size_t n_charsmap;
};

/* A table that owns what it points to. */
struct sw_token_list {
    struct sw_token_table table; /* its context is the list itself */
    struct sw_strbuf text;       /* of all tokens, then of all merges */
    size_t *ends;                /* (n_tokens + n_merges) of each in `text` */
    float *scores;
    int32_t *types;
};
/*
 * The table that makes an opened tokenizer again, as GGUF files hold it. SW_EMODEL: what it does
 * cannot be said so: no name for the way it cuts texts, a normaliser, more than BOS and EOS around
 * a text. The caller frees *out, also after a failure; it must not be moved.
 */
enum sw_status sw_token_list_of(const struct sw_tokenizer *tok, struct sw_token_list *out);
void sw_token_list_free(struct sw_token_list *list);

/*
 * SW_EMODEL: a model or a `pre` that is not known, an id outside of the table, a piece or a merge
 * that is none. The caller closes *out.
 */
enum sw_status sw_tokenizer_make(const struct sw_token_table *table, struct sw_tokenizer **out);

#endif
