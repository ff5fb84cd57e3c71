/* Owns the verb `batch`: a file of prompts in, a file of continuations out. */
#include "base/hash.h"
#include "base/utf8.h"
#include "checkpoint/open_model.h"
#include "cmd/call_form.h"
#include "cmd/jobs.h"
#include "jobs/batch_task.h"

#include <stdio.h>
#include <string.h>

struct batch {
    struct sw_batch_job job;
    struct sw_chat *chat;
    char no_chat[512];
    struct sw_strbuf grammar; /* of the command line; empty: none */
};

static enum sw_status batch_defaults(const struct sw_options *o, struct sw_line_request *out)
{
    *out = (struct sw_line_request){.max_tokens = o->n,
                                    .ignore_end = o->ignore_end,
                                    .special = o->special,
                                    .sampling = sw_call_sampling(o),
                                    .n_stop = o->n_stop};
    for (int i = 0; i < o->n_stop; i++) {
        if (!sw_utf8_valid(o->stop[i], strlen(o->stop[i])))
            return sw_fail(SW_EUSAGE, "--stop: text %d is not UTF-8", i + 1);
        out->stop[i] = o->stop[i];
    }
    if (o->n < 1)
        return sw_fail(SW_EUSAGE, "-n 0: a prompt needs at least one new token");
    struct sw_stop *stop;
    SW_TRY(sw_stop_create(out->stop, (size_t)out->n_stop, &stop));
    sw_stop_free(stop);
    return sw_sampling_check(&out->sampling);
}

static enum sw_status batch_prepare(const struct sw_call *call, struct sw_session *s, void *owner)
{
    struct batch *batch = owner;
    const char *model = call->arguments[0], *slash = strrchr(model, '/');
    SW_TRY(batch_defaults(&call->options, &batch->job.defaults));
    SW_TRY(sw_call_form(&call->options, &batch->grammar));
    batch->job.defaults.usual_grammar = batch->grammar.text;
    SW_TRY(sw_session_tokenizer(s, false)); /* without a tokenizer, prompts can be ids */
    const enum sw_status status = s->tokenizer
                                      ? sw_open_chat(call->models[0], &batch->chat)
                                      : sw_fail(SW_EMODEL, "%s: the model has no tokenizer", model);
    if (!s->tokenizer && batch->grammar.length > 0)
        return status;
    if (status != SW_OK && status != SW_EMODEL) /* SW_EMODEL: no template, or not supported */
        return status;
    snprintf(batch->no_chat, sizeof batch->no_chat, "%s", sw_error_message());
    sw_error_clear();
    batch->job.tokenizer = s->tokenizer;
    batch->job.chat = batch->chat;
    batch->job.no_chat = batch->no_chat;
    batch->job.model = slash && slash[1] ? slash + 1 : model;
    return SW_OK;
}

static int batch_context(const struct sw_input_scan *scan)
{
    (void)scan; /* lines may have any number of new tokens, so keep the default */
    return 0;
}

static void batch_started(struct sw_session *s, void *owner)
{
    struct batch *batch = owner;
    batch->job.vocab = s->model->dims.vocab;
}

/* What the form says, not where it was read; null: not this option. */
static void batch_option_form(const struct batch *batch, const char *name, bool given, json_t *out)
{
    const uint64_t key[2] = {0, 0};
    char digest[33];
    const struct sw_digest said = sw_hash_of(key, batch->grammar.text, batch->grammar.length);
    json_object_set_new(out, name, given ? json_string(sw_digest_text(said, digest)) : json_null());
}

