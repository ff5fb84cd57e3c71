/* Owns the life of a job over files: checking the output's manifest, running what is left, totals.
 */
#include "cmd/jobs.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/units.h"
#include "cmd/output.h"
#include "engine/timeline.h"
#include "jobs/metrics.h"
#include "plan/plan_slots.h"
#include "session/token_bytes.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* What one run of a job opens. */
struct run {
    const struct sw_call *call;
    struct sw_session *s;
    const struct sw_job_verb *verb;
    struct sw_input_scan scan;
    struct sw_results *results;
    struct sw_job job;
    struct sw_scheduler *scheduler;
    struct sw_metrics *metrics;
    struct sw_strbuf tokens; /* their bytes, for grammars; empty: there is no tokenizer */
};

static enum sw_status jobs_keepalive(void *context)
{
    const struct run *run = context;
    return sw_transport_alive(run->s->transport);
}

static struct sw_metrics_state jobs_state(const struct run *run)
{
    struct sw_metrics_state state = {.count = sw_results_count(run->results)};
    if (run->scheduler) {
        sw_scheduler_stats(run->scheduler, &state.stats);
        state.times = sw_driver_times(run->s->driver);
    }
    return state;
}

static enum sw_status jobs_tick(struct sw_job *job)
{
    struct run *run = job->context;
    if (run->metrics && sw_metrics_is_due(run->metrics)) {
        const struct sw_metrics_state state = jobs_state(run);
        sw_metrics_report(run->metrics, &state);
    }
    return sw_transport_alive(run->s->transport);
}

/* Checks both files, and that the output belongs to this job. */
static enum sw_status jobs_open_files(struct run *run)
{
    const struct sw_call *call = run->call;
    const char *in = call->arguments[1];
    const char *out = run->verb->out ? run->verb->out : call->arguments[2];
    const enum sw_results_mode mode = call->options.fresh   ? SW_RESULTS_FRESH
                                      : call->options.force ? SW_RESULTS_FORCE
                                                            : SW_RESULTS_RESUME;
    json_t *manifest = NULL;
    if (call->options.fresh && call->options.force)
        return sw_fail(SW_EUSAGE,
                       "--fresh deletes the results that --force keeps; give one of them");
    if (strcmp(out, "-") == 0)
        return sw_fail(SW_EUSAGE, "the output cannot be standard output, because a resumed job "
                                  "reads it; name a file");
    SW_TRY(sw_call_files(call, in, out));
    SW_TRY(sw_input_scan_check(in)); /* before the output is created */
    SW_TRY(sw_results_open(out, &run->results));
    SW_TRY(sw_input_scan_make(in, sw_results_input_bytes(run->results), jobs_keepalive, run,
                              &run->scan));
    SW_TRY(sw_jobs_manifest(call, &run->s->tensors, run->verb, &run->scan,
                            sw_results_former(run->results), &manifest));
    const enum sw_status status = sw_results_begin(run->results, manifest, &run->scan, mode);
    json_decref(manifest);
    return status;
}

/* No more slots than lines, but the usual ones, which keep what lines have in common. */
static int jobs_most_slots(const struct sw_input_scan *scan)
{
    return scan->lines < SW_DEFAULT_SLOTS   ? SW_DEFAULT_SLOTS
           : scan->lines < SW_SLOTS_LARGEST ? (int)scan->lines
                                            : SW_SLOTS_LARGEST;
}

