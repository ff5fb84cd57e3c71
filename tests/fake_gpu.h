/*
 * A GPU made of a second CPU backend, for tests of what lies where: the same arithmetic, so that
 * bits can be compared, but memory of its own that is limited and counted. Copies that overlap
 * computing are done as late as they may be, and their target holds NaN until then; memory is NaN
 * when it is new. What a real device would not forgive is counted as a fault.
 */
#ifndef SW_TESTS_FAKE_GPU_H
#define SW_TESTS_FAKE_GPU_H

#include "backend/gpu_library.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_GPUS 64
#define FAKE_PIECES 4096
#define FAKE_FETCHES 16

struct fake_piece {
    const char *start; /* NULL: unused */
    size_t bytes;
};

struct fake_gpu {
    struct sw_backend *backend; /* NULL: unused */
    const struct sw_backend_ops *cpu;
    struct sw_backend_ops ops;
    uint64_t used, peak, limit;
    int calls, fail_at; /* of alloc; this one fails (0: none) */
    bool is_gpu;
    struct fake_piece memory[FAKE_PIECES], pinned[FAKE_PIECES];
    struct {
        int buffer, number;
        char *dst;
        const char *src;
        size_t bytes;
    } fetches[FAKE_FETCHES];
    int n_fetches, n_unpacked;
    int n_asked, marks[2]; /* fetches so far; those before a mark */
    uint64_t fetched_bytes;
    bool in_use[SW_GPU_BUFFERS], repeating;
    uint64_t replays;
    int n_turns;      /* products after one on another device */
    char checked[64]; /* what was looked at last, whether it is finite */
};

/* What a closed one leaves behind. */
struct fake_report {
    uint64_t peak, left, fetched;
    int faults, unpacked, pins_left, turns;
    char fault[128]; /* the first */
    char checked[64];
};

static struct fake_gpu fake_gpus[FAKE_GPUS];
static struct fake_report fake_report_of[FAKE_GPUS];
static const struct sw_backend *fake_last; /* that computed a product */
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;

static inline int fake_index(const struct sw_backend *b)
{
    int found = -1;
    pthread_mutex_lock(&fake_lock);
    for (int i = 0; i < FAKE_GPUS && found < 0; i++)
        if (fake_gpus[i].backend == b)
            found = i;
    pthread_mutex_unlock(&fake_lock);
    return found;
}

static inline struct fake_gpu *fake_of(const struct sw_backend *b)
{
    return &fake_gpus[fake_index(b)];
}

static inline void fake_fault(const struct sw_backend *b, const char *what)
{
    struct fake_report *r = &fake_report_of[fake_index(b)];
    if (r->faults++ == 0)
        snprintf(r->fault, sizeof r->fault, "%s", what);
}

static inline struct fake_piece *fake_piece_of(struct fake_piece *pieces, const void *p,
                                               size_t bytes)
{
    const char *at = p;
    for (int i = 0; i < FAKE_PIECES; i++)
        if (pieces[i].start && at >= pieces[i].start &&
            at + bytes <= pieces[i].start + pieces[i].bytes)
            return &pieces[i];
    return NULL;
}

static inline void fake_note(struct fake_piece *pieces, const void *p, size_t bytes)
{
    for (int i = 0; i < FAKE_PIECES; i++)
        if (!pieces[i].start) {
            pieces[i] = (struct fake_piece){p, bytes};
            return;
        }
    abort();
}

/* Every pointer that an operation is given must be the device's. */
static inline void fake_mine(struct sw_backend *b, const void *d_p, size_t bytes, const char *what)
{
    if (d_p && !fake_piece_of(fake_of(b)->memory, d_p, bytes))
        fake_fault(b, what);
}

static inline enum sw_status fake_alloc(struct sw_backend *b, size_t bytes, const char *what,
                                        void **d_out)
{
    struct fake_gpu *g = fake_of(b);
    *d_out = NULL;
    if (++g->calls == g->fail_at || bytes > g->limit - g->used)
        return sw_fail(SW_ENOMEM, "%zu bytes of GPU memory for %s cannot be allocated", bytes,
                       what);
    SW_TRY(g->cpu->alloc(b, bytes, what, d_out));
    if (g->is_gpu)
        memset(*d_out, 0xff, bytes);
    fake_note(g->memory, *d_out, bytes);
    g->used += bytes;
    g->peak = g->used > g->peak ? g->used : g->peak;
    return SW_OK;
}

