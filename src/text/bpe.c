/*
 * Owns BPE merging: symbols in a linked list, mergeable pairs in a heap, so that a word of n
 * characters costs n log n; and a small cache of words, since most of a text are a few.
 */
#include "text/bpe.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_SLOTS 16384 /* a power of two */
#define CACHE_WORD 28     /* bytes of the longest cached word */
#define CACHE_IDS 8
#define MARK "\xE2\x96\x81" /* U+2581 */
#define MARK_BYTES 3
#define JOINT_BITS (1 << 16)
#define FREE_PAIR UINT64_MAX

struct sw_bpe_cache {
    struct cached {
        uint8_t length, n_ids; /* length 0: free */
        char word[CACHE_WORD];
        int32_t ids[CACHE_IDS];
    } words[CACHE_SLOTS];
};

struct sw_bpe_symbol {
    int32_t previous, next; /* -1: none */
    int32_t id;             /* -1: not a piece */
    uint32_t start, length; /* in the text; length 0: merged away */
    bool frozen;
};

struct sw_bpe_candidate {
    uint64_t key;          /* rank << 32 | index of the left symbol: the order of merging */
    uint32_t left, length; /* of the left symbol and of both, when it was found */
    int32_t id;
};

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static struct sw_merge *merge_slot(const struct sw_bpe *bpe, uint64_t pair)
{
    uint64_t hash = pair * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
    for (size_t i = hash & bpe->merge_mask;; i = (i + 1) & bpe->merge_mask)
        if (bpe->merges[i].pair == pair || bpe->merges[i].pair == FREE_PAIR)
            return &bpe->merges[i];
}

/* A larger table with the same merges. */
static enum sw_status grow_merges(struct sw_bpe *bpe, size_t size)
{
    struct sw_merge *old = bpe->merges;
    const size_t old_size = old ? bpe->merge_mask + 1 : 0;
    struct sw_merge *merges = malloc(size * sizeof *merges);
    if (!merges)
        return sw_fail(SW_ENOMEM, "no memory for a table of %zu merges", size);
    memset(merges, 0xFF, size * sizeof *merges);
    bpe->merges = merges;
    bpe->merge_mask = size - 1;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].pair != FREE_PAIR)
            *merge_slot(bpe, old[i].pair) = old[i];
    free(old);
    return SW_OK;
}

enum sw_status sw_bpe_reserve_merges(struct sw_bpe *bpe, size_t n)
{
    size_t size = 16;
    while (size / 4 * 3 < n)
        size *= 2;
    return grow_merges(bpe, size);
}

enum sw_status sw_bpe_add_merge(struct sw_bpe *bpe, int32_t left, int32_t right, int32_t id)
{
    if (bpe->n_merges >= (bpe->merge_mask + 1) / 4 * 3)
        SW_TRY(grow_merges(bpe, (bpe->merge_mask + 1) * 2));
    struct sw_merge *slot = merge_slot(bpe, pair_of(left, right));
    if (slot->pair == FREE_PAIR)
        *slot = (struct sw_merge){pair_of(left, right), (uint32_t)bpe->n_merges, id};
    bpe->n_merges++;
    bpe->last_merged = id;
    return SW_OK;
}

/* Whether two neighbours merge; at which rank and into what. */
static bool find_merge(const struct sw_bpe *bpe, const char *text, const struct sw_bpe_symbol *left,
                       const struct sw_bpe_symbol *right, uint32_t *rank, int32_t *id)
{
    if (left->frozen || right->frozen)
        return false;
    if (bpe->merges) {
        if (left->id < 0 || right->id < 0)
            return false;
        const struct sw_merge *merge = merge_slot(bpe, pair_of(left->id, right->id));
        *rank = merge->rank;
        *id = merge->id;
        return merge->pair != FREE_PAIR;
    }
    *id = sw_vocab_find(bpe->vocab, text + left->start, (size_t)left->length + right->length);
    if (*id < 0 || (size_t)*id >= bpe->n_ranks)
        return false;
    *rank = bpe->ranks[*id];
    return *rank != UINT32_MAX;
}

