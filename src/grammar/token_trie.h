/* The tokens of a vocabulary by their bytes, so that tokens that begin alike are tried together. */
#ifndef SW_GRAMMAR_TOKEN_TRIE_H
#define SW_GRAMMAR_TOKEN_TRIE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_TOKEN_BYTES_MAX 1024 /* of one token; longer ones count as none */

/*
 * Tokens in one block: for each id two bytes, the lower first, with the length of its bytes, and
 * SW_TOKEN_END when a text may end with it; then the bytes. No bytes: the token is never allowed
 * inside a text.
 */
#define SW_TOKEN_END 0x8000u

/* A node follows its parent; a node's subtree is [it, end). Node 0 is the root. */
struct sw_token_node {
    uint32_t end, parent;
    uint32_t token, n_tokens; /* its tokens, in `tokens` */
    uint16_t depth;           /* bytes from the root */
    uint8_t byte;
};

struct sw_token_trie {
    struct sw_token_node *nodes; /* (n_nodes) */
    uint32_t n_nodes;
    int32_t *tokens; /* ids in the order of their bytes */
    int32_t *ends;   /* (n_ends) ids that end a text */
    int n_ends;
    int vocab; /* ids are below it */
    /* the bytes of each id */
    unsigned char *bytes;
    uint32_t *offsets; /* (vocab + 1) into bytes */
};

/* SW_EINPUT when the block is not valid. SW_ENOMEM. The caller frees by sw_token_trie_free, also on
 * failure. */
enum sw_status sw_token_trie_make(struct sw_token_trie *trie, const char *block, size_t n);
void sw_token_trie_free(struct sw_token_trie *trie);

#endif
