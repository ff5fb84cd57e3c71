/*
 * What can be seen of a job while it runs: a line on a terminal that is drawn anew, a log line a
 * minute elsewhere, and on request a JSON line a second in a file.
 */
#ifndef SW_JOBS_METRICS_H
#define SW_JOBS_METRICS_H

#include "engine/scheduler.h"
#include "engine/timeline.h"
#include "jobs/results.h"

#include <jansson.h>
#include <stdbool.h>

struct sw_metrics;

struct sw_metrics_options {
    const char *what;    /* "batch" */
    const char *metrics; /* file to append to; NULL: none */
    int64_t total;       /* lines */
    int n_ranks;
    bool quiet;
};

/* A job's state at a moment. */
struct sw_metrics_state {
    struct sw_results_count count;
    struct sw_scheduler_stats stats;
    const struct sw_times *times; /* (n_ranks) */
};

/* SW_EIO: the metrics file cannot be opened. The caller closes *out. */
enum sw_status sw_metrics_open(const struct sw_metrics_options *options, struct sw_metrics **out);
/* Is it time to say something? Cheap; then call sw_metrics_say. */
bool sw_metrics_is_due(struct sw_metrics *watch);
void sw_metrics_say(struct sw_metrics *watch, const struct sw_metrics_state *state);
/* Takes the drawn line away, says the last metrics. */
void sw_metrics_end(struct sw_metrics *watch, const struct sw_metrics_state *state);
double sw_metrics_seconds(const struct sw_metrics *watch);
/* Share of the whole time each rank computed, [0 … 1] each, for a report. */
json_t *sw_metrics_busy(const struct sw_metrics *watch, const struct sw_metrics_state *state);
void sw_metrics_close(struct sw_metrics *watch);

#endif
