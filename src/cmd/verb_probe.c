/* Owns the verb `probe`: what every rank finds and measures, as a table or as a cluster in JSON. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "checkpoint/open_model.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "probe/files.h"
#include "probe/probe.h"
#include "session/params.h"

#include <stdio.h>
#include <string.h>

#define MEASURE_S 1.0

/* Logs each line as one warning. */
static void probe_log_lines(const char *text)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        sw_log(SW_LOG_WARN, "%.*s", (int)strcspn(line, "\n"), line);
}

/* A list of `text`'s lines, and of `last` unless it is NULL. NULL: no memory. */
static json_t *probe_lines_json(const char *text, const char *last)
{
    json_t *lines = json_array();
    int failed = !lines;
    for (const char *line = text; line && *line; line += strcspn(line, "\n") + 1)
        failed |= json_array_append_new(lines, json_stringn_nocheck(line, strcspn(line, "\n")));
    if (last)
        failed |= json_array_append_new(lines, json_string_nocheck(last));
    if (!failed)
        return lines;
    json_decref(lines);
    return NULL;
}

/* Reads with sw_json_read: jansson's own reader writes past its buffers when memory is short. */
static json_t *probe_cluster_json(const struct sw_cluster *cluster)
{
    struct sw_strbuf text = {0};
    json_t *root = NULL;
    sw_cluster_to_json(cluster, &text);
    if (!text.failed && sw_json_read(text.text, text.length, SW_JSON_MODEL, &root) != SW_OK)
        root = NULL;
    sw_strbuf_free(&text);
    return root;
}

/* Prints the cluster's object with its warnings and problems; `probe` NULL: without a cluster. */
static enum sw_status probe_print_json(const struct sw_probe *probe, const char *problem)
{
    json_t *root = probe ? probe_cluster_json(&probe->cluster) : json_object();
    int failed =
        json_object_set_new(root, "warnings", probe_lines_json(probe ? probe->warnings : "", NULL));
    failed |= json_object_set_new(root, "problems",
                                  probe_lines_json(probe ? probe->problems : "", problem));
    if (!failed)
        return sw_json_print(root);
    json_decref(root);
    return sw_fail(SW_ENOMEM, "no memory for the probe's report");
}

static enum sw_status probe_report(const struct sw_call *call, const struct sw_probe *probe,
                                   const char *problem)
{
    struct sw_strbuf text = {0};
    enum sw_status status = SW_OK;
    if (call->options.json) {
        status = probe_print_json(probe, problem);
    } else {
        sw_probe_table(probe, &text);
        if (text.failed)
            status = sw_fail(SW_ENOMEM, "no memory for the probe's report");
        else
            fputs(text.text, stdout);
    }
    sw_strbuf_free(&text);
    SW_TRY(status);
    fflush(stdout);
    probe_log_lines(probe->warnings);
    sw_log(SW_LOG_INFO, "measured in %.1f s", probe->seconds);
    return SW_OK;
}

/* Here a directory without weights is accepted; the verbs that read weights are stricter. */
static enum sw_status probe_open_files(const char *path, struct sw_tensors *tensors)
{
    enum sw_file_kind kind;
    bool there;
    int file;
    SW_TRY(sw_open_has_tensors(path, &there));
    SW_TRY(sw_file_find(path, &kind));
    if (there || kind == SW_FILE_DIRECTORY)
        return there ? sw_open_tensors(path, tensors) : SW_OK;
    return sw_tensors_add_file(tensors, path, 0, &file);
}

/* Compares the model's files between the hosts. All ranks call it and get the same status. */
static enum sw_status probe_compare_files(const struct sw_call *call, struct sw_transport *t)
{
    struct sw_tensors tensors = {0};
    if (!call->n_arguments)
        return SW_OK;
    const char *path = call->models[0];
    const enum sw_status status =
        sw_files_same(t, path, &tensors, probe_open_files(path, &tensors));
    sw_tensors_free(&tensors);
    return status;
}

/* A problem fails the verb, but only after everything else was checked and printed. */
static enum sw_status probe_all(struct sw_call *call, struct sw_transport *t)
{
    struct sw_probe probe;
    char problem[SW_ERROR_MAX] = "";
    const enum sw_format_id weights =
        sw_params_weights(sw_format_id_of(call->options.weights.all), NULL, SW_BF16);
    const struct sw_probe_options options = {
        .seconds = MEASURE_S,
        .threads = call->options.threads,
        .format = weights,
        .attention = {.kv = sw_dtype_unquantized(sw_format_of(weights)->dtype),
                      .head_dim = 128,
                      .group = 4},
        .path = call->models[0],
        .connectivity = true,
    };
    const enum sw_status files = probe_compare_files(call, t);
    if (files != SW_OK)
        snprintf(problem, sizeof problem, "%s", sw_error_message());
    SW_TRY(sw_probe_run(t, &options, &probe));
    enum sw_status status = SW_OK;
    if (t->rank == 0)
        status = probe_report(call, &probe, files == SW_OK ? NULL : problem);
    if (status == SW_OK && files != SW_OK)
        status = sw_fail(files, "%s", problem);
    if (status == SW_OK && probe.problems[0])
        status = sw_fail(SW_EDEVICE, "%.*s", (int)strcspn(probe.problems, "\n"), probe.problems);
    sw_probe_free(&probe);
    return status;
}

static enum sw_status probe(struct sw_call *call)
{
    struct sw_transport *t;
    const struct sw_transport_options options = {.silence_s = call->options.timeout,
                                                 .stop = sw_stop_catch()};
    const enum sw_status status = sw_transport_open(&options, &t);
    if (status == SW_OK)
        return sw_transport_finish(t, probe_all(call, t));
    if (call->options.json && sw_error_message()[0]) {
        char problem[SW_ERROR_MAX];
        snprintf(problem, sizeof problem, "%s", sw_error_message());
        SW_TRY(probe_print_json(NULL, problem));
        (void)sw_fail(status, "%s", problem);
    }
    return status;
}

static const struct sw_option own[] = {
    {"threads", 't', "N", "threads per rank (default: one per core the rank may use)",
     offsetof(struct sw_options, threads), sw_parse_threads},
    {"timeout", 0, "SECONDS",
     "give up when a peer gives no sign of life for this long (default: 15)",
     offsetof(struct sw_options, timeout), sw_parse_number},
    {0}};

const struct sw_verb sw_verb_probe = {
    .name = "probe",
    .arguments = "[MODEL]",
    .min_arguments = 0,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "print what every rank has: free memory, measured speeds, links",
    .description =
        "Takes about two seconds. With MODEL, the disk that holds it is measured too, and its "
        "files\n"
        "are compared between the hosts. Finds what would make a run fail: different programs\n"
        "or models on some hosts, networks that do not connect them, a GPU seen by two ranks,\n"
        "little /dev/shm. --json prints a cluster for 'spillway plan --cluster FILE', with\n"
        "\"warnings\" and \"problems\"; the exit code is 3 or 5 if there is a problem.\n\n"
        "  mpirun --hostfile hostfiles/lab --bind-to none spillway probe\n"
        "  mpirun --hostfile hostfiles/lab --bind-to none spillway probe --json opt-66b > lab.json",
    .own = {own},
    .run = probe,
};
