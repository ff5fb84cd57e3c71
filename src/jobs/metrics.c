/* Owns what is said about a job under way. */
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
    double computed, clock; /* seconds, by the rank's own word */
    double share;           /* of the time before that it computed; -1: not known yet */
};

/* Rates over the time since something was last said, a second at least. */
struct mark {
    double at;
    int64_t tokens;
    double rate;             /* tokens/s */
    struct rank_mark *ranks; /* (n_ranks) */
};

struct sw_metrics {
    struct sw_metrics_options options;
    bool terminal, drawn, metrics_failed;
    FILE *metrics;
    double started, said_at;
    struct mark said, measured;
};

static bool open_mark(struct mark *m, int n_ranks, double now)
{
    m->at = now;
    m->ranks = calloc((size_t)n_ranks, sizeof *m->ranks);
    for (int r = 0; r < n_ranks && m->ranks; r++)
        m->ranks[r].share = -1;
    return m->ranks;
}

enum sw_status sw_metrics_open(const struct sw_metrics_options *options, struct sw_metrics **out)
{
    struct sw_metrics *w = calloc(1, sizeof *w);
    if (!w)
        return sw_fail(SW_ENOMEM, "no memory to watch the job");
    w->options = *options;
    w->terminal = isatty(STDERR_FILENO);
    w->started = w->said_at = sw_clock();
    enum sw_status status = SW_OK;
    if (!open_mark(&w->said, options->n_ranks, w->started) ||
        !open_mark(&w->measured, options->n_ranks, w->started))
        status = sw_fail(SW_ENOMEM, "no memory to watch the job");
    else if (options->metrics)
        status = sw_file_write_stream(options->metrics, SW_WRITE_APPEND, &w->metrics);
    if (status == SW_OK)
        *out = w;
    else
        sw_metrics_close(w);
    return status;
}

void sw_metrics_close(struct sw_metrics *w)
{
    if (!w)
        return;
    if (w->metrics)
        fclose(w->metrics);
    free(w->said.ranks);
    free(w->measured.ranks);
    free(w);
}

double sw_metrics_seconds(const struct sw_metrics *w)
{
    return sw_clock() - w->started;
}

static double interval(const struct sw_metrics *w)
{
    return w->terminal ? DRAW_S : LOG_S;
}

bool sw_metrics_is_due(struct sw_metrics *w)
{
    const double now = sw_clock();
    return (!w->options.quiet && now - w->said_at >= interval(w)) ||
           (w->metrics && now - w->measured.at >= METRICS_S);
}

/* Prompt tokens that were computed or shared, and new ones. */
static int64_t tokens_of(const struct sw_metrics_state *s)
{
    return s->stats.rows_sent + s->stats.prefix_hits;
}

/* A rank that has no layers stays unknown; one that has not spoken since keeps its share. */
static void move_rank(struct rank_mark *m, const struct sw_times *t)
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

static void metrics_move(struct mark *m, const struct sw_metrics *w,
                         const struct sw_metrics_state *s, double now)
{
    if (now - m->at < RATE_S)
        return;
    m->rate = (double)(tokens_of(s) - m->tokens) / (now - m->at);
    m->at = now;
    m->tokens = tokens_of(s);
    for (int r = 0; r < w->options.n_ranks && s->times; r++)
        move_rank(&m->ranks[r], &s->times[r]);
}

static void describe(const struct sw_metrics *w, const struct sw_metrics_state *s, double now,
                     struct sw_strbuf *text)
{
    const int64_t done = s->count.found + s->count.safe, left = w->options.total - done;
    const int64_t failed = s->count.found_failed + s->count.written_failed;
    char eta[32], rate[32];
    sw_strbuf_printf(text, "%lld of %lld done", (long long)done, (long long)w->options.total);
    if (failed > 0)
        sw_strbuf_printf(text, " (%lld failed)", (long long)failed);
    sw_strbuf_printf(text, ", %s tokens/s", sw_number_format(w->said.rate, rate, sizeof rate));
    if (s->count.safe > 0 && left > 0)
        sw_strbuf_printf(
            text, ", %s left",
            sw_seconds_format((double)left * (now - w->started) / (double)s->count.safe, eta,
                              sizeof eta));
    bool first = true;
    for (int r = 0; r < w->options.n_ranks; r++) {
        const double share = w->said.ranks[r].share;
        if (share < 0)
            continue;
        sw_strbuf_printf(text, "%s%.0f%%", first ? ", stages busy " : " ", 100 * share);
        first = false;
    }
}

