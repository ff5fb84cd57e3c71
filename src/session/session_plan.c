/* Owns what rank 0 decides for all ranks: footprint, plan, slices. */
#include "session/session_impl.h"

#include "base/log.h"
#include "base/strbuf.h"
#include "base/units.h"
#include "model/popularity.h"
#include "session/plan_attempts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sw_dtype sw_session_stored_format(const struct sw_session *s)
{
    const struct sw_weight_spec *specs;
    const size_t n = s->reader ? sw_model_weights(s->model, 0, &specs) : 0;
    enum sw_dtype dtype = s->model->dtype;
    for (size_t i = 0; i < n; i++) {
        const struct sw_tensor *tensor;
        if (specs[i].id == SW_W_QKV &&
            sw_model_find(s->model, &s->tensors, &specs[i], 0, &tensor) == SW_OK &&
            !tensor->blocks && !tensor->made)
            dtype = tensor->dtype;
    }
    return dtype;
}

/* What rank 0 decides for all ranks; sent as bytes, as they run the same program. */
struct agreement {
    struct sw_footprint_params params;
    int vocab_limit;
    int has_uses; /* boolean: the uses of experts follow */
};

/* "30.1 GiB", or "21.9 GiB on the GPU (8 of 14 layers, 2 streamed by expert, 3 of each kept), 3.1
 * GiB in host memory, 3 of 14 layers on disk by expert, 3 of each kept (8.1 GiB) for the GPU" */
static const char *stage_text(const struct sw_plan_stage *stage, char *out, size_t cap)
{
    char gpu[16], host[16], bytes[16], streamed[72] = "", disk[96] = "", kept[40] = "";
    sw_size_format(stage->gpu.total, gpu, sizeof gpu);
    sw_size_format(stage->host.total, host, sizeof host);
    if (stage->tiers.by_expert)
        snprintf(kept, sizeof kept, " by expert, %d of each kept", stage->tiers.cached_experts);
    if (stage->tiers.n_streamed > 0)
        snprintf(streamed, sizeof streamed, ", %d streamed%s", stage->tiers.n_streamed, kept);
    if (stage->tiers.n_disk > 0)
        snprintf(disk, sizeof disk, ", %d of %d layers on disk%s (%s)%s", stage->tiers.n_disk,
                 stage->count, kept, sw_size_format(stage->disk_bytes, bytes, sizeof bytes),
                 stage->tiers.disk_on_gpu ? " for the GPU" : "");
    if (stage->gpu.total > 0)
        snprintf(out, cap, "%s on the GPU (%d of %d layers%s%s), %s in host memory%s", gpu,
                 stage->tiers.n_gpu, stage->count, streamed,
                 stage->stream_prompt ? ", all for prompts" : "", host, disk);
    else
        snprintf(out, cap, "%s%s", host, disk);
    return out;
}

static void session_log_plan(const struct sw_session *s)
{
    char text[256], layers[32], name[SW_HOST_MAX + 32];
    for (int r = 0; r < s->plan.n_ranks; r++) {
        const struct sw_plan_stage *stage = &s->plan.stages[r];
        sw_transport_name(s->transport, r, name, sizeof name);
        sw_layers_format(stage->first, stage->count, layers, sizeof layers);
        if (s->transport->size > 1 && stage->count == 0)
            sw_log(SW_LOG_INFO, "%s: %s", name, layers);
        else if (s->transport->size > 1 || stage->gpu.total > 0 || stage->tiers.n_disk > 0)
            sw_log(SW_LOG_INFO, "%s: %s%s%s, %s", name, layers, stage->embed ? ", embedding" : "",
                   stage->head ? ", head" : "", stage_text(stage, text, sizeof text));
    }
}

