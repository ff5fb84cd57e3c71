/* How many micro-batches should be under way, as the rule says and as it settles on slow links. */
#include "engine/pace.h"

#include "unit.h"

static void test_rule(void)
{
    CU_ASSERT_EQUAL(sw_pace_next(4, 4, 64, 0.95), 4); /* busy: as it is */
    CU_ASSERT_EQUAL(sw_pace_next(4, 4, 64, 0.60), 6);
    CU_ASSERT_EQUAL(sw_pace_next(4, 4, 64, 0.10), 8); /* twice as many at most */
    CU_ASSERT_EQUAL(sw_pace_next(4, 4, 5, 0.10), 5);  /* never more than sequences */
    CU_ASSERT_EQUAL(sw_pace_next(32, 4, 64, 0.10), 32);
    CU_ASSERT_EQUAL(sw_pace_next(9, 4, 64, 1.0), 7); /* saturated: fewer may do */
    CU_ASSERT_EQUAL(sw_pace_next(4, 4, 64, 1.0), 4); /* but a stage each */
    CU_ASSERT_EQUAL(sw_pace_next(20, 4, 1, 0.95), 4);
}

/* A pipeline whose stages take `work` for a micro-batch and whose links take `wire`: with n under
 * way a stage computes at most min(1, n work / round trip) of the time. */
static int settle(int stages, double work, double wire, int sequences, double *busy)
{
    struct sw_pace p;
    struct sw_times times[8] = {{.batches = 0}};
    CU_ASSERT_EQUAL(sw_pace_open(&p, stages, stages), SW_OK);
    for (int second = 1; second < 17; second++) {
        *busy = p.groups * work / (stages * (work + wire));
        *busy = *busy < 1 ? *busy : 1;
        for (int r = 0; r < stages; r++) {
            times[r].clock = second;
            times[r].batches++;
            times[r].seconds[SW_ACTIVITY_COMPUTE] += *busy;
            times[r].seconds[SW_ACTIVITY_WAIT] += 1 - *busy;
        }
        sw_pace_look(&p, sequences, times);
    }
    const int groups = p.groups;
    sw_pace_close(&p);
    return groups;
}

static void test_settles(void)
{
    double busy;
    CU_ASSERT_EQUAL(settle(4, 10, 0.1, 64, &busy), 4); /* links that are nothing: no more */
    CU_ASSERT_EQUAL(settle(4, 3, 3, 64, &busy), 8);
    CU_ASSERT_TRUE(busy >= SW_PACE_LOW);
    CU_ASSERT_TRUE(settle(4, 1, 3, 64, &busy) >= 14);
    CU_ASSERT_TRUE(busy >= SW_PACE_LOW);
    CU_ASSERT_EQUAL(settle(4, 1, 3, 6, &busy), 6); /* too few sequences to help */
    CU_ASSERT_EQUAL(settle(1, 1, 3, 64, &busy), 1);
}

/* A rank without layers has no say; nothing happens until all others have spoken. */
static void test_who_counts(void)
{
    struct sw_pace p;
    struct sw_times times[3] = {
        {.batches = 1, .clock = 1}, {.batches = 1, .clock = 1}, {.clock = 0}};
    CU_ASSERT_EQUAL(sw_pace_open(&p, 2, 3), SW_OK);
    sw_pace_look(&p, 64, times);
    times[0].clock = 2;
    times[0].seconds[SW_ACTIVITY_WAIT] = 1;
    sw_pace_look(&p, 64, times);
    CU_ASSERT_EQUAL(p.groups, 2);
    times[1] = times[0];
    sw_pace_look(&p, 64, times);
    CU_ASSERT_EQUAL(p.groups, 4);
    sw_pace_close(&p);
}

SW_UNIT_TESTS({"rule", test_rule}, {"settles", test_settles}, {"who counts", test_who_counts})
