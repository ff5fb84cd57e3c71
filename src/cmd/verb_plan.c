/* Owns the verb `plan`: what goes where on a cluster, which need not be here, and how fast. */
#include "base/file_write.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "checkpoint/fit.h"
#include "checkpoint/open_model.h"
#include "cmd/call_session.h"
#include "model/popularity.h"
#include "plan/report.h"
#include "session/params.h"
#include "session/plan_attempts.h"

#include <ctype.h>
#include <errno.h>
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

static void sbatch_add_file(const char *option, const char *file, struct sw_strbuf *out)
{
    char *path = realpath(file, NULL);
    sw_strbuf_puts(out, option);
    sw_strbuf_put_quoted(out, path ? path : file);
    free(path);
}

/* The options of this plan that the job's command line needs, so that it plans the same. */
static void sbatch_add_options(const struct sw_options *o, const struct sw_report *report,
                               struct sw_strbuf *out)
{
    const struct sw_footprint_params *params = &report->footprint->params;
    const char *comma = "=";
    sw_strbuf_printf(out, " --context %d", params->context);
    if (o->slots)
        sw_strbuf_printf(out, " --slots %d", o->slots);
    if (o->weights.all || o->weights.words) {
        sw_strbuf_puts(out, " --weights ");
        sw_weight_choice_put(&o->weights, out);
    }
    if (o->kv != SW_OTHER)
        sw_strbuf_printf(out, " --kv %s", sw_dtype_info(o->kv)->name);
    if (o->weights_from)
        sw_strbuf_printf(out, " --weights-from %s", o->weights_from);
    if (o->chunk)
        sw_strbuf_printf(out, " --chunk %d", o->chunk);
    if (o->threads)
        sw_strbuf_printf(out, " --threads %d", o->threads);
    if (o->isa)
        sw_strbuf_printf(out, " --isa %s", o->isa);
    if (o->gpu_memory != UINT64_MAX)
        sw_strbuf_printf(out, " --gpu-memory %llu", (unsigned long long)o->gpu_memory);
    if (o->host_memory != UINT64_MAX)
        sw_strbuf_printf(out, " --host-memory %llu", (unsigned long long)o->host_memory);
    if (o->objective)
        sw_strbuf_printf(out, " --objective %s", o->objective);
    if (o->share_gpus)
        sw_strbuf_puts(out, " --share-gpus");
    if (o->host_only)
        sw_strbuf_puts(out, " --transport mpi");
    if (o->timeout > 0)
        sw_strbuf_printf(out, " --timeout %g", o->timeout);
    if (o->popularity)
        sbatch_add_file(" --popularity ", o->popularity, out);
    for (int r = 0; o->slices && r < report->plan->n_ranks; r++)
        if (report->plan->stages[r].count) {
            sw_strbuf_printf(out, "%s%s%d", comma[0] == '=' ? " --slices" : "", comma,
                             report->plan->stages[r].count);
            comma = ",";
        }
}

static enum sw_status sbatch_add_job(const struct sw_call *call, const struct sw_report *report,
                                     struct sw_strbuf *out)
{
    char name[128];
    char *path = realpath(call->arguments[0], NULL);
    struct sw_strbuf options = {0};
    snprintf(name, sizeof name, "%s", report->model);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            *c = '_';
    sbatch_add_options(&call->options, report, &options);
    const struct sw_sbatch_job job = {.name = name,
                                      .model = path ? path : call->arguments[0],
                                      .options = options.text ? options.text : "",
                                      .threads = call->options.threads};
    const enum sw_status status = options.failed ? sw_fail(SW_ENOMEM, "no memory for the job file")
                                                 : sw_report_sbatch(report, &job, out);
    sw_strbuf_free(&options);
    free(path);
    return status;
}

static enum sw_status sbatch_write(const struct sw_call *call, const struct sw_report *report)
{
    const char *path = call->options.sbatch;
    struct sw_strbuf text = {0};
    enum sw_status status = sbatch_add_job(call, report, &text);
    FILE *file = NULL;
    if (status == SW_OK && text.failed)
        status = sw_fail(SW_ENOMEM, "no memory for the job file");
    if (status == SW_OK) {
        status = sw_file_write_stream(path, SW_WRITE_ANEW, &file);
    }
    if (status == SW_OK) {
        const bool written = fwrite(text.text, 1, text.length, file) == text.length;
        if (fclose(file) != 0 || !written)
            status = sw_fail(SW_EIO, "%s: cannot be written: %s", path, strerror(errno));
        else
            sw_log(SW_LOG_INFO, "wrote %s; start it with 'sbatch %s'", path, path);
    }
    sw_strbuf_free(&text);
    return status;
}

