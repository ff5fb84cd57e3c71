/* Owns what a command line means for a session, and the life of a verb that computes. */
#include "cmd/call_session.h"

#include "cmd/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum sw_status call_parse_slices(const char *text, int **out, int *n_out)
{
    int n = 1;
    for (const char *c = text; *c; c++)
        n += *c == ',';
    int *slices = calloc((size_t)n, sizeof *slices);
    if (!slices)
        return sw_fail(SW_ENOMEM, "no memory for %d slices", n);
    const char *at = text;
    for (int i = 0; i < n; i++) {
        char *end;
        errno = 0;
        const long value = strtol(at, &end, 10);
        if (end == at || (*end != ',' && *end) || errno || value < 0 || value > 1000000) {
            free(slices);
            return sw_fail(SW_EUSAGE, "--slices '%s': expected the layers of each rank, like 20,24",
                           text);
        }
        slices[i] = (int)value;
        at = end + (*end == ',');
    }
    *out = slices;
    *n_out = n;
    return SW_OK;
}

static enum sw_status call_parse_objective(const char *text, enum sw_objective *out)
{
    if (strcmp(text, "latency") == 0)
        *out = SW_OBJECTIVE_LATENCY;
    else if (strcmp(text, "throughput") == 0)
        *out = SW_OBJECTIVE_THROUGHPUT;
    else
        return sw_fail(SW_EUSAGE, "--objective '%s' is not one of latency, throughput", text);
    return SW_OK;
}

enum sw_status sw_call_settings(const struct sw_call *call, int **slices,
                                struct sw_session_settings *out)
{
    const struct sw_options *o = &call->options;
    *slices = NULL;
    *out = (struct sw_session_settings){.model = call->models[0],
                                        .random_weights = o->weights_from != NULL,
                                        .weights = o->weights,
                                        .kv = o->kv,
                                        .context = o->context,
                                        .slots = o->slots,
                                        .chunk = o->chunk,
                                        .gpu_memory = o->gpu_memory,
                                        .host_memory = o->host_memory,
                                        .has_objective = o->objective != NULL,
                                        .threads = o->threads,
                                        .isa = o->isa,
                                        .host_only = o->host_only,
                                        .share_gpus = o->share_gpus,
                                        .measures = call->measures,
                                        .quiet = o->quiet,
                                        .timeline = o->timeline,
                                        .routes = o->routes,
                                        .popularity = o->popularity,
                                        .silence_s = o->timeout,
                                        .safe = call->safe};
    if (o->objective)
        SW_TRY(call_parse_objective(o->objective, &out->objective));
    if (o->slices)
        SW_TRY(call_parse_slices(o->slices, slices, &out->n_slices));
    out->slices = *slices;
    return SW_OK;
}

struct sw_sampling sw_call_sampling(const struct sw_options *o)
{
    struct sw_sampling sampling = sw_sampling_default();
    sampling.temperature = (float)o->temperature;
    sampling.top_k = o->top_k;
    sampling.top_p = (float)o->top_p;
    sampling.min_p = (float)o->min_p;
    sampling.repetition_penalty = (float)o->repetition_penalty;
    sampling.seed = o->seed;
    sampling.logprobs = o->logprobs > 0 ? o->logprobs : -1;
    return sampling;
}

enum sw_status sw_call_run(struct sw_call *call,
                           enum sw_status (*drive)(struct sw_call *call, struct sw_session *s))
{
    const char *from = call->options.weights_from;
    struct sw_session_settings settings;
    struct sw_session *s;
    int *slices;
    if (from && strcmp(from, "random") != 0)
        return sw_fail(SW_EUSAGE, "--weights-from '%s': must be 'random'", from);
    SW_TRY(sw_call_settings(call, &slices, &settings));
    settings.stop = call->grace_s > 0 ? sw_stop_catch_late(call->grace_s, &call->asked_to_stop)
                                      : sw_stop_catch();
    enum sw_status status = sw_session_open(&settings, &s);
    if (status == SW_OK)
        status = sw_session_is_driver(s) ? drive(call, s) : sw_session_work(s);
    if (status == SW_OK)
        status = sw_output_flush();
    status = sw_session_end(s, status);
    free(slices);
    return status;
}