static inline void fake_free(struct sw_backend *b, void *d_p, size_t bytes)
{
    struct fake_gpu *g = fake_of(b);
    if (!d_p)
        return;
    struct fake_piece *piece = fake_piece_of(g->memory, d_p, bytes);
    if (!piece || piece->start != d_p || piece->bytes != bytes)
        fake_fault(b, "freed what was not allocated so");
    else
        piece->start = NULL;
    struct fake_piece *pinned = fake_piece_of(g->pinned, d_p, bytes);
    if (pinned)
        fake_fault(b, "freed while pinned");
    g->used -= bytes;
    g->cpu->free(b, d_p, bytes);
}

static inline enum sw_status fake_upload(struct sw_backend *b, void *d_dst, const void *src,
                                         size_t bytes)
{
    fake_mine(b, d_dst, bytes, "an upload goes elsewhere");
    if (fake_of(b)->repeating)
        fake_fault(b, "an upload among what is to be repeated");
    if (fake_piece_of(fake_of(b)->memory, src, 1))
        fake_fault(b, "an upload comes from the device");
    return fake_of(b)->cpu->upload(b, d_dst, src, bytes);
}

static inline enum sw_status fake_download(struct sw_backend *b, void *dst, const void *d_src,
                                           size_t bytes)
{
    fake_mine(b, d_src, bytes, "a download comes from elsewhere");
    if (fake_of(b)->repeating)
        fake_fault(b, "a download among what is to be repeated");
    if (fake_piece_of(fake_of(b)->memory, dst, 1))
        fake_fault(b, "a download goes to the device");
    return fake_of(b)->cpu->download(b, dst, d_src, bytes);
}

static inline void fake_embed(struct sw_backend *b, const struct sw_matrix *m, const int32_t *ids,
                              int64_t n, float *d_y, int64_t ld_y)
{
    fake_mine(b, m->d_data, 1, "embed reads elsewhere");
    fake_mine(b, d_y, 1, "embed writes elsewhere");
    if (fake_of(b)->repeating)
        fake_fault(b, "ids among what is to be repeated");
    fake_of(b)->cpu->embed(b, m, ids, n, d_y, ld_y);
}

static inline void fake_norm(struct sw_backend *b, enum sw_norm kind, float eps, const float *d_x,
                             int64_t ld_x, int64_t n, int64_t dim, const float *d_weight,
                             const float *d_bias, float *d_y, int64_t ld_y)
{
    fake_mine(b, d_x, 1, "norm reads elsewhere");
    fake_mine(b, d_weight, 1, "norm's weight is elsewhere");
    fake_mine(b, d_bias, 1, "norm's bias is elsewhere");
    fake_mine(b, d_y, 1, "norm writes elsewhere");
    fake_of(b)->cpu->norm(b, kind, eps, d_x, ld_x, n, dim, d_weight, d_bias, d_y, ld_y);
}

static inline void fake_turn(struct sw_backend *b)
{
    struct fake_gpu *g = fake_of(b);
    pthread_mutex_lock(&fake_lock);
    g->n_turns += fake_last != b;
    fake_last = b;
    pthread_mutex_unlock(&fake_lock);
}

static inline void fake_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                               const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y,
                               bool add)
{
    fake_mine(b, m->d_data, sw_matrix_bytes(m->format, m->rows, m->cols), "a matrix is elsewhere");
    fake_mine(b, d_bias, 1, "a bias is elsewhere");
    fake_mine(b, d_x, 1, "a product reads elsewhere");
    if (fake_of(b)->is_gpu) /* the CPU's may go where the caller wants its logits */
        fake_mine(b, d_y, 1, "a product writes elsewhere");
    fake_turn(b);
    fake_of(b)->cpu->matmul(b, m, d_bias, d_x, ld_x, n, d_y, ld_y, add);
}

