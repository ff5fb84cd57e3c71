/* Owns a text's way through a model: reading it, starting the session, progress, stopping. */
#include "cmd/text_pass.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "cmd/output.h"
#include "jobs/metrics.h"

#include <stdio.h>
#include <string.h>

#define TEXT_LIMIT (256u << 20) /* bytes */

enum sw_status sw_text_pass_read(const char *path, char **text, size_t *n)
{
    char buffer[65536];
    size_t got;
    struct sw_strbuf all = {0};
    *text = NULL;
    if (strcmp(path, "-") != 0)
        return sw_file_read(path, TEXT_LIMIT, text, n);
    while (all.length <= TEXT_LIMIT && (got = fread(buffer, 1, sizeof buffer, stdin)) > 0)
        sw_strbuf_append(&all, buffer, got);
    enum sw_status status = all.failed ? sw_fail(SW_ENOMEM, "no memory for the text") : SW_OK;
    if (status == SW_OK && all.length > TEXT_LIMIT)
        status = sw_fail(SW_EINPUT, "standard input: more than %u MiB of text", TEXT_LIMIT >> 20);
    if (status == SW_OK)
        status = sw_input_check();
    if (status != SW_OK) {
        sw_strbuf_free(&all);
        return status;
    }
    *text = all.text; /* NULL when there is none */
    *n = all.length;
    return SW_OK;
}

int sw_text_pass_window(const struct sw_options *o, const struct sw_model *model)
{
    const int most = model->dims.context;
    if (o->context > 0)
        return o->context;
    return most > 0 ? sw_min_int(most, SW_WINDOW_IDS) : SW_WINDOW_IDS;
}

/* What is open while the windows run. */
struct running {
    struct sw_text_pass *pass;
    struct sw_session *s;
    struct sw_scheduler *scheduler;
    struct sw_metrics *metrics;
};

static struct sw_metrics_state running_state(const struct running *r, size_t done)
{
    struct sw_metrics_state state = {.count = {.safe = (int64_t)done},
                                     .times = sw_driver_times(r->s->driver)};
    sw_scheduler_stats(r->scheduler, &state.stats);
    return state;
}

static enum sw_status text_pass_tick(void *context, size_t done)
{
    const struct running *r = context;
    if (sw_metrics_is_due(r->metrics)) {
        const struct sw_metrics_state state = running_state(r, done);
        sw_metrics_report(r->metrics, &state);
    }
    return sw_transport_alive(r->s->transport);
}

static enum sw_status running_open(struct running *r)
{
    const struct sw_text_pass *pass = r->pass;
    struct sw_session *s = r->s;
    const struct sw_session_defaults defaults = {.objective = SW_OBJECTIVE_THROUGHPUT,
                                                 .context = pass->windows->size,
                                                 .slots = pass->hooks ? 1 : 2 * s->transport->size,
                                                 .prompt_tokens = pass->windows->size};
    const struct sw_metrics_options metrics = {.what = pass->what,
                                               .metrics = pass->options->metrics,
                                               .total = (int64_t)pass->windows->n,
                                               .n_ranks = s->transport->size,
                                               .quiet = pass->options->quiet};
    SW_TRY(sw_session_start(s, &defaults));
    const struct sw_scheduler_options options = {.driver = s->driver,
                                                 .slots = pass->hooks ? 1 : s->params.slots,
                                                 .context = s->params.context,
                                                 .max_batch_tokens = s->params.max_batch_tokens,
                                                 .unshared = true};
    SW_TRY(sw_scheduler_open(&options, &r->scheduler));
    if (pass->hooks)
        SW_TRY(sw_driver_hooks(s->driver, pass->hooks));
    return sw_metrics_open(&metrics, &r->metrics);
}

static enum sw_status running_run(struct running *r)
{
    struct sw_text_pass *pass = r->pass;
    SW_TRY(running_open(r));
    const struct sw_perplexity_options options = {
        .scheduler = r->scheduler, .windows = pass->windows, .tick = text_pass_tick, .context = r};
    enum sw_status status = sw_perplexity_run(&options, &pass->nll);
    const struct sw_metrics_state state = running_state(r, pass->windows->n);
    sw_metrics_end(r->metrics, &state);
    pass->seconds = sw_metrics_seconds(r->metrics);
    if (status == SW_OK && pass->finish)
        status = pass->finish(pass->context);
    return status == SW_OK ? sw_session_stop(r->s) : status;
}

enum sw_status sw_text_pass_run(struct sw_text_pass *pass, struct sw_session *session)
{
    struct running r = {.pass = pass, .s = session};
    const enum sw_status status = running_run(&r);
    sw_metrics_close(r.metrics);
    sw_scheduler_close(r.scheduler);
    return status;
}
