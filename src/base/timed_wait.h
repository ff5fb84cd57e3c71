/* Waiting on a condition for some seconds, by the clock that nobody sets. */
#ifndef SW_BASE_TIMED_WAIT_H
#define SW_BASE_TIMED_WAIT_H

#include <pthread.h>
#include <time.h>

/* A condition whose timed waits go by CLOCK_MONOTONIC. */
void sw_timed_wait_init(pthread_cond_t *condition);
/* That clock's time so many seconds from now, for pthread_cond_timedwait. */
struct timespec sw_timed_wait_until(double seconds);
/* pthread_cond_timedwait for so many seconds. */
int sw_timed_wait(pthread_cond_t *condition, pthread_mutex_t *lock, double seconds);

#endif