/* Plans, loads and makes everything ready to run. */
static enum sw_status jobs_start(struct run *run)
{
    struct sw_session *s = run->s;
    const struct sw_options *o = &run->call->options;
    const struct sw_metrics_options metrics = {.what = run->verb->name,
                                               .metrics = o->metrics,
                                               .total = run->scan.lines,
                                               .n_ranks = s->transport->size,
                                               .quiet = o->quiet};
    const struct sw_session_defaults defaults = {.objective = SW_OBJECTIVE_THROUGHPUT,
                                                 .context = run->verb->context(&run->scan),
                                                 .slots = SW_DEFAULT_SLOTS,
                                                 .most_slots = jobs_most_slots(&run->scan),
                                                 .new_tokens = run->verb->new_tokens};
    SW_TRY(sw_session_start(s, &defaults));
    if (s->tokenizer)
        SW_TRY(sw_token_bytes(s->tokenizer, s->vocab_limit, &run->tokens));
    struct sw_scheduler_options options = {.driver = s->driver,
                                           .slots = s->params.slots,
                                           .context = s->params.context,
                                           .max_batch_tokens = s->params.max_batch_tokens,
                                           .beside_rows = s->plan.hidden_rows,
                                           .tokens = run->tokens.length ? &run->tokens : NULL};
    if (run->verb->schedule)
        run->verb->schedule(run->verb->owner, &options);
    SW_TRY(sw_scheduler_open(&options, &run->scheduler));
    run->job.scheduler = run->scheduler;
    run->verb->started(s, run->verb->owner);
    SW_TRY(sw_metrics_open(&metrics, &run->metrics));
    const int64_t found = sw_results_count(run->results).found;
    if (found > 0)
        sw_log(SW_LOG_INFO, "%s: %lld of %lld results are there already", run->verb->name,
               (long long)found, (long long)run->scan.lines);
    sw_log(SW_LOG_DEBUG, "%s: %d slots of %d positions, batches of up to %d rows", run->verb->name,
           s->params.slots, s->params.context, s->params.max_batch_tokens);
    return SW_OK;
}

static void jobs_log_totals(const struct run *run, const struct sw_metrics_state *state,
                            double seconds)
{
    const struct sw_scheduler_stats *t = &state->stats;
    const struct sw_results_count *n = &state->count;
    const char *name = run->verb->name, *out = run->call->arguments[2];
    const int64_t failed = n->found_failed + n->written_failed;
    char time[32], rate[32];
    if (run->scheduler)
        sw_log(SW_LOG_INFO,
               "%s: %lld result%s in %s: %lld prompt tokens (%lld shared), %lld new, %lld scored; "
               "%s tokens/s",
               name, (long long)n->written, n->written == 1 ? "" : "s",
               sw_seconds_format(seconds, time, sizeof time), (long long)run->job.prompt_tokens,
               (long long)t->prefix_hits, (long long)t->generated, (long long)t->scored,
               sw_number_format(seconds > 0 ? (double)(t->rows_sent + t->prefix_hits) / seconds : 0,
                                rate, sizeof rate));
    else
        sw_log(SW_LOG_INFO, "%s: nothing is left to do", name);
    if (failed > 0)
        sw_log(SW_LOG_WARN, "%s: %lld of the results in %s %s", name, (long long)failed, out,
               failed == 1 ? "is an error message" : "are error messages");
    const int most = run->s->model->dims.context;
    if (run->job.cut_short > 0)
        sw_log(SW_LOG_WARN, "%s: %s because the context was full: %lld%s", name, run->verb->unit,
               (long long)run->job.cut_short,
               most == 0 || run->s->params.context < most ? "; raise --context" : "");
}

static enum sw_status jobs_print_totals(const struct run *run, const struct sw_metrics_state *state,
                                        double seconds)
{
    const struct sw_session *s = run->s;
    const struct sw_scheduler_stats *t = &state->stats;
    const struct sw_results_count *n = &state->count;
    json_t *root =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "lines",
                  (json_int_t)run->scan.lines, "done", (json_int_t)(n->found + n->safe), "resumed",
                  (json_int_t)n->found, "failed", (json_int_t)(n->found_failed + n->written_failed),
                  "prompt_tokens", (json_int_t)run->job.prompt_tokens, "shared_tokens",
                  (json_int_t)t->prefix_hits, "generated_tokens", (json_int_t)run->job.new_tokens,
                  "cut_short", (json_int_t)run->job.cut_short, "seconds", seconds, "tokens_per_s",
                  seconds > 0 ? (double)(t->rows_sent + t->prefix_hits) / seconds : 0.0);
    if (root && run->scheduler) {
        json_object_set_new(root, "slots", json_integer(s->params.slots));
        json_object_set_new(root, "context", json_integer(s->params.context));
        json_object_set_new(root, "load_s", json_real(s->load_s));
        json_object_set_new(root, "busy", sw_metrics_busy(run->metrics, state));
        json_object_set_new(root, "predicted", sw_session_predicted(s));
        json_object_set_new(root, "ranks", sw_session_ranks(s));
    }
    return sw_json_print(root);
}

