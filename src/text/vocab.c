/* Owns the table of pieces and its hash index. */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

static uint64_t vocab_mix(uint64_t a, uint64_t b)
{
    const __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t sw_hash_bytes(const char *bytes, size_t n)
{
    const uint64_t k0 = 0xA0761D6478BD642Fu, k1 = 0xE7037ED1A0B428DBu;
    uint64_t hash = n ^ k0, word = 0;
    for (; n >= 8; n -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = vocab_mix(hash ^ word, k1);
    }
    word = 0;
    memcpy(&word, bytes, n);
    return vocab_mix(hash ^ word, k1 ^ (n + 1));
}

static enum sw_status vocab_reserve(struct sw_vocab *vocab, size_t count)
{
    if (count <= vocab->capacity)
        return SW_OK;
    size_t capacity = vocab->capacity ? vocab->capacity : 1024;
    while (capacity < count)
        capacity *= 2;
    struct sw_piece *pieces = realloc(vocab->pieces, capacity * sizeof *pieces);
    if (!pieces)
        return sw_fail(SW_ENOMEM, "no memory for a vocabulary of %zu ids", count);
    vocab->pieces = pieces;
    vocab->capacity = capacity;
    return SW_OK;
}

enum sw_status sw_vocab_set(struct sw_vocab *vocab, int64_t id, const char *bytes, size_t n,
                            bool hidden)
{
    if (id < 0 || id >= SW_VOCAB_MAX)
        return sw_fail(SW_EMODEL, "token \"%.*s\" has the id %lld; ids are 0 to %d",
                       (int)(n < 64 ? n : 64), bytes, (long long)id, SW_VOCAB_MAX - 1);
    if (n > SW_PIECE_MAX)
        return sw_fail(SW_EMODEL, "token %lld has %zu bytes; at most %d can be right",
                       (long long)id, n, SW_PIECE_MAX);
    SW_TRY(vocab_reserve(vocab, (size_t)id + 1));
    for (; vocab->count <= (size_t)id; vocab->count++)
        vocab->pieces[vocab->count] = (struct sw_piece){0};
    if (vocab->bytes.length > UINT32_MAX - SW_PIECE_MAX)
        return sw_fail(SW_EMODEL, "the pieces of the vocabulary have more than 4 GiB");
    vocab->pieces[id] = (struct sw_piece){.offset = (uint32_t)vocab->bytes.length,
                                          .length = (uint32_t)n & 0xFFFFFF,
                                          .used = 1,
                                          .hidden = hidden};
    sw_strbuf_append(&vocab->bytes, bytes, n);
    if (vocab->bytes.failed)
        return sw_fail(SW_ENOMEM, "no memory for the %zu pieces of the vocabulary", vocab->count);
    return SW_OK;
}

/* The slot of these bytes, or the free one where they belong. */
static struct sw_vocab_slot *find_slot(const struct sw_vocab *vocab, const char *bytes, size_t n)
{
    const uint64_t hash = sw_hash_bytes(bytes, n);
    const uint32_t tag = (uint32_t)(hash >> 32);
    for (size_t i = hash & vocab->mask;; i = (i + 1) & vocab->mask) {
        struct sw_vocab_slot *slot = &vocab->slots[i];
        if (slot->id < 0) {
            slot->hash = tag;
            return slot;
        }
        if (slot->hash != tag)
            continue;
        const struct sw_piece *piece = &vocab->pieces[slot->id];
        if (piece->length == n && memcmp(vocab->bytes.text + piece->offset, bytes, n) == 0)
            return slot;
    }
}

enum sw_status sw_vocab_index(struct sw_vocab *vocab)
{
    size_t size = 16;
    while (size < vocab->count * 2)
        size *= 2;
    free(vocab->slots);
    vocab->slots = malloc(size * sizeof *vocab->slots);
    if (!vocab->slots)
        return sw_fail(SW_ENOMEM, "no memory to index a vocabulary of %zu ids", vocab->count);
    memset(vocab->slots, 0xFF, size * sizeof *vocab->slots); /* every id is -1 */
    vocab->mask = size - 1;
    vocab->longest = 0;
    for (size_t id = 0; id < vocab->count; id++) {
        const struct sw_piece *piece = &vocab->pieces[id];
        if (!piece->used || piece->hidden)
            continue;
        struct sw_vocab_slot *slot =
            find_slot(vocab, vocab->bytes.text + piece->offset, piece->length);
        if (slot->id < 0)
            slot->id = (int32_t)id;
        if (piece->length > vocab->longest)
            vocab->longest = piece->length;
    }
    return SW_OK;
}

int32_t sw_vocab_find(const struct sw_vocab *vocab, const char *bytes, size_t n)
{
    if (!vocab->slots || n > vocab->longest)
        return -1;
    const uint64_t hash = sw_hash_bytes(bytes, n);
    const uint32_t tag = (uint32_t)(hash >> 32);
    for (size_t i = hash & vocab->mask;; i = (i + 1) & vocab->mask) {
        const struct sw_vocab_slot *slot = &vocab->slots[i];
        if (slot->id < 0)
            return -1;
        if (slot->hash != tag)
            continue;
        const struct sw_piece *piece = &vocab->pieces[slot->id];
        if (piece->length == n && memcmp(vocab->bytes.text + piece->offset, bytes, n) == 0)
            return slot->id;
    }
}

bool sw_vocab_is(const struct sw_vocab *vocab, int64_t id, const char *bytes, size_t n)
{
    if (id < 0 || (size_t)id >= vocab->count)
        return false;
    const struct sw_piece *piece = &vocab->pieces[id];
    return piece->used && !piece->hidden && piece->length == n &&
           memcmp(vocab->bytes.text + piece->offset, bytes, n) == 0;
}

const char *sw_vocab_piece(const struct sw_vocab *vocab, int64_t id, size_t *n)
{
    if (id < 0 || (size_t)id >= vocab->count || !vocab->pieces[id].used)
        return NULL;
    *n = vocab->pieces[id].length;
    return vocab->bytes.text + vocab->pieces[id].offset;
}

void sw_vocab_free(struct sw_vocab *vocab)
{
    sw_strbuf_free(&vocab->bytes);
    free(vocab->pieces);
    free(vocab->slots);
    *vocab = (struct sw_vocab){0};
}
