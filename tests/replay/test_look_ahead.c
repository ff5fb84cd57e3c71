/*
 * Whether reading ahead pays is judged by what was guessed right and by how long the disk has to
 * read anyway. On recorded routes, with guesses of any quality and disks of any speed, it costs at
 * most a hundredth.
 */
#include "engine/expert_cache.h"
#include "engine/look_ahead.h"
#include "replay/route_lines.h"
#include "unit.h"

static uint64_t state = 1;
static double roll(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* Guesses of this quality, of experts that take `each` seconds, in a second of computing; returns
 * how many of the last half were read ahead. */
static double share_read(struct sw_look_ahead *l, double right, double each, int n)
{
    int64_t before = 0;
    for (int i = 0; i < n; i++) {
        if (i == n / 2)
            before = l->read_right + l->read_wrong;
        if (!sw_look_ahead_wanted(l))
            continue;
        const bool is_right = roll() < right;
        sw_look_ahead_judge(l, is_right, !is_right, 1, each);
    }
    return (double)(l->read_right + l->read_wrong - before) / (n - n / 2);
}

static void the_disks_time_decides(void)
{
    struct sw_look_ahead l = {0};
    CU_ASSERT(share_read(&l, 0.9, 2, 20000) > 0.99);
    CU_ASSERT(share_read(&l, 0.9, 20, 20000) < 0.01); /* it goes off again */
    CU_ASSERT(share_read(&l, 0.2, 2, 20000) < 0.01);
    CU_ASSERT(share_read(&l, 0.4, 0.5, 20000) > 0.99); /* and on: the disk would wait */
    l = (struct sw_look_ahead){0};
    CU_ASSERT_EQUAL(share_read(&l, 0.5, 5, 20000), 0); /* no trial reads anything */
}

/* A run over recorded routes. */
struct replayed {
    struct sw_expert_cache cache;
    struct sw_look_ahead look;
    double now, read; /* seconds; of an expert */
};

/* One expert is used, which takes a second besides reading it where it is not at hand. Before, it
 * was guessed with this probability, and else another one; what is read ahead takes the second in
 * which the disk would wait, and where that is not enough the time of others. */
static void replay_use(struct replayed *r, int key, double quality, bool looks)
{
    const bool here = sw_expert_cache_use(&r->cache, key) >= 0;
    const bool wanted = looks && sw_look_ahead_wanted(&r->look);
    const int guess = roll() < quality ? key : (int)(roll() * r->cache.n_keys);
    const bool guessed = wanted && r->cache.place_of[guess] < 0, right = guess == key;
    const double late = r->read > 1 ? r->read - 1 : 0;
    double waits = here ? 0 : r->read;
    if (guessed && r->look.is_on)
        waits = right ? late : waits + late;
    r->now += 1 + waits;
    if (!here)
        sw_expert_cache_put(&r->cache, sw_expert_cache_victim(&r->cache, NULL, NULL), key);
    if (wanted)
        sw_look_ahead_judge(&r->look, guessed && right, guessed && !right, 1, r->read);
}

static double replay_seconds(const struct cache_uses *u, double read, double quality, bool looks)
{
    struct replayed r = {.read = read};
    state = 7;
    CU_ASSERT_EQUAL_FATAL(sw_expert_cache_open(u->n_keys, u->n_keys / 2, &r.cache), SW_OK);
    for (int64_t i = 0; i < u->n; i++)
        replay_use(&r, u->keys[i], quality, looks);
    sw_expert_cache_close(&r.cache);
    return r.now;
}

static void recorded_routes_lose_nothing(void)
{
    static const char *const names[] = {"mixtral", "qwen3_moe"};
    double best = 1;
    for (int i = 0; i < 2; i++) {
        char path[4096];
        struct route_uses r;
        snprintf(path, sizeof path, "%s/tests/replay/recorded/%s.jsonl", SW_SOURCE_DIR, names[i]);
        FILE *file = fopen(path, "r");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        CU_ASSERT_EQUAL_FATAL(route_lines_read(file, path, &r), SW_OK);
        fclose(file);
        for (double read = 0.1; read < 20; read *= 2)
            for (double quality = 0; quality <= 1; quality += 0.1) {
                const double without = replay_seconds(&r.uses, read, quality, false);
                const double with = replay_seconds(&r.uses, read, quality, true);
                if (with > 1.01 * without)
                    printf("    %s: read %g s, %g right: %g s, without %g s\n", names[i], read,
                           quality, with, without);
                CU_ASSERT(with <= 1.01 * without);
                best = with / without < best ? with / without : best;
            }
        route_uses_free(&r);
    }
    CU_ASSERT(best < 0.95);
}

SW_UNIT_TESTS({"the disk's time decides", the_disks_time_decides},
              {"recorded routes lose nothing", recorded_routes_lose_nothing})
