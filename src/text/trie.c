/* Owns the trie of tokens and pieces. Beyond the first byte a node has few children: plain lists.
 */
#include "text/trie.h"

#include <stdlib.h>

static enum sw_status trie_add_node(struct sw_trie *trie, unsigned char byte, uint32_t *node)
{
    if (trie->count == trie->capacity) {
        const size_t capacity = trie->capacity ? trie->capacity * 2 : 256;
        struct sw_trie_node *nodes = realloc(trie->nodes, capacity * sizeof *nodes);
        if (!nodes)
            return sw_fail(SW_ENOMEM, "no memory for a trie of tokens");
        trie->nodes = nodes;
        trie->capacity = capacity;
    }
    trie->nodes[trie->count] = (struct sw_trie_node){.value = -1, .byte = byte};
    *node = (uint32_t)trie->count++;
    return SW_OK;
}

uint32_t sw_trie_step(const struct sw_trie *trie, uint32_t node, unsigned char byte)
{
    if (node == 0)
        return trie->by_first[byte];
    uint32_t child = trie->nodes[node].first;
    while (child && trie->nodes[child].byte != byte)
        child = trie->nodes[child].next;
    return child;
}

enum sw_status sw_trie_add(struct sw_trie *trie, const char *key, size_t n, int32_t value)
{
    uint32_t node = 0;
    if (n == 0 || n > SW_TRIE_KEY_MAX)
        return sw_fail(SW_EMODEL, "a token has %zu bytes; 1 to %d are supported", n,
                       SW_TRIE_KEY_MAX);
    if (!trie->nodes)
        SW_TRY(trie_add_node(trie, 0, &node));
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)key[i];
        uint32_t child = sw_trie_step(trie, node, byte);
        if (!child) {
            SW_TRY(trie_add_node(trie, byte, &child));
            if (node == 0) {
                trie->by_first[byte] = child;
            } else {
                trie->nodes[child].next = trie->nodes[node].first;
                trie->nodes[node].first = child;
            }
        }
        node = child;
    }
    if (trie->nodes[node].value < 0)
        trie->nodes[node].value = value;
    return SW_OK;
}

size_t sw_trie_longest(const struct sw_trie *trie, const char *text, size_t n, int32_t *value)
{
    size_t longest = 0;
    uint32_t node = 0;
    for (size_t i = 0; trie->nodes && i < n; i++) {
        node = sw_trie_step(trie, node, (unsigned char)text[i]);
        if (!node)
            break;
        if (trie->nodes[node].value >= 0) {
            longest = i + 1;
            *value = trie->nodes[node].value;
        }
    }
    return longest;
}

void sw_trie_free(struct sw_trie *trie)
{
    free(trie->nodes);
    *trie = (struct sw_trie){0};
}