static void metrics_say(struct sw_metrics *w, const struct sw_metrics_state *s, double now)
{
    struct sw_strbuf text = {0};
    describe(w, s, now, &text);
    if (!w->terminal) {
        sw_log(SW_LOG_INFO, "%s: %s", w->options.what, text.text ? text.text : "");
    } else {
        fprintf(stderr, "\r%s: %s\033[K", w->options.what, text.text ? text.text : "");
        fflush(stderr);
        w->drawn = true;
    }
    sw_strbuf_free(&text);
}

/* Bytes of memory this process has now; 0 when the system does not say. */
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

static json_t *busy_list(const struct sw_metrics *w, const struct mark *m)
{
    json_t *list = json_array();
    for (int r = 0; r < w->options.n_ranks; r++) {
        const double share = m->ranks[r].share;
        json_array_append_new(list, share < 0 ? json_null() : json_real(share));
    }
    return list;
}

static void metrics_measure(struct sw_metrics *w, const struct sw_metrics_state *s, double now)
{
    const struct sw_scheduler_stats *t = &s->stats;
    json_t *line = json_pack(
        "{s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:i, s:i, s:i, s:I, s:f, s:o, s:I}",
        "time", (json_int_t)time(NULL), "seconds", now - w->started, "done",
        (json_int_t)(s->count.found + s->count.safe), "total", (json_int_t)w->options.total,
        "failed", (json_int_t)(s->count.found_failed + s->count.written_failed), "fed",
        (json_int_t)t->rows_sent, "shared", (json_int_t)t->prefix_hits, "generated",
        (json_int_t)t->generated, "scored", (json_int_t)t->scored, "tokens_per_s", w->measured.rate,
        "slots_in_use", t->running, "queue", t->waiting, "batches_under_way", t->under_way,
        "batches", (json_int_t)t->batches, "rows_per_batch",
        t->batches > 0 ? (double)t->rows_sent / (double)t->batches : 0.0, "busy",
        busy_list(w, &w->measured), "host_memory", (json_int_t)resident_bytes());
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        fprintf(w->metrics, "%s\n", text);
    if ((fflush(w->metrics) != 0 || ferror(w->metrics)) && !w->metrics_failed) {
        w->metrics_failed = true;
        sw_log(SW_LOG_WARN, "%s: cannot write: %s; the job goes on without", w->options.metrics,
               strerror(errno));
    }
    free(text);
    json_decref(line);
}

void sw_metrics_say(struct sw_metrics *w, const struct sw_metrics_state *s)
{
    const double now = sw_clock();
    if (!w->options.quiet && now - w->said_at >= interval(w)) {
        metrics_move(&w->said, w, s, now);
        metrics_say(w, s, now);
        w->said_at = now;
    }
    if (w->metrics && now - w->measured.at >= METRICS_S) {
        metrics_move(&w->measured, w, s, now);
        metrics_measure(w, s, now);
    }
}

void sw_metrics_end(struct sw_metrics *w, const struct sw_metrics_state *s)
{
    if (w->drawn)
        fprintf(stderr, "\r\033[K");
    w->drawn = false;
    if (!w->metrics)
        return;
    metrics_move(&w->measured, w, s, sw_clock());
    metrics_measure(w, s, sw_clock());
}

json_t *sw_metrics_busy(const struct sw_metrics *w, const struct sw_metrics_state *s)
{
    json_t *list = json_array();
    for (int r = 0; r < w->options.n_ranks && s->times; r++) {
        const double seconds = sw_metrics_seconds(w);
        const double computed = s->times[r].seconds[SW_ACTIVITY_COMPUTE];
        json_array_append_new(list, json_real(seconds > 0 ? computed / seconds : 0));
    }
    return list;
}
