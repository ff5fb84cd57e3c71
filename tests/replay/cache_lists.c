/* Owns the policies that are made of lists: S3-FIFO and ARC, as their papers describe them. */
#include "replay/cache_lists.h"

#include <assert.h>
#include <stdlib.h>

#define LISTS 4
#define NOWHERE (-1)

/* Doubly linked lists of keys, each key in at most one; new ones come to the front. */
struct lists {
    int *before, *behind; /* (n_keys + LISTS) neighbours; entry n_keys + l is the end of list l */
    signed char *where;   /* (n_keys) the list of a key, or NOWHERE */
    unsigned char *uses;  /* (n_keys) for S3-FIFO: uses since it came, at most 3 */
    int n_keys, count[LISTS];
};

static bool lists_open(struct lists *s, int n_keys)
{
    const size_t n = (size_t)n_keys + LISTS;
    *s = (struct lists){.before = malloc(n * sizeof *s->before),
                        .behind = malloc(n * sizeof *s->behind),
                        .where = malloc((size_t)n_keys),
                        .uses = calloc((size_t)n_keys, 1),
                        .n_keys = n_keys};
    if (!s->before || !s->behind || !s->where || !s->uses)
        return false;
    for (int k = 0; k < n_keys; k++)
        s->where[k] = NOWHERE;
    for (int l = 0; l < LISTS; l++)
        s->before[n_keys + l] = s->behind[n_keys + l] = n_keys + l;
    return true;
}

static void lists_close(struct lists *s)
{
    free(s->before);
    free(s->behind);
    free(s->where);
    free(s->uses);
}

/* Takes a key out of its list, and puts it at the front of another one unless that is NOWHERE. */
static void lists_move(struct lists *s, int key, int list)
{
    if (s->where[key] != NOWHERE) {
        s->behind[s->before[key]] = s->behind[key];
        s->before[s->behind[key]] = s->before[key];
        s->count[(int)s->where[key]]--;
    }
    s->where[key] = (signed char)list;
    if (list == NOWHERE)
        return;
    const int end = s->n_keys + list, first = s->behind[end];
    s->before[key] = end;
    s->behind[key] = first;
    s->behind[end] = s->before[first] = key;
    s->count[list]++;
}

static int lists_last(const struct lists *s, int list)
{
    assert(s->count[list] > 0);
    return s->before[s->n_keys + list];
}

/*
 * S3-FIFO: new keys come into a small queue of a tenth of the room; those used again there go on to
 * the main one, others leave but are remembered; who comes back while remembered goes to the main
 * queue at once. Its last key goes round while it was used, with one use less each time.
 */
enum { SMALL, MAIN, GHOST };

static void s3_fifo_evict_main(struct lists *s)
{
    for (;;) {
        const int key = lists_last(s, MAIN);
        if (!s->uses[key]) {
            lists_move(s, key, NOWHERE);
            return;
        }
        s->uses[key]--;
        lists_move(s, key, MAIN);
    }
}

static void s3_fifo_evict(struct lists *s, int small, int most_ghosts)
{
    while (s->count[SMALL] > 0 && (s->count[SMALL] >= small || !s->count[MAIN])) {
        const int key = lists_last(s, SMALL);
        if (s->uses[key] > 1) {
            s->uses[key] = 0;
            lists_move(s, key, MAIN);
            continue;
        }
        lists_move(s, key, GHOST);
        if (s->count[GHOST] > most_ghosts)
            lists_move(s, lists_last(s, GHOST), NOWHERE);
        return;
    }
    s3_fifo_evict_main(s);
}

int64_t cache_s3_fifo_hits(const struct cache_uses *u, int capacity)
{
    struct lists s;
    int64_t hits = -1;
    const int small = capacity >= 10 ? capacity / 10 : 1;
    if (lists_open(&s, u->n_keys)) {
        hits = 0;
        for (int64_t i = 0; i < u->n; i++) {
            const int key = u->keys[i];
            if (s.where[key] == SMALL || s.where[key] == MAIN) {
                hits++;
                s.uses[key] = (unsigned char)(s.uses[key] < 3 ? s.uses[key] + 1 : 3);
                continue;
            }
            const bool known = s.where[key] == GHOST;
            lists_move(&s, key, NOWHERE);
            if (s.count[SMALL] + s.count[MAIN] >= capacity)
                s3_fifo_evict(&s, small, capacity);
            s.uses[key] = 0;
            lists_move(&s, key, known ? MAIN : SMALL);
            assert(s.count[SMALL] + s.count[MAIN] <= capacity);
        }
    }
    lists_close(&s);
    return hits;
}

/*
 * ARC: T1 has keys that were used once lately, T2 those used more often, B1 and B2 remember what
 * left them; a use of a remembered key moves the border between T1 and T2, `p`, its way.
 */
enum { T1, T2, B1, B2 };

static void arc_replace(struct lists *s, int key, double p)
{
    const bool from_t1 = s->count[T1] > 0 && (s->count[T1] > p || !s->count[T2] ||
                                              (s->where[key] == B2 && s->count[T1] == (int)p));
    if (from_t1)
        lists_move(s, lists_last(s, T1), B1);
    else
        lists_move(s, lists_last(s, T2), B2);
}

/* Makes room for a key that is not remembered. */
static void arc_make_room(struct lists *s, int key, int capacity, double p)
{
    const int l1 = s->count[T1] + s->count[B1];
    const int all = l1 + s->count[T2] + s->count[B2];
    if (l1 == capacity) {
        if (s->count[T1] < capacity) {
            lists_move(s, lists_last(s, B1), NOWHERE);
            arc_replace(s, key, p);
        } else {
            lists_move(s, lists_last(s, T1), NOWHERE);
        }
    } else if (all >= capacity) {
        if (all == 2 * capacity)
            lists_move(s, lists_last(s, B2), NOWHERE);
        if (s->count[T1] + s->count[T2] == capacity)
            arc_replace(s, key, p);
    }
}

static double larger_of(double a, double b)
{
    return a > b ? a : b;
}

int64_t cache_arc_hits(const struct cache_uses *u, int capacity)
{
    struct lists s;
    int64_t hits = -1;
    double p = 0;
    if (lists_open(&s, u->n_keys)) {
        hits = 0;
        for (int64_t i = 0; i < u->n; i++) {
            const int key = u->keys[i], where = s.where[key];
            const double b1 = s.count[B1], b2 = s.count[B2];
            hits += where == T1 || where == T2;
            if (where == B1)
                p = -larger_of(-capacity, -(p + larger_of(1, b2 / b1)));
            else if (where == B2)
                p = larger_of(0, p - larger_of(1, b1 / b2));
            if (where == B1 || where == B2)
                arc_replace(&s, key, p);
            else if (where == NOWHERE)
                arc_make_room(&s, key, capacity, p);
            lists_move(&s, key, where == NOWHERE ? T1 : T2);
            assert(s.count[T1] + s.count[T2] <= capacity);
        }
    }
    lists_close(&s);
    return hits;
}
