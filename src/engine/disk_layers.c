/* Owns the thread that reads layers from disk, its buffers, and what is said about its speed. */
#include "engine/disk_layers.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_fail.h"
#include "base/thread_start.h"
#include "base/timed_wait.h"
#include "checkpoint/reader.h"
#include "engine/stage.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DISK_BUFFERS SW_DISK_BUFFERS
#define ALIVE_S 0.1   /* between two signs of life of a stage that waits for a layer */
#define REPORT_S 10.  /* between two lines about the first pass */
#define COPIED_S 2e-4 /* between two looks whether a buffer has been copied */

struct disk_buffer {
    void *block;
    bool is_pinned;
    int layer;                 /* that it holds or is to hold; -1: none */
    uint64_t asked;            /* the number of the request; 0: it is done, or there is none */
    bool is_fetched;           /* the GPU's mark of this buffer passes before it may be written */
    enum sw_status status;     /* of the request, when it is done */
    struct sw_weights weights; /* pointing into the block */
};

struct sw_disk_layers {
    struct sw_disk_options options;
    struct sw_loader loader; /* the thread's */
    pthread_t thread;
    bool has_thread;
    int passes;              /* micro-batches that have begun */
    double reported;         /* sw_clock of the last line */
    uint64_t before;         /* bytes that the reader had read before the first pass */
    atomic_bool stop;        /* ends the thread, and what it reads */
    atomic_bool awaits_copy; /* the thread waits for the GPU, not for the disk */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    struct disk_buffer buffers[DISK_BUFFERS];
    uint64_t n_asked;
    double busy; /* seconds of reading and packing */
    char error[SW_ERROR_MAX];
};

/* ---- the thread that reads */

/* The request that has waited longest; NULL: none. */
static struct disk_buffer *disk_next_request(struct sw_disk_layers *d)
{
    struct disk_buffer *next = NULL;
    for (int i = 0; i < DISK_BUFFERS; i++)
        if (d->buffers[i].asked && (!next || d->buffers[i].asked < next->asked))
            next = &d->buffers[i];
    return next;
}

static enum sw_status disk_progress(void *context, uint64_t bytes)
{
    const struct sw_disk_layers *d = context;
    (void)bytes;
    return atomic_load(&d->stop) ? sw_fail(SW_EINTERRUPTED, "the layers are closed") : SW_OK;
}

/* Waits until the GPU has a copy of what the buffer held. */
static enum sw_status disk_await_copy(struct sw_disk_layers *d, const struct disk_buffer *b)
{
    struct sw_backend *gpu = d->options.gpu;
    bool passed = !b->is_fetched;
    enum sw_status status = SW_OK;
    atomic_store(&d->awaits_copy, !passed);
    while (!passed && (status = disk_progress(d, 0)) == SW_OK &&
           (status = gpu->gpu->passed(gpu, (int)(b - d->buffers), &passed)) == SW_OK && !passed)
        nanosleep(&(struct timespec){.tv_nsec = (long)(COPIED_S * 1e9)}, NULL);
    atomic_store(&d->awaits_copy, false);
    return status;
}

static enum sw_status disk_read_layer(struct sw_disk_layers *d, struct disk_buffer *b)
{
    sw_weights_forget_block(&b->weights);
    enum sw_status status = sw_weights_load_into(&d->loader, b->layer, b->block, &b->weights);
    if (status == SW_OK)
        status = sw_weights_read(&d->loader);
    if (status != SW_OK)
        sw_weights_forget(&d->loader);
    return status;
}

/* Answers a request; *seconds: of reading. */
static enum sw_status disk_answer(struct sw_disk_layers *d, struct disk_buffer *b, double *seconds)
{
    SW_TRY(disk_await_copy(d, b));
    const double start = sw_clock();
    const enum sw_status status = disk_read_layer(d, b);
    *seconds = sw_clock() - start;
    return status;
}

