/* The bytes of a model's tokens, for the rank that keeps texts to their grammars. */
#ifndef SW_SESSION_TOKEN_BYTES_H
#define SW_SESSION_TOKEN_BYTES_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/tokenizer.h"

/* Appends the block of grammar/token_trie.h for ids below `vocab`. SW_ENOMEM. */
enum sw_status sw_token_bytes(const struct sw_tokenizer *tok, int vocab, struct sw_strbuf *out);

#endif
