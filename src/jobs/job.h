/*
 * What `batch`, `score` and `trace` share. Lines are read when the pipeline has room for them. Each
 * becomes an item of work, or a result that says what is wrong with it. Results are appended as
 * they come. Every line gives exactly one result, under its id or under "line-N" where the id is
 * absent, not readable, or used by an earlier line.
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
    /* Whether the value of a member of this name is read (jobs/line_json.h). */
    bool (*knows)(const char *name);
    /*
     * Takes a line's object (json_incref it to keep it) and submits its requests to
     * job->scheduler; its result comes later through sw_job_finish. SW_EINPUT and SW_EUSAGE: the
     * line is at fault, nothing was submitted, and its result is the message. Any other failure
     * ends the job.
     */
    enum sw_status (*begin)(struct sw_job *job, json_t *root, bool batch_form,
                            const struct sw_strbuf *key);
    /* Frees the items that are not done. */
    void (*drop)(struct sw_job *job);
    /* What follows may be NULL, which is: no. */
    /* Whether no line should be begun now. */
    bool (*full)(const struct sw_job *job);
    /* Takes each result that is not appended by the task itself, so that it comes in its turn. */
    enum sw_status (*take)(struct sw_job *job, const struct sw_strbuf *line, bool failed);
    /* Called after each step of the scheduler. */
    enum sw_status (*step)(struct sw_job *job);
    /* Called when every line has its result, in each run that comes so far. */
    enum sw_status (*end)(struct sw_job *job);
};

struct sw_job_input;

struct sw_job {
    const struct sw_job_task *task;
    void *owner;                    /* struct sw_batch_job, sw_score_job or sw_trace_job */
    const char *in;                 /* path of the input */
    uint64_t in_bytes;              /* bytes of the input to read (it may grow); 0: all */
    struct sw_results *results;     /* after sw_results_begin */
    struct sw_scheduler *scheduler; /* for sw_job_run */
    /* Called after every step, and while many lines are skipped. Its failure ends the job. */
    enum sw_status (*tick)(struct sw_job *job);
    void *context; /* for tick */
    /* out */
    int64_t prompt_tokens, new_tokens;
    int64_t cut_short;          /* texts that did not fit in the context */
    int64_t undefined;          /* lines whose logits were not finite */
    struct sw_unknown unknown;  /* members of lines that were ignored */
    struct sw_json_range ids;   /* struct sw_line_json.ids of the line that task->begin takes */
    char param[64];             /* the member that begin refused; "": none. For the error record */
    struct sw_job_input *input; /* private to job.c */
};

/* Opens the input and skips the lines that earlier runs answered. *left false: none is left. */
enum sw_status sw_job_open(struct sw_job *job, bool *left);
/* Runs to the end of the input. When it returns SW_OK, all results are on disk. Without a scheduler
 * where no line is left. */
enum sw_status sw_job_run(struct sw_job *job);
void sw_job_close(struct sw_job *job);
/* For tasks: appends a result, a line with its newline. */
enum sw_status sw_job_finish(struct sw_job *job, const struct sw_strbuf *line);
/* For tasks: appends the error record of a line, with the status and message of the error slot. */
enum sw_status sw_job_fail_line(struct sw_job *job, enum sw_status fault,
                                const struct sw_strbuf *key, bool batch_form);
/*
 * For tasks: appends the error record of a line whose logits were not finite. SW_EDEVICE, and the
 * job ends, when SW_JOB_UNDEFINED_MAX lines had such logits and OUT has no good result: the weights
 * are damaged.
 */
#define SW_JOB_UNDEFINED_MAX 16
enum sw_status sw_job_undefined(struct sw_job *job, const struct sw_strbuf *key, bool batch_form);

#endif
