/*
 * Owns the thread of the store of experts: it reads what was asked for, packed as loading packs it,
 * and others wait for that.
 */
#include "base/clock.h"
#include "base/timed_wait.h"
#include "checkpoint/reader.h"
#include "engine/expert_store_impl.h"

#include <stdio.h>
#include <time.h>

#define ALIVE_S 0.1 /* between two signs of life of a stage that waits for an expert */
/* Experts are read together until they have so many bytes, so that small ones keep the disk busy
 * and large ones can be computed one by one. */
#define BATCH_BYTES ((uint64_t)32 << 20)

/* Marks what has come of the batch. Under the lock. */
static void experts_mark(struct expert_store *s, bool all)
{
    for (int i = 0; i < s->n_batch; i++) {
        struct sw_expert_place *p = &s->kept.places[s->batch[i]];
        if (p->state == SW_EXPERT_READING && (all || atomic_load(&p->left) == 0)) {
            p->state = SW_EXPERT_HERE;
            pthread_cond_broadcast(&s->changed);
        }
    }
}

/* While the thread reads; nothing of a batch has come before its list is read. */
enum sw_status sw_experts_progress(void *context, uint64_t bytes)
{
    struct expert_store *s = context;
    (void)bytes;
    if (atomic_load(&s->stop))
        return sw_fail(SW_EINTERRUPTED, "the store is closed");
    if (s->loader.left) /* matrices are still being collected */
        return SW_OK;
    pthread_mutex_lock(&s->lock);
    experts_mark(s, false);
    pthread_mutex_unlock(&s->lock);
    return SW_OK;
}

static enum sw_status experts_read_batch(struct expert_store *s)
{
    enum sw_status status = SW_OK;
    for (int i = 0; i < s->n_batch && status == SW_OK; i++) {
        s->loader.left = &s->kept.places[s->batch[i]].left;
        status = sw_expert_places_load(&s->kept, &s->loader, s->batch[i]);
    }
    s->loader.left = NULL;
    return status == SW_OK ? sw_weights_read(&s->loader) : status;
}

static enum sw_status experts_read_whole(struct expert_store *s, int layer)
{
    struct sw_weights *w = &s->kept.layers[layer].weights;
    sw_weights_forget_block(w);
    SW_TRY(sw_weights_load_into(&s->loader, s->options.layers.first + layer, s->kept.spare, w));
    return sw_weights_read(&s->loader);
}

/* The place that has waited longest; -1: none. Under the lock. */
static int experts_next_asked(const struct expert_store *s)
{
    int next = -1;
    for (int p = 0; p < s->kept.cache.n_places; p++)
        if (s->kept.places[p].state == SW_EXPERT_ASKED &&
            (next < 0 || s->kept.places[p].asked < s->kept.places[next].asked))
            next = p;
    return next;
}

/* Takes what is to be read next, all of it needed now or all of it ahead. Under the lock. */
static void experts_take_batch(struct expert_store *s)
{
    uint64_t bytes = 0;
    bool is_ahead = false;
    s->n_batch = 0;
    for (int p; s->n_batch < SW_EXPERT_BATCH && (p = experts_next_asked(s)) >= 0;) {
        bytes += s->kept.layers[s->kept.layer_of[s->kept.cache.key_of[p]]].expert_bytes;
        if (s->n_batch > 0 && (bytes > BATCH_BYTES || s->kept.places[p].is_ahead != is_ahead))
            break;
        is_ahead = s->kept.places[p].is_ahead;
        s->kept.places[p].state = SW_EXPERT_READING;
        atomic_store(&s->kept.places[p].left, 0);
        s->batch[s->n_batch++] = p;
    }
}

/* Reads what was asked for, without the lock. */
static void experts_serve(struct expert_store *s)
{
    const int whole = s->whole;
    experts_take_batch(s);
    pthread_mutex_unlock(&s->lock);
    const double start = sw_clock();
    const enum sw_status status =
        s->n_batch > 0 ? experts_read_batch(s) : experts_read_whole(s, whole);
    if (status != SW_OK)
        sw_weights_forget(&s->loader);
    pthread_mutex_lock(&s->lock);
    s->busy += sw_clock() - start;
    s->n_read += s->n_batch;
    if (s->n_batch == 0)
        s->whole_is_asked = false;
    experts_mark(s, true);
    s->n_batch = 0;
    if (status != SW_OK && s->status == SW_OK && !atomic_load(&s->stop)) {
        s->status = status;
        snprintf(s->error, sizeof s->error, "%s", sw_error_message());
    }
    pthread_cond_broadcast(&s->changed);
}

void *sw_experts_thread(void *argument)
{
    struct expert_store *s = argument;
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stop)) {
        if (s->whole_is_asked || experts_next_asked(s) >= 0)
            experts_serve(s);
        else
            pthread_cond_wait(&s->changed, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- waiting */

/* Fails when no byte comes for too long, or the stage is to end. */
static enum sw_status experts_go_on(const struct expert_store *s, struct sw_reader_wait *wait)
{
    const struct sw_stage *stage = s->options.stage;
    if (!stage)
        return SW_OK;
    if (stage->keepalive)
        SW_TRY(stage->keepalive(stage->hook_context));
    return sw_reader_wait(s->loader.reader, wait, stage->stall_s);
}

/* Waits for the thread, at most ALIVE_S. Under the lock. */
static void experts_wait(struct expert_store *s)
{
    (void)sw_timed_wait(&s->changed, &s->lock, ALIVE_S);
}

/* Whether a place's expert, or with -1 the whole layer, is still to come. Under the lock. */
static bool experts_is_due(const struct expert_store *s, int place)
{
    return place < 0 ? s->whole_is_asked : s->kept.places[place].state != SW_EXPERT_HERE;
}

/* Waits once, without the lock that the caller holds. */
static enum sw_status experts_wait_once(struct expert_store *s, struct sw_reader_wait *waiting)
{
    const double start = sw_clock();
    experts_wait(s);
    s->waited += sw_clock() - start;
    pthread_mutex_unlock(&s->lock);
    const enum sw_status alive = experts_go_on(s, waiting);
    pthread_mutex_lock(&s->lock);
    return alive;
}

static enum sw_status experts_failure(const struct expert_store *s)
{
    return s->status == SW_OK ? SW_OK : sw_fail(s->status, "%s", s->error);
}

enum sw_status sw_experts_wait_a_while(struct expert_store *s, struct sw_reader_wait *waiting)
{
    pthread_mutex_lock(&s->lock);
    enum sw_status status = experts_failure(s);
    if (status == SW_OK)
        status = experts_wait_once(s, waiting);
    if (status == SW_OK)
        status = experts_failure(s);
    pthread_mutex_unlock(&s->lock);
    return status;
}

enum sw_status sw_experts_wait_for(struct expert_store *s, int place)
{
    struct sw_reader_wait waiting = {0};
    enum sw_status status = SW_OK;
    pthread_mutex_lock(&s->lock);
    while (s->status == SW_OK && status == SW_OK && experts_is_due(s, place))
        status = experts_wait_once(s, &waiting);
    if (status == SW_OK)
        status = experts_failure(s);
    pthread_mutex_unlock(&s->lock);
    return status;
}
