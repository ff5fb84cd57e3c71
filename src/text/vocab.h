/* The pieces of a vocabulary: id to bytes and bytes to id. */
#ifndef SW_TEXT_VOCAB_H
#define SW_TEXT_VOCAB_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_VOCAB_MAX (1 << 22) /* ids; the largest published vocabularies have 2^18 */
#define SW_PIECE_MAX (1 << 16) /* bytes of one piece */

struct sw_piece {
    uint32_t offset; /* in `bytes` */
    uint32_t length : 24;
    uint32_t used : 1;   /* whether a piece has this id */
    uint32_t hidden : 1; /* whether sw_vocab_find leaves it out, because no text can contain it */
};

struct sw_vocab_slot {
    uint32_t hash;
    int32_t id; /* -1: free */
};

struct sw_vocab {
    struct sw_strbuf bytes;
    struct sw_piece *pieces; /* (count) by id */
    size_t count, capacity;
    struct sw_vocab_slot *slots; /* (mask + 1), NULL until sw_vocab_index */
    size_t mask;
    size_t longest; /* bytes, over the pieces that can be found */
};

/* Sets or replaces the piece of `id`. SW_EMODEL for an id or length out of range. */
enum sw_status sw_vocab_set(struct sw_vocab *vocab, int64_t id, const char *bytes, size_t n,
                            bool hidden);
/* Builds the index of all pieces set so far; of equal pieces the lowest id is found. */
enum sw_status sw_vocab_index(struct sw_vocab *vocab);
/* The id of bytes[0..n), -1 when there is none. */
int32_t sw_vocab_find(const struct sw_vocab *vocab, const char *bytes, size_t n);
/* Whether the piece of `id` is exactly bytes[0..n) and can be found. */
bool sw_vocab_is(const struct sw_vocab *vocab, int64_t id, const char *bytes, size_t n);
/* The piece of `id`, *n bytes, not NUL-terminated; NULL for an id without a piece. */
const char *sw_vocab_piece(const struct sw_vocab *vocab, int64_t id, size_t *n);
void sw_vocab_free(struct sw_vocab *vocab);

/* A 64-bit hash of n bytes; all its bits depend on all bytes. */
uint64_t sw_hash_bytes(const char *bytes, size_t n);

#endif