static bool merges_before(const struct sw_bpe_candidate *a, const struct sw_bpe_candidate *b)
{
    return a->key < b->key;
}

static enum sw_status heap_push(struct sw_bpe *bpe, struct sw_bpe_candidate candidate)
{
    if (bpe->heap_count == bpe->heap_capacity) {
        const size_t capacity = bpe->heap_capacity ? bpe->heap_capacity * 2 : 256;
        struct sw_bpe_candidate *heap = realloc(bpe->heap, capacity * sizeof *heap);
        if (!heap)
            return sw_fail(SW_ENOMEM, "no memory for %zu mergeable pairs", capacity);
        bpe->heap = heap;
        bpe->heap_capacity = capacity;
    }
    size_t i = bpe->heap_count++;
    for (size_t up; i > 0 && merges_before(&candidate, &bpe->heap[up = (i - 1) / 2]); i = up)
        bpe->heap[i] = bpe->heap[up];
    bpe->heap[i] = candidate;
    return SW_OK;
}

static struct sw_bpe_candidate heap_pop(struct sw_bpe *bpe)
{
    const struct sw_bpe_candidate top = bpe->heap[0], last = bpe->heap[--bpe->heap_count];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < bpe->heap_count; i = down) {
        if (down + 1 < bpe->heap_count && merges_before(&bpe->heap[down + 1], &bpe->heap[down]))
            down++;
        if (!merges_before(&bpe->heap[down], &last))
            break;
        bpe->heap[i] = bpe->heap[down];
    }
    bpe->heap[i] = last;
    return top;
}

/* Puts the pair that starts at symbol `at` on the heap, when there is one and it merges. */
static enum sw_status push_candidate(struct sw_bpe *bpe, const char *text, int32_t at)
{
    uint32_t rank;
    int32_t id;
    if (at < 0 || bpe->symbols[at].next < 0)
        return SW_OK;
    const struct sw_bpe_symbol *left = &bpe->symbols[at], *right = &bpe->symbols[left->next];
    if (!find_merge(bpe, text, left, right, &rank, &id))
        return SW_OK;
    return heap_push(bpe,
                     (struct sw_bpe_candidate){(uint64_t)rank << 32 | (uint32_t)at, left->length,
                                               left->length + right->length, id});
}

/* Merges until nothing merges. symbols[0..count) are linked in order. */
static enum sw_status merge_all(struct sw_bpe *bpe, const char *text, size_t count)
{
    bpe->heap_count = 0;
    for (size_t i = 0; i + 1 < count; i++)
        SW_TRY(push_candidate(bpe, text, (int32_t)i));
    while (bpe->heap_count > 0) {
        const struct sw_bpe_candidate top = heap_pop(bpe);
        const int32_t at = (int32_t)(uint32_t)top.key;
        struct sw_bpe_symbol *left = &bpe->symbols[at];
        if (left->length == 0 || left->next < 0)
            continue;
        struct sw_bpe_symbol *right = &bpe->symbols[left->next];
        if (left->length + right->length != top.length)
            continue;
        /* The same characters, but parted elsewhere: only if these two merge into the same. */
        uint32_t rank;
        int32_t id;
        if (left->length != top.left &&
            (!find_merge(bpe, text, left, right, &rank, &id) || id != top.id))
            continue;
        left->id = top.id;
        left->length = top.length;
        right->length = 0;
        left->next = right->next;
        if (right->next >= 0)
            bpe->symbols[right->next].previous = at;
        SW_TRY(push_candidate(bpe, text, left->previous));
        SW_TRY(push_candidate(bpe, text, at));
    }
    return SW_OK;
}

static enum sw_status reserve_symbols(struct sw_bpe *bpe, size_t n)
{
    if (n <= bpe->symbols_capacity)
        return SW_OK;
    struct sw_bpe_symbol *symbols = realloc(bpe->symbols, n * sizeof *symbols);
    if (!symbols)
        return sw_fail(SW_ENOMEM, "no memory for a piece of %zu characters", n);
    bpe->symbols = symbols;
    bpe->symbols_capacity = n;
    return SW_OK;
}

