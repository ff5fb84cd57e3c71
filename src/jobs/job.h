/*
 * What `batch` and `score` share: lines are read as the pipeline has room for them, each becomes an
 * item of work or a result that says what is wrong with it, results are appended as they come.
 * Every line gives exactly one result, under its id or, where it has none of its own (absent, not
 * readable, used by an earlier line), under "line-N".
 */
#ifndef SW_JOBS_JOB_H
#define SW_JOBS_JOB_H

#include "engine/scheduler.h"
#include "jobs/results.h"
#include "jobs/unknown.h"
#include "text/json_scan.h"

#include <jansson.h>

struct sw_job;

/* What is done with a line. */
struct sw_job_task {
    /* Whether the value of a member of this name is looked at (jobs/line_json.h). */
    bool (*knows)(const char *name);
    /*
     * Takes a line's object (whoever keeps it adds a reference) and submits its requests to
     * job->scheduler; its result is handed in with sw_job_finish. SW_EINPUT and SW_EUSAGE: the line
     * is at fault, and gets a result with the message; nothing was submitted. Any other failure
     * ends the job.
     */
    enum sw_status (*begin)(struct sw_job *job, json_t *root, bool batch_form,
                            const struct sw_strbuf *key);
    /* Frees the items that are not done. */
    void (*drop)(struct sw_job *job);
};

struct sw_job_input;

struct sw_job {
    const struct sw_job_task *task;
    void *owner; /* the task's own */
    const char *in;
    uint64_t in_bytes;              /* it is read so far, as it may be growing; 0: to its end */
    struct sw_results *results;     /* begun */
    struct sw_scheduler *scheduler; /* for sw_job_run */
    /* Called after every step, and now and then while many lines are passed over. */
    enum sw_status (*tick)(struct sw_job *job);
    void *context; /* for tick */
    /* out */
    int64_t prompt_tokens, new_tokens;
    int64_t cut_short;          /* texts that the context had no room for, whole */
    int64_t undefined;          /* lines that the model has no numbers for */
    struct sw_unknown unknown;  /* members of lines that were passed over */
    struct sw_json_range ids;   /* of the line that begins: jobs/line_json.h */
    char param[64];             /* the member that a line was refused for; begin fills it, or not */
    struct sw_job_input *input; /* job.c's own */
};

/*
 * Opens the input and passes over the lines that earlier runs have answered; *left false: there is
 * no other, and nothing to run.
 */
enum sw_status sw_job_open(struct sw_job *job, bool *left);
/* Runs to the end; what it has written is safe then. */
enum sw_status sw_job_run(struct sw_job *job);
void sw_job_close(struct sw_job *job);
/* The tasks' way to hand in a result: a line with its newline. */
enum sw_status sw_job_finish(struct sw_job *job, const struct sw_strbuf *line);
/*
 * … or that the logits of a line were not finite: its result says so. SW_EDEVICE: so were those of
 * SW_JOB_UNDEFINED_MAX lines, and OUT has no good result: the weights are damaged, the job is over.
 */
#define SW_JOB_UNDEFINED_MAX 16
enum sw_status sw_job_undefined(struct sw_job *job, const struct sw_strbuf *key, bool batch_form);

#endif
