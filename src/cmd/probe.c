/* Owns the verb `probe`: what every rank sees and measures, as a table or as a cluster in JSON. */
#include "probe/probe.h"
#include "base/log.h"
#include "cmd/options.h"

#include <stdio.h>
#include <string.h>

#define MEASURE_S 1.0

/* Each warning as a log line of its own, beside the result. */
static void log_warnings(const char *text)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        sw_log(SW_LOG_WARN, "%.*s", (int)strcspn(line, "\n"), line);
}

static enum sw_status report(const struct sw_call *call, const struct sw_probe *probe)
{
    struct sw_strbuf text = {0};
    if (call->options.json)
        sw_cluster_to_json(&probe->cluster, &text);
    else
        sw_probe_table(probe, &text);
    const enum sw_status status =
        text.failed ? sw_fail(SW_ENOMEM, "no memory for the probe's report") : SW_OK;
    if (status == SW_OK) {
        fputs(text.text ? text.text : "", stdout);
        if (text.length && text.text[text.length - 1] != '\n')
            putchar('\n');
        fflush(stdout);
        log_warnings(probe->warnings);
        sw_log(SW_LOG_INFO, "measured in %.1f s", probe->seconds);
    }
    sw_strbuf_free(&text);
    return status;
}

static enum sw_status probe_all(struct sw_call *call, struct sw_transport *t)
{
    struct sw_probe probe;
    const struct sw_probe_options options = {
        .seconds = MEASURE_S,
        .threads = call->options.threads,
        .format = call->options.weights == SW_OTHER ? SW_BF16 : call->options.weights,
        .path = call->n_arguments ? call->arguments[0] : NULL,
    };
    SW_TRY(sw_probe_run(t, &options, &probe));
    const enum sw_status status = t->rank == 0 ? report(call, &probe) : SW_OK;
    sw_probe_free(&probe);
    return status;
}

static enum sw_status probe(struct sw_call *call)
{
    struct sw_transport *t;
    const struct sw_transport_options options = {.silence_s = call->options.timeout};
    SW_TRY(sw_transport_open(&options, &t));
    return sw_transport_finish(t, probe_all(call, t));
}

static const struct sw_option own[] = {
    {"threads", 't', "N", "threads per rank (default: one per core the rank may use)",
     offsetof(struct sw_options, threads), sw_parse_count},
    {"timeout", 0, "SECONDS", "give up when a peer shows no sign of life for so long (default: 60)",
     offsetof(struct sw_options, timeout), sw_parse_number},
    {0}};
static const struct sw_option *const groups[] = {sw_options_common, own, NULL};

const struct sw_verb sw_verb_probe = {
    .name = "probe",
    .arguments = "[MODEL]",
    .min_arguments = 0,
    .max_arguments = 1,
    .summary = "say what every rank has: free memory, measured speeds, links",
    .description =
        "Takes about a second. With MODEL, the disk that holds it is measured too. --json prints\n"
        "a cluster that 'spillway plan --cluster FILE' takes.\n\n"
        "  mpirun --hostfile hostfiles/lab --bind-to none spillway probe\n"
        "  mpirun --hostfile hostfiles/lab --bind-to none spillway probe --json opt-66b > lab.json",
    .groups = groups,
    .run = probe,
};
