/* Owns loading, with a progress bar on rank 0 that counts all ranks' bytes. */
#include "session/session_impl.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "checkpoint/read_watch.h"
#include "engine/wire.h"
#include "probe/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_BETWEEN 0.2

struct loading {
    struct sw_session *s;
    struct sw_progress bar;
    uint64_t *done, *total; /* (ranks) bytes, on rank 0 */
    double reported;        /* time of the last report */
    int n_loading;          /* on rank 0: other ranks that have not finished */
    bool is_short;          /* on rank 0: some rank did not get the memory for its slice */
};

static uint64_t loading_bytes(const struct sw_session *s, int rank)
{
    const struct sw_plan_stage *stage = &s->plan.stages[rank];
    return stage->count == 0 ? 0
                             : stage->host.weights + stage->host.embed + stage->host.head +
                                   stage->gpu.weights + stage->gpu.embed + stage->gpu.head;
}

static void loading_show(struct loading *l)
{
    const int size = l->s->transport->size;
    uint64_t done = 0;
    int slowest = 0;
    double least = 2;
    char note[64] = "", name[SW_HOST_MAX + 32];
    for (int r = 0; r < size; r++) {
        const double share = l->total[r] ? (double)l->done[r] / (double)l->total[r] : 1;
        done += l->done[r];
        if (share < least) {
            least = share;
            slowest = r;
        }
    }
    if (size > 1)
        snprintf(note, sizeof note, "%.40s at %.0f%%",
                 sw_transport_name(l->s->transport, slowest, name, sizeof name), 100 * least);
    sw_progress_update(&l->bar, done, note);
}

static enum sw_status loading_take(struct loading *l)
{
    struct sw_message m;
    struct sw_load_body body;
    SW_TRY(sw_transport_recv(l->s->transport, SW_ANY_RANK, &m, NULL, 0));
    if (m.kind != SW_MSG_LOAD)
        return sw_fail(SW_EPEER,
                       "rank %d sent an unexpected message while loading; start the same "
                       "program on every host",
                       m.source);
    memcpy(&body, m.body, sizeof body);
    l->done[m.source] = body.bytes;
    if (body.finished)
        l->n_loading--;
    l->is_short = l->is_short || body.is_short;
    return SW_OK;
}

static enum sw_status loading_send(struct loading *l, uint64_t bytes, bool finished, bool is_short)
{
    struct sw_message m = {.kind = SW_MSG_LOAD};
    const struct sw_load_body body = {bytes, finished, is_short};
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(l->s->transport, 0, &m, NULL, 0);
}

static enum sw_status loading_progress(void *context, uint64_t bytes)
{
    struct loading *l = context;
    struct sw_transport *t = l->s->transport;
    const double now = sw_clock();
    bool ready;
    SW_TRY(sw_transport_alive(t));
    if (now - l->reported < SECONDS_BETWEEN)
        return SW_OK;
    l->reported = now;
    if (t->rank != 0)
        return loading_send(l, bytes, false, false);
    l->done[0] = bytes;
    for (;;) {
        SW_TRY(sw_transport_poll(t, SW_ANY_RANK, &ready));
        if (!ready)
            break;
        SW_TRY(loading_take(l));
    }
    loading_show(l);
    return SW_OK;
}

/* *past_cache: whether this machine may lack the room for the model's files in the page cache
 * beside weights made of them. Where it has room, the next start finds them there. */
static enum sw_status loading_judge_cache(const struct sw_session *s, bool *past_cache)
{
    struct sw_host_memory memory;
    uint64_t files = 0;
    for (int i = 0; i < s->tensors.n_files; i++)
        files += s->tensors.files[i].size;
    SW_TRY(sw_memory_read("", &memory));
    *past_cache = files > sw_memory_left(&memory) / 2;
    return SW_OK;
}