/* Only a GPU has it. */
static inline void fake_project(struct sw_backend *b, const struct sw_projection *p,
                                const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y)
{
    const struct sw_matrix *m = p->m;
    if (p->d_norm)
        fake_norm(b, p->norm, p->eps, d_x, ld_x, n, m->cols, p->d_norm, p->d_norm_bias, p->d_h,
                  p->ld_h);
    fake_matmul(b, m, p->d_bias, p->d_norm ? p->d_h : d_x, p->d_norm ? p->ld_h : ld_x, n, d_y, ld_y,
                false);
    if (p->activated)
        fake_of(b)->cpu->activate(b, p->activation, p->gated, d_y, ld_y, n,
                                  p->gated ? m->rows / 2 : m->rows, d_y, ld_y);
}

static inline void fake_place_heads(struct sw_backend *b, const struct sw_heads *heads,
                                    const struct sw_kv *kv, const struct sw_span *spans,
                                    int n_spans)
{
    fake_mine(b, kv->d_data, 1, "the cache is elsewhere");
    fake_mine(b, heads->d_k, 1, "keys are elsewhere");
    fake_mine(b, heads->d_q, 1, "queries are elsewhere");
    fake_mine(b, heads->d_q_norm, 1, "the norm of queries is elsewhere");
    fake_mine(b, heads->rope.d_cos_sin, 1, "the table of angles is elsewhere");
    fake_of(b)->cpu->place_heads(b, heads, kv, spans, n_spans);
}

static inline void fake_kv_copy(struct sw_backend *b, const struct sw_kv *kv, int from, int to,
                                int64_t n)
{
    fake_mine(b, kv->d_data, 1, "the cache is elsewhere");
    fake_of(b)->cpu->kv_copy(b, kv, from, to, n);
}

static inline void fake_attend(struct sw_backend *b, const struct sw_attention *a,
                               const struct sw_kv *kv, const struct sw_span *spans, int n_spans)
{
    fake_mine(b, kv->d_data, 1, "the cache is elsewhere");
    fake_mine(b, a->d_q, 1, "queries are elsewhere");
    fake_mine(b, a->d_slopes, 1, "slopes are elsewhere");
    fake_mine(b, a->d_out, 1, "attention writes elsewhere");
    fake_of(b)->cpu->attend(b, a, kv, spans, n_spans);
}

static inline void fake_close(struct sw_backend *b)
{
    const int i = fake_index(b);
    struct fake_gpu *g = &fake_gpus[i];
    struct fake_report *r = &fake_report_of[i];
    r->peak = g->peak;
    r->left = g->used;
    r->unpacked = g->n_unpacked;
    r->fetched = g->fetched_bytes;
    r->turns = g->n_turns;
    memcpy(r->checked, g->checked, sizeof r->checked);
    for (int k = 0; k < FAKE_PIECES; k++)
        r->pins_left += g->pinned[k].start != NULL;
    const struct sw_backend_ops *cpu = g->cpu;
    b->ops = cpu;
    pthread_mutex_lock(&fake_lock);
    *g = (struct fake_gpu){0};
    pthread_mutex_unlock(&fake_lock);
    cpu->close(b);
}

static inline enum sw_status fake_pin(struct sw_backend *b, void *host, size_t bytes)
{
    fake_note(fake_of(b)->pinned, host, bytes);
    return SW_OK;
}

static inline void fake_unpin(struct sw_backend *b, void *host)
{
    struct fake_piece *piece = fake_piece_of(fake_of(b)->pinned, host, 1);
    if (piece && piece->start == host)
        piece->start = NULL;
    else
        fake_fault(b, "unpinned what is not pinned");
}

