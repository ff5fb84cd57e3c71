/*
 * How many threads of a pool work while others want their cores.
 *
 * A thread that loses its core in the middle of a chunk keeps the caller waiting, often for longer
 * than its help was worth. So threads rest while too much time is lost, and the others may use all
 * cores meanwhile, so that the system moves them to those that are free. This is the rule alone: it
 * has no clock and no threads. All times are nanoseconds.
 */
#ifndef SW_BASE_POOL_REST_H
#define SW_BASE_POOL_REST_H

#include <stdbool.h>
#include <stdint.h>

struct sw_pool_rest {
    int n, active;      /* threads, and how many work: in [1, n], the caller among them */
    bool bound;         /* each to its own core; only while all work */
    bool on_trial;      /* the last one has come back just now */
    int64_t changed_ns; /* when one last came or went */
    int64_t lost_ns;    /* not forgotten yet */
    int64_t seen_ns;    /* when lost_ns was brought up to date */
    int64_t went_ns;    /* when one last went */
    int64_t pause_ns;   /* how long it rests */
};

/* All n >= 1 threads work, each bound. */
void sw_pool_rest_init(struct sw_pool_rest *rest, int n);
/*
 * Some thread did not run for lost_ns although it had work. True: one thread less is active.
 * That is so when more time is lost than the thread is worth.
 */
bool sw_pool_rest_lost(struct sw_pool_rest *rest, int64_t now_ns, int64_t lost_ns);
/* Before each run. True: one more is active, or all are and may be bound again. */
bool sw_pool_rest_over(struct sw_pool_rest *rest, int64_t now_ns);

#endif