static enum sw_status loading_open_worker(struct loading *l, uint64_t *bytes)
{
    struct sw_session *s = l->s;
    struct sw_loader loader = {.tensors = s->reader ? &s->tensors : NULL,
                               .reader = s->reader,
                               .progress = loading_progress,
                               .context = l};
    SW_TRY(loading_judge_cache(s, &loader.past_cache));
    SW_TRY(sw_session_backends(s));
    loader.pool = s->pool;
    loader.threads = sw_pool_threads(s->cpu ? sw_backend_cpu_pool(s->cpu) : s->pool);
    const struct sw_worker_options options = {.model = s->model,
                                              .cpu = s->cpu,
                                              .gpu = s->gpu,
                                              .transport = s->transport,
                                              .params = s->params,
                                              .slices = s->slices,
                                              .vocab_limit = s->vocab_limit,
                                              .pool = s->pool,
                                              .bus_id = sw_session_bus_id(s),
                                              .host_only = s->settings.host_only,
                                              .expert_uses = s->expert_uses,
                                              .routes = s->settings.routes != NULL};
    enum sw_status status = sw_worker_open(&options, &loader, &s->worker);
    if (status == SW_OK && sw_session_is_driver(s))
        status = sw_driver_open(s->worker, &s->driver);
    *bytes = loader.bytes;
    return status;
}

/* When all ranks have finished: rank 0 sends whether any was short of memory. */
static enum sw_status loading_share_result(struct loading *l, bool *is_short)
{
    char flag = l->is_short ? 's' : 'g';
    void *bytes = &flag;
    size_t n = 1;
    SW_TRY(sw_transport_broadcast(l->s->transport, 0, &bytes, &n));
    *is_short = n == 1 && *(const char *)bytes == 's';
    if (bytes != &flag)
        free(bytes);
    return SW_OK;
}

/* A sw_read_watch_fn. */
static void loading_lost(void *context, enum sw_status status)
{
    sw_transport_raise(context, status);
}

/* Opens the worker, which reads in this thread: a disk that never answers would keep it. */
static enum sw_status loading_watch_worker(struct loading *l, uint64_t *bytes)
{
    struct sw_session *s = l->s;
    struct sw_read_watch *watch = NULL;
    if (s->reader)
        SW_TRY(sw_read_watch_start(s->reader, s->transport->options.stall_s, loading_lost,
                                   s->transport, &watch));
    const enum sw_status status = loading_open_worker(l, bytes);
    sw_read_watch_stop(watch);
    return status;
}

static enum sw_status loading_load(struct loading *l, bool *is_short)
{
    struct sw_transport *t = l->s->transport;
    uint64_t bytes = 0;
    const enum sw_status status = loading_watch_worker(l, &bytes);
    const bool mine = is_short && status == SW_ENOMEM;
    if (status != SW_OK && !mine)
        return status;
    if (mine) {
        char name[SW_HOST_MAX + 32];
        sw_log(SW_LOG_WARN, "%s: %s", sw_transport_name(t, t->rank, name, sizeof name),
               sw_error_message());
        sw_error_clear();
    }
    if (t->rank != 0) {
        SW_TRY(loading_send(l, bytes, true, mine));
    } else {
        l->done[0] = bytes;
        l->is_short = l->is_short || mine;
    }
    while (t->rank == 0 && l->n_loading > 0) {
        SW_TRY(loading_take(l));
        loading_show(l);
    }
    return is_short ? loading_share_result(l, is_short) : SW_OK;
}

enum sw_status sw_session_load(struct sw_session *s, bool *is_short)
{
    const size_t size = (size_t)s->transport->size;
    struct loading l = {.s = s, .n_loading = s->transport->size - 1};
    uint64_t total = 0;
    l.done = calloc(size, sizeof *l.done);
    l.total = calloc(size, sizeof *l.total);
    if (!l.done || !l.total) {
        free(l.done);
        free(l.total);
        return sw_fail(SW_ENOMEM, "no memory for %zu ranks", size);
    }
    for (size_t r = 0; r < size && s->plan.stages; r++)
        total += l.total[r] = loading_bytes(s, (int)r);
    sw_progress_begin(&l.bar, s->reader ? "loading" : "making up weights", total,
                      s->settings.quiet || s->transport->rank != 0);
    const double start = sw_clock();
    const enum sw_status status = loading_load(&l, is_short);
    s->load_s = sw_clock() - start;
    for (size_t r = total = 0; r < size; r++) /* places for experts may stay empty */
        total += l.done[r];
    if (s->transport->rank == 0)
        sw_progress_end(&l.bar, total);
    free(l.done);
    free(l.total);
    return status;
}