static inline enum sw_status fake_fetch(struct sw_backend *b, int buffer, void *d_dst,
                                        const void *src, size_t bytes)
{
    struct fake_gpu *g = fake_of(b);
    fake_mine(b, d_dst, bytes, "a fetch goes elsewhere");
    if (!fake_piece_of(g->pinned, src, bytes))
        fake_fault(b, "fetched from memory that is not pinned");
    if (g->in_use[buffer])
        fake_fault(b, "fetched into a buffer that is in use");
    if (g->n_fetches == FAKE_FETCHES)
        abort();
    pthread_mutex_lock(&fake_lock);
    g->fetches[g->n_fetches].buffer = buffer;
    g->fetches[g->n_fetches].number = ++g->n_asked;
    g->fetches[g->n_fetches].dst = d_dst;
    g->fetches[g->n_fetches].src = src;
    g->fetches[g->n_fetches++].bytes = bytes;
    pthread_mutex_unlock(&fake_lock);
    g->fetched_bytes += bytes;
    memset(d_dst, 0xff, bytes);
    return SW_OK;
}

static inline enum sw_status fake_fetched(struct sw_backend *b, int buffer)
{
    struct fake_gpu *g = fake_of(b);
    int n = 0;
    pthread_mutex_lock(&fake_lock);
    for (int i = 0; i < g->n_fetches; i++)
        if (g->fetches[i].buffer == buffer)
            memcpy(g->fetches[i].dst, g->fetches[i].src, g->fetches[i].bytes);
        else
            g->fetches[n++] = g->fetches[i];
    g->n_fetches = n;
    pthread_mutex_unlock(&fake_lock);
    g->in_use[buffer] = true;
    return SW_OK;
}

static inline enum sw_status fake_used(struct sw_backend *b, int buffer)
{
    fake_of(b)->in_use[buffer] = false;
    return SW_OK;
}

static inline enum sw_status fake_unpack(struct sw_backend *b, const void *d_packed,
                                         struct sw_matrix *m)
{
    const size_t bytes = (size_t)sw_matrix_bytes(m->format, m->rows, m->cols);
    fake_mine(b, d_packed, bytes, "unpacked from elsewhere");
    fake_mine(b, m->d_data, bytes, "unpacked to elsewhere");
    fake_of(b)->n_unpacked++;
    memcpy(m->d_data, d_packed, bytes);
    return SW_OK;
}

static inline enum sw_status fake_mark(struct sw_backend *b, int mark)
{
    struct fake_gpu *g = fake_of(b);
    pthread_mutex_lock(&fake_lock);
    g->marks[mark] = g->n_asked;
    pthread_mutex_unlock(&fake_lock);
    return SW_OK;
}

static inline enum sw_status fake_passed(struct sw_backend *b, int mark, bool *out)
{
    const struct fake_gpu *g = fake_of(b);
    pthread_mutex_lock(&fake_lock);
    *out = true;
    for (int i = 0; i < g->n_fetches; i++)
        *out = *out && g->fetches[i].number > g->marks[mark];
    pthread_mutex_unlock(&fake_lock);
    return SW_OK;
}

static inline void fake_host_clear(struct sw_backend *b, struct sw_matrix *m)
{
    (void)fake_of(b)->cpu->matrix_clear(b, m);
}

/* The layout of this GPU is the CPU's. */
static inline enum sw_status fake_host_put(struct sw_backend *b, struct sw_matrix *m,
                                           const struct sw_matrix_rows *rows)
{
    if (fake_piece_of(fake_of(b)->memory, m->d_data, 1))
        fake_fault(b, "rows for host memory are put on the device");
    return fake_of(b)->cpu->matrix_put(b, m, rows);
}

static inline enum sw_status fake_check_finite(struct sw_backend *b, const float *d_x, int64_t ld,
                                               int64_t n, int64_t dim, const char *where)
{
    fake_mine(b, d_x, 1, "checked elsewhere");
    snprintf(fake_of(b)->checked, sizeof fake_of(b)->checked, "%s", where);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < dim; i++)
            if (d_x[r * ld + i] - d_x[r * ld + i] != 0)
                return sw_fail(SW_EDEVICE, "%s is not finite", where);
    return SW_OK;
}

