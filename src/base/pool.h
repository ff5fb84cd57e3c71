/*
 * A pool of threads that share the chunks of one job at a time.
 *
 * A run is over when its chunks are done, not when every thread has reported, so a thread that a
 * busy machine has suspended delays nothing unless it is in the middle of a chunk. Idle threads
 * spin for some microseconds and then sleep.
 *
 * When each thread is bound to a core and other processes use these cores so much that waiting for
 * a thread costs more than it helps, threads rest: they take no chunks for 50 to 200 ms, and the
 * others are unbound and move to free cores. Then the threads return, one at a time.
 */
#ifndef SW_BASE_POOL_H
#define SW_BASE_POOL_H

#include "base/status.h"

#include <stdint.h>

struct sw_pool;

/* Computes chunk `chunk` of the job. `worker` in [0, threads) is the thread's index, for scratch.
 */
typedef void sw_pool_fn(void *ctx, int64_t chunk, int worker);

/*
 * Makes a pool of `n` threads; one of them is the caller of sw_pool_run. cores: (n_cores)
 * operating-system CPU numbers; NULL: no binding. If n == n_cores each thread is bound to its own
 * core, also thread 0, which creates the pool. Otherwise all threads may use all of these cores,
 * because other processes may use them too, and the system knows which are idle.
 * SW_EUSAGE: n < 1. SW_EDEVICE: a thread cannot be started (base/thread_fail.h). A core that cannot
 * be bound is skipped. Threads of pools that are not bound, and other threads (thread_start.h), use
 * all cores of the pool that was made last with cores.
 */
enum sw_status sw_pool_create(int n, const int *cores, int n_cores, struct sw_pool **out);
/* Waits for the threads to end. `pool` may be NULL. */
void sw_pool_free(struct sw_pool *pool);
/* The number of threads; 1 for NULL. */
int sw_pool_threads(const struct sw_pool *pool);

/*
 * Calls fn for chunks 0 … n_chunks-1, each once, on any free thread, and returns when all are done.
 * One run at a time. Threads rest only in runs of the thread that created the pool. With one chunk,
 * one thread, or a NULL pool the caller computes all chunks.
 */
void sw_pool_run(struct sw_pool *pool, sw_pool_fn *fn, void *ctx, int64_t n_chunks);

#endif
