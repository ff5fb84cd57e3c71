/*
 * The inside of a tokenizer, shared by the readers of its file forms (private to src/text).
 *
 * A reader takes (bytes, length) and fills a new tokenizer; sw_tokenizer_finish then settles the
 * special tokens and builds the look-ups. On any failure the caller closes it.
 */
#ifndef SW_TEXT_TOKENIZER_IMPL_H
#define SW_TEXT_TOKENIZER_IMPL_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

#include <jansson.h>
#include <pthread.h>

#define SW_ENDS_MAX 16
#define SW_AFFIX_MAX 8

enum sw_id_flags { SW_ID_ADDED = 1, SW_ID_SPECIAL = 2 };

struct sw_decoder {
    bool byte_level;    /* pieces are bytes */
    bool byte_fallback; /* <0xHH> pieces are bytes */
    bool strip;         /* one leading space of the whole text is dropped */
    char space[8];      /* what stands for a space in pieces, "" none */
};

struct sw_affix {
    int32_t ids[SW_AFFIX_MAX];
    size_t count;
};

/* A special token that a class of tokenizers has when the files do not name another. */
struct sw_default_token {
    const char *name, *content; /* "pad_token", "<pad>"; a list of them ends with NULL */
};

struct sw_tokenizer {
    struct sw_vocab vocab;
    struct sw_bpe bpe;
    struct sw_normalizer normalizer;
    struct sw_pretokenizer pre;
    struct sw_added added;
    struct sw_decoder decoder;
    struct sw_affix prefix, suffix;       /* what SW_ENCODE_ADD_SPECIAL puts around a text */
    uint8_t *flags;                       /* (vocab.count) sw_id_flags */
    int32_t bos, eos;                     /* -1: none */
    bool add_bos, add_eos;                /* wanted by the form of the file, without a template */
    const struct sw_default_token *usual; /* NULL: the form of the file says all */
    bool plain_specials; /* special tokens take no spaces around them, whatever the files say */
    bool sentencepiece;  /* added tokens are looked for in the text as it was given */
    int32_t ends[SW_ENDS_MAX];
    size_t n_ends;
    pthread_mutex_t lock; /* of the scratch memory in bpe, normalizer, pre */
    struct sw_strbuf lossy;
};

/* What lies beside a tokenizer; each NULL when absent. */
struct sw_text_config {
    json_t *tokenizer;  /* tokenizer_config.json */
    json_t *specials;   /* special_tokens_map.json */
    json_t *added;      /* added_tokens.json */
    json_t *generation; /* generation_config.json */
    json_t *model;      /* config.json */
};

enum sw_status sw_tokenizer_new(struct sw_tokenizer **out);
enum sw_status sw_read_tokenizer_json(struct sw_tokenizer *tok, const char *bytes, size_t n);
enum sw_status sw_read_sentencepiece(struct sw_tokenizer *tok, const char *bytes, size_t n);
enum sw_status sw_read_tiktoken(struct sw_tokenizer *tok, const char *bytes, size_t n);
/* `config` tells which family's pattern and normaliser go with the two files. */
enum sw_status sw_read_vocab_merges(struct sw_tokenizer *tok, const char *vocab, size_t vocab_n,
                                    const char *merges, size_t merges_n,
                                    const struct sw_text_config *config);
/* `config` may be NULL. */
enum sw_status sw_tokenizer_finish(struct sw_tokenizer *tok, const struct sw_text_config *config);

enum sw_status sw_text_config_read(const char *dir, struct sw_text_config *config);
void sw_text_config_free(struct sw_text_config *config);
/* Has tokenizer_config.json all added tokens? Then the two older files beside it do not count. */
bool sw_text_config_is_whole(const struct sw_text_config *config);
/* Added tokens, BOS, EOS and end ids from the files beside the tokenizer. */
enum sw_status sw_text_config_apply(const struct sw_text_config *config, struct sw_tokenizer *tok);

/* The 256 special tokens that follow Llama 3's ordinary ones, the first with id `base`. */
enum sw_status sw_add_llama3_specials(struct sw_tokenizer *tok, int32_t base);
/* bpe.byte_id from the index: pieces of one byte, or <0xHH> pieces. */
void sw_find_byte_pieces(struct sw_tokenizer *tok, bool fallback);
/* Byte-level vocabulary {"piece": id, …} and its merges' texts "a b". */
enum sw_status sw_set_byte_piece(struct sw_tokenizer *tok, int64_t id, const char *piece, size_t n,
                                 struct sw_strbuf *scratch);
enum sw_status sw_add_text_merge(struct sw_tokenizer *tok, const char *left, size_t left_n,
                                 const char *right, size_t right_n, struct sw_strbuf scratch[3]);

#endif
