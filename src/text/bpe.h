/*
 * Byte-pair encoding of one piece of text: start from its characters (or bytes), merge the
 * neighbouring pair of lowest rank, leftmost on ties, until none is left.
 *
 * A pair's rank comes from a list of merges (the GPT-2 way), or is that of the piece which both
 * together spell (SentencePiece scores, tiktoken ranks).
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
    int32_t id; /* what the pair becomes */
};

struct sw_bpe_cache;
struct sw_bpe_symbol;
struct sw_bpe_candidate;

struct sw_bpe {
    const struct sw_vocab *vocab; /* borrowed */
    struct sw_merge *merges;      /* (merge_mask + 1), NULL: ranks decide */
    size_t merge_mask, n_merges;
    int32_t last_merged; /* the id of the latest merge; the next one's is often its successor */
    uint32_t *ranks;     /* (n_ranks) by id, without merges; UINT32_MAX: never made by merging */
    size_t n_ranks;
    struct sw_trie whole; /* user-defined pieces, always kept whole */
    bool bytes;           /* start from bytes, else from characters */
    bool byte_fallback;   /* unknown characters become their bytes' pieces, when all exist */
    bool fuse_unk;        /* neighbouring unknown characters become one unk */
    bool ignore_merges;   /* a piece of text that is a piece of the vocabulary is taken directly */
    int32_t unk;          /* -1: unknown characters are dropped */
    uint64_t *joints; /* bits of hashed character pairs inside pieces; NULL: words are not parted */
    int32_t byte_id[256]; /* the piece of a single byte (`bytes` or `byte_fallback`), -1: none */

    struct sw_bpe_cache *cache;
    struct sw_bpe_symbol *symbols;
    struct sw_bpe_candidate *heap;
    size_t symbols_capacity, heap_capacity, heap_count;
};

/* Room for n merges to begin with; then one sw_bpe_add_merge each in order of rank (a pair's first
 * one counts).
 */
enum sw_status sw_bpe_reserve_merges(struct sw_bpe *bpe, size_t n);
enum sw_status sw_bpe_add_merge(struct sw_bpe *bpe, int32_t left, int32_t right, int32_t id);
/*
 * For vocabularies that mark words with U+2581: notes which characters stand before the mark inside
 * any piece. Elsewhere no merge can cross the mark, so a text is encoded word by word.
 */
enum sw_status sw_bpe_find_joints(struct sw_bpe *bpe);
/* Appends the ids of text[0..n), valid UTF-8 unless `bytes`; n < 2^30. */
enum sw_status sw_bpe_encode(struct sw_bpe *bpe, const char *text, size_t n, struct sw_ids *out);
void sw_bpe_free(struct sw_bpe *bpe);

#endif