/* Adds to the message of a plan that does not fit what would make it fit. */
static enum sw_status session_advise(struct sw_session *s)
{
    struct sw_strbuf advice = {0};
    char message[SW_ERROR_MAX];
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

/* Makes footprint and plan from the settings and the defaults. choose: slots and chunk, too. */
static enum sw_status session_plan_for(struct sw_session *s, int slots, bool choose)
{
    struct sw_session_settings o = s->settings;
    const int most = s->model->dims.context > 0 ? s->model->dims.context : UNLIMITED_CONTEXT;
    if (o.context == 0 && s->defaults.context > 0)
        o.context = most < s->defaults.context ? most : s->defaults.context;
    if (o.slots == 0)
        o.slots = slots;
    sw_footprint_free(&s->footprint);
    sw_plan_free(&s->plan);
    struct sw_params_of of = {&o, s->model, sw_session_stored_format(s), s->defaults.positions};
    SW_TRY(sw_params_resolve(&o, s->model, of.stored, of.positions, &s->params));
    s->plan_options.user = &of;
    s->plan_options.new_tokens = s->defaults.new_tokens;
    s->plan_options.prompt_tokens =
        s->defaults.prompt_tokens > 0
            ? s->defaults.prompt_tokens
            : sw_default_prompt(s->params.context, s->defaults.new_tokens);
    const struct sw_slots_range range = sw_params_slots(&of, slots, s->defaults.most_slots);
    enum sw_status status;
    if (choose)
        status =
            sw_plan_slots(&range, &s->probe.cluster, &s->plan_options, &s->footprint, &s->plan);
    else if ((status = sw_footprint_of(s->model, &s->params, &s->footprint)) == SW_OK)
        status = sw_plan_spread(&s->footprint, &s->probe.cluster, &s->plan_options, &s->plan);
    s->plan_options.user = NULL;
    if (status == SW_OK)
        s->params = s->footprint.params;
    return status == SW_ENOFIT ? session_advise(s) : status;
}

static struct sw_engine_slice session_slice(const struct sw_session *s,
                                            const struct sw_plan_stage *stage)
{
    const uint64_t apart = stage->gpu.context + s->footprint.gpu_workspace_bytes;
    return (struct sw_engine_slice){.first = stage->first,
                                    .count = stage->count,
                                    .tiers = stage->tiers,
                                    .gpu_memory =
                                        stage->gpu.total > 0 ? stage->gpu.total - apart : 0};
}

/* Bytes of all layers' weights in the model's files: all but embedding and head. */
static uint64_t session_stored_bytes(const struct sw_session *s)
{
    const enum sw_weight apart[] = {SW_W_EMBED, SW_W_HEAD, SW_W_INPUT_TABLE};
    uint64_t bytes = 0;
    for (int i = 0; s->reader && i < s->tensors.n_files; i++)
        bytes += s->tensors.files[i].size;
    for (int i = 0; s->reader && i < 3; i++) {
        const struct sw_tensor *tensor = sw_model_tensor(s->model, &s->tensors, apart[i]);
        if (tensor && tensor->bytes < bytes)
            bytes -= tensor->bytes;
    }
    return bytes;
}

static enum sw_status session_plan_slots(struct sw_session *s,
                                         const struct sw_plan_attempt *attempt)
{
    int slots = s->settings.slots > 0 || s->defaults.slots == 0 ? 1 : s->defaults.slots;
    sw_params_plan_options(&s->settings, s->defaults.objective, &s->plan_options);
    s->plan_options.popularity = s->shares;
    s->plan_options.n_popularity = s->shares ? s->model->dims.n_experts : 0;
    s->plan_options.no_disk = !attempt->disk;
    s->plan_options.stored_bytes = session_stored_bytes(s);
    s->plan_options.no_advice = !attempt->last;
    for (int i = 0; i < s->probe.cluster.n_nodes; i++)
        s->probe.cluster.nodes[i].disk_tier = attempt->disk;
    const bool choose = s->settings.slots == 0 && s->defaults.most_slots > 0;
    enum sw_status status;
    do { /* while memory is short, try half as many slots; advice only with one slot */
        s->plan_options.footprint_at = slots > 1 && !choose ? NULL : sw_params_footprint;
        status = session_plan_for(s, slots, choose);
        slots /= 2;
    } while (status == SW_ENOFIT && slots > 0 && !choose);
    return status;
}

/* A sw_plan_attempt_make. */
static enum sw_status session_attempt(void *user, const struct sw_plan_attempt *attempt)
{
    struct sw_session *s = user;
    if (attempt->context == 0)
        return session_plan_slots(s, attempt);
    s->defaults.context = attempt->context;
    const enum sw_status status = session_plan_slots(s, attempt);
    if (status != SW_OK)
        s->defaults.context = 0;
    return status;
}

/* Tries plans until one fits. */
static enum sw_status session_plan(struct sw_session *s)
{
    const bool fixed = s->settings.context > 0 || s->defaults.context > 0;
    const int positions = s->defaults.positions;
    const bool disk = s->reader != NULL; /* some layers may stay in the model's files */
    SW_TRY(sw_plan_attempts(sw_params_usual(s->model, positions), fixed ? 0 : positions, disk,
                            session_attempt, s));
    return SW_OK;
}

static bool session_reads_disk(const struct sw_session *s)
{
    for (int r = 0; r < s->plan.n_ranks; r++)
        if (s->plan.stages[r].tiers.n_disk > 0)
            return true;
    return false;
}

/* All ranks: where layers of rank 0's plan stay on disk, the disks are measured for longer, and
 * rank 0 plans again. */
static enum sw_status session_plan_disk(struct sw_session *s)
{
    char flag = s->transport->rank == 0 && session_reads_disk(s) ? 'd' : 'm';
    void *bytes = &flag;
    size_t n = 1;
    SW_TRY(sw_transport_broadcast(s->transport, 0, &bytes, &n));
    const bool reads = n == 1 && *(const char *)bytes == 'd';
    if (bytes != &flag)
        free(bytes);
    if (!reads)
        return SW_OK;
    SW_TRY(sw_probe_disk(s->transport, s->settings.model, &s->probe));
    return s->transport->rank == 0 ? session_plan(s) : SW_OK;
}

/* What a plan that fits is used for. */
static enum sw_status session_take_plan(struct sw_session *s)
{
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

/* On rank 0, before it plans. */
static enum sw_status session_learn(struct sw_session *s)
{
    if (!s->settings.popularity || s->expert_uses)
        return SW_OK;
    return sw_popularity_learn(s->settings.popularity, s->model, &s->shares, &s->expert_uses);
}

/* Rank 0 sends what it has learnt. */
static enum sw_status session_share_uses(struct sw_session *s)
{
    const struct sw_dims *d = &s->model->dims;
    const size_t expected = (size_t)d->n_layers * (size_t)d->n_experts * sizeof *s->expert_uses;
    void *bytes = s->expert_uses;
    size_t n = expected;
    SW_TRY(sw_transport_broadcast(s->transport, 0, &bytes, &n));
    if (bytes != s->expert_uses)
        free(s->expert_uses);
    s->expert_uses = bytes;
    return n == expected ? SW_OK
                         : sw_fail(SW_EPEER, "the ranks run different programs; start the same "
                                             "program on every host");
}

enum sw_status sw_session_agree(struct sw_session *s)
{
    struct sw_transport *t = s->transport;
    struct agreement mine = {0};
    void *a = &mine, *b = NULL;
    size_t a_bytes = sizeof mine, b_bytes = (size_t)t->size * sizeof *s->slices;
    if (t->rank == 0) {
        SW_TRY(session_learn(s));
        SW_TRY(session_plan(s));
    }
    SW_TRY(session_plan_disk(s));
    if (t->rank == 0) {
        SW_TRY(session_take_plan(s));
        const int vocab = s->model->dims.vocab;
        const int known = s->tokenizer ? (int)sw_tokenizer_size(s->tokenizer) : vocab;
        mine = (struct agreement){s->params, known < vocab ? known : vocab, s->expert_uses != NULL};
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
    if (mine.has_uses)
        SW_TRY(session_share_uses(s));
    session_label_ranks(s);
    return SW_OK;
}
