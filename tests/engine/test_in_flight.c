/* In-flight control: the model, and the number that it reaches in pipelines whose costs it has to
 * fit. */
#include "engine/in_flight.h"

#include "unit.h"

#include <math.h>
#include <string.h>

#define STAGES 4

static void same(struct sw_in_flight_cost *costs, double fixed, double per_row)
{
    for (int i = 0; i < STAGES; i++)
        costs[i] = (struct sw_in_flight_cost){fixed, per_row};
}

static void test_rule(void)
{
    struct sw_in_flight_cost costs[STAGES];
    same(costs, 1, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(sw_in_flight_rate(costs, 4, 0, 64, 4), 64 / (4 * 2.6), 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(sw_in_flight_rate(costs, 4, 5, 64, 4), 64 / (4 * 2.6 + 5), 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(sw_in_flight_rate(costs, 4, 5, 64, 8), 64 / (8 * 1.8), 1e-9);
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 0, 64, 4), 4); /* links without delay: no more */
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 0, 64, 16), 4);
    same(costs, 1, 0); /* only reading weights takes time: more would read them more often */
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 3, 64, 4), 4);
    same(costs, 0.1, 1);
    const int n = sw_in_flight_best(costs, 4, 40, 64, 4);
    CU_ASSERT(sw_in_flight_rate(costs, 4, 40, 64, n) >
              1.5 * sw_in_flight_rate(costs, 4, 40, 64, 4));
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 40, 64, n), n); /* and there it stays */
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 10, 6, 4), 6);  /* never more than sequences */
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 10, 6, 30), 6);
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 1000, 2, 30), 4); /* but one for each stage */
    CU_ASSERT(sw_in_flight_best(costs, 4, 1e9, 100000, 4) <= SW_IN_FLIGHT_MAX * STAGES);
    costs[2].fixed = 50; /* one slow stage is always busy: no idle time to fill */
    CU_ASSERT_EQUAL(sw_in_flight_best(costs, 4, 10, 64, 4), 4);
}

/* A pipeline with a queue before each stage, in which every sequence is in one micro-batch. */
struct line {
    struct sw_in_flight_cost costs[STAGES];
    double wire; /* seconds from each stage to the next, and back to rank 0 */
    int sequences;
    bool single; /* only one micro-batch is let through at a time */
    struct sw_in_flight in_flight;
    struct sw_times times[STAGES];
    double now, back[SW_IN_FLIGHT_MAX * STAGES], free[STAGES];
    int rows[SW_IN_FLIGHT_MAX * STAGES], first, n, ready;
};

static void send(struct line *l, int rows)
{
    const int at = (l->first + l->n++) % (SW_IN_FLIGHT_MAX * STAGES);
    double t = l->now;
    sw_in_flight_sent(&l->in_flight, l->now, rows);
    for (int i = 0; i < STAGES; i++) {
        const double seconds = l->costs[i].fixed + rows * l->costs[i].per_row;
        t = (t > l->free[i] ? t : l->free[i]) + seconds;
        l->free[i] = t;
        t += l->wire;
        struct sw_times *times = &l->times[i];
        times->batches++;
        times->rows += rows;
        times->row_squares += (double)rows * rows;
        times->row_seconds += rows * seconds;
        times->seconds[SW_ACTIVITY_COMPUTE] += seconds;
    }
    l->back[at] = t;
    if (l->single)
        l->free[0] = t;
    l->rows[at] = rows;
    l->ready -= rows;
}

/* Rows a second in the second half of four minutes. */
static double settle(struct line *l)
{
    double rows = 0, reported = 0;
    CU_ASSERT_EQUAL(sw_in_flight_open(&l->in_flight, STAGES, STAGES), SW_OK);
    l->ready = l->sequences;
    send(l, 1); /* one that is smaller */
    while (l->now < 240) {
        const int size = (l->sequences + l->in_flight.groups - 1) / l->in_flight.groups;
        while (l->n < l->in_flight.groups && l->ready > 0)
            send(l, l->ready < size ? l->ready : size);
        l->now = l->back[l->first];
        sw_in_flight_returned(&l->in_flight, l->now);
        rows += l->now > 120 ? l->rows[l->first] : 0;
        l->ready += l->rows[l->first];
        l->first = (l->first + 1) % (SW_IN_FLIGHT_MAX * STAGES);
        l->n--;
        if (l->now > reported + 1) {
            reported = l->now;
            for (int i = 0; i < STAGES; i++)
                l->times[i].clock = l->now;
        }
        sw_in_flight_adapt(&l->in_flight, l->sequences, l->times);
    }
    sw_in_flight_close(&l->in_flight);
    return rows / 120;
}

