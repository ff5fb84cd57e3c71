/*
 * Caches of experts, to compare on recorded routes: each says of one use after the other whether it
 * was a hit. All experts take the same room. A miss need not be kept: an expert can be computed
 * where it lies, or from a buffer that it is read into.
 */
#ifndef SW_TESTS_CACHE_POLICIES_H
#define SW_TESTS_CACHE_POLICIES_H

#include <stdbool.h>
#include <stdint.h>

/* The uses to replay, of keys in [0, n_keys). */
struct cache_uses {
    int n_keys;
    int64_t n;
    const int *keys;     /* (n) */
    const int64_t *next; /* (n) index of the next use of the same key; n: there is none */
};

struct cache_policy {
    const char *name;
    /* Hits of all uses with room for so many keys, at least 1; -1 without memory. */
    int64_t (*hits)(const struct cache_uses *uses, int capacity);
};

/*
 * lru; lru-2, by the last use but one (O'Neil and others, SIGMOD 1993); lfu, which counts all uses
 * so far; aged, whose counts halve every AGED_HALF keys' worth of uses, and with a quarter of that
 * and four times as many; s3-fifo (Yang and others, SOSP 2023); arc (Megiddo and Modha, FAST 2003);
 * pinned, the keys that are used most in the whole file, fixed; optimum, Belady's with the choice
 * not to keep: no cache has more hits. The last one's name is NULL.
 */
#define AGED_HALF 8
extern const struct cache_policy cache_policies[];

/* Fills next (n) for uses->keys. False: no memory. */
bool cache_uses_next(int n_keys, int64_t n, const int *keys, int64_t *next);

#endif
