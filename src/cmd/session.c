/* Owns the life of a job: joining, planning, loading, ending. */
#include "cmd/session.h"

#include "base/cpu_info.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/units.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/fit.h"
#include "probe/files.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* The format of the checkpoint's matrices: the type of the first layer's QKV weights, else that of
 * config.json. */
static enum sw_dtype session_stored_format(const struct sw_session *s)
{
    const struct sw_weight_spec *specs;
    const size_t n = s->reader ? sw_model_weights(s->model, 0, &specs) : 0;
    enum sw_dtype dtype = s->model->dtype;
    for (size_t i = 0; i < n; i++) {
        const struct sw_tensor *tensor;
        if (specs[i].id == SW_W_QKV &&
            sw_model_find(s->model, &s->tensors, &specs[i], 0, &tensor) == SW_OK)
            dtype = tensor->dtype;
    }
    return dtype;
}

static enum sw_status session_open_model(struct sw_session *s)
{
    const struct sw_options *o = &s->call->options;
    const char *dir = s->call->arguments[0];
    SW_TRY(sw_model_open(dir, &s->model));
    if (o->weights_from) {
        if (strcmp(o->weights_from, "random") != 0)
            return sw_fail(SW_EUSAGE, "--weights-from '%s': must be 'random'", o->weights_from);
        return SW_OK;
    }
    SW_TRY(sw_checkpoint_open(dir, &s->tensors));
    SW_TRY(sw_checkpoint_fit(s->model, &s->tensors));
    return sw_reader_open(&s->tensors, &s->reader);
}

enum sw_status sw_session_open(struct sw_call *call, struct sw_session **out)
{
    struct sw_session *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a session");
    s->call = call;
    const struct sw_transport_options options = {
        .silence_s = call->options.timeout, .stop = sw_stop_catch(), .safe = call->safe};
    SW_TRY(sw_transport_open(&options, &s->transport));
    if (s->transport->size > 1)
        sw_log_setup(call->options.quiet     ? SW_LOG_ERROR
                     : call->options.verbose ? SW_LOG_DEBUG
                                             : SW_LOG_INFO,
                     s->transport->rank > 0 ? s->transport->rank : -1, /* rank 0 logs for all */
                     s->transport->ranks[s->transport->rank].host);
    SW_TRY(sw_files_same(s->transport, call->arguments[0], &s->tensors, session_open_model(s)));
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
    bool there;
    if (!sw_session_is_driver(s))
        return SW_OK;
    SW_TRY(sw_tokenizer_present(s->call->arguments[0], &there));
    return there || needed ? sw_tokenizer_open(s->call->arguments[0], &s->tokenizer) : SW_OK;
}

/* What rank 0 decides for all ranks; sent as bytes, as they run the same program. */
struct agreement {
    struct sw_footprint_params params;
    int vocab_limit;
};

/* "30.1 GiB", or "21.9 GiB on the GPU (8 of 11 layers, 2 streamed), 3.1 GiB in host memory" */
static const char *stage_text(const struct sw_plan_stage *stage, char *out, size_t cap)
{
    char gpu[16], host[16], streamed[32] = "";
    sw_size_format(stage->gpu.total, gpu, sizeof gpu);
    sw_size_format(stage->host.total, host, sizeof host);
    if (stage->n_streamed > 0)
        snprintf(streamed, sizeof streamed, ", %d streamed", stage->n_streamed);
    if (stage->gpu.total > 0)
        snprintf(out, cap, "%s on the GPU (%d of %d layers%s%s), %s in host memory", gpu,
                 stage->n_gpu, stage->count, streamed,
                 stage->stream_prompt ? ", all for prompts" : "", host);
    else
        snprintf(out, cap, "%s", host);
    return out;
}

static void session_log_plan(const struct sw_session *s)
{
    char text[160], layers[32], name[SW_HOST_MAX + 32];
    for (int r = 0; r < s->plan.n_ranks; r++) {
        const struct sw_plan_stage *stage = &s->plan.stages[r];
        sw_transport_name(s->transport, r, name, sizeof name);
        assert(stage->n_disk == 0); /* by plan_options.no_disk */
        sw_layers_format(stage->first, stage->count, layers, sizeof layers);
        if (s->transport->size > 1 && stage->count == 0)
            sw_log(SW_LOG_INFO, "%s: %s", name, layers);
        else if (s->transport->size > 1 || stage->gpu.total > 0)
            sw_log(SW_LOG_INFO, "%s: %s%s%s, %s", name, layers, stage->embed ? ", embedding" : "",
                   stage->head ? ", head" : "", stage_text(stage, text, sizeof text));
    }
}

