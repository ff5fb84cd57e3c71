/*
 * Which experts are kept, and which one makes room: counts of uses that halve with time, because
 * layers come round in a loop, so that what was used longest ago is what is needed next
 * (docs/formats.md, Routes, compares policies). Keys and places are numbers; what they stand for,
 * and how large they are, the caller knows.
 */
#ifndef SW_ENGINE_EXPERT_CACHE_H
#define SW_ENGINE_EXPERT_CACHE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SW_EXPERT_HALF 8 /* a count halves in so many uses for each key */

struct sw_expert_cache {
    int n_keys, n_places;
    int *place_of;    /* (n_keys) -1: the key is not kept */
    int *key_of;      /* (n_places) -1: the place is free */
    double *priority; /* (n_keys) logarithm of the count; -INFINITY: not used yet */
    int64_t uses;
};

/* All places are free. SW_ENOMEM. The caller closes *out, on failure too. */
enum sw_status sw_expert_cache_open(int n_keys, int n_places, struct sw_expert_cache *out);
void sw_expert_cache_close(struct sw_expert_cache *cache);
/* Before the first use: goes on from an earlier run, with uses of each key (n_keys). */
void sw_expert_cache_learn(struct sw_expert_cache *cache, const uint64_t *uses);
/* Fills keys (n_keys), those with the largest counts first. SW_ENOMEM. */
enum sw_status sw_expert_cache_rank(const struct sw_expert_cache *cache, int *keys);
/* Counts a use; returns the key's place, or -1. */
int sw_expert_cache_use(struct sw_expert_cache *cache, int key);
/* The place, of those that `may` allows (NULL: all), that is free or whose key has the smallest
 * count; -1: none. */
typedef bool sw_expert_may(const void *context, int place);
int sw_expert_cache_victim(const struct sw_expert_cache *cache, sw_expert_may *may,
                           const void *context);
/* Puts a key that is not kept, or -1, into a place, whose key leaves. */
void sw_expert_cache_put(struct sw_expert_cache *cache, int place, int key);

#endif