/* mpirun gives rank 0 a terminal even when its own output is a file. */
static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"); /* no-color.org: any text that is not empty */
    return isatty(STDOUT_FILENO) && !(no && *no) && !getenv("OMPI_COMM_WORLD_RANK");
}

static enum sw_status plan_print(const struct sw_call *call, const struct sw_report *report)
{
    const struct sw_options *o = &call->options;
    struct sw_strbuf out = {0};
    enum sw_status status = SW_OK;
    setlocale(LC_CTYPE, "");
    const struct sw_report_style style = {.width = terminal_width(),
                                          .unicode = !strcmp(nl_langinfo(CODESET), "UTF-8"),
                                          .colour = wants_colour()};
    setlocale(LC_CTYPE, "C");
    if (o->json)
        sw_report_json(report, &out);
    else if (o->sbatch && !strcmp(o->sbatch, "-") && report->plan->fits)
        status = sbatch_add_job(call, report, &out);
    else if (o->svg && report->plan->fits)
        sw_report_svg(report, &out);
    else
        sw_report_text(report, &style, &out);
    const bool failed = out.failed;
    if (status == SW_OK && !failed && out.text)
        fputs(out.text, stdout);
    sw_strbuf_free(&out);
    if (status == SW_OK && failed)
        status = sw_fail(SW_ENOMEM, "no memory for the report");
    if (status == SW_OK && o->sbatch && strcmp(o->sbatch, "-") != 0 && report->plan->fits)
        status = sbatch_write(call, report);
    return status;
}

/* The last part of a path, without a slash at the end. */
static const char *plan_title(const char *path, char *out, size_t cap)
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

/* What a plan is made of. */
struct plan_job {
    const struct sw_options *given;
    const struct sw_session_settings *settings;
    const struct sw_model *model;
    const struct sw_cluster *cluster;
    struct sw_plan_options *options;
    struct sw_footprint footprint;
    struct sw_plan plan;
};

static int plan_positions(const struct plan_job *job)
{
    return sw_positions(job->options->prompt_tokens, job->options->new_tokens);
}

/* Plans for --slots. For throughput the default is that of `batch`. context: in place of the usual
 * one, if not 0. */
static enum sw_status plan_spread(struct plan_job *job, int context)
{
    struct sw_session_settings o = *job->settings;
    struct sw_plan_options *options = job->options;
    struct sw_footprint_params params;
    if (context > 0)
        o.context = context;
    struct sw_params_of of = {&o, job->model, job->model->dtype, plan_positions(job)};
    options->footprint_at = sw_params_footprint; /* for advice */
    options->user = &of;
    enum sw_status status;
    if (job->given->slots == 0 && options->objective == SW_OBJECTIVE_THROUGHPUT) {
        const struct sw_slots_range range =
            sw_params_slots(&of, SW_DEFAULT_SLOTS, SW_SLOTS_LARGEST);
        status = sw_plan_slots(&range, job->cluster, options, &job->footprint, &job->plan);
    } else {
        status = sw_params_resolve(&o, job->model, of.stored, of.positions, &params);
        if (status == SW_OK)
            status = sw_footprint_of(job->model, &params, &job->footprint);
        if (status == SW_OK)
            status = sw_plan_spread(&job->footprint, job->cluster, options, &job->plan);
    }
    options->user = NULL;
    return status;
}

static bool plan_has_disk(const struct sw_cluster *cluster)
{
    for (int n = 0; n < cluster->n_nodes; n++)
        if (cluster->nodes[n].disk_tier)
            return true;
    return false;
}

/* A sw_plan_attempt_make. */
static enum sw_status plan_attempt(void *user, const struct sw_plan_attempt *attempt)
{
    struct plan_job *job = user;
    const struct sw_plan_options all = *job->options;
    sw_plan_free(&job->plan);
    sw_footprint_free(&job->footprint);
    job->options->no_disk = !attempt->disk && plan_has_disk(job->cluster);
    job->options->no_advice = !attempt->last;
    const enum sw_status status = plan_spread(job, attempt->context);
    job->options->no_disk = all.no_disk;
    job->options->no_advice = all.no_advice;
    return status;
}

