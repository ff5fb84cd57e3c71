/* Owns the search for the best way to cut a text (Viterbi's, over byte positions). */
#include "text/unigram.h"

#include "base/utf8.h"

#include <stdlib.h>

#define NO_PIECE (-1) /* the step is an unknown character */

/* The best way from the last cut to a position: its last piece, and the sum of scores. */
struct sw_unigram_step {
    double sum;      /* of all pieces of the text up to here */
    int32_t id;      /* NO_PIECE, or the piece's */
    uint32_t length; /* of the piece, bytes; 0: no way is known */
};

struct unigram_search {
    struct sw_unigram *unigram;
    const char *text;
    size_t cut;   /* every way goes through this position; steps[0] is there */
    size_t reach; /* the furthest position that a way is known to */
    bool after_unknown;
    struct sw_ids *out;
};

static enum sw_status unigram_reserve(struct sw_unigram *unigram, size_t n)
{
    if (n <= unigram->capacity)
        return SW_OK;
    const size_t capacity = n < 4096 ? 4096 : n * 2;
    struct sw_unigram_step *steps = realloc(unigram->steps, capacity * sizeof *steps);
    if (!steps)
        return sw_fail(SW_ENOMEM, "no memory to cut a text into pieces");
    unigram->steps = steps;
    unigram->capacity = capacity;
    return SW_OK;
}

/* A way from position `at` on by `length` bytes. The first of equally good ones stays. */
static void unigram_offer(struct unigram_search *search, size_t at, size_t length, int32_t id,
                          double score)
{
    struct sw_unigram_step *steps = search->unigram->steps;
    const size_t to = at + length;
    for (; search->reach < to; search->reach++)
        steps[search->reach + 1 - search->cut].length = 0;
    const double sum = score + steps[at - search->cut].sum;
    struct sw_unigram_step *step = &steps[to - search->cut];
    if (step->length == 0 || sum > step->sum)
        *step = (struct sw_unigram_step){.sum = search->unigram->single ? (double)(float)sum : sum,
                                         .id = id,
                                         .length = (uint32_t)length};
}

/* All pieces that begin at a position, whose character has `length` bytes. */
static void unigram_offer_all(struct unigram_search *search, size_t at, size_t n, size_t length)
{
    const struct sw_unigram *unigram = search->unigram;
    const struct sw_trie *pieces = &unigram->pieces;
    bool whole = false;
    uint32_t node = 0;
    for (size_t i = at; i < n; i++) {
        node = sw_trie_step(pieces, node, (unsigned char)search->text[i]);
        if (!node)
            break;
        const int32_t id = pieces->nodes[node].value;
        if (id < 0)
            continue;
        whole = whole || i + 1 - at == length;
        unigram_offer(search, at, i + 1 - at, id, unigram->scores[id]);
    }
    if (!whole)
        unigram_offer(search, at, length, NO_PIECE, unigram->unknown);
}

static enum sw_status unigram_push_unknown(struct unigram_search *search, const char *text,
                                           size_t n)
{
    const int32_t *byte_id = search->unigram->byte_id;
    bool have = byte_id != NULL;
    for (size_t i = 0; have && i < n; i++)
        have = byte_id[(unsigned char)text[i]] >= 0;
    for (size_t i = 0; have && i < n; i++)
        SW_TRY(sw_ids_push(search->out, byte_id[(unsigned char)text[i]]));
    if (have || search->unigram->unk < 0 || search->after_unknown)
        return SW_OK;
    return sw_ids_push(search->out, search->unigram->unk);
}

/* Notes each piece of the best way to `end` where it begins, not where it ends. */
static void unigram_turn_round(struct sw_unigram_step *steps, size_t end)
{
    struct sw_unigram_step piece = steps[end];
    for (size_t at = end; at > 0;) {
        at -= piece.length;
        const struct sw_unigram_step before = steps[at];
        steps[at].id = piece.id;
        steps[at].length = piece.length;
        piece = before;
    }
}

/* Appends the ids from the last cut to `to`, through which every way goes; it is the next cut. */
static enum sw_status unigram_cut(struct unigram_search *search, size_t to)
{
    struct sw_unigram_step *steps = search->unigram->steps;
    const size_t end = to - search->cut;
    const double sum = steps[end].sum;
    unigram_turn_round(steps, end);
    for (size_t at = 0; at < end; at += steps[at].length) {
        const bool unknown = steps[at].id == NO_PIECE;
        const char *text = search->text + search->cut + at;
        SW_TRY(unknown ? unigram_push_unknown(search, text, steps[at].length)
                       : sw_ids_push(search->out, steps[at].id));
        search->after_unknown = unknown;
    }
    search->cut = to;
    steps[0].sum = sum;
    return SW_OK;
}

enum sw_status sw_unigram_encode(struct sw_unigram *unigram, const char *text, size_t n,
                                 struct sw_ids *out)
{
    struct unigram_search search = {.unigram = unigram, .text = text, .out = out};
    int length;
    SW_TRY(unigram_reserve(unigram, SW_TRIE_KEY_MAX + 1));
    unigram->steps[0].sum = 0;
    for (size_t at = 0; at < n; at += (size_t)length) {
        sw_utf8_decode(text + at, &length);
        if (at == search.reach)
            SW_TRY(unigram_cut(&search, at));
        SW_TRY(unigram_reserve(unigram, at - search.cut + SW_TRIE_KEY_MAX + 1));
        unigram_offer_all(&search, at, n, (size_t)length);
    }
    return unigram_cut(&search, n);
}

void sw_unigram_free(struct sw_unigram *unigram)
{
    sw_trie_free(&unigram->pieces);
    free(unigram->scores);
    free(unigram->steps);
    *unigram = (struct sw_unigram){0};
}
