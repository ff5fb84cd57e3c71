/*
 * The output of a job: one line a result, in the order they were finished. Safe against a kill at
 * any moment; who opens it again learns which ids are done. One process at a time.
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
    SW_RESULTS_RESUME, /* go on with the same job's output */
    SW_RESULTS_FRESH,  /* throw away what is there */
    SW_RESULTS_FORCE   /* keep what is there, whatever job it came from */
};

/*
 * Opens or creates `path` and locks it, waiting a few seconds for another process to let go.
 * SW_EINPUT names that process when it does not, and a path that is no regular file.
 */
enum sw_status sw_results_open(const char *path, struct sw_results **out);
/* Bytes of the input that the output there belongs to; 0: there is none. */
uint64_t sw_results_input_bytes(const struct sw_results *results);
/* Whether what is there was begun by a program whose claims have no version (jobs/identity.h). */
bool sw_results_former(const struct sw_results *results);
/*
 * Settles whose output it is (jobs/manifest.h; SW_EINPUT when it is another job's), finds the
 * results that are there, and cuts off a line that was torn when an earlier run died. `survey` is
 * of the input, with begin_bytes as sw_results_input_bytes said. `claim` is {"verb", "input",
 * "model", "options"}.
 */
enum sw_status sw_results_begin(struct sw_results *results, const json_t *claim,
                                const struct sw_input_scan *survey, enum sw_results_mode mode);
/* After sw_results_begin. Marked SW_ID_DONE: the ids of the results. Lives as long as `results`.
 */
struct sw_id_set *sw_results_ids(struct sw_results *results);

struct sw_results_count {
    int64_t found, found_failed;     /* there when the job began, and those that say an error */
    int64_t written, written_failed; /* by this run */
    int64_t safe;                    /* of `written`, on disk for certain */
};
struct sw_results_count sw_results_count(struct sw_results *results);
/* Appends one line (with its newline). SW_EIO says how many results are safe and what to do. */
enum sw_status sw_results_append(struct sw_results *results, const struct sw_strbuf *line,
                                 bool failed);
/* SW_EIO when the output is not the file that was opened any more, or what was written is gone from
 * it; else what was made safe is there (sw_result_writer_look). */
enum sw_status sw_results_look(struct sw_results *results);
/* Returns when everything written is safe. */
enum sw_status sw_results_flush(struct sw_results *results);
void sw_results_close(struct sw_results *results);

#endif
