/* Owns the loop from lines to results. */
#include "jobs/job.h"

#include "jobs/jsonl_reader.h"
#include "jobs/line_json.h"
#include "jobs/record.h"
#include "sample/sampler.h"

#include <stdio.h>
#include <stdlib.h>

#define LINES_PER_STEP 1000 /* most lines skipped or begun between two steps of the scheduler */

/* The input, with the next line that has no result yet. */
struct sw_job_input {
    struct sw_jsonl *lines;
    bool more; /* false: there is no such line, and the fields below are not valid */
    struct sw_jsonl_line line;
    struct sw_strbuf key;
    struct sw_record record;
    enum sw_status fault;     /* SW_OK, or why the line is refused already */
    char words[SW_ERROR_MAX]; /* the message of `fault` */
};

static enum sw_status job_append(struct sw_job *job, const struct sw_strbuf *line, bool failed)
{
    return job->task->take ? job->task->take(job, line, failed)
                           : sw_results_append(job->results, line, failed);
}

enum sw_status sw_job_finish(struct sw_job *job, const struct sw_strbuf *line)
{
    return job_append(job, line, false);
}

enum sw_status sw_job_fail_line(struct sw_job *job, enum sw_status fault,
                                const struct sw_strbuf *key, bool batch_form)
{
    struct sw_strbuf out = {0};
    sw_record_error(key, batch_form, fault, sw_error_message(), NULL, &out);
    sw_error_clear();
    const enum sw_status status = job_append(job, &out, true);
    sw_strbuf_free(&out);
    return status;
}

enum sw_status sw_job_undefined(struct sw_job *job, const struct sw_strbuf *key, bool batch_form)
{
    const struct sw_results_count n = sw_results_count(job->results);
    const bool any_good = n.found + n.written > n.found_failed + n.written_failed;
    const enum sw_status fault = sw_logits_undefined();
    if (++job->undefined >= SW_JOB_UNDEFINED_MAX && !any_good)
        return fault;
    return sw_job_fail_line(job, fault, key, batch_form);
}

static bool is_lines_fault(enum sw_status status)
{
    return status == SW_EINPUT || status == SW_EUSAGE;
}

static enum sw_status job_mark_seen(struct sw_job *job, unsigned *before)
{
    const struct sw_strbuf *key = &job->input->key;
    if (key->failed)
        return sw_fail(SW_ENOMEM, "no memory for an id");
    return sw_id_set_mark(sw_results_ids(job->results), key->text, key->length, SW_ID_SEEN, before);
}

/* Fills key with the line's id or, where it has none of its own, with its number; no two lines get
 * the same key. *done: an earlier run answered the line. */
static enum sw_status job_name_line(struct sw_job *job, bool *done)
{
    struct sw_job_input *in = job->input;
    const struct sw_jsonl_line *line = &in->line;
    unsigned before = 0;
    in->record = (struct sw_record){0};
    enum sw_status status = line->too_long
                                ? sw_fail(SW_EINPUT, "is longer than %u MiB", SW_LINE_MAX >> 20)
                                : sw_record_scan(line->bytes, line->n, &in->key, &in->record);
    if (status == SW_OK && in->record.has_id) {
        SW_TRY(job_mark_seen(job, &before));
        *done = before & SW_ID_DONE;
        if (!(before & SW_ID_SEEN))
            return SW_OK;
        status = sw_fail(SW_EINPUT, "has the id %.200s, which an earlier line has; ids must differ",
                         in->key.text);
    }
    sw_record_line_key(line->number, &in->key);
    SW_TRY(job_mark_seen(job, &before));
    while (before & SW_ID_SEEN) { /* an earlier line has the id "line-7" */
        in->key.length--;
        sw_strbuf_puts(&in->key, "+\"");
        SW_TRY(job_mark_seen(job, &before));
    }
    *done = before & SW_ID_DONE;
    return status;
}

