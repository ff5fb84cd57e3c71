/*
 * How much time the threads of a pool lose to others: they have work and do not run. Looks at
 * processor time, each look a system call, so rarely. All times are nanoseconds.
 */
#ifndef SW_BASE_POOL_LOSS_H
#define SW_BASE_POOL_LOSS_H

#include <stdint.h>
#include <time.h>

/* A worker, as the caller who waits for it sees it. */
struct sw_pool_runner {
    clockid_t clock; /* its processor time */
    int64_t mark_ns; /* what that said at the last mark */
};

/* The caller itself. Begins as zeros. */
struct sw_pool_caller {
    int64_t looked_ns, cpu_ns; /* the last look: time of day and its processor time */
    int64_t awake_ns;          /* within runs since then, not asleep */
};

int64_t sw_pool_clock_ns(clockid_t clock);

/* Marks how much each of n workers has run. Returns the time of day, of CLOCK_MONOTONIC. */
int64_t sw_pool_mark(struct sw_pool_runner *runners, int n);
/* For how long since that mark not even the busiest of them ran. */
int64_t sw_pool_lost_since(const struct sw_pool_runner *runners, int n, int64_t marked_ns);

/*
 * Called by the caller after each run, in which it was awake from `from` to `until`: how much it
 * has lost since the last look, 0 where a look is not due. Time between runs does not count,
 * because it may have slept there.
 */
int64_t sw_pool_caller_lost(struct sw_pool_caller *caller, int64_t from, int64_t until);

#endif
