/* Owns the verb `plan`: what goes where on a cluster that need not be here, and how fast. */
#include "base/strbuf.h"
#include "cmd/session.h"
#include "model/model.h"
#include "plan/report.h"

#include <langinfo.h>
#include <locale.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return columns && atoi(columns) > 0 ? atoi(columns) : 100;
}

static enum sw_status print(const struct sw_options *o, const struct sw_report *report)
{
    struct sw_strbuf out = {0};
    setlocale(LC_CTYPE, "");
    const struct sw_report_style style = {.width = terminal_width(),
                                          .unicode = !strcmp(nl_langinfo(CODESET), "UTF-8"),
                                          .colour = isatty(STDOUT_FILENO)};
    setlocale(LC_CTYPE, "C");
    if (o->json)
        sw_report_json(report, &out);
    else if (o->svg && report->plan->fits)
        sw_report_svg(report, &out);
    else
        sw_report_text(report, &style, &out);
    const bool failed = out.failed;
    if (!failed && out.text)
        fputs(out.text, stdout);
    sw_strbuf_free(&out);
    return failed ? sw_fail(SW_ENOMEM, "no memory for the report") : SW_OK;
}

/* The last part of a path, without a slash at the end. */
static const char *title_of(const char *path, char *out, size_t cap)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/')
        from--;
    snprintf(out, cap, "%.*s", (int)(n - from), path + from);
    return out;
}

static enum sw_status plan_model(const struct sw_call *call, struct sw_model *model,
                                 const struct sw_cluster *cluster, struct sw_plan_options *options)
{
    struct sw_footprint footprint;
    struct sw_plan plan;
    char title[128];
    struct sw_footprint_params params;
    SW_TRY(sw_params_resolve(&call->options, model, model->dtype, 0, &params));
    SW_TRY(sw_footprint_of(model, &params, &footprint));
    options->footprint_at = sw_params_footprint;
    options->user = model;
    enum sw_status status = sw_plan_spread(&footprint, cluster, options, &plan);
    if (status == SW_OK || status == SW_ENOFIT) {
        const struct sw_report report = {.model = title_of(call->arguments[0], title, sizeof title),
                                         .footprint = &footprint,
                                         .cluster = cluster,
                                         .plan = &plan,
                                         .options = options};
        const enum sw_status printed = print(&call->options, &report);
        status = printed == SW_OK ? status : printed;
    }
    sw_plan_free(&plan);
    sw_footprint_free(&footprint);
    return status;
}

static enum sw_status plan(struct sw_call *call)
{
    const struct sw_options *o = &call->options;
    struct sw_plan_options options;
    struct sw_cluster cluster;
    struct sw_model *model;
    int *slices;
    if (!o->cluster)
        return sw_fail(SW_EUSAGE, "plan: say for which machines, with --cluster \"1x(gpu:2x24G "
                                  "host:64G)\" or --cluster FILE as 'spillway probe --json' "
                                  "prints it");
    SW_TRY(sw_plan_options_resolve(o, SW_OBJECTIVE_LATENCY, &slices, &options));
    enum sw_status status = sw_cluster_open(o->cluster, &cluster);
    if (status == SW_OK) {
        status = sw_model_open(call->arguments[0], &model);
        if (status == SW_OK) {
            status = plan_model(call, model, &cluster, &options);
            sw_model_close(model);
        }
        sw_cluster_free(&cluster);
    }
    free(slices);
    return status;
}

static const struct sw_option own[] = {
    {"cluster", 0, "TEXT|FILE",
     "the machines: \"2x(gpu:2x24G host:64G) + 1x(host:128G)\", or a file",
     offsetof(struct sw_options, cluster), sw_parse_text},
    {"ranks", 0, "N", "use only the first N ranks of the cluster",
     offsetof(struct sw_options, ranks), sw_parse_count},
    {"svg", 0, NULL, "print the plan as an SVG picture", offsetof(struct sw_options, svg),
     sw_parse_flag},
    {0}};

static const struct sw_option *const groups[] = {own, sw_options_placement, sw_options_common,
                                                 NULL};

const struct sw_verb sw_verb_plan = {
    .name = "plan",
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "say what would go where on which machines, and how fast it would be",
    .description =
        "Needs neither the machines nor the weights: MODEL is a directory with a config.json.\n"
        "Prints which layers each rank holds and where, every byte of it, and the predicted\n"
        "speed; or, with exit code 4, the smallest changes that would make it fit.\n\n"
        "  spillway plan opt-66b --cluster \"1x(gpu:2x24G host:128G)\"\n"
        "  spillway plan opt-66b --cluster hostfiles/lab2 --objective throughput --json",
    .groups = groups,
    .run = plan,
};
