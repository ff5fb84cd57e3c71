/*
 * Threads inherit the cores of the thread that starts them, and a pool binds the one that creates
 * it to a single core (pool.h). What is started here may use all cores of that pool.
 */
#ifndef SW_BASE_THREAD_START_H
#define SW_BASE_THREAD_START_H

#include <pthread.h>
#include <sched.h>

/* The cores of the threads that are started from now on; the pool's, when it binds its creator. */
void sw_thread_share_cores(const cpu_set_t *cores);

/* pthread_create. cores: those of this thread; NULL: the shared ones, or the caller's where none
 * are shared yet. Cores that cannot be used are ignored. */
int sw_thread_start(pthread_t *thread, const cpu_set_t *cores, void *(*run)(void *),
                    void *argument);

#endif
