/*
 * Owns the store of layers that stay on disk: each is read from the checkpoint as it was published,
 * and packed, for every micro-batch anew. A thread of the store reads the next layer into the other
 * of two buffers while this one is computed; after the last layer it reads the first ones for the
 * next micro-batch. The file is looked at again for each layer, so that one that changed is named.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_fail.h"
#include "checkpoint/reader.h"
#include "engine/stage.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DISK_BUFFERS SW_DISK_BUFFERS
#define ALIVE_S 0.1  /* between two signs of life of a stage that waits for a layer */
#define REPORT_S 10. /* between two lines about the first pass */

struct disk_buffer {
    void *block;
    int layer;                 /* that it holds or is to hold; -1: none */
    uint64_t asked;            /* the number of the request; 0: it is done, or there is none */
    enum sw_status status;     /* of the request, when it is done */
    struct sw_weights weights; /* pointing into the block */
};

struct disk_store {
    struct sw_store base; /* must be first: disk_of converts a pointer to it */
    struct sw_disk_options options;
    struct sw_loader loader; /* the thread's */
    pthread_t thread;
    bool has_thread;
    int first, end;   /* the layers of this micro-batch */
    int passes;       /* micro-batches that have begun */
    double reported;  /* sw_clock of the last line */
    uint64_t before;  /* bytes that the reader had read before the first pass */
    atomic_bool stop; /* ends the thread, and what it reads */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    struct disk_buffer buffers[DISK_BUFFERS];
    uint64_t n_asked;
    double busy; /* seconds of reading and packing */
    char error[SW_ERROR_MAX];
};

static struct disk_store *disk_of(struct sw_store *s)
{
    return (struct disk_store *)(void *)s;
}

/* ---- the thread that reads */

/* The request that has waited longest; NULL: none. */
static struct disk_buffer *disk_next_request(struct disk_store *s)
{
    struct disk_buffer *next = NULL;
    for (int i = 0; i < DISK_BUFFERS; i++)
        if (s->buffers[i].asked && (!next || s->buffers[i].asked < next->asked))
            next = &s->buffers[i];
    return next;
}

static enum sw_status disk_progress(void *context, uint64_t bytes)
{
    const struct disk_store *s = context;
    (void)bytes;
    return atomic_load(&s->stop) ? sw_fail(SW_EINTERRUPTED, "the store is closed") : SW_OK;
}

static enum sw_status disk_read_layer(struct disk_store *s, struct disk_buffer *b)
{
    sw_weights_forget_block(&b->weights);
    enum sw_status status = sw_weights_load_into(&s->loader, b->layer, b->block, &b->weights);
    if (status == SW_OK)
        status = sw_weights_read(&s->loader);
    if (status != SW_OK)
        sw_weights_forget(&s->loader);
    return status;
}

