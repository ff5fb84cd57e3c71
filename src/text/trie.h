/* A set of byte strings with values; finds the longest one that a text begins with. */
#ifndef SW_TEXT_TRIE_H
#define SW_TEXT_TRIE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SW_TRIE_KEY_MAX 1024 /* bytes; bounds the work at each position of a text */

struct sw_trie_node {
    int32_t value;        /* -1: no string ends here */
    uint32_t first, next; /* child and sibling nodes, 0: none */
    unsigned char byte;
};

struct sw_trie {
    struct sw_trie_node *nodes; /* (count); [0] is the root; NULL while empty */
    size_t count, capacity;
    uint32_t by_first[256]; /* the root's children, by byte */
};

/* Adds a key; one that is there already keeps its value. SW_EMODEL for an empty or too long key. */
enum sw_status sw_trie_add(struct sw_trie *trie, const char *key, size_t n, int32_t value);
/* Finds the longest key that text[0..n) begins with, and its value. Returns the key's length in
 * bytes; 0 when there is none. */
size_t sw_trie_longest(const struct sw_trie *trie, const char *text, size_t n, int32_t *value);
/* One byte on from a node; 0: the root. Returns the node there; 0: no key goes on so. */
uint32_t sw_trie_step(const struct sw_trie *trie, uint32_t node, unsigned char byte);
void sw_trie_free(struct sw_trie *trie);

#endif