static void *disk_thread(void *argument)
{
    struct sw_disk_layers *d = argument;
    pthread_mutex_lock(&d->lock);
    while (!atomic_load(&d->stop)) {
        struct disk_buffer *b = disk_next_request(d);
        if (!b) {
            pthread_cond_wait(&d->changed, &d->lock);
            continue;
        }
        pthread_mutex_unlock(&d->lock);
        double seconds = 0;
        const enum sw_status status = disk_answer(d, b, &seconds);
        pthread_mutex_lock(&d->lock);
        d->busy += seconds;
        b->status = atomic_load(&d->stop) ? SW_OK : status; /* nobody waits for it */
        b->asked = 0;
        if (status != SW_OK)
            snprintf(d->error, sizeof d->error, "%s", sw_error_message());
        pthread_cond_broadcast(&d->changed);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* ---- requests */

/* The buffers' layers are changed by the thread that uses them only. */
static struct disk_buffer *disk_holding(struct sw_disk_layers *d, int layer)
{
    for (int i = 0; i < DISK_BUFFERS; i++)
        if (d->buffers[i].layer == layer)
            return &d->buffers[i];
    return NULL;
}

/* Requests a layer into a buffer that nobody uses, or a GPU until what was fetched is copied. */
static void disk_request(struct sw_disk_layers *d, struct disk_buffer *b, int layer,
                         bool is_fetched)
{
    pthread_mutex_lock(&d->lock);
    assert(b->asked == 0);
    b->layer = layer;
    b->is_fetched = is_fetched;
    b->asked = ++d->n_asked;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

void sw_disk_layers_begin(struct sw_disk_layers *d)
{
    if (d->passes++ > 0) /* what was left has been asked for again */
        return;
    d->reported = sw_clock();
    d->before = sw_reader_bytes(d->loader.reader);
    for (int i = 0; i < DISK_BUFFERS && i < d->options.count; i++)
        disk_request(d, &d->buffers[i], d->options.first + i, false);
}

bool sw_disk_layers_all_fit(const struct sw_disk_layers *d)
{
    return d->options.count <= DISK_BUFFERS;
}

enum sw_status sw_disk_layers_leave(struct sw_disk_layers *d, int layer)
{
    const struct sw_disk_options *o = &d->options;
    struct disk_buffer *b = disk_holding(d, layer);
    const int next = o->first + (layer - o->first + DISK_BUFFERS) % o->count;
    assert(b);
    if (sw_disk_layers_all_fit(d))
        return SW_OK;
    if (o->gpu)
        SW_TRY(o->gpu->gpu->mark(o->gpu, (int)(b - d->buffers)));
    disk_request(d, b, next, o->gpu != NULL);
    return SW_OK;
}

/* ---- use */

static double disk_rate(const struct sw_disk_layers *d)
{
    return d->busy > 0 ? (double)(sw_reader_bytes(d->loader.reader) - d->before) / d->busy : 0;
}

/* During the first pass, from time to time. Under the lock. */
static void disk_report(struct sw_disk_layers *d, int layer)
{
    const double now = sw_clock();
    if (d->passes > 1 || now - d->reported < REPORT_S)
        return;
    d->reported = now;
    sw_log(SW_LOG_INFO, "first pass: layer %d of %d to %d from disk, %.2f GB/s", layer,
           d->options.first, d->options.first + d->options.count - 1, disk_rate(d) / 1e9);
}

/* A wait for a layer: for bytes, or for the GPU since sw_clock `copy_since`; 0: not for it. */
struct disk_waiting {
    struct sw_reader_wait bytes;
    double copy_since;
};

/* Fails when the wait takes too long, or the stage is to end. */
static enum sw_status disk_go_on(struct sw_disk_layers *d, struct disk_waiting *w)
{
    const struct sw_stage *stage = d->options.stage;
    const double now = sw_clock();
    if (!stage)
        return SW_OK;
    if (stage->keepalive)
        SW_TRY(stage->keepalive(stage->hook_context));
    if (!atomic_load(&d->awaits_copy)) {
        w->copy_since = 0;
        return sw_reader_wait(d->loader.reader, &w->bytes, stage->stall_s);
    }
    w->bytes = (struct sw_reader_wait){0};
    w->copy_since = w->copy_since > 0 ? w->copy_since : now;
    if (stage->stall_s <= 0 || now - w->copy_since <= stage->stall_s)
        return SW_OK;
    return sw_fail(SW_EDEVICE,
                   "%.3g s have passed without the GPU copying a layer; nvidia-smi and dmesg may "
                   "show more",
                   now - w->copy_since);
}

/* Waits for a request, at most ALIVE_S. Under the lock. */
static void disk_wait(struct sw_disk_layers *d)
{
    (void)sw_timed_wait(&d->changed, &d->lock, ALIVE_S);
}

bool sw_disk_layers_ready(struct sw_disk_layers *d, int layer)
{
    const struct disk_buffer *b = disk_holding(d, layer);
    pthread_mutex_lock(&d->lock);
    const bool ready = b && b->asked == 0 && b->status == SW_OK;
    pthread_mutex_unlock(&d->lock);
    return ready;
}

enum sw_status sw_disk_layers_wait(struct sw_disk_layers *d, int layer,
                                   const struct sw_weights **out)
{
    struct disk_buffer *b = disk_holding(d, layer);
    struct disk_waiting waiting = {{0}, 0};
    enum sw_status alive = SW_OK;
    assert(b);
    pthread_mutex_lock(&d->lock);
    while (b->asked && alive == SW_OK) {
        disk_wait(d);
        disk_report(d, layer);
        pthread_mutex_unlock(&d->lock);
        alive = disk_go_on(d, &waiting);
        pthread_mutex_lock(&d->lock);
    }
    enum sw_status status = alive;
    if (alive == SW_OK && b->status != SW_OK)
        status = sw_fail(b->status, "%s", d->error);
    pthread_mutex_unlock(&d->lock);
    *out = &b->weights;
    return status;
}

/* ---- opening and closing */

void sw_disk_layers_close(struct sw_disk_layers *d)
{
    pthread_mutex_lock(&d->lock);
    atomic_store(&d->stop, true);
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    if (sw_reader_is_given_up(d->loader.reader)) { /* the thread never returns, and has all this */
        pthread_detach(d->thread);
        return;
    }
    if (d->has_thread)
        pthread_join(d->thread, NULL);
    if (d->passes > 0 && d->buffers[0].status == SW_OK && d->buffers[1].status == SW_OK)
        sw_log(SW_LOG_INFO, "layers from disk: %.1f GB in %d passes, %.2f GB/s while reading",
               (double)(sw_reader_bytes(d->loader.reader) - d->before) / 1e9, d->passes,
               disk_rate(d) / 1e9);
    struct sw_backend *cpu = d->options.cpu;
    for (int i = 0; i < DISK_BUFFERS; i++) {
        sw_weights_forget_block(&d->buffers[i].weights);
        if (d->buffers[i].is_pinned)
            sw_pins_remove(d->options.pins, d->buffers[i].block);
        cpu->ops->free(cpu, d->buffers[i].block, d->options.layer_bytes);
    }
    sw_weights_forget(&d->loader);
    sw_pool_free(d->loader.pool);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void disk_init(struct sw_disk_layers *d, const struct sw_disk_options *options)
{
    sw_timed_wait_init(&d->changed);
    pthread_mutex_init(&d->lock, NULL);
    d->options = *options;
    d->loader = sw_loader_apart(options->loader, options->cpu, options->gpu, disk_progress, d);
    for (int i = 0; i < DISK_BUFFERS; i++)
        d->buffers[i].layer = -1;
}

static enum sw_status disk_start(struct sw_disk_layers *d)
{
    const struct sw_disk_options *o = &d->options;
    for (int i = 0; i < DISK_BUFFERS; i++) {
        struct disk_buffer *b = &d->buffers[i];
        SW_TRY(o->cpu->ops->alloc(o->cpu, o->layer_bytes, "layers from disk", &b->block));
        b->is_pinned = o->gpu && sw_pins_add(o->pins, b->block, o->layer_bytes);
    }
    const int threads = o->loader->threads > 0 ? o->loader->threads : 1;
    SW_TRY(sw_pool_create(threads, NULL, 0, &d->loader.pool));
    const int error = sw_thread_start(&d->thread, NULL, disk_thread, d);
    d->has_thread = error == 0;
    return error ? sw_thread_fail("the thread that reads layers from disk", error, "") : SW_OK;
}

enum sw_status sw_disk_layers_open(const struct sw_disk_options *options,
                                   struct sw_disk_layers **out)
{
    struct sw_disk_layers *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d)
        return sw_fail(SW_ENOMEM, "no memory for %d layers from disk", options->count);
    disk_init(d, options);
    const enum sw_status status = disk_start(d);
    if (status != SW_OK) {
        sw_disk_layers_close(d);
        return status;
    }
    *out = d;
    return SW_OK;
}
