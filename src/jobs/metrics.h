/*
 * Reports on a running job: on a terminal one line that is redrawn, elsewhere a log line each
 * minute, and on request a JSON line each second in a file.
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
    const char *what;    /* the verb, "batch" */
    const char *metrics; /* path of the file to append to; NULL: none */
    int64_t total;       /* lines of the input */
    int n_ranks;
    bool quiet; /* no line on the terminal or in the log */
};

/* The state of a job at one moment. */
struct sw_metrics_state {
    struct sw_results_count count;
    struct sw_scheduler_stats stats;
    const struct sw_times *times; /* (n_ranks) */
};

/* SW_EIO: the metrics file cannot be opened. The caller closes *out. */
enum sw_status sw_metrics_open(const struct sw_metrics_options *options, struct sw_metrics **out);
/* Whether it is time for a report; then call sw_metrics_report. Cheap. */
bool sw_metrics_is_due(struct sw_metrics *metrics);
void sw_metrics_report(struct sw_metrics *metrics, const struct sw_metrics_state *state);
/* Clears the line on the terminal and writes the last JSON line. */
void sw_metrics_end(struct sw_metrics *metrics, const struct sw_metrics_state *state);
/* Seconds since sw_metrics_open. */
double sw_metrics_seconds(const struct sw_metrics *metrics);
/* For each rank the share of the whole time in which it computed, 0 to 1. The caller frees. */
json_t *sw_metrics_busy(const struct sw_metrics *metrics, const struct sw_metrics_state *state);
void sw_metrics_close(struct sw_metrics *metrics);

#endif
