/* One rank without a GPU measures for as long as is said for a plan that has no choice. */
#include "probe/probe.h"
#include "unit.h"

#include <stdlib.h>

#define LONG 60 /* seconds, of which reading and computing alone take a quarter */

static void a_plan_without_a_choice_is_soon_measured(void)
{
    const struct sw_transport_options join = {.silence_s = 600};
    const struct sw_probe_options options = {.seconds = LONG, .forced_s = 0.02, .threads = 1};
    struct sw_transport *t;
    struct sw_probe probe;
    CU_ASSERT_EQUAL_FATAL(sw_transport_open_self(1, &join, &t), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_probe_run(t, &options, &probe), SW_OK);
    const struct sw_probe_rank *rank = &probe.ranks[0];
    if (rank->n_seen == 0) /* a GPU gives a choice */
        CU_ASSERT(probe.seconds < LONG / 5.0);
    CU_ASSERT(rank->flops > 0);
    /* Alone on its node it reads as fast as all ranks there do. */
    CU_ASSERT_EQUAL(rank->alone_bandwidth, rank->read_bandwidth);
    sw_probe_free(&probe);
    CU_ASSERT_EQUAL(sw_transport_finish(t, SW_OK), SW_OK);
}

SW_UNIT_TESTS({"a plan without a choice is soon measured",
               a_plan_without_a_choice_is_soon_measured})