/* Plans. When the model does not fit, the message ends with advice. */
static enum sw_status session_fit(struct sw_session *s)
{
    struct sw_strbuf advice = {0};
    char message[SW_ERROR_MAX];
    const enum sw_status status =
        sw_plan_spread(&s->footprint, &s->probe.cluster, &s->plan_options, &s->plan);
    if (status != SW_ENOFIT)
        return status;
    sw_probe_limits(&s->probe, &advice);
    for (int i = 0; i < s->plan.n_advice; i++)
        sw_strbuf_printf(&advice, "%s%s",
                         i ? "; or " : ". To make it fit: ", s->plan.advice[i].text);
    snprintf(message, sizeof message, "%s", sw_error_message());
    (void)sw_fail(SW_ENOFIT, "%s%s", message, advice.text ? advice.text : "");
    sw_strbuf_free(&advice);
    return SW_ENOFIT;
}

#define UNLIMITED_CONTEXT 2048 /* default for models that have no limit */

/* Makes footprint and plan from the command line and the verb's defaults. */
static enum sw_status session_plan_for(struct sw_session *s, int positions, int slots)
{
    struct sw_options o = s->call->options;
    const int most = s->model->dims.context > 0 ? s->model->dims.context : UNLIMITED_CONTEXT;
    if (o.context == 0 && s->defaults.context > 0)
        o.context = most < s->defaults.context ? most : s->defaults.context;
    if (o.slots == 0)
        o.slots = slots;
    sw_footprint_free(&s->footprint);
    sw_plan_free(&s->plan);
    struct sw_params_of of = {&o, s->model, session_stored_format(s)};
    SW_TRY(sw_params_resolve(&o, s->model, of.stored, positions, &s->params));
    SW_TRY(sw_footprint_of(s->model, &s->params, &s->footprint));
    s->plan_options.user = &of;
    s->plan_options.new_tokens = s->defaults.new_tokens;
    s->plan_options.prompt_tokens =
        s->defaults.prompt_tokens > 0
            ? s->defaults.prompt_tokens
            : sw_default_prompt(s->params.context, s->defaults.new_tokens);
    const enum sw_status status = session_fit(s);
    s->plan_options.user = NULL;
    return status;
}

static struct sw_engine_slice session_slice(const struct sw_session *s,
                                            const struct sw_plan_stage *stage)
{
    const uint64_t apart = stage->gpu.context + s->footprint.gpu_workspace_bytes;
    return (struct sw_engine_slice){.first = stage->first,
                                    .count = stage->count,
                                    .tiers = {.n_gpu = stage->n_gpu,
                                              .n_streamed = stage->n_streamed,
                                              .stream_rows = stage->stream_rows,
                                              .embed_on_gpu = stage->embed_on_gpu,
                                              .head_on_gpu = stage->head_on_gpu},
                                    .gpu_memory =
                                        stage->gpu.total > 0 ? stage->gpu.total - apart : 0};
}

static enum sw_status session_plan(struct sw_session *s, int positions, int *slices)
{
    int slots = s->call->options.slots > 0 || s->defaults.slots == 0 ? 1 : s->defaults.slots;
    s->plan_options.slices = slices;
    s->plan_options.no_disk = true; /* the engine has no such tier yet */
    enum sw_status status;
    do { /* while memory is short, try half as many slots; advice only with one slot */
        s->plan_options.footprint_at = slots > 1 ? NULL : sw_params_footprint;
        status = session_plan_for(s, positions, slots);
        slots /= 2;
    } while (status == SW_ENOFIT && slots > 0);
    SW_TRY(status);
    sw_error_clear();
    struct sw_cluster now = s->probe.cluster; /* with the links' present latencies */
    now.link_latency = s->probe.link_now;
    now.local_latency = s->probe.local_now;
    SW_TRY(sw_plan_predict(&s->footprint, &now, &s->plan_options, &s->plan));
    session_log_plan(s);
    free(s->slices);
    s->slices = calloc((size_t)s->transport->size, sizeof *s->slices);
    if (!s->slices)
        return sw_fail(SW_ENOMEM, "no memory for the plan");
    for (int r = 0; r < s->transport->size && r < s->plan.n_ranks; r++)
        s->slices[r] = session_slice(s, &s->plan.stages[r]);
    return SW_OK;
}

