/*
 * The inside of a tokenizer, shared by the readers of its file formats (private to src/text).
 *
 * A reader takes (bytes, length) and fills a new tokenizer; sw_tokenizer_finish then adds the
 * special tokens and builds the indexes. On any failure the caller closes the tokenizer.
 */
#ifndef SW_TEXT_TOKENIZER_IMPL_H
#define SW_TEXT_TOKENIZER_IMPL_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/json_scan.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/vocab.h"

#include <jansson.h>
#include <pthread.h>

#define SW_ENDS_MAX 16
#define SW_AFFIX_MAX 8

enum sw_id_flags { SW_ID_ADDED = 1, SW_ID_SPECIAL = 2 };

struct sw_decoder {
    bool byte_level;    /* pieces are bytes */
    bool byte_fallback; /* <0xHH> pieces are bytes */
    bool strip;         /* one space at the beginning of the whole text is dropped */
    char space[8];      /* the character for a space in pieces; "": none */
};

struct sw_affix {
    int32_t ids[SW_AFFIX_MAX];
    size_t count;
};

/* A special token that a class of tokenizers has when the files do not name another; a list ends
 * with a NULL name. */
struct sw_default_token {
    const char *name;    /* "pad_token" */
    const char *content; /* "<pad>" */
};

struct sw_tokenizer {
    struct sw_vocab vocab;
    struct sw_bpe bpe;
    struct sw_unigram unigram; /* with scores: cuts texts in place of `bpe` */
    struct sw_normalizer normalizer;
    struct sw_pretokenizer pre;
    struct sw_added added;
    struct sw_decoder decoder;
    struct sw_affix prefix, suffix;       /* the ids that SW_ENCODE_ADD_SPECIAL adds to a text */
    uint8_t *flags;                       /* (vocab.count) sw_id_flags */
    int32_t bos, eos;                     /* -1: none */
    bool add_bos, add_eos;                /* defaults where no template and no file states it */
    const struct sw_default_token *usual; /* default tokens of the family; NULL: none */
    bool plain_specials;                  /* special tokens never take spaces around them */
    bool sentencepiece;                   /* added tokens are searched in the text as given */
    int32_t ends[SW_ENDS_MAX];            /* (n_ends) ids at which generation ends */
    size_t n_ends;
    pthread_mutex_t lock;   /* of the scratch memory in bpe, normalizer, pre and lossy */
    struct sw_strbuf lossy; /* scratch memory: the text with U+FFFD for bytes that are not UTF-8 */
};

/* The files next to a tokenizer; NULL: absent. */
struct sw_text_config {
    json_t *tokenizer;  /* tokenizer_config.json */
    json_t *specials;   /* special_tokens_map.json */
    json_t *added;      /* added_tokens.json */
    json_t *generation; /* generation_config.json */
    json_t *model;      /* config.json */
};

/* Makes an empty tokenizer. The caller closes it. */
enum sw_status sw_tokenizer_new(struct sw_tokenizer **out);
/* The readers of tokenizer.json, of a SentencePiece and of a tiktoken tokenizer.model. */
enum sw_status sw_read_tokenizer_json(struct sw_tokenizer *tok, const char *bytes, size_t n);
enum sw_status sw_read_sentencepiece(struct sw_tokenizer *tok, const char *bytes, size_t n);
/* Reads the model Unigram of a tokenizer.json: its "vocab", a list of [piece, score], and "unk_id".
 */
enum sw_status sw_read_unigram(struct sw_tokenizer *tok, const struct sw_json_range *vocab,
                               const struct sw_json_range *unk_id, bool byte_fallback);
enum sw_status sw_read_tiktoken(struct sw_tokenizer *tok, const char *bytes, size_t n);
/* Reads vocab.json and merges.txt; `config` decides which family's pattern and normaliser go with
 * them. */
enum sw_status sw_read_vocab_merges(struct sw_tokenizer *tok, const char *vocab, size_t vocab_n,
                                    const char *merges, size_t merges_n,
                                    const struct sw_text_config *config);
/* Completes a tokenizer after its reader. `config` may be NULL. */
enum sw_status sw_tokenizer_finish(struct sw_tokenizer *tok, const struct sw_text_config *config);

/* Reads the files next to the tokenizer in `dir`. The caller frees *config, also after a failure.
 */
enum sw_status sw_text_config_read(const char *dir, struct sw_text_config *config);
void sw_text_config_free(struct sw_text_config *config);
/* Whether tokenizer_config.json has all added tokens; then the two older files are ignored. */
bool sw_text_config_is_whole(const struct sw_text_config *config);
/* Adds what the class of a SentencePiece tokenizer has beside its files: T5's sentinels and EOS. */
enum sw_status sw_text_class_apply(const struct sw_text_config *config, struct sw_tokenizer *tok);
/* Adds tokens, BOS, EOS and end ids from the files next to the tokenizer. */
enum sw_status sw_text_config_apply(const struct sw_text_config *config, struct sw_tokenizer *tok);

/* Adds the 256 special tokens that follow Llama 3's ordinary ones, the first with id `base`. */
enum sw_status sw_add_llama3_specials(struct sw_tokenizer *tok, int32_t base);
/* Fills bpe.byte_id from the vocabulary: pieces of one byte; `fallback`: <0xHH> pieces. */
void sw_find_byte_pieces(struct sw_tokenizer *tok, bool fallback);
/* Sets one piece of a byte-level vocabulary, written in GPT-2's byte alphabet. */
enum sw_status sw_set_byte_piece(struct sw_tokenizer *tok, int64_t id, const char *piece, size_t n,
                                 struct sw_strbuf *scratch);
/* Adds the merge of the pieces `left` and `right`. SW_EMODEL when one is not in the vocabulary. */
enum sw_status sw_add_text_merge(struct sw_tokenizer *tok, const char *left, size_t left_n,
                                 const char *right, size_t right_n, struct sw_strbuf scratch[3]);

#endif
