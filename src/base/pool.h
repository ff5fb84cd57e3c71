/*
 * A pool of threads that share out the chunks of one job at a time.
 *
 * A run is over when its chunks are done, not when every thread has checked in, so a thread that a
 * busy machine has put aside holds nothing up unless it is in the middle of a chunk. Idle threads
 * spin for some microseconds and then sleep.
 *
 * Where each thread is bound to a core and others use these cores so much that waiting for a thread
 * costs more than it does, threads rest: they take no chunks for 50 to 200 ms, and the others, no
 * longer bound, go to the cores that are free. Then the threads are tried again, one at a time.
 */
#ifndef SW_BASE_POOL_H
#define SW_BASE_POOL_H

#include "base/status.h"

#include <stdint.h>

struct sw_pool;

/* Does chunk `chunk` of the job. `worker` in [0, threads): which thread this is, for scratch. */
typedef void sw_pool_fn(void *ctx, int64_t chunk, int worker);

/*
 * `n` threads, the caller of sw_pool_run being one of them. cores: (n_cores) operating-system CPU
 * numbers; NULL: no binding. A thread for each core: each is bound to its own, thread 0 (the thread
 * that creates the pool) included. Fewer or more threads: all may use all of these cores, because
 * other processes may use them as well, and the system knows which are idle.
 * SW_EUSAGE: n < 1. SW_EDEVICE: a thread cannot be started (base/thread_fail.h). A core that cannot
 * be bound is skipped.
 */
enum sw_status sw_pool_create(int n, const int *cores, int n_cores, struct sw_pool **out);
/* Waits for the threads to end. NULL is fine. */
void sw_pool_free(struct sw_pool *pool);
int sw_pool_threads(const struct sw_pool *pool);

/*
 * Calls fn for chunks 0 … n_chunks-1, each once, on whichever thread is free, and returns when all
 * are done. One run at a time. Threads rest only in runs of the thread that created the pool. With
 * one chunk, one thread, or a NULL pool the caller does it alone.
 */
void sw_pool_run(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, int64_t n_chunks);

#endif
