/*
 * Loaded before libc (LD_PRELOAD): each second the date goes forth by a STEP, and now and then back
 * by many; with CLOCK_BACK it is one STEP behind. What waits by the date waits for ever, or not at
 * all.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define STEP 3600

static long step(long second)
{
    return getenv("CLOCK_BACK") ? -STEP : second % 100 * STEP;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int (*real)(clockid_t, struct timespec *);
    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    const int rc = real(clock, out);
    if (rc == 0 && clock == CLOCK_REALTIME)
        out->tv_sec += step(out->tv_sec);
    return rc;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    const int rc = clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
