/* Owns the message about threads that cannot be started. */
#include "base/thread_fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* The system reports EAGAIN for each of these limits. */
static void thread_fail_limits(char *out, size_t cap)
{
    struct rlimit limit;
    char threads[32] = "unlimited";
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(threads, sizeof threads, "%llu", (unsigned long long)limit.rlim_cur);
    snprintf(
        out, cap,
        "raise the limit of threads (ulimit -u, of all the user's programs together, is %s; in "
        "a container pids.max) or of memory (ulimit -v)",
        threads);
}

enum sw_status sw_thread_fail(const char *what, int error, const char *advice)
{
    char limits[256] = "";
    if (error == EAGAIN)
        thread_fail_limits(limits, sizeof limits);
    return sw_fail(SW_EDEVICE, "%s cannot be started: %s%s%s%s%s", what, strerror(error),
                   *limits || *advice ? "; " : "", limits, *limits && *advice ? ", " : "", advice);
}
