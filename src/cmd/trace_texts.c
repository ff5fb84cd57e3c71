/* Owns `trace` of many texts: a file of prompts in, a folder of tensors out. */
#include "cmd/trace_texts.h"

#include "base/file.h"
#include "checkpoint/open_model.h"
#include "cmd/jobs.h"
#include "jobs/trace_task.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct texts {
    struct sw_trace_job job;
    struct sw_chat *chat;
    char no_chat[512];
};

/* "last layer" unless something else is asked for. */
static const char *texts_layers(const struct sw_options *o)
{
    return o->layers ? o->layers : o->logits || o->logprobs > 0 ? NULL : "-1";
}

static const char *texts_positions(const struct sw_options *o)
{
    return o->positions ? o->positions : "last";
}

static enum sw_status texts_choose(const struct sw_options *o, const struct sw_dims *dims,
                                   struct sw_trace_job *job)
{
    struct sw_trace_choice *c = &job->choice;
    SW_TRY(sw_trace_choice_make(texts_layers(o), dims->n_layers, texts_positions(o), c));
    c->logits = o->logits;
    c->logprobs = o->logprobs;
    if (c->how == SW_TRACE_MEAN && (c->logits || c->logprobs > 0))
        return sw_fail(SW_EUSAGE,
                       "--positions mean is of hidden states; give --%s in another run, "
                       "with positions of its own",
                       c->logits ? "logits" : "logprobs");
    if (c->logprobs > SW_TOP_LOGPROBS_MAX || c->logprobs > dims->vocab)
        return sw_fail(SW_EUSAGE, "--logprobs %d: at most %d", c->logprobs,
                       dims->vocab < SW_TOP_LOGPROBS_MAX ? dims->vocab : SW_TOP_LOGPROBS_MAX);
    if (o->shard == 0)
        return sw_fail(SW_EUSAGE, "--shard 0: a shard needs some room");
    job->shard_bytes = o->shard;
    job->hidden = dims->hidden;
    job->vocab = dims->vocab;
    return SW_OK;
}

/* What index.json says of the tensors. */
static json_t *texts_metadata(const struct sw_options *o, const struct sw_trace_choice *c,
                              int n_layers)
{
    json_t *layers = json_array();
    for (int i = 0; i <= n_layers; i++)
        if (c->layers[i])
            json_array_append_new(layers, i == 0 ? json_string("embed") : json_integer(i - 1));
    return json_pack("{s:s, s:o, s:s}", "results", "results.jsonl", "layers", layers, "positions",
                     texts_positions(o));
}

