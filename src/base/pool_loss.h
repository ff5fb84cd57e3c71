/*
 * The time that a pool's threads lose to other processes: they have work but do not run. Reading
 * processor time is a system call, so it is done rarely. All times are nanoseconds.
 */
#ifndef SW_BASE_POOL_LOSS_H
#define SW_BASE_POOL_LOSS_H

#include <stdint.h>
#include <time.h>

/* A worker for which the caller waits. */
struct sw_pool_runner {
    clockid_t clock; /* clock of the worker's processor time */
    int64_t mark_ns; /* the worker's processor time at the last mark */
};

/* The caller itself; zeros at first. */
struct sw_pool_caller {
    int64_t checked_ns; /* time of the last check */
    int64_t cpu_ns;     /* the caller's processor time at the last check */
    int64_t awake_ns;   /* time awake in runs since the last check */
};

int64_t sw_pool_clock_ns(clockid_t clock);

/* Stores the processor time of each of n workers. Returns the time, of CLOCK_MONOTONIC. */
int64_t sw_pool_mark(struct sw_pool_runner *runners, int n);
/* The time since that mark in which not even the busiest worker ran. */
int64_t sw_pool_lost_since(const struct sw_pool_runner *runners, int n, int64_t marked_ns);

/*
 * To be called after each run, in which the caller was awake from `from` to `until`. Returns the
 * time it lost since the last check; 0 when no check is due. Time between runs does not count,
 * because the caller may sleep then.
 */
int64_t sw_pool_caller_lost(struct sw_pool_caller *caller, int64_t from, int64_t until);

#endif