static void add_symbol(struct sw_bpe *bpe, size_t *count, int32_t id, size_t start, size_t length,
                       bool frozen)
{
    bpe->symbols[*count] = (struct sw_bpe_symbol){.previous = (int32_t)*count - 1,
                                                  .next = (int32_t)*count + 1,
                                                  .id = id,
                                                  .start = (uint32_t)start,
                                                  .length = (uint32_t)length,
                                                  .frozen = frozen};
    ++*count;
}

/* With merges, an unknown character is settled before merging. */
static void add_unknown(struct sw_bpe *bpe, const char *text, size_t start, size_t length,
                        size_t *count)
{
    bool have = bpe->byte_fallback;
    for (size_t i = 0; have && i < length; i++)
        have = bpe->byte_id[(unsigned char)text[start + i]] >= 0;
    if (have) {
        for (size_t i = 0; i < length; i++)
            add_symbol(bpe, count, bpe->byte_id[(unsigned char)text[start + i]], start + i, 1,
                       false);
        return;
    }
    if (bpe->unk < 0)
        return;
    struct sw_bpe_symbol *last = *count > 0 ? &bpe->symbols[*count - 1] : NULL;
    if (bpe->fuse_unk && last && last->id == bpe->unk &&
        last->start + last->length == (uint32_t)start)
        last->length += (uint32_t)length;
    else
        add_symbol(bpe, count, bpe->unk, start, length, false);
}

static size_t split_symbols(struct sw_bpe *bpe, const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0, length; i < n; i += length) {
        int32_t id = -1;
        int bytes = 1;
        if (bpe->bytes) {
            length = 1;
            id = bpe->byte_id[(unsigned char)text[i]];
            if (id >= 0 || !bpe->merges)
                add_symbol(bpe, &count, id, i, 1, false);
            else
                add_unknown(bpe, text, i, 1, &count);
            continue;
        }
        if ((length = sw_trie_longest(&bpe->whole, text + i, n - i, &id)) > 0) {
            add_symbol(bpe, &count, id, i, length, true);
            continue;
        }
        sw_utf8_decode(text + i, &bytes);
        length = (size_t)bytes;
        id = sw_vocab_find(bpe->vocab, text + i, length);
        if (id >= 0 || !bpe->merges)
            add_symbol(bpe, &count, id, i, length, false);
        else
            add_unknown(bpe, text, i, length, &count);
    }
    if (count > 0)
        bpe->symbols[count - 1].next = -1;
    return count;
}

/* Without merges, what no piece covers is settled after merging. */
static enum sw_status push_uncovered(struct sw_bpe *bpe, const char *text, size_t n, bool after_unk,
                                     struct sw_ids *out)
{
    bool have = bpe->byte_fallback;
    for (size_t i = 0; have && i < n; i++)
        have = bpe->byte_id[(unsigned char)text[i]] >= 0;
    for (size_t i = 0; have && i < n; i++)
        SW_TRY(sw_ids_push(out, bpe->byte_id[(unsigned char)text[i]]));
    if (have || bpe->unk < 0 || (after_unk && bpe->fuse_unk))
        return SW_OK;
    return sw_ids_push(out, bpe->unk);
}

static enum sw_status encode_uncached(struct sw_bpe *bpe, const char *text, size_t n,
                                      struct sw_ids *out)
{
    if (bpe->ignore_merges) {
        const int32_t id = sw_vocab_find(bpe->vocab, text, n);
        if (id >= 0)
            return sw_ids_push(out, id);
    }
    SW_TRY(reserve_symbols(bpe, n));
    const size_t count = split_symbols(bpe, text, n);
    if (count == 0)
        return SW_OK;
    SW_TRY(merge_all(bpe, text, count));
    bool after_unk = false;
    for (int32_t i = 0; i >= 0; i = bpe->symbols[i].next) {
        const struct sw_bpe_symbol *symbol = &bpe->symbols[i];
        if (symbol->id >= 0)
            SW_TRY(sw_ids_push(out, symbol->id));
        else
            SW_TRY(push_uncovered(bpe, text + symbol->start, symbol->length, after_unk, out));
        after_unk = symbol->id < 0;
    }
    return SW_OK;
}

