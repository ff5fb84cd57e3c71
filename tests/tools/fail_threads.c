/*
 * For LD_PRELOAD: from thread number SPILLWAY_FAIL_THREAD (from 1) on none can be started, as where
 * a user's limit of processes is reached; SPILLWAY_FAIL_ONE=1: only that one fails.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_int threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *context)
{
    static __typeof__(&pthread_create) next;
    const char *first = getenv("SPILLWAY_FAIL_THREAD"), *one = getenv("SPILLWAY_FAIL_ONE");
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    const int number = atomic_fetch_add(&threads, 1) + 1;
    if (first && (one && *one ? number == atoi(first) : number >= atoi(first)))
        return EAGAIN;
    return next(thread, attributes, run, context);
}
