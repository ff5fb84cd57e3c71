/*
 * Loaded before libc (LD_PRELOAD): the date goes back by STEP seconds again and again, forth at
 * every other look, as no date does that somebody only sets. What waits by the date waits for ever,
 * or not at all.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#define STEP 3600

static long step(void)
{
    static atomic_int looks;
    return atomic_fetch_add(&looks, 1) % 2 ? STEP : -STEP;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int (*real)(clockid_t, struct timespec *);
    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    const int rc = real(clock, out);
    if (rc == 0 && clock == CLOCK_REALTIME)
        out->tv_sec += step();
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
