/* Caches of experts: by hand, against an exhaustive optimum, on made-up routes; and lines of
 * routes. */
#include "engine/expert_cache.h"
#include "replay/route_lines.h"
#include "unit.h"

#define MOST_USES 4000

static int64_t next_of[MOST_USES];

static struct cache_uses uses_of(int n_keys, int64_t n, const int *keys)
{
    CU_ASSERT_FATAL(cache_uses_next(n_keys, n, keys, next_of));
    return (struct cache_uses){.n_keys = n_keys, .n = n, .keys = keys, .next = next_of};
}

static int64_t hits(const char *policy, const struct cache_uses *u, int capacity)
{
    for (const struct cache_policy *p = cache_policies; p->name; p++)
        if (!strcmp(p->name, policy))
            return p->hits(u, capacity);
    CU_FAIL_FATAL("no such policy");
    return -1;
}

static void by_hand(void)
{
    static const int loop[] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    static const int hot[] = {0, 0, 0, 1, 0, 2, 0, 1, 0, 2, 0};
    static const int turned[] = {0, 0, 0, 0, 0, 0, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2};
    struct cache_uses u = uses_of(3, 9, loop);
    CU_ASSERT_EQUAL(hits("lru", &u, 2), 0); /* each leaves before it comes again */
    CU_ASSERT_EQUAL(hits("lru", &u, 3), 6);
    CU_ASSERT_EQUAL(hits("optimum", &u, 2), 4); /* 0 and 1 stay, 2 is never kept */
    CU_ASSERT_EQUAL(hits("optimum", &u, 1), 2);
    CU_ASSERT_EQUAL(hits("pinned", &u, 2), 6);
    u = uses_of(3, 11, hot);
    CU_ASSERT_EQUAL(hits("lru", &u, 1), 2);
    CU_ASSERT_EQUAL(hits("lfu", &u, 1), 6); /* 0 stays */
    CU_ASSERT_EQUAL(hits("pinned", &u, 1), 7);
    u = uses_of(3, 16, turned);
    CU_ASSERT_EQUAL(hits("lfu", &u, 1), 5); /* 0 stays for the count of long ago */
    CU_ASSERT_EQUAL(hits("optimum", &u, 2), 5 + 8);
}

