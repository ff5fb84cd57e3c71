/* Owns reports on a running job. */
#include "jobs/metrics.h"

#include "base/clock.h"
#include "base/file_write.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DRAW_S 0.25
#define LOG_S 60
#define METRICS_S 1
#define RATE_S 0.999

struct rank_mark {
    double computed, clock; /* seconds that the rank computed; its clock. As it reported them */
    double share;           /* of the last interval in which it computed; -1: not known yet */
};

/* Rates since the last report, over RATE_S at least. */
struct mark {
    double at;
    int64_t tokens;
    double rate;             /* tokens/s */
    struct rank_mark *ranks; /* (n_ranks) */
};

struct sw_metrics {
    struct sw_metrics_options options;
    bool terminal, drawn, metrics_failed;
    FILE *file;
    double started, reported_at;
    struct mark reported, measured;
};

static bool mark_open(struct mark *m, int n_ranks, double now)
{
    m->at = now;
    m->ranks = calloc((size_t)n_ranks, sizeof *m->ranks);
    for (int r = 0; r < n_ranks && m->ranks; r++)
        m->ranks[r].share = -1;
    return m->ranks;
}

enum sw_status sw_metrics_open(const struct sw_metrics_options *options, struct sw_metrics **out)
{
    struct sw_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return sw_fail(SW_ENOMEM, "no memory for the metrics of the job");
    metrics->options = *options;
    metrics->terminal = isatty(STDERR_FILENO);
    metrics->started = metrics->reported_at = sw_clock();
    enum sw_status status = SW_OK;
    if (!mark_open(&metrics->reported, options->n_ranks, metrics->started) ||
        !mark_open(&metrics->measured, options->n_ranks, metrics->started))
        status = sw_fail(SW_ENOMEM, "no memory for the metrics of the job");
    else if (options->metrics)
        status = sw_file_write_stream(options->metrics, SW_WRITE_APPEND, &metrics->file);
    if (status == SW_OK)
        *out = metrics;
    else
        sw_metrics_close(metrics);
    return status;
}

void sw_metrics_close(struct sw_metrics *metrics)
{
    if (!metrics)
        return;
    if (metrics->file)
        fclose(metrics->file);
    free(metrics->reported.ranks);
    free(metrics->measured.ranks);
    free(metrics);
}

double sw_metrics_seconds(const struct sw_metrics *metrics)
{
    return sw_clock() - metrics->started;
}

static double metrics_interval(const struct sw_metrics *metrics)
{
    return metrics->terminal ? DRAW_S : LOG_S;
}

bool sw_metrics_is_due(struct sw_metrics *metrics)
{
    const double now = sw_clock();
    return (!metrics->options.quiet && now - metrics->reported_at >= metrics_interval(metrics)) ||
           (metrics->file && now - metrics->measured.at >= METRICS_S);
}

/* Tokens that were computed, and prefix hits. */
static int64_t metrics_tokens(const struct sw_metrics_state *s)
{
    return s->stats.rows_sent + s->stats.prefix_hits;
}

/* A rank without layers stays unknown; one that has not reported since keeps its share. */
static void rank_mark_move(struct rank_mark *m, const struct sw_times *t)
{
    const double clock = t->clock - m->clock;
    const double computed = t->seconds[SW_ACTIVITY_COMPUTE] - m->computed;
    if (t->batches == 0 || clock <= 0)
        return;
    if (m->clock > 0)
        m->share = computed < clock ? computed / clock : 1;
    m->clock = t->clock;
    m->computed = t->seconds[SW_ACTIVITY_COMPUTE];
}

static void mark_move(struct mark *m, const struct sw_metrics *metrics,
                      const struct sw_metrics_state *s, double now)
{
    if (now - m->at < RATE_S)
        return;
    m->rate = (double)(metrics_tokens(s) - m->tokens) / (now - m->at);
    m->at = now;
    m->tokens = metrics_tokens(s);
    for (int r = 0; r < metrics->options.n_ranks && s->times; r++)
        rank_mark_move(&m->ranks[r], &s->times[r]);
}

