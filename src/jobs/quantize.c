/* Owns a whole job of quantizing: who makes which tensor, and what is noted as done. */
#include "jobs/quantize.h"

#include "base/clock.h"
#include "base/cpu_info.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/version.h"
#include "checkpoint/bnb_export.h"
#include "checkpoint/fit.h"
#include "checkpoint/open_model.h"
#include "jobs/identity.h"
#include "jobs/quantize_folder.h"
#include "jobs/quantize_tensor.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What is written and not yet safe is at most so much, or of so many seconds. */
#define SYNC_BYTES ((uint64_t)256 << 20)
#define SYNC_SECONDS 2
#define KIND_DONE 1 /* a message: numbers of tensors that are safe */

/* All of one rank's part. */
struct quantizing {
    const struct sw_quantize_job *job;
    struct sw_transport *t;
    bool folder;
    char *path; /* of the large file */
    struct sw_model *model;
    struct sw_tensors tensors;
    struct sw_export_plan plan;
    struct sw_strbuf identity;
    struct sw_quantize_file file;
    struct sw_quantizer quantizer;
    uint64_t *fresh; /* (n_fresh) tensors that are written and not yet safe */
    size_t n_fresh;
    uint64_t unsafe;     /* bytes of them */
    double synced;       /* time when there were none */
    uint64_t read, left; /* bytes of sources; `left` is what all ranks have to read */
    struct sw_progress progress;
};

/* ---- opening */

/* What the bytes of the file follow from: the sources, the plan, this program. */
static enum sw_status quantize_identify(struct quantizing *q)
{
    static const uint64_t key[2] = {0x5370696c6c776179, 0x7175616e74};
    struct sw_identity identity;
    char header[33];
    SW_TRY(sw_identity_make(q->job->in, &q->tensors, &identity));
    sw_digest_text(sw_hash_of(key, q->plan.header.text, q->plan.header.length), header);
    sw_strbuf_printf(&q->identity, "quantize 1 %s %s %s", identity.digest, header, sw_source_id());
    return q->identity.failed ? sw_fail(SW_ENOMEM, "no memory for a digest") : SW_OK;
}

static enum sw_status quantize_open_pool(struct quantizing *q)
{
    int *cores, n, threads, alike = 0;
    SW_TRY(sw_cpu_cores(NULL, &cores, &n));
    for (int r = 0; r < q->t->size; r++)
        alike += q->t->ranks[r].node == q->t->ranks[q->t->rank].node;
    threads = q->job->threads ? q->job->threads : n > alike ? n / alike : 1;
    const enum sw_status status = sw_pool_create(threads, cores, n, &q->quantizer.pool);
    free(cores);
    return status;
}

/* Whether the head is the embedding: rank 0 alone compares their values. */
static enum sw_status quantize_agree_on_head(struct quantizing *q)
{
    char tied = 0;
    void *bytes = &tied;
    size_t n = 1;
    if (q->t->rank == 0)
        SW_TRY(sw_checkpoint_fit_values(q->model, &q->tensors));
    tied = q->model->dims.tied;
    SW_TRY(sw_transport_broadcast(q->t, 0, &bytes, &n));
    if (n == 1)
        q->model->dims.tied = *(const char *)bytes;
    if (bytes != &tied)
        free(bytes);
    return n == 1 ? SW_OK : sw_fail(SW_EPEER, "the ranks run different programs");
}

static enum sw_status quantize_plan(struct quantizing *q)
{
    const char *in = q->job->in;
    SW_TRY(sw_open_model_and_tensors(in, &q->model, &q->tensors));
    SW_TRY(sw_checkpoint_stored(in, q->model));
    SW_TRY(sw_checkpoint_fit(q->model, &q->tensors));
    SW_TRY(quantize_agree_on_head(q));
    if (q->t->rank == 0)
        sw_model_log_warnings(q->model);
    SW_TRY((q->folder ? sw_bnb_export_make : sw_gguf_export_make)(in, q->model, &q->tensors,
                                                                  &q->job->choice, &q->plan));
    SW_TRY(quantize_identify(q));
    q->fresh = calloc(q->plan.n_tensors + 1, sizeof *q->fresh);
    if (!q->fresh)
        return sw_fail(SW_ENOMEM, "no memory for a list of tensors");
    SW_TRY(quantize_open_pool(q));
    return sw_reader_open(&q->tensors, &q->quantizer.reader);
}