static uint64_t state = 1;
static int roll(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

/* Most hits from use i on, over all choices of what to keep; kept: a bit a key. */
static int64_t most_hits(const struct cache_uses *u, int64_t i, unsigned kept, int capacity)
{
    if (i == u->n)
        return 0;
    const unsigned bit = 1u << u->keys[i];
    if (kept & bit)
        return 1 + most_hits(u, i + 1, kept, capacity);
    int64_t most = most_hits(u, i + 1, kept, capacity);
    for (int k = 0; k < u->n_keys; k++) {
        const bool full = __builtin_popcount(kept) == capacity;
        if (full ? !(kept & 1u << k) : k > 0)
            continue;
        const int64_t with = most_hits(u, i + 1, (full ? kept & ~(1u << k) : kept) | bit, capacity);
        most = with > most ? with : most;
    }
    return most;
}

static void optimum_is_one(void)
{
    for (int trial = 0; trial < 300; trial++) {
        int keys[11];
        const int n_keys = 2 + roll(4), capacity = 1 + roll(2);
        for (int i = 0; i < 11; i++)
            keys[i] = roll(n_keys);
        const struct cache_uses u = uses_of(n_keys, 11, keys);
        CU_ASSERT_EQUAL(hits("optimum", &u, capacity), most_hits(&u, 0, 0, capacity));
    }
}

/* No policy has more hits than the optimum; with room for all, each key is missed once. */
static void none_is_better(void)
{
    static int keys[MOST_USES];
    for (int trial = 0; trial < 60; trial++) {
        const int n_keys = 2 + roll(60), capacity = 1 + roll(n_keys), n = 1 + roll(MOST_USES);
        const int turn = 1 + roll(n);
        bool used[64] = {false};
        int different = 0;
        for (int i = 0; i < n; i++) {
            const int low = roll(n_keys), other = roll(n_keys);
            keys[i] = ((low < other ? low : other) + (i / turn) * 7) % n_keys;
            different += !used[keys[i]];
            used[keys[i]] = true;
        }
        const struct cache_uses u = uses_of(n_keys, n, keys);
        const int64_t most = hits("optimum", &u, capacity);
        for (const struct cache_policy *p = cache_policies; p->name; p++) {
            const bool fixed = !strcmp(p->name, "pinned"); /* is there before the first use */
            CU_ASSERT(p->hits(&u, capacity) <= most + (fixed ? capacity : 0));
            CU_ASSERT(p->hits(&u, n_keys) == n - (fixed ? 0 : different));
        }
    }
}

/* Of 100 uses 60 are of ten keys, again and again, and then 40 others come by once. */
static void a_scan_is_survived(void)
{
    static int keys[MOST_USES];
    for (int i = 0; i < MOST_USES; i++)
        keys[i] = i % 100 < 60 ? i % 10 : 10 + i % 907;
    const struct cache_uses u = uses_of(917, MOST_USES, keys);
    CU_ASSERT(hits("lru", &u, 20) <= MOST_USES / 100 * 50);
    CU_ASSERT(hits("s3-fifo", &u, 20) > MOST_USES / 100 * 57);
    CU_ASSERT(hits("arc", &u, 20) > MOST_USES / 100 * 57);
    CU_ASSERT(hits("lfu", &u, 20) > MOST_USES / 100 * 57);
    CU_ASSERT(hits("aged", &u, 20) > MOST_USES / 100 * 57);
}

static enum sw_status read_text(const char *text, struct route_uses *out)
{
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    rewind(file);
    const enum sw_status status = route_lines_read(file, "routes", out);
    fclose(file);
    return status;
}

static void reads_lines(void)
{
    struct route_uses r;
    CU_ASSERT_EQUAL_FATAL(read_text("{\"routes\": 1, \"experts\": 8, \"used\": 2}\n"
                                    "{\"step\": 0, \"layer\": 1, \"experts\": [[3, 5], [5, 0]]}\n"
                                    "{\"step\": 0, \"layer\": 4, \"experts\": [[7]]}\n",
                                    &r),
                          SW_OK);
    CU_ASSERT(r.layers == 5 && r.routed == 2 && r.experts == 8 && r.uses.n == 4);
    static const int keys[] = {11, 13, 8, 39}; /* 5 of layer 1 once, though two rows chose it */
    CU_ASSERT_EQUAL(memcmp(r.keys, keys, sizeof keys), 0);
    route_uses_free(&r);
}

static void refuses_lines(void)
{
#define HEAD "{\"routes\": 1, \"experts\": 8}\n"
    static const struct {
        const char *text, *expected;
    } cases[] = {{"", "no routes"},
                 {"[]\n", "line 1: expected an object"},
                 {"{\"routes\": 2, \"experts\": 8}\n", "line 1"},
                 {"{\"routes\": 1, \"experts\": 0}\n", "line 1"},
                 {HEAD "{\"layer\": 0, \"experts\": [[0]]\n", "line 2: expected an object"},
                 {HEAD "{\"layer\": 0, \"experts\": [[8]]}\n", "first line's number"},
                 {HEAD "{\"layer\": 0, \"experts\": [[-1]]}\n", "first line's number"},
                 {HEAD "{\"layer\": 0, \"experts\": [3]}\n", "for each row"},
                 {HEAD "{\"layer\": 0, \"experts\": [[\"3\"]]}\n", "numbers"},
                 {HEAD "{\"layer\": 99999, \"experts\": [[3]]}\n", "\"layer\""},
                 {HEAD "{\"experts\": [[3]]}\n", "\"layer\""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct route_uses r;
        sw_error_clear();
        CU_ASSERT_EQUAL(read_text(cases[i].text, &r), SW_EINPUT);
        const bool found = strstr(sw_error_message(), cases[i].expected) != NULL;
        if (!found)
            printf("    %zu: %s\n", i, sw_error_message());
        CU_ASSERT(found);
        route_uses_free(&r);
    }
}

/* The share of uses that hit on made-up routes, with room for so much of the experts. */
static double rate(const struct route_shape *shape, const char *policy, double share)
{
    struct route_uses r;
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL_FATAL(route_lines_make(shape, file), SW_OK);
    rewind(file);
    CU_ASSERT_EQUAL_FATAL(route_lines_read(file, "made up", &r), SW_OK);
    fclose(file);
    CU_ASSERT(r.routed == shape->layers && r.experts == shape->experts);
    const int capacity = (int)(share * shape->layers * shape->experts);
    const double result = (double)hits(policy, &r.uses, capacity) / (double)r.uses.n;
    route_uses_free(&r);
    return result;
}

/* What the plan says of experts that are chosen alike: a cache hits as often as its share. */
static void alike_ones_hit_by_share(void)
{
    const struct route_shape alike = {
        .layers = 8, .experts = 8, .used = 2, .steps = 2000, .rows = 1, .seed = 3};
    for (double share = 0.25; share < 0.8; share += 0.25) {
        CU_ASSERT_DOUBLE_EQUAL(rate(&alike, "lfu", share), share, 0.03);
        CU_ASSERT_DOUBLE_EQUAL(rate(&alike, "aged", share), share, 0.03);
    }
}

/* Popular experts: counting finds them; when they change, counts that age follow. */
static void popular_ones_are_found(void)
{
    struct route_shape skewed = {
        .layers = 8, .experts = 32, .used = 2, .steps = 2000, .rows = 1, .skew = 1, .seed = 5};
    CU_ASSERT(rate(&skewed, "pinned", 0.25) > 0.55);
    CU_ASSERT(rate(&skewed, "lfu", 0.25) > rate(&skewed, "pinned", 0.25) - 0.02);
    CU_ASSERT(rate(&skewed, "aged", 0.25) > rate(&skewed, "pinned", 0.25) - 0.03);
    CU_ASSERT(rate(&skewed, "lfu", 0.25) > rate(&skewed, "lru", 0.25) + 0.03);
    skewed.shift = 500;
    CU_ASSERT(rate(&skewed, "aged", 0.25) > rate(&skewed, "lfu", 0.25) + 0.05);
}

/* Routes of tiny models (record_routes.py): counts that age are the best of what does not know the
 * future, or nearly. */
static void recorded_ones_age_well(void)
{
    static const char *const names[] = {"mixtral", "qwen3_moe"};
    for (int i = 0; i < 2; i++) {
        char path[4096];
        struct route_uses r;
        snprintf(path, sizeof path, "%s/tests/replay/recorded/%s.jsonl", SW_SOURCE_DIR, names[i]);
        FILE *file = fopen(path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT_EQUAL_FATAL(route_lines_read(file, path, &r), SW_OK);
        fclose(file);
        const int n = r.routed * r.experts;
        for (int capacity = n * 3 / 10; capacity <= n * 7 / 10; capacity++) {
            const int64_t aged = hits("aged", &r.uses, capacity), point = r.uses.n / 100;
            CU_ASSERT(aged >= hits("lfu", &r.uses, capacity) - 2 * point);
            CU_ASSERT(aged > hits("lru", &r.uses, capacity) + point);
            CU_ASSERT(aged > hits("s3-fifo", &r.uses, capacity) + point);
            CU_ASSERT(aged > hits("arc", &r.uses, capacity) + point);
            CU_ASSERT(aged > hits("optimum", &r.uses, capacity) - 18 * point);
        }
        route_uses_free(&r);
    }
}

/* Hits of the engine's cache: it counts as `aged` does, and what is missed takes the place of what
 * counts least, as it is read there. */
static int64_t engine_hits(const struct cache_uses *u, int capacity)
{
    struct sw_expert_cache c;
    int64_t n = 0;
    CU_ASSERT_EQUAL_FATAL(sw_expert_cache_open(u->n_keys, capacity, &c), SW_OK);
    for (int64_t i = 0; i < u->n; i++) {
        const bool hit = sw_expert_cache_use(&c, u->keys[i]) >= 0;
        n += hit;
        if (!hit)
            sw_expert_cache_put(&c, sw_expert_cache_victim(&c, NULL, NULL), u->keys[i]);
    }
    sw_expert_cache_close(&c);
    return n;
}

/* One place more than `aged` has makes up for that. */
static void the_engines_cache_does_as_well(void)
{
    static const char *const names[] = {"mixtral", "qwen3_moe"};
    for (int i = 0; i < 2; i++) {
        char path[4096];
        struct route_uses r;
        snprintf(path, sizeof path, "%s/tests/replay/recorded/%s.jsonl", SW_SOURCE_DIR, names[i]);
        FILE *file = fopen(path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT_EQUAL_FATAL(route_lines_read(file, path, &r), SW_OK);
        fclose(file);
        for (int capacity = 2; capacity <= r.routed * r.experts; capacity++)
            CU_ASSERT(engine_hits(&r.uses, capacity) >=
                      hits("aged", &r.uses, capacity - 1) - r.uses.n / 100);
        CU_ASSERT_EQUAL(engine_hits(&r.uses, r.routed * r.experts),
                        hits("aged", &r.uses, r.routed * r.experts));
        route_uses_free(&r);
    }
}

SW_UNIT_TESTS({"by hand", by_hand}, {"the optimum is one", optimum_is_one},
              {"none is better", none_is_better}, {"a scan is survived", a_scan_is_survived},
              {"reads lines", reads_lines}, {"refuses lines", refuses_lines},
              {"alike ones hit by share", alike_ones_hit_by_share},
              {"recorded ones age well", recorded_ones_age_well},
              {"the engine's cache does as well", the_engines_cache_does_as_well},
              {"popular ones are found", popular_ones_are_found})
