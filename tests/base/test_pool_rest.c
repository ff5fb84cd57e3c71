/* When threads of a pool rest, by a made-up clock. */
#include "base/pool_rest.h"
#include "unit.h"

#define MS INT64_C(1000000)

/*
 * `lost` ms lost at the end of every `each` ms, from *now on, for `ms` ms: thread `at` and those
 * after it lose them, so nothing is lost while fewer than `at` + 1 work. Returns the share of the
 * time, in percent, in which more than `at` worked.
 */
static int64_t go_on(struct sw_pool_rest *rest, int64_t *now, int ms, int each, int lost, int at)
{
    int64_t with = 0;
    for (int t = 1; t <= ms; t++) {
        *now += MS;
        with += rest->active > at;
        sw_pool_rest_over(rest, *now);
        if (t % each == 0 && rest->active > at)
            sw_pool_rest_lost(rest, *now, lost * MS);
    }
    return with * 100 / ms;
}

static void small_losses_do_not_count(void)
{
    int64_t now = 1000 * MS;
    struct sw_pool_rest rest;
    sw_pool_rest_init(&rest, 2);
    CU_ASSERT_EQUAL(go_on(&rest, &now, 5000, 10, 2, 1), 100); /* a niced neighbour */
    CU_ASSERT(rest.bound);
    CU_ASSERT_EQUAL(go_on(&rest, &now, 5000, 1000, 7, 1), 100); /* once a second, but long */
    CU_ASSERT(rest.bound);
}

static void the_last_thread_rests_and_is_tried_again(void)
{
    int64_t now = 1000 * MS;
    struct sw_pool_rest rest;
    sw_pool_rest_init(&rest, 2);
    CU_ASSERT(go_on(&rest, &now, 5000, 8, 5, 1) < 10);
    CU_ASSERT_EQUAL(rest.active + rest.on_trial, 1 + 2 * rest.on_trial);
    CU_ASSERT(!rest.bound);
    go_on(&rest, &now, 250, 8, 0, 1); /* the neighbour has gone */
    CU_ASSERT_EQUAL(rest.active, 2);
    CU_ASSERT(rest.bound);
    CU_ASSERT_EQUAL(go_on(&rest, &now, 2000, 10, 1, 1), 100);
    CU_ASSERT(sw_pool_rest_lost(&rest, now, 20 * MS)); /* after a calm time pauses are short */
    now += 50 * MS;
    CU_ASSERT(sw_pool_rest_over(&rest, now));
    CU_ASSERT_EQUAL(rest.active, 2);
}

/* Of many threads one is worth little, and each core that others want costs all of them. */
static void as_many_rest_as_lose(void)
{
    int64_t now = 1000 * MS;
    struct sw_pool_rest rest;
    sw_pool_rest_init(&rest, 16);
    CU_ASSERT(go_on(&rest, &now, 1000, 8, 2, 14) < 30);
    CU_ASSERT(rest.active >= 14 && rest.active <= 15);
    CU_ASSERT(go_on(&rest, &now, 3000, 8, 4, 8) < 40);
    CU_ASSERT(rest.active >= 8 && rest.active <= 9);
    go_on(&rest, &now, 600, 8, 0, 8);
    CU_ASSERT_EQUAL(rest.active, 16);
    CU_ASSERT(rest.bound);
}

static void the_caller_never_rests(void)
{
    int64_t now = 1000 * MS;
    struct sw_pool_rest rest;
    sw_pool_rest_init(&rest, 3);
    for (int t = 0; t < 1000; t++, now += MS) {
        sw_pool_rest_lost(&rest, now, MS);
        CU_ASSERT(rest.active >= 1 && rest.active <= 3);
    }
    CU_ASSERT_EQUAL(rest.active, 1);
    CU_ASSERT(sw_pool_rest_over(&rest, now)); /* its own losses do not put the trial off */
    sw_pool_rest_init(&rest, 1);
    CU_ASSERT(!sw_pool_rest_lost(&rest, now, 1000 * MS));
    CU_ASSERT(!sw_pool_rest_over(&rest, now + 1000 * MS));
}

SW_UNIT_TESTS({"small losses do not count", small_losses_do_not_count},
              {"the last thread rests and is tried again",
               the_last_thread_rests_and_is_tried_again},
              {"as many rest as lose", as_many_rest_as_lose},
              {"the caller never rests", the_caller_never_rests})
