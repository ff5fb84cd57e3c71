/* Owns the cores that new threads may use. */
#include "base/thread_start.h"

static struct {
    pthread_mutex_t lock;
    cpu_set_t cores; /* none: nothing is shared yet */
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

void sw_thread_share_cores(const cpu_set_t *cores)
{
    pthread_mutex_lock(&shared.lock);
    shared.cores = *cores;
    pthread_mutex_unlock(&shared.lock);
}

/* The thread is bound by its attributes, so that its stack is already touched on its own node. */
int sw_thread_start(pthread_t *thread, const cpu_set_t *cores, void *(*run)(void *), void *argument)
{
    cpu_set_t set;
    if (cores) {
        set = *cores;
    } else {
        pthread_mutex_lock(&shared.lock);
        set = shared.cores;
        pthread_mutex_unlock(&shared.lock);
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (CPU_COUNT(&set) > 0)
        pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    int error = pthread_create(thread, &attributes, run, argument);
    if (error && CPU_COUNT(&set) > 0)
        error = pthread_create(thread, NULL, run, argument);
    pthread_attr_destroy(&attributes);
    return error;
}