/* What lies beside a folder's weights is there before they are. */
static enum sw_status quantize_fill_folder(struct quantizing *q)
{
    struct sw_strbuf config = {0};
    enum sw_status status = sw_bnb_export_config(q->job->in, q->model, &q->job->choice, &config);
    if (status == SW_OK)
        status = sw_quantize_folder_fill(q->job->in, q->job->out, &config);
    sw_strbuf_free(&config);
    return status;
}

static enum sw_status quantize_begin_file(struct quantizing *q)
{
    if (q->folder)
        SW_TRY(sw_quantize_folder_make(q->job->out));
    SW_TRY(sw_quantize_file_open(q->path, q->identity.text, &q->plan.header, q->plan.size,
                                 q->plan.n_tensors, &q->file));
    return q->folder ? quantize_fill_folder(q) : SW_OK;
}

/* Rank 0 opens the file and says what of it is done; then others find it. */
static enum sw_status quantize_open_file(struct quantizing *q)
{
    const size_t n = q->plan.n_tensors;
    void *done = NULL;
    size_t length = 0;
    if (q->t->rank == 0) {
        SW_TRY(quantize_begin_file(q));
        done = q->file.done;
        length = n;
    }
    SW_TRY(sw_transport_broadcast(q->t, 0, &done, &length));
    if (q->t->rank == 0)
        return SW_OK;
    enum sw_status status = length == n ? SW_OK
                                        : sw_fail(SW_EPEER, "the ranks run different programs or "
                                                            "see different models");
    if (status == SW_OK)
        status = sw_quantize_file_join(q->path, q->identity.text, q->plan.size, n, &q->file);
    if (status == SW_OK)
        memcpy(q->file.done, done, n);
    free(done);
    return status;
}

/* ---- noting what is done */

/* Rank 0 keeps the journal. */
static enum sw_status quantize_note(struct quantizing *q)
{
    const size_t n = q->n_fresh;
    if (n == 0)
        return SW_OK;
    SW_TRY(sw_quantize_file_sync(&q->file));
    q->n_fresh = 0;
    q->unsafe = 0;
    q->synced = sw_clock();
    if (q->t->rank == 0)
        return sw_quantize_file_note(&q->file, q->fresh, n);
    struct sw_message message = {.kind = KIND_DONE};
    return sw_transport_send(q->t, 0, &message, q->fresh, n * sizeof *q->fresh);
}

static enum sw_status quantize_take_note(struct quantizing *q)
{
    struct sw_message message;
    const size_t n_tensors = q->plan.n_tensors;
    SW_TRY(sw_transport_recv_head(q->t, SW_ANY_RANK, &message));
    const size_t n = (size_t)(message.bytes / sizeof(uint64_t));
    if (message.kind != KIND_DONE || message.bytes % sizeof(uint64_t) || n > n_tensors)
        return sw_fail(SW_EPEER, "rank %d sent a message that is none of a quantizing job",
                       (int)message.source);
    uint64_t *done = malloc((n + 1) * sizeof *done);
    if (!done)
        return sw_fail(SW_ENOMEM, "no memory for a message");
    enum sw_status status = sw_transport_recv_payload(q->t, &message, done);
    for (size_t i = 0; i < n && status == SW_OK; i++) {
        if (done[i] >= n_tensors)
            status =
                sw_fail(SW_EPEER, "rank %d made a tensor that there is not", (int)message.source);
        else
            q->read += sw_quantize_input_bytes(&q->plan.tensors[done[i]]);
    }
    if (status == SW_OK)
        status = sw_quantize_file_note(&q->file, done, n);
    free(done);
    return status;
}

/* ---- making */

static enum sw_status quantize_progress(void *context, uint64_t bytes)
{
    struct quantizing *q = context;
    bool ready = false;
    q->read += bytes;
    SW_TRY(sw_transport_alive(q->t));
    if (q->t->rank != 0)
        return SW_OK;
    sw_progress_update(&q->progress, q->read, "");
    if (q->t->size == 1)
        return SW_OK;
    do {
        SW_TRY(sw_transport_poll(q->t, SW_ANY_RANK, &ready));
        if (ready)
            SW_TRY(quantize_take_note(q));
    } while (ready);
    return SW_OK;
}

/* Tensors go to the ranks in the order of the file, each about as many bytes as another. */
static int quantize_rank_of(const struct quantizing *q, uint64_t before, uint64_t bytes)
{
    const double middle = (double)before + (double)bytes / 2;
    const int rank = (int)(middle / ((double)q->left + 1) * q->t->size);
    return rank < q->t->size ? rank : q->t->size - 1;
}

