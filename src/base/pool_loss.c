/* Lost time of a pool's threads: elapsed time less processor time. */
#include "base/pool_loss.h"

#define CHECK_NS 10000000 /* between two checks of the caller's processor time */

int64_t sw_pool_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t sw_pool_mark(struct sw_pool_runner *runners, int n)
{
    for (int i = 0; i < n; i++)
        runners[i].mark_ns = sw_pool_clock_ns(runners[i].clock);
    return sw_pool_clock_ns(CLOCK_MONOTONIC);
}

int64_t sw_pool_lost_since(const struct sw_pool_runner *runners, int n, int64_t marked_ns)
{
    int64_t most = 0;
    for (int i = 0; i < n; i++) {
        const int64_t ran = sw_pool_clock_ns(runners[i].clock) - runners[i].mark_ns;
        most = ran > most ? ran : most;
    }
    const int64_t lost = sw_pool_clock_ns(CLOCK_MONOTONIC) - marked_ns - most;
    return lost > 0 ? lost : 0;
}

int64_t sw_pool_caller_lost(struct sw_pool_caller *caller, int64_t from, int64_t until)
{
    caller->awake_ns += until - from;
    if (until - caller->checked_ns < CHECK_NS)
        return 0;
    const int64_t cpu = sw_pool_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    const int64_t lost = caller->awake_ns - (cpu - caller->cpu_ns);
    *caller = (struct sw_pool_caller){.checked_ns = until, .cpu_ns = cpu};
    return lost > 0 ? lost : 0;
}