/* Runs what is left and stops the session; the results are safe when it returns SW_OK. */
static enum sw_status jobs_run_left(struct run *run, double *seconds)
{
    SW_TRY(jobs_start(run));
    const enum sw_status status = sw_job_run(&run->job);
    *seconds = sw_metrics_seconds(run->metrics);
    const struct sw_metrics_state state = jobs_state(run);
    sw_metrics_end(run->metrics, &state);
    return status == SW_OK ? sw_session_stop(run->s) : status;
}

const char *sw_jobs_safe(const struct sw_options *o)
{
    return o->fresh ? "see the output file for the results so far, and run again without --fresh"
                    : "see the output file for the results so far";
}

/* Adds to the message of a failure how many results are safe, and what to do next. */
static enum sw_status jobs_explain(struct run *run, enum sw_status status)
{
    char message[SW_ERROR_MAX];
    snprintf(message, sizeof message, "%s",
             *sw_error_message() ? sw_error_message() : sw_status_text(status));
    (void)sw_results_flush(run->results);
    if (sw_results_check(run->results) != SW_OK) { /* no result is known to be safe */
        if (strcmp(message, sw_error_message()) != 0)
            sw_error_context("%s", message);
        return SW_EIO;
    }
    const struct sw_results_count n = sw_results_count(run->results);
    return sw_fail(
        status, "%s. %lld of %lld results are safe in %s; the same command%s continues from there",
        message, (long long)(n.found + n.safe), (long long)run->scan.lines, run->call->arguments[2],
        run->call->options.fresh ? " without --fresh" : "");
}

static enum sw_status jobs_work(struct run *run)
{
    double seconds = 0;
    bool left = false;
    SW_TRY(run->verb->prepare(run->call, run->s, run->verb->owner));
    SW_TRY(jobs_open_files(run));
    run->job = (struct sw_job){.task = run->verb->task,
                               .owner = run->verb->owner,
                               .in = run->call->arguments[1],
                               .in_bytes = run->scan.bytes,
                               .results = run->results,
                               .tick = jobs_tick,
                               .context = run};
    SW_TRY(sw_job_open(&run->job, &left));
    enum sw_status status = left ? jobs_run_left(run, &seconds) : sw_job_run(&run->job);
    if (!left && status == SW_OK)
        status = sw_session_skip(run->s);
    if (status == SW_OK)
        status = sw_results_check(run->results);
    sw_unknown_report(&run->job.unknown, run->verb->name);
    if (status != SW_OK)
        return run->metrics ? jobs_explain(run, status) : status;
    const struct sw_metrics_state state = jobs_state(run);
    jobs_log_totals(run, &state, seconds);
    return run->call->options.json ? jobs_print_totals(run, &state, seconds) : SW_OK;
}

enum sw_status sw_jobs_run(const struct sw_call *call, struct sw_session *s,
                           const struct sw_job_verb *verb)
{
    struct run run = {.call = call, .s = s, .verb = verb};
    signal(SIGXFSZ, SIG_IGN); /* at the file size limit a write fails instead */
    const enum sw_status status = jobs_work(&run);
    sw_job_close(&run.job);
    sw_scheduler_close(run.scheduler);
    sw_metrics_close(run.metrics);
    sw_results_close(run.results);
    sw_strbuf_free(&run.tokens);
    return status;
}

#define FIELD(name) offsetof(struct sw_options, name)

const struct sw_option sw_options_jobs[] = {
    {"fresh", 0, NULL, "delete the results in OUT and start over", FIELD(fresh), sw_parse_flag},
    {"force", 0, NULL, "keep the results in OUT and continue, even if they are another job's",
     FIELD(force), sw_parse_flag},
    {"metrics", 0, "FILE", "append a JSON line per second about the job; later runs append, too",
     FIELD(metrics), sw_parse_file},
    {0}};
