/* When threads of a pool rest: a leaking count of lost time, trials, and pauses that grow. */
#include "base/pool_rest.h"

#define MS INT64_C(1000000)
#define LOST_MOST (8 * MS) /* two or three time slices of another process, not one */
#define LOST_ON_TRIAL (1 * MS)
#define TRIAL (20 * MS) /* longer than a time slice */
#define PAUSE_LEAST (50 * MS)
#define PAUSE_MOST (200 * MS)
#define CALM (3 * PAUSE_MOST) /* after this time without a rest, pauses start short again */

void sw_pool_rest_init(struct sw_pool_rest *rest, int n)
{
    *rest = (struct sw_pool_rest){.n = n, .active = n, .bound = true};
}

static void rest_set(struct sw_pool_rest *rest, int active, int64_t now_ns)
{
    rest->on_trial = active > rest->active;
    rest->bound = false;
    rest->active = active;
    rest->changed_ns = now_ns;
    rest->lost_ns = 0;
}

/*
 * Without one thread of m the others need m / (m - 1) times as long, so a rest pays when more than
 * 1 / m of the time is lost; earlier where memory is the limit, as in decoding. So lost time decays
 * by 3 / (4 m) of the elapsed time.
 */
static int64_t rest_decay(const struct sw_pool_rest *rest, int64_t now_ns)
{
    return (now_ns - rest->seen_ns) / (4 * rest->active) * 3;
}

bool sw_pool_rest_lost(struct sw_pool_rest *rest, int64_t now_ns, int64_t lost_ns)
{
    const int64_t kept = rest->lost_ns - rest_decay(rest, now_ns);
    rest->lost_ns = (kept > 0 ? kept : 0) + lost_ns;
    rest->seen_ns = now_ns;
    if (rest->active == 1 || rest->lost_ns < (rest->on_trial ? LOST_ON_TRIAL : LOST_MOST))
        return false;
    const bool again = rest->pause_ns && now_ns - rest->went_ns < CALM;
    const int64_t longer = 2 * rest->pause_ns;
    rest->pause_ns = !again ? PAUSE_LEAST : longer < PAUSE_MOST ? longer : PAUSE_MOST;
    rest->went_ns = now_ns;
    rest_set(rest, rest->active - 1, now_ns);
    return true;
}

bool sw_pool_rest_over(struct sw_pool_rest *rest, int64_t now_ns)
{
    if (rest->bound || now_ns - rest->changed_ns < (rest->on_trial ? TRIAL : rest->pause_ns))
        return false;
    if (rest->active < rest->n) {
        rest_set(rest, rest->active + 1, now_ns);
    } else {
        rest->on_trial = false;
        rest->bound = true;
    }
    return true;
}