/* So that a message about a lost rank names its layers. */
static void session_label_ranks(const struct sw_session *s)
{
    char text[64];
    for (int r = 0; r < s->transport->size; r++) {
        const struct sw_engine_slice *slice = &s->slices[r];
        sw_transport_label(s->transport, r,
                           sw_layers_format(slice->first, slice->count, text, sizeof text));
    }
}

/* Rank 0 plans and sends params and slices to all ranks. */
static enum sw_status session_agree(struct sw_session *s, int positions)
{
    struct sw_transport *t = s->transport;
    struct agreement mine = {0};
    int *slices = NULL;
    void *a = &mine, *b = NULL;
    size_t a_bytes = sizeof mine, b_bytes = (size_t)t->size * sizeof *s->slices;
    if (t->rank == 0) {
        enum sw_status status = sw_plan_options_resolve(&s->call->options, s->defaults.objective,
                                                        &slices, &s->plan_options);
        if (status == SW_OK)
            status = session_plan(s, positions, slices);
        s->plan_options.slices = NULL;
        free(slices);
        SW_TRY(status);
        const int vocab = s->model->dims.vocab;
        const int known = s->tokenizer ? (int)sw_tokenizer_size(s->tokenizer) : vocab;
        mine = (struct agreement){s->params, known < vocab ? known : vocab};
        b = s->slices;
    }
    SW_TRY(sw_transport_broadcast(t, 0, &a, &a_bytes));
    SW_TRY(sw_transport_broadcast(t, 0, &b, &b_bytes));
    if (a_bytes != sizeof mine || b_bytes != (size_t)t->size * sizeof *s->slices)
        return sw_fail(SW_EPEER,
                       "the ranks run different programs; start the same program on every host");
    memcpy(&mine, a, sizeof mine);
    if (t->rank != 0) {
        free(s->slices);
        s->slices = b;
        free(a);
    }
    s->params = mine.params;
    s->vocab_limit = mine.vocab_limit;
    session_label_ranks(s);
    return SW_OK;
}

/* Measures longer for larger models; not at all for a model that fits the caches, unless the verb
 * measures speeds. */
