/* Owns the limit of stacks. */
#include "base/stack.h"

#include <pthread.h>
#include <sys/resource.h>

#define USUAL_BYTES ((rlim_t)8 << 20) /* the default of most systems */
/* Parsers and templates limit their depth so that they fit in this. */
#define LEAST_BYTES ((rlim_t)1 << 20)

/* The main thread's stack grows up to its present limit; others are mapped as a whole. */
static void stack_raise_main(struct rlimit *limit)
{
    const struct rlimit wanted = {USUAL_BYTES,
                                  limit->rlim_max < USUAL_BYTES ? USUAL_BYTES : limit->rlim_max};
    const struct rlimit allowed = {limit->rlim_max, limit->rlim_max};
    if (limit->rlim_cur >= USUAL_BYTES)
        return;
    if (setrlimit(RLIMIT_STACK, &wanted) == 0)
        *limit = wanted;
    else if (setrlimit(RLIMIT_STACK, &allowed) == 0)
        *limit = allowed;
}

/* The C library uses the limit at the program's start for all threads. */
static void stack_raise_threads(void)
{
    pthread_attr_t attributes;
    size_t bytes;
    if (pthread_getattr_default_np(&attributes) != 0)
        return;
    if (pthread_attr_getstacksize(&attributes, &bytes) == 0 && bytes < LEAST_BYTES &&
        pthread_attr_setstacksize(&attributes, LEAST_BYTES) == 0)
        (void)pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

enum sw_status sw_stack_prepare(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0)
        return SW_OK;
    stack_raise_main(&limit);
    stack_raise_threads();
    if (limit.rlim_cur >= LEAST_BYTES)
        return SW_OK;
    return sw_fail(SW_EDEVICE,
                   "stacks may take %llu KiB here, at least %llu are needed; raise the limit "
                   "(ulimit -s %llu)",
                   (unsigned long long)limit.rlim_cur >> 10, (unsigned long long)LEAST_BYTES >> 10,
                   (unsigned long long)USUAL_BYTES >> 10);
}