static void *disk_thread(void *argument)
{
    struct disk_store *s = argument;
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stop)) {
        struct disk_buffer *b = disk_next_request(s);
        if (!b) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        const double start = sw_clock();
        const enum sw_status status = disk_read_layer(s, b);
        pthread_mutex_lock(&s->lock);
        s->busy += sw_clock() - start;
        b->status = atomic_load(&s->stop) ? SW_OK : status; /* nobody waits for it */
        b->asked = 0;
        if (status != SW_OK)
            snprintf(s->error, sizeof s->error, "%s", sw_error_message());
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- requests */

static struct disk_buffer *disk_holding(struct disk_store *s, int layer)
{
    for (int i = 0; i < DISK_BUFFERS; i++)
        if (s->buffers[i].layer == layer)
            return &s->buffers[i];
    return NULL;
}

/* The layer that is used `ahead` layers after this one; the first follows the last. */
static int disk_following(const struct disk_store *s, int layer, int ahead)
{
    return s->first + (layer - s->first + ahead) % (s->end - s->first);
}

/* Requests a layer into a buffer that nobody uses. */
static void disk_request(struct disk_store *s, struct disk_buffer *b, int layer)
{
    pthread_mutex_lock(&s->lock);
    assert(b->asked == 0);
    b->layer = layer;
    b->asked = ++s->n_asked;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* The store loads nothing before it is used; the plan counted the layer's bytes for the disk. */
static enum sw_status disk_load(struct sw_store *s, struct sw_loader *loader, int layer)
{
    (void)s, (void)loader, (void)layer;
    return SW_OK;
}

static enum sw_status disk_begin(struct sw_store *base, int first, int end)
{
    struct disk_store *s = disk_of(base);
    s->first = first;
    s->end = end;
    if (s->passes++ > 0) /* release has asked for the first layers */
        return SW_OK;
    s->reported = sw_clock();
    s->before = sw_reader_bytes(s->loader.reader);
    for (int i = 0; i < DISK_BUFFERS && i < end - first; i++)
        disk_request(s, &s->buffers[i], first + i);
    return SW_OK;
}

/* ---- use */

static double disk_rate(const struct disk_store *s)
{
    return s->busy > 0 ? (double)(sw_reader_bytes(s->loader.reader) - s->before) / s->busy : 0;
}

/* During the first pass, from time to time. Under the lock. */
static void disk_report(struct disk_store *s, int layer)
{
    const double now = sw_clock();
    if (s->passes > 1 || now - s->reported < REPORT_S)
        return;
    s->reported = now;
    sw_log(SW_LOG_INFO, "first pass: layer %d of %d to %d from disk, %.2f GB/s", layer, s->first,
           s->end - 1, disk_rate(s) / 1e9);
}

static enum sw_status disk_stay_alive(const struct disk_store *s)
{
    const struct sw_stage *stage = s->options.stage;
    return stage && stage->keepalive ? stage->keepalive(stage->hook_context) : SW_OK;
}

/* Waits for a request, at most ALIVE_S. Under the lock. */
static void disk_wait(struct disk_store *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ALIVE_S * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

static enum sw_status disk_acquire(struct sw_store *base, int layer, const struct sw_weights **out)
{
    struct disk_store *s = disk_of(base);
    struct disk_buffer *b = disk_holding(s, layer);
    enum sw_status alive = SW_OK;
    assert(b);
    pthread_mutex_lock(&s->lock);
    while (b->asked && alive == SW_OK) {
        disk_wait(s);
        disk_report(s, layer);
        pthread_mutex_unlock(&s->lock);
        alive = disk_stay_alive(s);
        pthread_mutex_lock(&s->lock);
    }
    enum sw_status status = alive;
    if (alive == SW_OK && b->status != SW_OK)
        status = sw_fail(b->status, "%s", s->error);
    pthread_mutex_unlock(&s->lock);
    *out = &b->weights;
    return status;
}

/* Matrices are read where they are. */
static enum sw_status disk_matrix(struct sw_store *s, const struct sw_matrix **m)
{
    (void)s, (void)m;
    return SW_OK;
}

/* The CPU has computed: the buffer is free for the layer after the next. */
static enum sw_status disk_release(struct sw_store *base, int layer)
{
    struct disk_store *s = disk_of(base);
    const int next = disk_following(s, layer, DISK_BUFFERS);
    if (!disk_holding(s, next))
        disk_request(s, disk_holding(s, layer), next);
    return SW_OK;
}

/* ---- opening and closing */

static uint64_t disk_bytes(const struct sw_store *s)
{
    (void)s;
    return 0; /* none are a GPU's */
}

static void disk_close(struct sw_store *base)
{
    struct disk_store *s = disk_of(base);
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    if (s->passes > 0 && s->buffers[0].status == SW_OK && s->buffers[1].status == SW_OK)
        sw_log(SW_LOG_INFO, "layers from disk: %.1f GB in %d passes, %.2f GB/s while reading",
               (double)(sw_reader_bytes(s->loader.reader) - s->before) / 1e9, s->passes,
               disk_rate(s) / 1e9);
    struct sw_backend *cpu = s->options.cpu;
    for (int i = 0; i < DISK_BUFFERS; i++) {
        sw_weights_forget_block(&s->buffers[i].weights);
        cpu->ops->free(cpu, s->buffers[i].block, s->options.layer_bytes);
    }
    sw_weights_forget(&s->loader);
    sw_pool_free(s->loader.pool);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const struct sw_store_ops disk_ops = {.load = disk_load,
                                             .begin = disk_begin,
                                             .acquire = disk_acquire,
                                             .matrix = disk_matrix,
                                             .release = disk_release,
                                             .bytes = disk_bytes,
                                             .close = disk_close};

static void disk_init(struct disk_store *s, const struct sw_disk_options *options)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->lock, NULL);
    const struct sw_loader *l = options->loader;
    s->base.ops = &disk_ops;
    s->options = *options;
    s->loader = (struct sw_loader){.model = l->model,
                                   .tensors = l->tensors,
                                   .reader = l->reader,
                                   .backend = options->cpu,
                                   .threads = l->threads,
                                   .past_cache = true, /* no memory is left */
                                   .apart = true,
                                   .params = l->params,
                                   .progress = disk_progress,
                                   .context = s};
    for (int i = 0; i < DISK_BUFFERS; i++)
        s->buffers[i].layer = -1;
}

static enum sw_status disk_start(struct disk_store *s)
{
    const struct sw_disk_options *o = &s->options;
    for (int i = 0; i < DISK_BUFFERS; i++)
        SW_TRY(
            o->cpu->ops->alloc(o->cpu, o->layer_bytes, "layers from disk", &s->buffers[i].block));
    const int threads = o->loader->threads > 0 ? o->loader->threads : 1;
    SW_TRY(sw_pool_create(threads, NULL, 0, &s->loader.pool));
    const int error = pthread_create(&s->thread, NULL, disk_thread, s);
    s->has_thread = error == 0;
    return error ? sw_thread_fail("the thread that reads layers from disk", error, "") : SW_OK;
}

enum sw_status sw_store_disk_open(const struct sw_disk_options *options, struct sw_store **out)
{
    struct disk_store *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", options->layers.count);
    disk_init(s, options);
    const enum sw_status status = disk_start(s);
    if (status != SW_OK) {
        disk_close(&s->base);
        return status;
    }
    *out = &s->base;
    return SW_OK;
}
