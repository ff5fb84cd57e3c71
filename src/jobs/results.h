/*
 * The output of a job: one line per result, in the order they were finished. A kill at any moment
 * loses at most the last lines; opening the output again finds which ids are done. One process at a
 * time.
 */
#ifndef SW_JOBS_RESULTS_H
#define SW_JOBS_RESULTS_H

#include "base/strbuf.h"
#include "jobs/id_set.h"
#include "jobs/input_scan.h"

#include <jansson.h>
#include <stdbool.h>

struct sw_results;

enum sw_results_mode {
    SW_RESULTS_RESUME, /* continue the output of the same job */
    SW_RESULTS_FRESH,  /* delete the results that are there */
    SW_RESULTS_FORCE   /* keep the results that are there, whatever job they came from */
};

/*
 * Opens or creates `path` and locks it, after waiting up to a few seconds for another process.
 * SW_EINPUT names the process that holds the lock; SW_EUSAGE: not a regular file; SW_EIO: cannot be
 * opened. The caller closes *out, also on failure.
 */
enum sw_status sw_results_open(const char *path, struct sw_results **out);
/* The bytes of the input that the manifest records; 0: there is no manifest. */
uint64_t sw_results_input_bytes(const struct sw_results *results);
/* Whether the manifest is one without a version (jobs/identity.h). */
bool sw_results_former(const struct sw_results *results);
/*
 * Compares this job's manifest {"verb", "input", "model", "options"} with the one found (SW_EINPUT
 * when the output is another job's) and writes it; finds the results that are there; cuts off a
 * line that was torn when an earlier run died. `scan` is of the input, made with begin_bytes from
 * sw_results_input_bytes.
 */
enum sw_status sw_results_begin(struct sw_results *results, const json_t *manifest,
                                const struct sw_input_scan *scan, enum sw_results_mode mode);
/* After sw_results_begin: the ids of all results, marked SW_ID_DONE. Lives as long as `results`. */
struct sw_id_set *sw_results_ids(struct sw_results *results);

struct sw_results_count {
    int64_t found, found_failed;     /* results at the start; error records among them */
    int64_t written, written_failed; /* results of this run; error records among them */
    int64_t safe;                    /* results of this run that were synced to disk */
};
struct sw_results_count sw_results_count(struct sw_results *results);
/* Appends one line with its newline; `failed`: it is an error record. SW_EIO when it cannot be
 * written. */
enum sw_status sw_results_append(struct sw_results *results, const struct sw_strbuf *line,
                                 bool failed);
/* SW_EIO when the output was removed, moved, replaced or truncated while the job ran
 * (sw_result_writer_check). */
enum sw_status sw_results_check(struct sw_results *results);
/* Waits until all results are safe. */
enum sw_status sw_results_flush(struct sw_results *results);
void sw_results_close(struct sw_results *results);

#endif
