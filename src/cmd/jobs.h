/* What the verbs `batch`, `score` and `trace` share: from the files on the command line to the
 * totals. */
#ifndef SW_CMD_JOBS_H
#define SW_CMD_JOBS_H

#include "cmd/call_session.h"
#include "jobs/input_scan.h"
#include "jobs/job.h"

struct sw_job_verb {
    const char *name;
    const struct sw_job_task *task;
    void *owner;      /* struct sw_job.owner for the task */
    const char *unit; /* what sw_job.cut_short counts, for the message */
    int new_tokens;   /* of a usual line */
    const char *out;  /* the file of results; NULL: the third argument */
    /* Opens what is needed to read lines; the session has no worker yet. */
    enum sw_status (*prepare)(const struct sw_call *call, struct sw_session *s, void *owner);
    /* The best context for the input, in positions; 0: the default. */
    int (*context)(const struct sw_input_scan *scan);
    /* Called when the session has started. */
    void (*started)(struct sw_session *s, void *owner);
    /* Asks for more than results; NULL: nothing. */
    void (*schedule)(void *owner, struct sw_scheduler_options *options);
    /* Adds the options that the answers depend on to the manifest's "options"; null is what jobs
     * have that were begun before there was the option. */
    void (*options)(const struct sw_options *o, const void *owner, json_t *options);
};

/* Rank 0's part of the verb. The call's arguments are MODEL IN OUT. */
enum sw_status sw_jobs_run(const struct sw_call *call, struct sw_session *s,
                           const struct sw_job_verb *verb);
/* For sw_call.safe: where the results are after a failure. The process that prints it cannot check
 * the file, so the text does not promise that they are whole. */
const char *sw_jobs_safe(const struct sw_options *o);
/* job_manifest.c: the manifest {"verb", "input", "model", "options"} of this job; the caller frees
 * it. `former`: can be compared with a manifest of version 1. */
enum sw_status sw_jobs_manifest(const struct sw_call *call, const struct sw_tensors *tensors,
                                const struct sw_job_verb *verb, const struct sw_input_scan *scan,
                                bool former, json_t **manifest);

extern const struct sw_option sw_options_jobs[]; /* --fresh --force --metrics */

#endif
