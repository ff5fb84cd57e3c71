/*
 * Text to token ids and back, as the model's own tokenizer files say.
 *
 * Understood: BPE from tokenizer.json, from a SentencePiece or tiktoken tokenizer.model, and from
 * vocab.json + merges.txt. Anything else in those files is refused by name (SW_EMODEL).
 *
 * A tokenizer may be shared by threads: encode takes a lock, the rest only reads.
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
 * and merges.txt. BOS, EOS and what is added around a text come from tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json, generation_config.json and config.json, each of which
 * may be absent. As in transformers, the second and third do not count beside an
 * added_tokens_decoder in the first, and a special token that has no id gets the next free one. In
 * folders of vocab.json nothing is special but what these files name and, where they are silent,
 * what the family's class in transformers has ("<|endoftext|>").
 * SW_EMODEL names the file and what is wrong with it, SW_EINPUT a missing one.
 * The caller closes *out.
 */
enum sw_status sw_tokenizer_open(const char *dir, struct sw_tokenizer **out);
/* Is there one? A failure: that cannot be told, and it is not "no". */
enum sw_status sw_tokenizer_present(const char *dir, bool *there);
void sw_tokenizer_close(struct sw_tokenizer *tok);

enum sw_encode_flags {
    SW_ENCODE_ADD_SPECIAL = 1,   /* put BOS/EOS around the text as the model wants them */
    SW_ENCODE_PARSE_SPECIAL = 2, /* special tokens written in the text become their ids */
};

/*
 * Appends the ids of text[0..n) to *out. Bytes that are not UTF-8 count as U+FFFD. Without
 * SW_ENCODE_PARSE_SPECIAL no text can form a special token; added tokens that are not special
 * (GPT-NeoX's runs of spaces) are always recognised. On failure *out keeps its old count.
 */
enum sw_status sw_tokenizer_encode(struct sw_tokenizer *tok, const char *text, size_t n,
                                   unsigned flags, struct sw_ids *out);
/*
 * Appends the text of ids[0..n), always valid UTF-8: what is not becomes U+FFFD. SW_EINPUT names an
 * id outside the vocabulary. For text that arrives id by id see text/detokenizer.h.
 */
enum sw_status sw_tokenizer_decode(const struct sw_tokenizer *tok, const int32_t *ids, size_t n,
                                   bool skip_special, struct sw_strbuf *out);

/* Ids are 0 .. size - 1; a model's logits may have more rows (padding), which mean nothing. */
size_t sw_tokenizer_size(const struct sw_tokenizer *tok);
/* Whether generation ends at this id: any of the eos ids of generation_config.json and the like. */
bool sw_tokenizer_is_end(const struct sw_tokenizer *tok, int32_t id);
bool sw_tokenizer_is_special(const struct sw_tokenizer *tok, int32_t id);
/* -1 when the model has none. */
int32_t sw_tokenizer_bos(const struct sw_tokenizer *tok);
int32_t sw_tokenizer_eos(const struct sw_tokenizer *tok);
/* The id whose piece is exactly text[0..n) (added tokens first), -1 when there is none. */
int32_t sw_tokenizer_find(const struct sw_tokenizer *tok, const char *text, size_t n);
/*
 * The piece of an id for display: *n bytes, not NUL-terminated, perhaps not UTF-8 by themselves.
 * Byte-level pieces are given as the bytes they stand for, SentencePiece ones as in the
 * vocabulary ("▁the", "<0x0A>"). NULL for an id that is outside or unused. Lives as long as `tok`.
 */
const char *sw_tokenizer_token(const struct sw_tokenizer *tok, int32_t id, size_t *n);

#endif