static void metrics_describe(const struct sw_metrics *metrics, const struct sw_metrics_state *s,
                             double now, struct sw_strbuf *text)
{
    const int64_t done = s->count.found + s->count.safe, left = metrics->options.total - done;
    const int64_t failed = s->count.found_failed + s->count.written_failed;
    char eta[32], rate[32];
    sw_strbuf_printf(text, "%lld of %lld done", (long long)done, (long long)metrics->options.total);
    if (failed > 0)
        sw_strbuf_printf(text, " (%lld failed)", (long long)failed);
    sw_strbuf_printf(text, ", %s tokens/s",
                     sw_number_format(metrics->reported.rate, rate, sizeof rate));
    if (s->count.safe > 0 && left > 0)
        sw_strbuf_printf(
            text, ", %s left",
            sw_seconds_format((double)left * (now - metrics->started) / (double)s->count.safe, eta,
                              sizeof eta));
    bool first = true;
    for (int r = 0; r < metrics->options.n_ranks; r++) {
        const double share = metrics->reported.ranks[r].share;
        if (share < 0)
            continue;
        sw_strbuf_printf(text, "%s%.0f%%", first ? ", stages busy " : " ", 100 * share);
        first = false;
    }
}

static void metrics_print(struct sw_metrics *metrics, const struct sw_metrics_state *s, double now)
{
    struct sw_strbuf text = {0};
    metrics_describe(metrics, s, now, &text);
    if (!metrics->terminal) {
        sw_log(SW_LOG_INFO, "%s: %s", metrics->options.what, text.text ? text.text : "");
    } else {
        fprintf(stderr, "\r%s: %s\033[K", metrics->options.what, text.text ? text.text : "");
        fflush(stderr);
        metrics->drawn = true;
    }
    sw_strbuf_free(&text);
}

/* Resident memory of this process in bytes; 0 when the system does not report it. */
static uint64_t resident_bytes(void)
{
    unsigned long long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *metrics_busy_list(const struct sw_metrics *metrics, const struct mark *m)
{
    json_t *list = json_array();
    for (int r = 0; r < metrics->options.n_ranks; r++) {
        const double share = m->ranks[r].share;
        json_array_append_new(list, share < 0 ? json_null() : json_real(share));
    }
    return list;
}

static void metrics_measure(struct sw_metrics *metrics, const struct sw_metrics_state *s,
                            double now)
{
    const struct sw_scheduler_stats *t = &s->stats;
    json_t *line = json_pack(
        "{s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:i, s:i, s:i, s:I, s:f, s:o, s:I}",
        "time", (json_int_t)time(NULL), "seconds", now - metrics->started, "done",
        (json_int_t)(s->count.found + s->count.safe), "total", (json_int_t)metrics->options.total,
        "failed", (json_int_t)(s->count.found_failed + s->count.written_failed), "fed",
        (json_int_t)t->rows_sent, "shared", (json_int_t)t->prefix_hits, "generated",
        (json_int_t)t->generated, "scored", (json_int_t)t->scored, "tokens_per_s",
        metrics->measured.rate, "slots_in_use", t->running, "queue", t->waiting,
        "batches_under_way", t->under_way, "batches", (json_int_t)t->batches, "rows_per_batch",
        t->batches > 0 ? (double)t->rows_sent / (double)t->batches : 0.0, "busy",
        metrics_busy_list(metrics, &metrics->measured), "host_memory",
        (json_int_t)resident_bytes());
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        fprintf(metrics->file, "%s\n", text);
    if ((fflush(metrics->file) != 0 || ferror(metrics->file)) && !metrics->metrics_failed) {
        metrics->metrics_failed = true;
        sw_log(SW_LOG_WARN, "%s: cannot write: %s; the job continues without metrics",
               metrics->options.metrics, strerror(errno));
    }
    free(text);
    json_decref(line);
}

void sw_metrics_report(struct sw_metrics *metrics, const struct sw_metrics_state *s)
{
    const double now = sw_clock();
    if (!metrics->options.quiet && now - metrics->reported_at >= metrics_interval(metrics)) {
        mark_move(&metrics->reported, metrics, s, now);
        metrics_print(metrics, s, now);
        metrics->reported_at = now;
    }
    if (metrics->file && now - metrics->measured.at >= METRICS_S) {
        mark_move(&metrics->measured, metrics, s, now);
        metrics_measure(metrics, s, now);
    }
}

void sw_metrics_end(struct sw_metrics *metrics, const struct sw_metrics_state *s)
{
    if (metrics->drawn)
        fprintf(stderr, "\r\033[K");
    metrics->drawn = false;
    if (!metrics->file)
        return;
    mark_move(&metrics->measured, metrics, s, sw_clock());
    metrics_measure(metrics, s, sw_clock());
}

json_t *sw_metrics_busy(const struct sw_metrics *metrics, const struct sw_metrics_state *s)
{
    json_t *list = json_array();
    for (int r = 0; r < metrics->options.n_ranks && s->times; r++) {
        const double seconds = sw_metrics_seconds(metrics);
        const double computed = s->times[r].seconds[SW_ACTIVITY_COMPUTE];
        json_array_append_new(list, json_real(seconds > 0 ? computed / seconds : 0));
    }
    return list;
}