static enum sw_status plan_model(const struct sw_call *call,
                                 const struct sw_session_settings *settings,
                                 const struct sw_model *model, const struct sw_cluster *cluster,
                                 struct sw_plan_options *options)
{
    const struct sw_options *o = &call->options;
    struct plan_job job = {
        .given = o, .settings = settings, .model = model, .cluster = cluster, .options = options};
    double *shares = NULL;
    char title[128];
    const int most = o->context > 0 ? o->context : model->dims.context;
    if (o->prompt <= 0)
        options->prompt_tokens = sw_default_prompt(most, options->new_tokens);
    const int positions = plan_positions(&job);
    enum sw_status status = SW_OK;
    if (o->popularity)
        status = sw_popularity_learn(o->popularity, model, &shares, NULL);
    options->popularity = shares;
    options->n_popularity = shares ? model->dims.n_experts : 0;
    if (status == SW_OK)
        status = sw_plan_attempts(sw_params_usual(model, positions), o->context > 0 ? 0 : positions,
                                  plan_has_disk(cluster), plan_attempt, &job);
    if (status == SW_OK || status == SW_ENOFIT) {
        const struct sw_report report = {.model =
                                             plan_title(call->arguments[0], title, sizeof title),
                                         .footprint = &job.footprint,
                                         .cluster = cluster,
                                         .plan = &job.plan,
                                         .options = options};
        const enum sw_status printed = plan_print(call, &report);
        status = printed == SW_OK ? status : printed;
    }
    sw_plan_free(&job.plan);
    sw_footprint_free(&job.footprint);
    free(shares);
    return status;
}

static enum sw_status plan(struct sw_call *call)
{
    const struct sw_options *o = &call->options;
    struct sw_session_settings settings;
    struct sw_plan_options options;
    struct sw_cluster cluster;
    struct sw_model *model;
    int *slices;
    if (!o->cluster)
        return sw_fail(SW_EUSAGE, "plan: needs the machines, as --cluster \"1x(gpu:2x24G "
                                  "host:64G)\" or --cluster FILE from 'spillway probe --json'");
    if (o->json + o->svg + (o->sbatch && !strcmp(o->sbatch, "-")) > 1)
        return sw_fail(SW_EUSAGE, "plan: --json, --svg and --sbatch all print to standard output; "
                                  "give one of them, or --sbatch=FILE");
    SW_TRY(sw_call_settings(call, &slices, &settings));
    sw_params_plan_options(&settings, o->sbatch ? SW_OBJECTIVE_THROUGHPUT : SW_OBJECTIVE_LATENCY,
                           &options);
    options.n_ranks = o->ranks;
    if (o->prompt > 0)
        options.prompt_tokens = o->prompt;
    options.new_tokens = o->n;
    enum sw_status status = sw_call_files(call, NULL, NULL);
    if (status == SW_OK)
        status = sw_cluster_open(o->cluster, &cluster);
    if (status == SW_OK) {
        status = sw_open_model(call->models[0], &model);
        if (status == SW_OK) {
            status = sw_checkpoint_stored(call->models[0], model);
            sw_model_log_warnings(model);
            if (status == SW_OK)
                status = plan_model(call, &settings, model, &cluster, &options);
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
    {"prompt", 'p', "N", "prompt tokens of a request (default: 512, or what has room)",
     offsetof(struct sw_options, prompt), sw_parse_count},
    {"n", 'n', "N", "new tokens of a request (default: 128; 0: only prompts count)",
     offsetof(struct sw_options, n), sw_parse_natural},
    {"svg", 0, NULL, "print the plan as an SVG picture", offsetof(struct sw_options, svg),
     sw_parse_flag},
    {"sbatch", 0, "[=FILE]",
     "write a Slurm job file that requests what the plan needs (no FILE: print it)",
     offsetof(struct sw_options, sbatch), sw_parse_output},
    {0}};

const struct sw_verb sw_verb_plan = {
    .name = "plan",
    .alone = true,
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "print what would go where on which machines, and how fast it would be",
    .description =
        "Needs neither the machines nor the weights: MODEL is a directory with a config.json.\n"
        "Prints which layers each rank holds and where, every byte of it, and the predicted\n"
        "speed; or, with exit code 4, the smallest changes that would make it fit. The plan is\n"
        "the fastest for requests of --prompt and -n tokens.\n\n"
        "  spillway plan opt-66b --cluster \"1x(gpu:2x24G host:128G)\"\n"
        "  spillway plan opt-66b --cluster hostfiles/lab2 --objective throughput --json\n"
        "  spillway plan opt-66b --cluster hostfiles/lab2 --sbatch=opt-66b.sbatch",
    .own = {own},
    .takes = SW_TAKES_PLACEMENT | SW_TAKES_POPULARITY,
    .run = plan,
};
