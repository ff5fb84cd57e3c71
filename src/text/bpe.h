/*
 * Byte-pair encoding of one pre-token: start from its characters (or bytes), merge the
 * neighbouring pair of lowest rank, leftmost on ties, until none is left.
 *
 * A pair's rank comes from a list of merges (as in GPT-2), or is the rank of the piece that both
 * form together (SentencePiece scores, tiktoken ranks).
 */
#ifndef SW_TEXT_BPE_H
#define SW_TEXT_BPE_H

#include "base/status.h"
#include "text/ids.h"
#include "text/trie.h"
#include "text/vocab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_merge {
    uint64_t pair; /* left id << 32 | right id; all ones: free slot */
    uint32_t rank;
    int32_t id; /* of the merged piece */
};

struct sw_bpe_cache;
struct sw_bpe_symbol;
struct sw_bpe_candidate;

struct sw_bpe {
    const struct sw_vocab *vocab; /* borrowed */
    struct sw_merge *merges;      /* (merge_mask + 1), a hash table; NULL: `ranks` is used */
    size_t merge_mask, n_merges;
    int32_t last_merged; /* id of the last added merge; the next one's is often its successor */
    uint32_t *ranks; /* (n_ranks) by id; UINT32_MAX: not made by merging; NULL: `merges` is used */
    size_t n_ranks;
    struct sw_trie whole; /* user-defined pieces, which are never split */
    bool bytes;           /* start from bytes; false: from characters */
    bool byte_fallback;   /* unknown characters become the pieces of their bytes, if all exist */
    bool fuse_unk;        /* neighbouring unknown characters become one unk */
    bool ignore_merges;   /* a pre-token that is in the vocabulary becomes its id without merging */
    int32_t unk;          /* -1: unknown characters are dropped */
    uint64_t
        *joints; /* bit set of hashed characters before word marks; NULL: no split into words */
    int32_t byte_id[256]; /* the piece of a single byte (`bytes` or `byte_fallback`); -1: none */

    struct sw_bpe_cache *cache;
    struct sw_bpe_symbol *symbols; /* scratch memory of one encoding */
    struct sw_bpe_candidate *heap; /* (heap_count) scratch memory of one encoding */
    size_t symbols_capacity, heap_capacity, heap_count;
};

/* Makes room for n merges; to be called before sw_bpe_add_merge. SW_ENOMEM. */
enum sw_status sw_bpe_reserve_merges(struct sw_bpe *bpe, size_t n);
/* Adds one merge; to be called in the order of ranks. A pair that was added before is ignored. */
enum sw_status sw_bpe_add_merge(struct sw_bpe *bpe, int32_t left, int32_t right, int32_t id);
/*
 * For vocabularies that mark words with U+2581: collects the characters that stand before the mark
 * inside a piece. After other characters no merge can cross the mark, so words are encoded one by
 * one.
 */
enum sw_status sw_bpe_find_joints(struct sw_bpe *bpe);
/* Appends the ids of text[0..n), valid UTF-8 unless `bytes`; n < 2^30. */
enum sw_status sw_bpe_encode(struct sw_bpe *bpe, const char *text, size_t n, struct sw_ids *out);
void sw_bpe_free(struct sw_bpe *bpe);

#endif
