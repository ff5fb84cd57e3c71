/* Owns the life of a session: joining, opening the model, starting, stopping, ending. */
#include "session/session_impl.h"

#include "base/log.h"
#include "base/strbuf.h"
#include "checkpoint/fit.h"
#include "checkpoint/open_model.h"
#include "probe/files.h"
#include "probe/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static enum sw_status session_open_model(struct sw_session *s)
{
    const char *dir = s->settings.model;
    if (s->settings.random_weights)
        return sw_open_model(dir, &s->model);
    SW_TRY(sw_open_model_and_tensors(dir, &s->model, &s->tensors));
    SW_TRY(sw_checkpoint_fit(s->model, &s->tensors));
    return sw_reader_open(&s->tensors, &s->reader);
}

enum sw_status sw_session_open(const struct sw_session_settings *settings, struct sw_session **out)
{
    struct sw_session *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a session");
    s->settings = *settings;
    const struct sw_transport_options options = {
        .silence_s = settings->silence_s, .stop = settings->stop, .safe = settings->safe};
    s->transport = settings->joined;
    if (!s->transport)
        SW_TRY(sw_transport_open(&options, &s->transport));
    const int rank = s->transport->rank;
    if (rank > 0) /* rank 0 logs for all */
        sw_log_label(rank, s->transport->ranks[rank].host);
    SW_TRY(sw_files_same(s->transport, settings->model, &s->tensors, session_open_model(s)));
    if (!sw_session_is_driver(s))
        return SW_OK;
    const enum sw_status status =
        s->reader ? sw_checkpoint_fit_values(s->model, &s->tensors) : SW_OK;
    sw_model_log_warnings(s->model);
    return status;
}

bool sw_session_is_driver(const struct sw_session *s)
{
    return s->transport->rank == 0;
}

enum sw_status sw_session_tokenizer(struct sw_session *s, bool needed)
{
    if (!sw_session_is_driver(s))
        return SW_OK;
    SW_TRY(sw_open_any_tokenizer(s->settings.model, &s->tokenizer));
    /* where there is none, opening it says what is missing */
    return s->tokenizer || !needed ? SW_OK : sw_open_tokenizer(s->settings.model, &s->tokenizer);
}

/* Longer for larger models, whose loading takes longer than that: a twentieth of reading the
 * weights at 1 GB/s. Not at all for a model that fits the caches, unless the verb measures speeds.
 */
static double session_probe_seconds(uint64_t bytes, bool is_measuring)
{
    const double least = is_measuring ? 0.3 : 0.1, seconds = (double)bytes / 20e9;
    if (bytes <= 64000000 && !is_measuring)
        return 0;
    return seconds < least ? least : seconds < 1 ? seconds : 1;
}

/* Memory for so many times the model's files is enough: they may be kept in more bits, beside a KV
 * cache. */
#define FORCED_ROOM 4
#define FORCED_SHARE 0.2 /* of the usual time */

/* The same where one rank without a GPU has all layers in its memory, as nothing else would be
 * faster: speeds are for the prediction only, so the first token does not wait long for them. 0:
 * they may decide something. */
static double session_forced_seconds(const struct sw_session *s, double seconds)
{
    struct sw_host_memory memory;
    uint64_t bytes = 0;
    if (!s->reader || s->settings.measures || s->defaults.most_slots > 0)
        return 0;
    for (int i = 0; i < s->tensors.n_files; i++)
        bytes += s->tensors.files[i].size;
    if (sw_memory_read("", &memory) != SW_OK) { /* the probe reports it */
        sw_error_clear();
        return 0;
    }
    const uint64_t left = sw_memory_left(&memory), most = s->settings.host_memory;
    return bytes < (left < most ? left : most) / FORCED_ROOM ? FORCED_SHARE * seconds : 0;
}

static struct sw_probe_options session_probe_options(const struct sw_session *s)
{
    const uint64_t bytes = 2 * sw_model_parameters(s->model);
    const struct sw_session_settings *o = &s->settings;
    const struct sw_dims *d = &s->model->dims;
    const enum sw_dtype stored = sw_session_stored_format(s);
    const enum sw_format_id weights =
        sw_params_weights(sw_format_id_of(o->weights.all), s->model, stored);
    const enum sw_dtype unquantized =
        sw_format_is_quantized(weights) ? stored : sw_format_of(weights)->dtype;
    const double seconds = session_probe_seconds(bytes, o->measures);
    return (struct sw_probe_options){
        .seconds = seconds,
        .forced_s = session_forced_seconds(s, seconds),
        /* the process has more than this in it when it measures */
        .memory = bytes / 2 < o->host_memory / 4 ? bytes / 2 : o->host_memory / 4,
        .threads = o->threads,
        .share_gpus = o->share_gpus,
        .format = weights,
        .attention = {.kv = o->kv != SW_OTHER ? o->kv : sw_dtype_unquantized(unquantized),
                      .head_dim = d->head_dim,
                      .group = d->n_heads / d->n_kv_heads},
        .path = s->reader ? s->settings.model : NULL};
}

/* Rank 0 sends whether there is anything to do, and `tied`, which only rank 0 reads from the
 * weights. */
