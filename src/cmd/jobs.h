/* What the verbs `batch` and `score` share: from files on the command line to a closing line. */
#ifndef SW_CMD_JOBS_H
#define SW_CMD_JOBS_H

#include "cmd/session.h"
#include "jobs/input_scan.h"
#include "jobs/job.h"

struct sw_job_verb {
    const char *name;
    const struct sw_job_task *task;
    void *owner;      /* the task's own */
    const char *unit; /* what cut_short counts */
    int new_tokens;   /* that a line usually asks for */
    /* Opens what reading lines needs; the session has no engine yet. */
    enum sw_status (*prepare)(struct sw_session *s, void *owner);
    /* The context that would be best for the input; 0: the usual. */
    int (*context)(const struct sw_input_scan *survey);
    /* The session has started. */
    void (*started)(struct sw_session *s, void *owner);
    /* Adds what the answers depend on, beside the model, to the claim's options. */
    void (*options)(const struct sw_options *o, json_t *options);
};

/* arguments: MODEL IN OUT. Rank 0's part of the verb. */
enum sw_status sw_jobs_lead(struct sw_session *s, const struct sw_job_verb *verb);
/* Where a failure leaves results, for sw_call.safe. Who says it may not look at the file first, so
 * it does not say how they are. */
const char *sw_jobs_safe(const struct sw_options *o);
/* {"verb", "input", "model", "options"} for the output's claim, comparable with one of the first
 * version when `former`; job_manifest.c */
enum sw_status sw_jobs_manifest(const struct sw_session *s, const struct sw_job_verb *verb,
                                const struct sw_input_scan *survey, bool former, json_t **claim);

extern const struct sw_option sw_options_jobs[]; /* --fresh --force --metrics */

#endif