/* A folder that is a trace's or empty; made where there is none. */
static enum sw_status texts_folder(const char *folder, const char *results)
{
    enum sw_file_kind kind;
    SW_TRY(sw_file_find(folder, &kind));
    if (kind == SW_FILE_ABSENT)
        return mkdir(folder, 0777) == 0
                   ? SW_OK
                   : sw_fail(SW_EIO, "%s: the folder cannot be made: %s", folder, strerror(errno));
    if (kind != SW_FILE_DIRECTORY)
        return sw_fail(SW_EUSAGE,
                       "%s: is not a folder; the tensors of many texts are several files", folder);
    SW_TRY(sw_file_find(results, &kind));
    if (kind != SW_FILE_ABSENT)
        return SW_OK;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool empty = dir != NULL;
    while (empty && (entry = readdir(dir)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (!dir)
        return sw_fail(SW_EIO, "%s: cannot be read: %s", folder, strerror(errno));
    closedir(dir);
    return empty ? SW_OK
                 : sw_fail(SW_EUSAGE,
                           "%s: has files, but no results of a trace (results.jsonl); "
                           "name a new or empty folder",
                           folder);
}

static enum sw_status texts_prepare(const struct sw_call *call, struct sw_session *s, void *owner)
{
    struct texts *texts = owner;
    struct sw_trace_job *job = &texts->job;
    const struct sw_dims *dims = &s->model->dims;
    if (dims->n_encoder > 0)
        return sw_fail(SW_EUSAGE, "trace: the model is an encoder-decoder, of which one text at a "
                                  "time can be traced: --source and --tokens");
    SW_TRY(texts_choose(&call->options, dims, job));
    SW_TRY(sw_session_tokenizer(s, false)); /* without a tokenizer, prompts can be ids */
    const enum sw_status status =
        s->tokenizer ? sw_open_chat(call->models[0], &texts->chat)
                     : sw_fail(SW_EMODEL, "%s: the model has no tokenizer", call->arguments[0]);
    if (status != SW_OK && status != SW_EMODEL) /* SW_EMODEL: no template, or not supported */
        return status;
    snprintf(texts->no_chat, sizeof texts->no_chat, "%s", sw_error_message());
    sw_error_clear();
    job->tokenizer = s->tokenizer;
    job->chat = texts->chat;
    job->no_chat = texts->no_chat;
    job->metadata = texts_metadata(&call->options, &job->choice, dims->n_layers);
    if (!job->metadata)
        return sw_fail(SW_ENOMEM, "no memory to describe the tensors");
    sw_trace_describe(job);
    SW_TRY(sw_input_scan_check(call->arguments[1])); /* before the folder is made */
    return texts_folder(job->folder, job->results);
}

/* What the longest line could need: a token has at least one byte; a template adds some. */
static int texts_context(const struct sw_input_scan *scan)
{
    return scan->longest < 1u << 30 ? (int)scan->longest + 512 : 1 << 30;
}

static void texts_started(struct sw_session *s, void *owner)
{
    (void)s;
    (void)owner;
}

static void texts_schedule(void *owner, struct sw_scheduler_options *options)
{
    const struct sw_trace_choice *c = &((struct texts *)owner)->job.choice;
    options->hidden_layers = c->n_layers > 0 ? c->layers : NULL;
    options->logits = c->logits;
}

static void texts_options(const struct sw_options *o, const void *owner, json_t *out)
{
    (void)owner;
    const char *layers = texts_layers(o);
    json_object_set_new(out, "--layers", json_string(layers ? layers : ""));
    json_object_set_new(out, "--positions", json_string(texts_positions(o)));
    json_object_set_new(out, "--logits", json_boolean(o->logits));
    json_object_set_new(out, "--logprobs", json_integer(o->logprobs));
    json_object_set_new(out, "--shard", json_integer((json_int_t)o->shard));
}

static enum sw_status texts_drive(struct sw_call *call, struct sw_session *s)
{
    struct texts texts = {.job.folder = call->arguments[2]};
    struct sw_strbuf results = {0};
    sw_strbuf_printf(&results, "%s/results.jsonl", call->arguments[2]);
    if (results.failed)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    texts.job.results = results.text;
    const struct sw_job_verb verb = {.name = "trace",
                                     .task = &sw_trace_task,
                                     .owner = &texts,
                                     .unit = "texts cut",
                                     .new_tokens = 1,
                                     .out = results.text,
                                     .prepare = texts_prepare,
                                     .context = texts_context,
                                     .started = texts_started,
                                     .schedule = texts_schedule,
                                     .options = texts_options};
    const enum sw_status status = sw_jobs_run(call, s, &verb);
    sw_trace_close(&texts.job);
    sw_trace_choice_free(&texts.job.choice);
    json_decref(texts.job.metadata);
    sw_chat_free(texts.chat);
    sw_strbuf_free(&results);
    return status;
}

enum sw_status sw_trace_texts(struct sw_call *call)
{
    call->safe = sw_jobs_safe(&call->options);
    return sw_call_run(call, texts_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

const struct sw_option sw_options_trace_texts[] = {
    {"layers", 0, "LIST",
     "whose outputs: numbers from 0 (-1: the last), embed, or all (default: -1)", FIELD(layers),
     sw_parse_text},
    {"positions", 0, "LIST",
     "of each text: last, mean, all, or numbers from 0 (-1: the last) (default: last)",
     FIELD(positions), sw_parse_text},
    {"logits", 0, NULL, "also the logits at these positions", FIELD(logits), sw_parse_flag},
    {"logprobs", 0, "N", "also the N likeliest next ids there and their log-probabilities",
     FIELD(logprobs), sw_parse_natural},
    {"shard", 0, "SIZE", "begin new files when those of a shard have this much (default: 1GiB)",
     FIELD(shard), sw_parse_bytes},
    {"fresh", 0, NULL, "delete the results in OUT and start over", FIELD(fresh), sw_parse_flag},
    {"metrics", 0, "FILE", "append a JSON line per second about the job; later runs append, too",
     FIELD(metrics), sw_parse_file},
    {0}};
