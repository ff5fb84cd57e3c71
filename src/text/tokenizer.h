/*
 * Converts text to token ids and back by the model's own tokenizer files.
 *
 * Supported: BPE from tokenizer.json, from a SentencePiece or tiktoken tokenizer.model, and from
 * vocab.json + merges.txt; Unigram from a SentencePiece tokenizer.model. Anything else in those
 * files is SW_EMODEL, with its name.
 *
 * Threads may share a tokenizer: encoding takes a lock, all other calls only read.
 */
#ifndef SW_TEXT_TOKENIZER_H
#define SW_TEXT_TOKENIZER_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_tokenizer;

/*
 * Opens the tokenizer of the model in `dir`: tokenizer.json, else tokenizer.model, else vocab.json
 * and merges.txt. BOS, EOS and the tokens around a text come from tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json, generation_config.json and config.json, each of which
 * may be absent. As in transformers, special_tokens_map.json and added_tokens.json are ignored when
 * tokenizer_config.json has added_tokens_decoder, and a special token without an id gets the next
 * free one. In folders with vocab.json only the tokens that these files name are special and, where
 * they name none, those of the family's class in transformers ("<|endoftext|>").
 * SW_EMODEL names the file and what is wrong with it; SW_EINPUT names a missing file.
 * The caller closes *out.
 */
enum sw_status sw_tokenizer_open(const char *dir, struct sw_tokenizer **out);
/* Whether `dir` has a tokenizer. Fails when a file cannot be examined. */
enum sw_status sw_tokenizer_present(const char *dir, bool *there);
void sw_tokenizer_close(struct sw_tokenizer *tok);

enum sw_encode_flags {
    SW_ENCODE_ADD_SPECIAL = 1,   /* add BOS/EOS around the text as the model's files define */
    SW_ENCODE_PARSE_SPECIAL = 2, /* special tokens in the text become their ids */
};

/*
 * Appends the ids of text[0..n) to *out. Bytes that are not UTF-8 count as U+FFFD. Without
 * SW_ENCODE_PARSE_SPECIAL no text can form a special token; added tokens that are not special
 * (GPT-NeoX's runs of spaces) are always recognised. On failure *out keeps its old count.
 */
enum sw_status sw_tokenizer_encode(struct sw_tokenizer *tok, const char *text, size_t n,
                                   unsigned flags, struct sw_ids *out);
/*
 * Appends the text of ids[0..n), always valid UTF-8: other bytes become U+FFFD. SW_EINPUT names an
 * id outside the vocabulary. For ids that arrive one by one see text/detokenizer.h.
 */
enum sw_status sw_tokenizer_decode(const struct sw_tokenizer *tok, const int32_t *ids, size_t n,
                                   bool skip_special, struct sw_strbuf *out);

/* The number of ids: they are 0 … size - 1. A model may have more logits (padding) without meaning.
 */
size_t sw_tokenizer_size(const struct sw_tokenizer *tok);
/* Whether generation ends at this id: any of the eos ids of generation_config.json and the like. */
bool sw_tokenizer_is_end(const struct sw_tokenizer *tok, int32_t id);
/* Whether the id is a special token, which decoding can skip. */
bool sw_tokenizer_is_special(const struct sw_tokenizer *tok, int32_t id);
/* The id of the BOS token; -1 when the model has none. */
int32_t sw_tokenizer_bos(const struct sw_tokenizer *tok);
/* The id of the EOS token; -1 when the model has none. */
int32_t sw_tokenizer_eos(const struct sw_tokenizer *tok);
/* The id whose piece is exactly text[0..n) (added tokens first), -1 when there is none. */
int32_t sw_tokenizer_find(const struct sw_tokenizer *tok, const char *text, size_t n);
/*
 * Appends the bytes that an id adds inside of a text; of several tokens one after the other they
 * are what decoding gives, but for a space at the beginning of a text and bytes that are not UTF-8.
 * Nothing for special tokens and for ids that are outside or unused.
 */
void sw_tokenizer_bytes(const struct sw_tokenizer *tok, int32_t id, struct sw_strbuf *out);
/*
 * The piece of an id for display: *n bytes, not NUL-terminated, perhaps not UTF-8 by themselves.
 * Byte-level pieces are given as the bytes they stand for, SentencePiece ones as in the
 * vocabulary ("▁the", "<0x0A>"). NULL for an id that is outside or unused. Lives as long as `tok`.
 */
const char *sw_tokenizer_token(const struct sw_tokenizer *tok, int32_t id, size_t *n);

#endif
