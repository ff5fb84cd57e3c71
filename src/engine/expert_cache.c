/* Owns the bookkeeping of a cache of experts: counts that age, places, and who leaves. */
#include "engine/expert_cache.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum sw_status sw_expert_cache_open(int n_keys, int n_places, struct sw_expert_cache *c)
{
    const size_t keys = (size_t)(n_keys > 0 ? n_keys : 1);
    const size_t places = (size_t)(n_places > 0 ? n_places : 1);
    *c = (struct sw_expert_cache){.n_keys = n_keys,
                                  .n_places = n_places,
                                  .place_of = malloc(keys * sizeof *c->place_of),
                                  .key_of = malloc(places * sizeof *c->key_of),
                                  .priority = malloc(keys * sizeof *c->priority)};
    if (!c->place_of || !c->key_of || !c->priority)
        return sw_fail(SW_ENOMEM, "no memory for a cache of %d experts", n_places);
    for (int k = 0; k < n_keys; k++) {
        c->place_of[k] = -1;
        c->priority[k] = -INFINITY;
    }
    for (int p = 0; p < n_places; p++)
        c->key_of[p] = -1;
    return SW_OK;
}

void sw_expert_cache_close(struct sw_expert_cache *c)
{
    free(c->place_of);
    free(c->key_of);
    free(c->priority);
    *c = (struct sw_expert_cache){0};
}

/* What the sum of a key's uses, each halved as it ages, comes to when it has had its share of them
 * for a long time. */
void sw_expert_cache_learn(struct sw_expert_cache *c, const uint64_t *uses)
{
    double all = 0;
    assert(c->uses == 0);
    for (int k = 0; k < c->n_keys; k++)
        all += (double)uses[k];
    for (int k = 0; k < c->n_keys; k++)
        if (uses[k] > 0)
            c->priority[k] =
                log2((double)uses[k] / all * SW_EXPERT_HALF * (double)c->n_keys / log(2));
}

/* By falling priority, then by key. */
struct cache_rank {
    double priority;
    int key;
};

static int cache_rank_compare(const void *a, const void *b)
{
    const struct cache_rank *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

enum sw_status sw_expert_cache_rank(const struct sw_expert_cache *c, int *keys)
{
    struct cache_rank *ranks = malloc((size_t)(c->n_keys > 0 ? c->n_keys : 1) * sizeof *ranks);
    if (!ranks)
        return sw_fail(SW_ENOMEM, "no memory for a list of %d experts", c->n_keys);
    for (int k = 0; k < c->n_keys; k++)
        ranks[k] = (struct cache_rank){c->priority[k], k};
    qsort(ranks, (size_t)c->n_keys, sizeof *ranks, cache_rank_compare);
    for (int k = 0; k < c->n_keys; k++)
        keys[k] = ranks[k].key;
    free(ranks);
    return SW_OK;
}

/* Counts that have been halved n times are not touched: those that are new count 2^n times as
 * much, as logarithms, so that nothing overflows. */
int sw_expert_cache_use(struct sw_expert_cache *c, int key)
{
    const double now = (double)c->uses++ / (SW_EXPERT_HALF * (double)c->n_keys);
    const double before = c->priority[key];
    c->priority[key] =
        before > now ? before + log2(1 + exp2(now - before)) : now + log2(1 + exp2(before - now));
    return c->place_of[key];
}

int sw_expert_cache_victim(const struct sw_expert_cache *c, sw_expert_may *may, const void *context)
{
    int victim = -1;
    double least = INFINITY;
    for (int p = 0; p < c->n_places; p++) {
        const int key = c->key_of[p];
        const double priority = key < 0 ? -INFINITY : c->priority[key];
        if ((victim < 0 || priority < least) && (!may || may(context, p))) {
            victim = p;
            least = priority;
        }
    }
    return victim;
}

void sw_expert_cache_put(struct sw_expert_cache *c, int place, int key)
{
    assert(key < 0 || c->place_of[key] < 0);
    if (c->key_of[place] >= 0)
        c->place_of[c->key_of[place]] = -1;
    c->key_of[place] = key;
    if (key >= 0)
        c->place_of[key] = place;
}