static enum sw_status encode_word(struct sw_bpe *bpe, const char *text, size_t n,
                                  struct sw_ids *out)
{
    if (n > CACHE_WORD)
        return encode_uncached(bpe, text, n, out);
    if (!bpe->cache && !(bpe->cache = calloc(1, sizeof *bpe->cache)))
        return sw_fail(SW_ENOMEM, "no memory for the cache of words");
    struct cached *cached = &bpe->cache->words[sw_hash_bytes(text, n) & (CACHE_SLOTS - 1)];
    if (cached->length == n && memcmp(cached->word, text, n) == 0)
        return sw_ids_append(out, cached->ids, cached->n_ids);
    const size_t first = out->count;
    SW_TRY(encode_uncached(bpe, text, n, out));
    const size_t n_ids = out->count - first;
    if (n_ids <= CACHE_IDS) {
        cached->length = (uint8_t)n;
        cached->n_ids = (uint8_t)n_ids;
        memcpy(cached->word, text, n);
        if (n_ids > 0)
            memcpy(cached->ids, out->items + first, n_ids * sizeof *cached->ids);
    }
    return SW_OK;
}

static bool is_word_mark(const char *text, size_t n)
{
    return n >= MARK_BYTES && memcmp(text, MARK, MARK_BYTES) == 0;
}

/* The bit for the character that ends right before text[at]. */
static uint64_t joint_bit(const char *text, size_t at)
{
    uint64_t tail = 0;
    size_t from = at;
    do
        tail = tail << 8 | (unsigned char)text[--from];
    while (from > 0 && ((unsigned char)text[from] & 0xC0) == 0x80);
    return (tail * 0x9E3779B97F4A7C15u) >> 48 & (JOINT_BITS - 1);
}

enum sw_status sw_bpe_find_joints(struct sw_bpe *bpe)
{
    if (sw_vocab_find(bpe->vocab, MARK, MARK_BYTES) < 0)
        return SW_OK;
    bpe->joints = calloc(JOINT_BITS / 64, sizeof *bpe->joints);
    if (!bpe->joints)
        return sw_fail(SW_ENOMEM, "no memory for the word boundaries");
    for (size_t id = 0; id < bpe->vocab->count; id++) {
        size_t n;
        const char *piece = sw_vocab_piece(bpe->vocab, (int64_t)id, &n);
        for (size_t i = 1; piece && i < n; i++)
            if (is_word_mark(piece + i, n - i)) {
                const uint64_t bit = joint_bit(piece, i);
                bpe->joints[bit / 64] |= (uint64_t)1 << bit % 64;
            }
    }
    return SW_OK;
}

enum sw_status sw_bpe_encode(struct sw_bpe *bpe, const char *text, size_t n, struct sw_ids *out)
{
    size_t begin = 0;
    for (size_t i = 1; bpe->joints && i < n; i++) {
        const char *mark = memchr(text + i, MARK[0], n - i);
        if (!mark)
            break;
        i = (size_t)(mark - text);
        if (!is_word_mark(mark, n - i))
            continue;
        const uint64_t bit = joint_bit(text, i);
        if (bpe->joints[bit / 64] >> bit % 64 & 1)
            continue;
        SW_TRY(encode_word(bpe, text + begin, i - begin, out));
        begin = i;
    }
    return begin < n ? encode_word(bpe, text + begin, n - begin, out) : SW_OK;
}

void sw_bpe_free(struct sw_bpe *bpe)
{
    free(bpe->merges);
    free(bpe->ranks);
    sw_trie_free(&bpe->whole);
    free(bpe->joints);
    free(bpe->cache);
    free(bpe->symbols);
    free(bpe->heap);
    *bpe = (struct sw_bpe){0};
}