static inline enum sw_status fake_upload_rows(struct sw_backend *b, void *d_dst, size_t ld_bytes,
                                              const void *src, size_t bytes, int64_t n)
{
    for (int64_t r = 0; r < n; r++)
        SW_TRY(fake_upload(b, (char *)d_dst + (size_t)r * ld_bytes,
                           (const char *)src + (size_t)r * bytes, bytes));
    return SW_OK;
}

static inline enum sw_status fake_download_rows(struct sw_backend *b, void *dst, const void *d_src,
                                                size_t ld_bytes, size_t bytes, int64_t n)
{
    for (int64_t r = 0; r < n; r++)
        SW_TRY(fake_download(b, (char *)dst + (size_t)r * bytes,
                             (const char *)d_src + (size_t)r * ld_bytes, bytes));
    return SW_OK;
}

/* Nothing is kept, but what could not be is a fault. */
static inline enum sw_status fake_repeat(struct sw_backend *b, const struct sw_gpu_sequence *q)
{
    struct fake_gpu *g = fake_of(b);
    g->repeating = g->is_gpu;
    g->replays++;
    const enum sw_status status = q->enqueue(q->context);
    g->repeating = false;
    return status;
}

static inline uint64_t fake_replays(const struct sw_backend *b)
{
    return fake_of(b)->replays;
}

static inline uint64_t fake_allocated(const struct sw_backend *b)
{
    return fake_of(b)->used;
}

/* Nothing of it ever waits. */
static inline void fake_set_wait_hook(struct sw_backend *b, const struct sw_gpu_wait_hook *hook)
{
    (void)b;
    (void)hook;
}

static const struct sw_gpu_ops fake_gpu_ops = {.pin = fake_pin,
                                               .unpin = fake_unpin,
                                               .fetch = fake_fetch,
                                               .fetched = fake_fetched,
                                               .used = fake_used,
                                               .mark = fake_mark,
                                               .passed = fake_passed,
                                               .host_clear = fake_host_clear,
                                               .unpack = fake_unpack,
                                               .host_put = fake_host_put,
                                               .check_finite = fake_check_finite,
                                               .upload_rows = fake_upload_rows,
                                               .download_rows = fake_download_rows,
                                               .replay = fake_repeat,
                                               .replays = fake_replays,
                                               .allocated = fake_allocated,
                                               .set_wait_hook = fake_set_wait_hook};

/* From now on `b`, a CPU backend, is counted. The result is its place in fake_report_of. */
static inline int fake_wrap(struct sw_backend *b, bool is_gpu, uint64_t limit)
{
    pthread_mutex_lock(&fake_lock);
    int i = 0;
    while (fake_gpus[i].backend)
        i++;
    struct fake_gpu *g = &fake_gpus[i];
    fake_report_of[i] = (struct fake_report){0};
    *g = (struct fake_gpu){.cpu = b->ops, .ops = *b->ops, .limit = limit, .is_gpu = is_gpu};
    g->ops.close = fake_close;
    g->ops.alloc = fake_alloc;
    g->ops.free = fake_free;
    g->ops.embed = fake_embed;
    g->ops.norm = fake_norm;
    g->ops.matmul = fake_matmul;
    g->ops.place_heads = fake_place_heads;
    g->ops.kv_copy = fake_kv_copy;
    g->ops.attend = fake_attend;
    if (is_gpu) {
        g->ops.name = "gpu";
        g->ops.upload = fake_upload;
        g->ops.download = fake_download;
        g->ops.project = fake_project;
        g->ops.activated_matmul = NULL;
    }
    b->ops = &g->ops;
    b->gpu = is_gpu ? &fake_gpu_ops : NULL;
    g->backend = b;
    pthread_mutex_unlock(&fake_lock);
    return i;
}

static inline enum sw_status fake_open(const struct sw_gpu_options *o, int threads, const char *isa,
                                       struct sw_backend **out, int *index)
{
    const struct sw_cpu_options cpu = {
        .threads = threads, .isa = isa, .max_rows = o->max_rows, .max_cols = o->max_cols};
    SW_TRY(sw_backend_cpu_open(&cpu, out));
    *index = fake_wrap(*out, true, o->memory);
    return SW_OK;
}

#endif