static void batch_options(const struct sw_options *o, const void *owner, json_t *out)
{
    const struct batch *batch = owner;
    json_t *stop = json_array();
    for (int i = 0; i < o->n_stop; i++)
        json_array_append_new(stop, json_string(o->stop[i]));
    json_object_set_new(out, "-n", json_integer(o->n));
    json_object_set_new(out, "--temperature", json_real(o->temperature));
    json_object_set_new(out, "--top-k", json_integer(o->top_k));
    json_object_set_new(out, "--top-p", json_real(o->top_p));
    json_object_set_new(out, "--min-p", json_real(o->min_p));
    json_object_set_new(out, "--repetition-penalty", json_real(o->repetition_penalty));
    json_object_set_new(out, "--seed", json_integer((json_int_t)o->seed));
    json_object_set_new(out, "--logprobs", json_integer(o->logprobs));
    json_object_set_new(out, "--stop", stop);
    json_object_set_new(out, "--ignore-end", json_boolean(o->ignore_end));
    json_object_set_new(out, "--special", json_boolean(o->special));
    batch_option_form(batch, "--grammar", o->grammar != NULL, out);
    batch_option_form(batch, "--json-schema", o->json_schema != NULL, out);
    batch_option_form(batch, "--json-object", o->json_object, out);
}

static enum sw_status batch_drive(struct sw_call *call, struct sw_session *s)
{
    struct batch batch = {0};
    const struct sw_job_verb verb = {.name = "batch",
                                     .task = &sw_batch_task,
                                     .owner = &batch,
                                     .unit = "texts ended before their max_tokens",
                                     .prepare = batch_prepare,
                                     .context = batch_context,
                                     .new_tokens = call->options.n,
                                     .started = batch_started,
                                     .options = batch_options};
    const enum sw_status status = sw_jobs_run(call, s, &verb);
    sw_chat_free(batch.chat);
    sw_strbuf_free(&batch.grammar);
    return status;
}

static enum sw_status batch_run(struct sw_call *call)
{
    call->safe = sw_jobs_safe(&call->options);
    return sw_call_run(call, batch_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"n", 'n', "N", "most new tokens, for lines without max_tokens (default: 128)", FIELD(n),
     sw_parse_natural},
    {"stop", 0, "TEXT", "end before this text; may be given up to 16 times", FIELD(stop),
     sw_parse_stop},
    {"logprobs", 0, "N", "each token's log-probability and the N likeliest", FIELD(logprobs),
     sw_parse_natural},
    {"ignore-end", 0, NULL, "continue after an end-of-text token", FIELD(ignore_end),
     sw_parse_flag},
    {"special", 0, NULL, "special tokens are part of the text", FIELD(special), sw_parse_flag},
    {0}};

const struct sw_verb sw_verb_batch = {
    .name = "batch",
    .arguments = "MODEL IN.jsonl OUT.jsonl",
    .min_arguments = 3,
    .max_arguments = 3,
    .n_models = 1,
    .summary = "continue a file of prompts; a killed job resumes where it stopped",
    .description =
        "A line of IN is {\"id\", \"prompt\", …} (or \"messages\", for models with a chat\n"
        "template) and, if the line sets its own, max_tokens, temperature, top_p, top_k,\n"
        "min_p, repetition_penalty, seed, stop, logprobs, response_format; or a line of the\n"
        "OpenAI Batch API (custom_id, method, url, body). OUT gets one line for each, in the\n"
        "same form, in the order they finish; a line that fails gets a line with the error. The\n"
        "options below are defaults for lines that do not set their own.\n\n"
        "A result counts when it is on disk. The same command again, on any number of ranks,\n"
        "does what is left; OUT.job records which job OUT belongs to. A prompt with its text\n"
        "has room for 2048 tokens, or --context; 32 texts are under way at once, fewer or more\n"
        "where memory is short and that is faster, or --slots.\n\n"
        "  spillway batch llama prompts.jsonl answers.jsonl -n 64\n"
        "  mpirun --hostfile hostfiles/lab spillway batch opt-66b prompts.jsonl answers.jsonl",
    .own = {own},
    .takes = SW_TAKES_JOBS | SW_TAKES_TEXT,
    .run = batch_run,
};
