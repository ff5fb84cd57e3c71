/*
 * How many threads of a pool are active while other processes use their cores.
 *
 * A thread that loses its core in the middle of a chunk makes the caller wait, often longer than
 * its help was worth. So threads rest while too much time is lost; meanwhile the others may use all
 * cores, so that the system moves them to free ones. This is the rule alone: it has no clock and no
 * threads. All times are nanoseconds.
 */
#ifndef SW_BASE_POOL_REST_H
#define SW_BASE_POOL_REST_H

#include <stdbool.h>
#include <stdint.h>

struct sw_pool_rest {
    int n;              /* threads */
    int active;         /* threads that do not rest, with the caller: in [1, n] */
    bool bound;         /* each thread is bound to its own core; only while all are active */
    bool on_trial;      /* the last active thread has just returned */
    int64_t changed_ns; /* time of the last change of `active` */
    int64_t lost_ns;    /* lost time, decaying */
    int64_t seen_ns;    /* time at which lost_ns was updated */
    int64_t went_ns;    /* time at which a thread last began to rest */
    int64_t pause_ns;   /* duration of that rest */
};

/* All n >= 1 threads are active and bound. */
void sw_pool_rest_init(struct sw_pool_rest *rest, int n);
/*
 * Some thread had work but did not run for lost_ns. True: `active` is one less, because more time
 * is lost than the thread is worth.
 */
bool sw_pool_rest_lost(struct sw_pool_rest *rest, int64_t now_ns, int64_t lost_ns);
/* To be called before each run. True: `active` is one more, or all are active and bound again. */
bool sw_pool_rest_over(struct sw_pool_rest *rest, int64_t now_ns);

#endif