static enum sw_status session_agree_on_skip(struct sw_session *s, bool skip)
{
    char message[2] = {skip ? 's' : 'g', s->model->dims.tied ? 't' : 'o'};
    void *bytes = message;
    size_t n = sizeof message;
    SW_TRY(sw_transport_broadcast(s->transport, 0, &bytes, &n));
    if (n == sizeof message)
        memmove(message, bytes, n);
    s->skipped = message[0] == 's';
    s->model->dims.tied = message[1] == 't';
    if (bytes != message)
        free(bytes);
    return n == sizeof message ? SW_OK
                               : sw_fail(SW_EPEER, "the ranks run different programs; start the "
                                                   "same program on every host");
}

enum sw_status sw_session_skip(struct sw_session *s)
{
    return session_agree_on_skip(s, true);
}

/* Logs the probe's warnings, once even when the job is planned twice. */
static enum sw_status session_warn(struct sw_session *s)
{
    struct sw_strbuf text = {0};
    if (s->warned || !sw_session_is_driver(s))
        return SW_OK;
    s->warned = true;
    sw_probe_warn_threads(&s->probe, &text);
    sw_probe_warn_gpus(&s->probe, &text);
    const bool failed = text.failed;
    for (const char *line = failed || !text.text ? "" : text.text; *line;
         line += strcspn(line, "\n") + 1)
        sw_log(SW_LOG_WARN, "%.*s", (int)strcspn(line, "\n"), line);
    sw_strbuf_free(&text);
    return failed ? sw_fail(SW_ENOMEM, "no memory for a warning") : SW_OK;
}

/* Probes, plans and loads; *is_short as in sw_session_load. */
static enum sw_status session_set_up(struct sw_session *s, bool *is_short)
{
    const struct sw_probe_options probe = session_probe_options(s);
    SW_TRY(sw_probe_run(s->transport, &probe, &s->probe));
    s->probed = true;
    if (s->probe.problems[0])
        return sw_fail(SW_EDEVICE, "%.*s", (int)strcspn(s->probe.problems, "\n"),
                       s->probe.problems);
    SW_TRY(session_warn(s));
    SW_TRY(sw_session_agree(s));
    return sw_session_load(s, is_short);
}

static void session_close_engine(struct sw_session *s)
{
    sw_driver_close(s->driver);
    sw_worker_close(s->worker);
    s->driver = NULL;
    s->worker = NULL;
}

static void session_close_machine(struct sw_session *s)
{
    sw_session_backends_close(s);
    if (s->probed)
        sw_probe_free(&s->probe);
    s->probed = false;
}

enum sw_status sw_session_start(struct sw_session *s, const struct sw_session_defaults *defaults)
{
    bool is_short = false;
    if (defaults)
        s->defaults = *defaults;
    SW_TRY(session_agree_on_skip(s, false));
    if (s->skipped)
        return SW_OK;
    SW_TRY(session_set_up(s, &is_short));
    if (is_short) { /* memory was taken since the probe: plan again with what is free */
        session_close_engine(s);
        session_close_machine(s);
        if (sw_session_is_driver(s))
            sw_log(SW_LOG_WARN, "planning again with the memory that is free now");
        SW_TRY(session_set_up(s, NULL));
    }
    SW_TRY(sw_worker_connect(s->worker));
    const char *timeline = s->settings.timeline;
    if (timeline && sw_session_is_driver(s))
        SW_TRY(sw_driver_record(s->driver, timeline));
    return s->settings.routes && sw_session_is_driver(s)
               ? sw_driver_routes(s->driver, s->settings.routes)
               : SW_OK;
}

static struct sw_peak session_peak(const struct sw_session *s)
{
    struct rusage usage;
    struct sw_peak peak = {
        .host = getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0,
        .gpu = s->gpu ? s->gpu_workspace + sw_worker_gpu_bytes(s->worker) : 0};
    peak.by_expert = sw_worker_experts(s->worker, &peak.experts);
    return peak;
}

enum sw_status sw_session_stop(struct sw_session *s)
{
    const struct sw_peak mine = session_peak(s);
    void *peaks;
    if (sw_session_is_driver(s))
        SW_TRY(sw_driver_stop(s->driver));
    SW_TRY(sw_transport_allgather(s->transport, &mine, sizeof mine, &peaks));
    s->peaks = peaks;
    if (sw_session_is_driver(s))
        sw_session_log_experts(s);
    return SW_OK;
}

enum sw_status sw_session_work(struct sw_session *s)
{
    SW_TRY(sw_session_start(s, NULL));
    if (s->skipped)
        return SW_OK;
    SW_TRY(sw_worker_run(s->worker));
    return sw_session_stop(s);
}

static void session_free(struct sw_session *s)
{
    session_close_engine(s);
    if (s->reader && sw_reader_is_given_up(s->reader)) /* its threads have all this */
        return;
    session_close_machine(s);
    sw_plan_free(&s->plan);
    sw_footprint_free(&s->footprint);
    free(s->slices);
    free(s->peaks);
    free(s->expert_uses);
    free(s->shares);
    sw_tokenizer_close(s->tokenizer);
    sw_reader_close(s->reader);
    sw_tensors_free(&s->tensors);
    sw_model_close(s->model);
    free(s);
}

struct sw_transport *sw_session_leave(struct sw_session *s)
{
    struct sw_transport *transport = s->transport;
    session_free(s);
    return transport;
}

enum sw_status sw_session_end(struct sw_session *s, enum sw_status status)
{
    if (!s)
        return status;
    const bool joined = s->transport != NULL;
    if (joined)
        status = sw_transport_finish(s->transport, status);
    session_free(s);
    if (joined)
        sw_error_clear(); /* a GPU that failed reports it again when its stage is closed */
    return status;
}
