/* Owns the thread that watches another one's reads. */
#include "checkpoint/read_watch.h"

#include "base/thread_fail.h"
#include "base/thread_start.h"
#include "base/timed_wait.h"

#include <pthread.h>
#include <stdlib.h>

#define WATCH_S 0.5 /* between two looks */

struct sw_read_watch {
    struct sw_reader *reader;
    double seconds;
    sw_read_watch_fn *lost;
    void *context;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop; /* under the lock */
};

static void *watch_thread(void *argument)
{
    struct sw_read_watch *w = argument;
    struct sw_reader_wait wait = {0};
    enum sw_status status = SW_OK;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && status == SW_OK) {
        (void)sw_timed_wait(&w->changed, &w->lock, WATCH_S);
        if (w->stop || !sw_reader_is_reading(w->reader))
            wait = (struct sw_reader_wait){0};
        else
            status = sw_reader_wait(w->reader, &wait, w->seconds);
    }
    pthread_mutex_unlock(&w->lock);
    if (status != SW_OK)
        w->lost(w->context, status);
    return NULL;
}

enum sw_status sw_read_watch_start(struct sw_reader *reader, double seconds, sw_read_watch_fn *lost,
                                   void *context, struct sw_read_watch **out)
{
    struct sw_read_watch *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return sw_fail(SW_ENOMEM, "no memory to watch reads");
    *w = (struct sw_read_watch){
        .reader = reader, .seconds = seconds, .lost = lost, .context = context};
    pthread_mutex_init(&w->lock, NULL);
    sw_timed_wait_init(&w->changed);
    const int error = sw_thread_start(&w->thread, NULL, watch_thread, w);
    if (error) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return sw_thread_fail("the thread that watches reads", error, "");
    }
    *out = w;
    return SW_OK;
}

void sw_read_watch_stop(struct sw_read_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
