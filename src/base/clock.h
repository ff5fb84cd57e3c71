/* A monotonic clock: seconds since some fixed moment. */
#ifndef SW_BASE_CLOCK_H
#define SW_BASE_CLOCK_H

#include <time.h>

static inline double sw_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
