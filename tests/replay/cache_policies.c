/* Owns the policies of cache_policies.h that are a priority queue: the key with the least priority
 * goes. */
#include "replay/cache_policies.h"

#include "replay/cache_lists.h"

#include <math.h>
#include <stdlib.h>

/* A min-heap of the keys in the cache, by priority. */
struct heap {
    int *items, *at;  /* (capacity) keys; (n_keys) a key's place in items, or -1 */
    double *priority; /* (n_keys) */
    int count;
};

static void heap_put(struct heap *h, int i, int key)
{
    h->items[i] = key;
    h->at[key] = i;
}

static void heap_sift(struct heap *h, int i)
{
    const int key = h->items[i];
    const double p = h->priority[key];
    for (; i > 0 && h->priority[h->items[(i - 1) / 2]] > p; i = (i - 1) / 2)
        heap_put(h, i, h->items[(i - 1) / 2]);
    for (int child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && h->priority[h->items[child + 1]] < h->priority[h->items[child]])
            child++;
        if (h->priority[h->items[child]] >= p)
            break;
        heap_put(h, i, h->items[child]);
    }
    heap_put(h, i, key);
}

/* The priority of the key of use i, whose priority was `before`; 0 at its first use. */
typedef double priority_of(const struct cache_uses *u, int64_t i, double before);

/* Replays with a queue; a key whose priority is below all that are kept is not kept (unless `all`,
 * as there is none then). */
static int64_t queue_hits(const struct cache_uses *u, int capacity, priority_of *of, bool all)
{
    struct heap h = {.items = malloc((size_t)capacity * sizeof *h.items),
                     .at = malloc((size_t)u->n_keys * sizeof *h.at),
                     .priority = calloc((size_t)u->n_keys, sizeof *h.priority)};
    int64_t hits = -1;
    if (h.items && h.at && h.priority) {
        hits = 0;
        for (int k = 0; k < u->n_keys; k++)
            h.at[k] = -1;
        for (int64_t i = 0; i < u->n; i++) {
            const int key = u->keys[i];
            h.priority[key] = of(u, i, h.priority[key]);
            if (h.at[key] >= 0) {
                hits++;
            } else if (h.count < capacity) {
                heap_put(&h, h.count, key);
                h.count++;
            } else if (all || h.priority[key] > h.priority[h.items[0]]) {
                h.at[h.items[0]] = -1;
                heap_put(&h, 0, key);
            } else {
                continue;
            }
            heap_sift(&h, h.at[key]);
        }
    }
    free(h.items);
    free(h.at);
    free(h.priority);
    return hits;
}

static double by_time(const struct cache_uses *u, int64_t i, double before)
{
    (void)u, (void)before;
    return (double)i;
}

/* Whole uses count; of equal counts the later one is kept. */
static double by_count(const struct cache_uses *u, int64_t i, double before)
{
    return floor(before) + 1 + (double)i / (double)(u->n + 1);
}

/* The logarithm of the sum of 2^(time / half-life) over all uses: the same order as counts that
 * halve, without touching those that are not used. */
static double aged_count(const struct cache_uses *u, int64_t i, double before, double half)
{
    const double now = 1 + (double)i / (half * (double)u->n_keys);
    return before > 0 ? now + log2(1 + exp2(before - now)) : now;
}

static double by_aged_count(const struct cache_uses *u, int64_t i, double before)
{
    return aged_count(u, i, before, AGED_HALF);
}

static double by_sooner_aged_count(const struct cache_uses *u, int64_t i, double before)
{
    return aged_count(u, i, before, AGED_HALF / 4.);
}

static double by_later_aged_count(const struct cache_uses *u, int64_t i, double before)
{
    return aged_count(u, i, before, AGED_HALF * 4.);
}

/* The last use but one, as whole number; its fraction is the last use. */
static double by_last_but_one(const struct cache_uses *u, int64_t i, double before)
{
    const double scale = (double)u->n + 2;
    return round((before - floor(before)) * scale) + (double)(i + 1) / scale;
}

static double by_next_use(const struct cache_uses *u, int64_t i, double before)
{
    (void)before;
    return -(double)u->next[i];
}

static int64_t lru_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_time, true);
}

static int64_t lfu_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_count, false);
}

static int64_t aged_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_aged_count, false);
}

static int64_t sooner_aged_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_sooner_aged_count, false);
}

static int64_t later_aged_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_later_aged_count, false);
}

static int64_t lru_2_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_last_but_one, false);
}

static int64_t optimum_hits(const struct cache_uses *u, int capacity)
{
    return queue_hits(u, capacity, by_next_use, false);
}

static int counts_fall(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static int64_t pinned_hits(const struct cache_uses *u, int capacity)
{
    int64_t *counts = calloc((size_t)u->n_keys, sizeof *counts), hits = 0;
    if (!counts)
        return -1;
    for (int64_t i = 0; i < u->n; i++)
        counts[u->keys[i]]++;
    qsort(counts, (size_t)u->n_keys, sizeof *counts, counts_fall);
    for (int k = 0; k < capacity && k < u->n_keys; k++)
        hits += counts[k];
    free(counts);
    return hits;
}

const struct cache_policy cache_policies[] = {{"lru", lru_hits},
                                              {"lru-2", lru_2_hits},
                                              {"lfu", lfu_hits},
                                              {"aged", aged_hits},
                                              {"aged/4", sooner_aged_hits},
                                              {"aged*4", later_aged_hits},
                                              {"s3-fifo", cache_s3_fifo_hits},
                                              {"arc", cache_arc_hits},
                                              {"pinned", pinned_hits},
                                              {"optimum", optimum_hits},
                                              {NULL, NULL}};

bool cache_uses_next(int n_keys, int64_t n, const int *keys, int64_t *next)
{
    int64_t *last = malloc((size_t)n_keys * sizeof *last);
    if (!last)
        return false;
    for (int k = 0; k < n_keys; k++)
        last[k] = n;
    for (int64_t i = n - 1; i >= 0; i--) {
        next[i] = last[keys[i]];
        last[keys[i]] = i;
    }
    free(last);
    return true;
}