static enum sw_status quantize_all(struct quantizing *q)
{
    uint64_t before = 0;
    const unsigned char *found = q->file.done;
    unsigned char *mine = calloc(q->plan.n_tensors + 1, 1);
    if (!mine)
        return sw_fail(SW_ENOMEM, "no memory for a list of tensors");
    for (size_t i = 0; i < q->plan.n_tensors; i++) {
        const uint64_t bytes = sw_quantize_input_bytes(&q->plan.tensors[i]);
        if (found[i])
            continue;
        mine[i] = quantize_rank_of(q, before, bytes) == q->t->rank;
        before += bytes;
    }
    enum sw_status status = SW_OK;
    for (size_t i = 0; i < q->plan.n_tensors && status == SW_OK; i++) {
        if (!mine[i])
            continue;
        status = sw_quantize_tensor(&q->quantizer, &q->plan.tensors[i]);
        if (status != SW_OK)
            break;
        q->fresh[q->n_fresh++] = i;
        q->unsafe += q->plan.tensors[i].bytes;
        if (q->unsafe >= SYNC_BYTES || sw_clock() - q->synced > SYNC_SECONDS)
            status = quantize_note(q);
    }
    free(mine);
    return status == SW_OK ? quantize_note(q) : status;
}

/* Rank 0 waits for what others make. */
static enum sw_status quantize_finish(struct quantizing *q)
{
    if (q->t->rank != 0) {
        SW_TRY(sw_transport_flush(q->t));
        return sw_transport_barrier(q->t);
    }
    for (size_t i = 0; i < q->plan.n_tensors; i++)
        while (!q->file.done[i]) {
            SW_TRY(quantize_take_note(q));
            sw_progress_update(&q->progress, q->read, "");
        }
    SW_TRY(sw_quantize_file_finish(&q->file));
    return sw_transport_barrier(q->t);
}

static enum sw_status quantize_run(struct quantizing *q, struct sw_quantize_result *result)
{
    q->path = q->folder ? sw_path_join(q->job->out, "model.safetensors") : strdup(q->job->out);
    if (!q->path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    if (q->t->rank == 0)
        SW_TRY((q->folder ? sw_quantize_folder_check : sw_quantize_file_check)(q->job->out));
    SW_TRY(quantize_plan(q));
    SW_TRY(quantize_open_file(q));
    for (size_t i = 0; i < q->plan.n_tensors; i++) {
        result->n_found += q->file.done[i];
        q->left += q->file.done[i] ? 0 : sw_quantize_input_bytes(&q->plan.tensors[i]);
    }
    if (result->n_found > 0 && q->t->rank == 0)
        sw_log(SW_LOG_INFO, "%s: goes on behind %zu of %zu tensors", q->file.part, result->n_found,
               q->plan.n_tensors);
    sw_progress_begin(&q->progress, "quantizing", q->left, q->job->quiet || q->t->rank != 0);
    q->quantizer.file = &q->file;
    q->quantizer.progress = quantize_progress;
    q->quantizer.context = q;
    q->synced = sw_clock();
    SW_TRY(quantize_all(q));
    SW_TRY(quantize_finish(q));
    sw_progress_end(&q->progress, q->read);
    result->n_tensors = q->plan.n_tensors;
    result->read_bytes = q->read;
    result->file_bytes = q->plan.size;
    return SW_OK;
}

bool sw_quantize_is_gguf(const char *out)
{
    static const char end[] = ".gguf";
    const size_t n = strlen(out);
    return n > sizeof end - 1 && strcmp(out + n - (sizeof end - 1), end) == 0;
}

static uint64_t quantize_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

enum sw_status sw_quantize(const struct sw_quantize_job *job, struct sw_transport *t,
                           struct sw_quantize_result *result)
{
    struct quantizing q = {.job = job,
                           .t = t,
                           .folder = !sw_quantize_is_gguf(job->out),
                           .file = {.fd = -1, .journal_fd = -1}};
    const double started = sw_clock();
    *result = (struct sw_quantize_result){0};
    const enum sw_status status = quantize_run(&q, result);
    result->seconds = sw_clock() - started;
    result->peak_bytes = quantize_peak();
    sw_reader_close(q.quantizer.reader);
    sw_pool_free(q.quantizer.pool);
    sw_quantizer_free(&q.quantizer);
    sw_quantize_file_close(&q.file);
    sw_export_plan_free(&q.plan);
    sw_tensors_free(&q.tensors);
    sw_model_close(q.model);
    sw_strbuf_free(&q.identity);
    free(q.fresh);
    free(q.path);
    return status;
}
