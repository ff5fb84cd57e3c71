/* Owns a thread that copies to a GPU by its backend, as streamed layers are copied. */
#include "probe/gpu_copying.h"

#include "backend/gpu_library.h"
#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PIECES 2 /* one is copied while the other one is waited for */
#define PIECE_BYTES ((size_t)32 << 20)

struct sw_gpu_copying {
    pthread_t thread;
    int device;
    char *host;
    size_t bytes, piece; /* of `host`; of a copy */
    sem_t ready;         /* the first copies are under way, or there are none */
    atomic_bool stop;
    double rate;
};

static enum sw_status copying_fetch(const struct sw_gpu_copying *c, struct sw_backend *b, int i,
                                    void *d_piece, size_t *at)
{
    *at = *at + c->piece <= c->bytes ? *at : 0;
    SW_TRY(b->gpu->fetch(b, i, d_piece, c->host + *at, c->piece));
    *at += c->piece;
    return SW_OK;
}

static enum sw_status copying_go_on(struct sw_gpu_copying *c, struct sw_backend *b, char *d_data)
{
    size_t at = 0, copied = 0;
    for (int i = 0; i < PIECES; i++)
        SW_TRY(copying_fetch(c, b, i, d_data + (size_t)i * c->piece, &at));
    sem_post(&c->ready);
    const double begin = sw_clock();
    for (int i = 0; copied == 0 || !atomic_load(&c->stop); i = (i + 1) % PIECES) {
        SW_TRY(b->gpu->fetched(b, i));
        SW_TRY(b->ops->sync(b));
        copied += c->piece; /* one at least, however slow the bus is */
        SW_TRY(b->gpu->used(b, i));
        SW_TRY(copying_fetch(c, b, i, d_data + (size_t)i * c->piece, &at));
    }
    c->rate = (double)copied / (sw_clock() - begin);
    for (int i = 0; i < PIECES; i++)
        SW_TRY(b->gpu->fetched(b, i));
    return b->ops->sync(b);
}

static enum sw_status copying_open(struct sw_gpu_copying *c)
{
    const struct sw_gpu_options options = {
        .device = c->device, .max_rows = 1, .max_cols = 1, .max_out = 1};
    const struct sw_gpu_library *library = sw_gpu_library_load(NULL, NULL);
    struct sw_backend *b;
    void *d_data;
    if (!library)
        return sw_fail(SW_EDEVICE, "there is no GPU library");
    SW_TRY(library->open(&options, &b));
    enum sw_status status = b->ops->alloc(b, PIECES * c->piece, "copies", &d_data);
    if (status == SW_OK) {
        status = b->gpu->pin(b, c->host, c->bytes);
        if (status == SW_OK) {
            status = copying_go_on(c, b, d_data);
            b->gpu->unpin(b, c->host);
        }
        b->ops->free(b, d_data, PIECES * c->piece);
    }
    b->ops->close(b);
    return status;
}

static void *copying_run(void *context)
{
    struct sw_gpu_copying *c = context;
    if (copying_open(c) != SW_OK) {
        sw_log(SW_LOG_DEBUG, "what cores and bus read together is not measured: %s",
               sw_error_message());
        sw_error_clear();
        c->rate = 0;
    }
    sem_post(&c->ready);
    return NULL;
}

struct sw_gpu_copying *sw_gpu_copying_start(int device, void *host, size_t bytes)
{
    struct sw_gpu_copying *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->device = device;
    c->host = host;
    c->bytes = bytes;
    c->piece = bytes / PIECES < PIECE_BYTES ? bytes / PIECES : PIECE_BYTES;
    sem_init(&c->ready, 0, 0);
    if (c->piece == 0 || pthread_create(&c->thread, NULL, copying_run, c) != 0) {
        sem_destroy(&c->ready);
        free(c);
        return NULL;
    }
    while (sem_wait(&c->ready) != 0) /* interrupted */
        ;
    return c;
}

double sw_gpu_copying_stop(struct sw_gpu_copying *c)
{
    if (!c)
        return 0;
    atomic_store(&c->stop, true);
    pthread_join(c->thread, NULL);
    const double rate = c->rate;
    sem_destroy(&c->ready);
    free(c);
    return rate;
}
