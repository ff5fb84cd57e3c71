/* Owns the tree of tokens. */
#include "grammar/token_trie.h"

#include <stdlib.h>
#include <string.h>

void sw_token_trie_free(struct sw_token_trie *t)
{
    free(t->nodes);
    free(t->tokens);
    free(t->ends);
    free(t->bytes);
    free(t->offsets);
    *t = (struct sw_token_trie){0};
}

/* Counts the tokens of a block, and their bytes; false: it is cut short. */
static bool block_count(const char *block, size_t n, int *vocab, int *n_ends)
{
    const unsigned char *b = (const unsigned char *)block;
    *vocab = *n_ends = 0;
    for (size_t at = 0; at < n; ++*vocab) {
        if (n - at < 2 || *vocab == INT32_MAX)
            return false;
        const unsigned head = b[at] | (unsigned)b[at + 1] << 8;
        const size_t length = head & ~SW_TOKEN_END;
        at += 2;
        if (length > n - at)
            return false;
        at += length;
        *n_ends += (head & SW_TOKEN_END) != 0;
    }
    return *vocab > 0;
}

static void block_read(struct sw_token_trie *t, const char *block, size_t n)
{
    const unsigned char *b = (const unsigned char *)block;
    uint32_t used = 0;
    int id = 0;
    for (size_t at = 0; at < n; id++) {
        const unsigned head = b[at] | (unsigned)b[at + 1] << 8;
        const unsigned length = head & ~SW_TOKEN_END;
        t->offsets[id] = used;
        if (head & SW_TOKEN_END)
            t->ends[t->n_ends++] = id;
        else if (length <= SW_TOKEN_BYTES_MAX)
            memcpy(t->bytes + used, b + at + 2, length);
        if (!(head & SW_TOKEN_END) && length <= SW_TOKEN_BYTES_MAX)
            used += length;
        at += 2 + length;
    }
    t->offsets[id] = used;
}

struct sorted {
    const unsigned char *bytes;
    uint32_t n;
    int32_t id;
};

static int sorted_order(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    const int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    if (order != 0)
        return order;
    return x->n != y->n ? (x->n > y->n) - (x->n < y->n) : (x->id > y->id) - (x->id < y->id);
}

/* The nodes of tokens in order: each goes on from what it has in common with the one before. */
static void trie_build(struct sw_token_trie *t, const struct sorted *sorted, size_t n)
{
    uint32_t path[SW_TOKEN_BYTES_MAX + 1] = {0};
    const struct sorted *before = NULL;
    uint32_t depth = 0;
    t->nodes[0] = (struct sw_token_node){0};
    t->n_nodes = 1;
    for (size_t i = 0; i < n; before = &sorted[i++]) {
        uint32_t same = 0;
        while (before && same < before->n && same < sorted[i].n &&
               before->bytes[same] == sorted[i].bytes[same])
            same++;
        for (; depth > same; depth--)
            t->nodes[path[depth]].end = t->n_nodes;
        for (; depth < sorted[i].n; depth++) {
            t->nodes[t->n_nodes] = (struct sw_token_node){.parent = path[depth],
                                                          .token = (uint32_t)i,
                                                          .depth = (uint16_t)(depth + 1),
                                                          .byte = sorted[i].bytes[depth]};
            path[depth + 1] = t->n_nodes++;
        }
        struct sw_token_node *node = &t->nodes[path[depth]];
        if (node->n_tokens++ == 0)
            node->token = (uint32_t)i;
        t->tokens[i] = sorted[i].id;
    }
    for (; depth > 0; depth--)
        t->nodes[path[depth]].end = t->n_nodes;
    t->nodes[0].end = t->n_nodes;
}

enum sw_status sw_token_trie_make(struct sw_token_trie *t, const char *block, size_t n)
{
    int vocab, n_ends;
    *t = (struct sw_token_trie){0};
    if (!block_count(block, n, &vocab, &n_ends) || n > UINT32_MAX / 2)
        return sw_fail(SW_EINPUT, "a list of tokens that is cut short");
    t->vocab = vocab;
    t->bytes = malloc(n);
    t->offsets = malloc(((size_t)vocab + 1) * sizeof *t->offsets);
    t->tokens = malloc((size_t)vocab * sizeof *t->tokens);
    t->ends = malloc(((size_t)n_ends + 1) * sizeof *t->ends);
    struct sorted *sorted = malloc((size_t)vocab * sizeof *sorted);
    if (t->bytes && t->offsets && t->tokens && t->ends && sorted) {
        block_read(t, block, n);
        t->nodes = malloc(((size_t)t->offsets[vocab] + 1) * sizeof *t->nodes);
    }
    if (!t->nodes) {
        free(sorted);
        return sw_fail(SW_ENOMEM, "no memory for the bytes of %d tokens", vocab);
    }
    size_t n_sorted = 0;
    for (int i = 0; i < vocab; i++)
        if (t->offsets[i + 1] > t->offsets[i])
            sorted[n_sorted++] =
                (struct sorted){t->bytes + t->offsets[i], t->offsets[i + 1] - t->offsets[i], i};
    qsort(sorted, n_sorted, sizeof *sorted, sorted_order);
    trie_build(t, sorted, n_sorted);
    free(sorted);
    struct sw_token_node *fit = realloc(t->nodes, t->n_nodes * sizeof *fit);
    if (fit)
        t->nodes = fit;
    return SW_OK;
}
