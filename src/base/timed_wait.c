/* Owns the arithmetic of waits that end. */
#include "base/timed_wait.h"

void sw_timed_wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct timespec sw_timed_wait_until(double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const time_t whole = (time_t)seconds;
    until.tv_nsec += (long)((seconds - (double)whole) * 1e9);
    until.tv_sec += whole + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

int sw_timed_wait(pthread_cond_t *condition, pthread_mutex_t *lock, double seconds)
{
    const struct timespec until = sw_timed_wait_until(seconds);
    return pthread_cond_timedwait(condition, lock, &until);
}