/* Reads up to `most` lines until one has no result. *found false: all of them had one. */
static enum sw_status job_next_line(struct sw_job *job, int most, bool *found)
{
    struct sw_job_input *in = job->input;
    bool done;
    for (*found = false; most > 0; most--) {
        SW_TRY(sw_jsonl_next(in->lines, &in->line, &in->more));
        if (!in->more)
            return SW_OK;
        if (sw_jsonl_is_blank(&in->line))
            continue;
        in->fault = job_name_line(job, &done);
        if (in->fault != SW_OK && !is_lines_fault(in->fault))
            return in->fault;
        if (in->fault != SW_OK)
            snprintf(in->words, sizeof in->words, "%s", sw_error_message());
        sw_error_clear();
        *found = !done;
        if (*found)
            return SW_OK;
    }
    return SW_OK;
}

enum sw_status sw_job_open(struct sw_job *job, bool *left)
{
    struct sw_job_input *in = job->input = calloc(1, sizeof *in);
    bool found = false;
    if (!in)
        return sw_fail(SW_ENOMEM, "no memory for a job");
    in->more = true;
    SW_TRY(sw_jsonl_open(job->in, SW_LINE_MAX, job->in_bytes ? job->in_bytes : UINT64_MAX,
                         &in->lines));
    while (in->more && !found) {
        SW_TRY(job_next_line(job, LINES_PER_STEP, &found));
        SW_TRY(job->tick(job));
    }
    *left = found;
    return SW_OK;
}

void sw_job_close(struct sw_job *job)
{
    if (!job->input)
        return;
    job->task->drop(job);
    sw_jsonl_close(job->input->lines);
    sw_strbuf_free(&job->input->key);
    free(job->input);
    job->input = NULL;
}

/* A result that says what is wrong with the line. */
static enum sw_status job_refuse(struct sw_job *job, const char *words)
{
    const struct sw_job_input *in = job->input;
    struct sw_strbuf out = {0};
    char message[SW_ERROR_MAX + 32];
    snprintf(message, sizeof message, "line %lld: %s", (long long)in->line.number, words);
    sw_record_error(&in->key, in->record.batch_form, SW_EINPUT, message,
                    job->param[0] ? job->param : NULL, &out);
    const enum sw_status status = job_append(job, &out, true);
    sw_strbuf_free(&out);
    return status;
}

static enum sw_status job_begin_line(struct sw_job *job)
{
    const struct sw_job_input *in = job->input;
    struct sw_line_json json = {0};
    job->param[0] = '\0';
    if (in->fault != SW_OK)
        return job_refuse(job, in->words);
    enum sw_status status = sw_line_json_read(in->line.bytes, in->line.n, job->task->knows, &json);
    job->ids = json.ids;
    if (status == SW_OK)
        status = job->task->begin(job, json.root, in->record.batch_form, &in->key);
    json_decref(json.root);
    if (!is_lines_fault(status))
        return status;
    char words[SW_ERROR_MAX];
    snprintf(words, sizeof words, "%s", sw_error_message());
    sw_error_clear();
    return job_refuse(job, words);
}

enum sw_status sw_job_run(struct sw_job *job)
{
    struct sw_job_input *in = job->input;
    const struct sw_job_task *task = job->task;
    bool found = in->more;
    while (in->more || (job->scheduler && !sw_scheduler_idle(job->scheduler))) {
        for (int n = 0; found && n < LINES_PER_STEP && sw_scheduler_room(job->scheduler) > 0 &&
                        !(task->full && task->full(job));
             n++) {
            SW_TRY(job_begin_line(job));
            SW_TRY(job_next_line(job, 1, &found));
        }
        if (in->more && !found)
            SW_TRY(job_next_line(job, LINES_PER_STEP, &found));
        SW_TRY(sw_scheduler_step(job->scheduler));
        if (task->step)
            SW_TRY(task->step(job));
        SW_TRY(job->tick(job));
    }
    if (task->end)
        SW_TRY(task->end(job));
    return sw_results_flush(job->results);
}