static double best_rate(const struct line *l)
{
    double best = 0;
    for (int n = STAGES; n <= SW_IN_FLIGHT_MAX * STAGES; n++)
        best = fmax(best, sw_in_flight_rate(l->costs, STAGES, STAGES * l->wire, l->sequences, n));
    return best;
}

static void test_settles(void)
{
    static const struct {
        double fixed, per_row, wire;
        int sequences, more; /* are more micro-batches than stages better? */
    } cases[] = {{0.010, 0.002, 0.0001, 64, 0}, {0.010, 0.002, 0.003, 64, 0},
                 {0.002, 0.002, 0.030, 64, 1},  {0.0005, 0.0002, 0.030, 200, 1},
                 {0.020, 0, 0.010, 64, 0},      {0.001, 0.005, 0.003, 6, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct line fixed = {.wire = cases[i].wire, .sequences = cases[i].sequences};
        same(fixed.costs, cases[i].fixed, cases[i].per_row);
        struct line line = fixed;
        const double rate = settle(&line), best = best_rate(&fixed);
        const double plain =
            sw_in_flight_rate(fixed.costs, STAGES, STAGES * fixed.wire, fixed.sequences, STAGES);
        CU_ASSERT(rate > 0.93 * best);
        CU_ASSERT(!cases[i].more || best > 1.1 * plain);
        if (!(rate > 0.93 * best))
            printf("case %zu: %.1f rows a second of %.1f, with as many as stages %.1f\n", i, rate,
                   best, plain);
    }
}

/* If more are slower than costs and delay predict, the number before is restored. */
static void test_takes_back(void)
{
    struct line line = {.wire = 0.030, .sequences = 64, .single = true};
    same(line.costs, 0.002, 0.002);
    const double round = STAGES * (0.002 + 16 * 0.002 + line.wire);
    CU_ASSERT(sw_in_flight_best(line.costs, STAGES, STAGES * line.wire, line.sequences, STAGES) >
              STAGES);
    const double rate = settle(&line), plain = 16 / round;
    CU_ASSERT(rate > 0.9 * plain);
    if (!(rate > 0.9 * plain))
        printf("%.1f rows a second, with as many as stages %.1f\n", rate, plain);
}

/* A rank without layers is ignored; nothing changes until all others have reported. */
static void test_who_counts(void)
{
    struct sw_in_flight p;
    struct sw_times times[3] = {{.clock = 0}, {.clock = 0}, {.clock = 0}};
    CU_ASSERT_EQUAL(sw_in_flight_open(&p, 2, 3), SW_OK);
    for (int second = 1; second < 9; second++) {
        const bool all = second > 4;
        for (int r = 0; r < 2; r++) {
            if (r == 1 && !all)
                times[r].batches = 1; /* has layers, has not reported yet */
            if (r == 1 && !all)
                continue;
            times[r].clock = second;
            times[r].batches += 10;
            times[r].rows += 60;
            times[r].row_squares += 9 * 16 + 24 * 24;
            times[r].row_seconds += 9 * 4 * 0.004 + 24 * 0.024;
            times[r].seconds[SW_ACTIVITY_COMPUTE] += 9 * 0.004 + 0.024;
        }
        sw_in_flight_sent(&p, second, 4);
        sw_in_flight_returned(&p, second + 0.5);
        sw_in_flight_adapt(&p, 64, times);
        if (!all)
            CU_ASSERT_EQUAL(p.groups, 2);
    }
    CU_ASSERT(p.groups > 4);
    CU_ASSERT_DOUBLE_EQUAL(p.costs[0].per_row, 0.001, 1e-4);
    sw_in_flight_close(&p);
}

SW_UNIT_TESTS({"rule", test_rule}, {"settles", test_settles}, {"takes back", test_takes_back},
              {"who counts", test_who_counts})