static struct sw_probe_options session_probe_options(const struct sw_session *s)
{
    const uint64_t bytes = 2 * sw_model_parameters(s->model);
    const struct sw_options *o = &s->call->options;
    const struct sw_dims *d = &s->model->dims;
    const enum sw_dtype weights = o->weights != SW_OTHER ? o->weights : session_stored_format(s);
    const enum sw_dtype unquantized =
        sw_format_is_quantized(weights) ? session_stored_format(s) : weights;
    return (struct sw_probe_options){
        .seconds = bytes > 4000000000                      ? 1
                   : bytes > 64000000 || s->call->measures ? 0.3
                                                           : 0,
        .memory = bytes / 2,
        .threads = o->threads,
        .share_gpus = o->share_gpus,
        .format = weights,
        .attention = {.kv = o->kv != SW_OTHER ? o->kv : sw_dtype_unquantized(unquantized),
                      .head_dim = d->head_dim,
                      .group = d->n_heads / d->n_kv_heads},
        .path = s->reader ? s->call->arguments[0] : NULL};
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
static enum sw_status session_set_up(struct sw_session *s, int positions, bool *is_short)
{
    const struct sw_probe_options probe = session_probe_options(s);
    SW_TRY(sw_probe_run(s->transport, &probe, &s->probe));
    s->probed = true;
    if (s->probe.problems[0])
        return sw_fail(SW_EDEVICE, "%.*s", (int)strcspn(s->probe.problems, "\n"),
                       s->probe.problems);
    SW_TRY(session_warn(s));
    SW_TRY(session_agree(s, positions));
    return sw_session_load(s, is_short);
}

/* Undoes session_set_up. */
static void session_take_down(struct sw_session *s)
{
    sw_engine_close(s->engine);
    s->engine = NULL;
    sw_session_backends_close(s);
    if (s->probed)
        sw_probe_free(&s->probe);
    s->probed = false;
}

enum sw_status sw_session_start(struct sw_session *s, int positions)
{
    bool is_short = false;
    SW_TRY(session_agree_on_skip(s, false));
    if (s->skipped)
        return SW_OK;
    SW_TRY(session_set_up(s, positions, &is_short));
    if (is_short) { /* memory was taken since the probe: plan again with what is free */
        session_take_down(s);
        if (sw_session_is_driver(s))
            sw_log(SW_LOG_WARN, "planning again with the memory that is free now");
        SW_TRY(session_set_up(s, positions, NULL));
    }
    SW_TRY(sw_engine_connect(s->engine));
    const char *timeline = s->call->options.timeline;
    return timeline && sw_session_is_driver(s) ? sw_engine_record(s->engine, timeline) : SW_OK;
}

static struct sw_peak session_peak(const struct sw_session *s)
{
    struct rusage usage;
    return (struct sw_peak){
        .host = getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0,
        .gpu = s->gpu ? s->gpu_workspace + sw_engine_gpu_bytes(s->engine) : 0};
}

enum sw_status sw_session_stop(struct sw_session *s)
{
    const struct sw_peak mine = session_peak(s);
    void *peaks;
    if (sw_session_is_driver(s))
        SW_TRY(sw_engine_stop(s->engine));
    SW_TRY(sw_transport_allgather(s->transport, &mine, sizeof mine, &peaks));
    s->peaks = peaks;
    return SW_OK;
}

/* The part of ranks other than 0. */
static enum sw_status session_work(struct sw_session *s)
{
    SW_TRY(sw_session_start(s, 0));
    if (s->skipped)
        return SW_OK;
    SW_TRY(sw_engine_run_worker(s->engine));
    return sw_session_stop(s);
}

enum sw_status sw_session_end(struct sw_session *s, enum sw_status status)
{
    if (!s)
        return status;
    if (status == SW_OK)
        status = sw_output_flush();
    const bool joined = s->transport != NULL;
    if (joined)
        status = sw_transport_finish(s->transport, status);
    session_take_down(s);
    if (joined)
        sw_error_clear(); /* a GPU that failed reports it again when its stage is closed */
    sw_plan_free(&s->plan);
    sw_footprint_free(&s->footprint);
    free(s->slices);
    free(s->peaks);
    sw_tokenizer_close(s->tokenizer);
    sw_reader_close(s->reader);
    sw_tensors_free(&s->tensors);
    sw_model_close(s->model);
    free(s);
    return status;
}

enum sw_status sw_session_run(struct sw_call *call, enum sw_status (*drive)(struct sw_session *s))
{
    struct sw_session *s;
    enum sw_status status = sw_session_open(call, &s);
    if (status == SW_OK)
        status = sw_session_is_driver(s) ? drive(s) : session_work(s);
    return sw_session_end(s, status);
}

json_t *sw_session_predicted(const struct sw_session *s)
{
    const struct sw_prediction *p = &s->plan.predicted;
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "load_s", p->load_s, "s_per_token",
                     p->s_per_token, "tokens_per_s", p->tokens_per_s, "prompt_tokens_per_s",
                     p->prompt_tokens_per_s, "s_per_request", p->s_per_request);
}

json_t *sw_session_ranks(const struct sw_session *s)
{
    const struct sw_times *times = sw_engine_times(s->engine), start = {0};
    json_t *ranks = json_array();
    for (int r = 0; r < s->plan.n_ranks; r++) {
        const struct sw_plan_stage *stage = &s->plan.stages[r];
        const struct sw_peak peak = s->peaks ? s->peaks[r] : (struct sw_peak){0};
        json_array_append_new(
            ranks,
            json_pack("{s:i, s:s, s:i, s:i, s:{s:i, s:i, s:i}, s:i, s:{s:I, s:I, s:I}, s:I, s:I, "
                      "s:f, s:s}",
                      "rank", r, "host", s->transport->ranks[r].host, "first", stage->first,
                      "count", stage->count, "layers", "gpu", stage->n_gpu, "host", stage->n_host,
                      "streamed", stage->n_streamed, "prompt_streamed_rows", stage->stream_rows,
                      "bytes", "gpu", (json_int_t)stage->gpu.total, "host",
                      (json_int_t)stage->host.total, "disk", (json_int_t)stage->disk_bytes,
                      "peak_host_bytes", (json_int_t)peak.host, "peak_gpu_bytes",
                      (json_int_t)peak.gpu, "busy", sw_times_busy(&start, &times[r]), "to_next",
                      sw_engine_link(s->engine, r)));
    }
    return ranks;
}

enum sw_status sw_json_print(json_t *root)
{
    if (!root)
        return sw_fail(SW_ENOMEM, "no memory for the report");
    const int failed = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    printf("\n");
    json_decref(root);
    if (!failed)
        return SW_OK;
    SW_TRY(sw_output_flush());
    return sw_fail(SW_EIO, "the report cannot be written as JSON");
}
