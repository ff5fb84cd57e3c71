/* Owns the items of `batch`: from a request to its result. */
#include "jobs/batch_task.h"

#include "base/hash.h"
#include "grammar/guide.h"
#include "jobs/answer.h"
#include "jobs/prompt_ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sw_batch_item {
    struct sw_job *job;
    struct sw_batch_item *next, **link; /* among the items under way */
    json_t *root;                       /* the line; borrowed by `request` */
    struct sw_line_request request;
    struct sw_strbuf key, grammar;
    struct sw_completion completion;
};

uint64_t sw_batch_seed(uint64_t seed, const struct sw_strbuf *key)
{
    const uint64_t salt[2] = {seed, 0x73656564};
    return sw_hash_of(salt, key->text, key->length).low;
}

static void batch_item_free(struct sw_batch_item *item)
{
    if (item->link) {
        *item->link = item->next;
        if (item->next)
            item->next->link = item->link;
    }
    json_decref(item->root);
    sw_strbuf_free(&item->key);
    sw_strbuf_free(&item->grammar);
    sw_completion_free(&item->completion);
    free(item);
}

static enum sw_status batch_task_take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct sw_batch_item *item = owner;
    return sw_completion_push(&item->completion, token, stop);
}

/* Appends the result's line. */
static enum sw_status batch_task_answer(struct sw_batch_item *item)
{
    const struct sw_batch_job *batch = item->job->owner;
    struct sw_strbuf line = {0};
    SW_TRY(sw_completion_finish(&item->completion));
    const struct sw_answer answer = {.request = &item->request,
                                     .key = &item->key,
                                     .model = batch->model,
                                     .completion = &item->completion,
                                     .created = (int64_t)time(NULL)};
    sw_answer_write(&answer, &line);
    const enum sw_status status = sw_job_finish(item->job, &line);
    sw_strbuf_free(&line);
    return status;
}

static enum sw_status batch_task_done(void *owner, enum sw_finish finish)
{
    struct sw_batch_item *item = owner;
    struct sw_job *job = item->job;
    enum sw_status status;
    if (finish == SW_FINISH_UNDEFINED) {
        status = sw_job_undefined(job, &item->key, item->request.form != SW_FORM_PLAIN);
    } else if (finish == SW_FINISH_STUCK) {
        status = sw_job_fail_line(job, sw_guide_stuck(), &item->key,
                                  item->request.form != SW_FORM_PLAIN);
    } else {
        status = batch_task_answer(item);
        job->prompt_tokens += (int64_t)item->completion.n_prompt;
        job->new_tokens += (int64_t)item->completion.ids.count;
        job->cut_short += finish == SW_FINISH_CONTEXT;
    }
    batch_item_free(item);
    return status;
}

static enum sw_status batch_prompt_ids(const struct sw_batch_job *batch,
                                       const struct sw_line_request *request,
                                       struct sw_json_range list, struct sw_ids *ids)
{
    if (request->prompt)
        return sw_prompt_ids(request->prompt, list, batch->tokenizer, batch->vocab, ids);
    if (!batch->tokenizer)
        return sw_fail(SW_EINPUT, "the model has no tokenizer, so prompts must be lists of ids");
    if (!batch->chat)
        return sw_fail(SW_EINPUT, "\"messages\": %s", batch->no_chat);
    const struct sw_chat_request chat = {.messages = request->messages,
                                         .variables = request->variables,
                                         .add_generation_prompt = true};
    return sw_chat_encode(batch->chat, batch->tokenizer, &chat, ids);
}

static enum sw_status batch_task_submit(struct sw_batch_item *item, const struct sw_ids *prompt)
{
    const struct sw_batch_job *batch = item->job->owner;
    struct sw_bias bias[SW_BIAS_MAX];
    struct sw_request request = {.max_new = item->request.max_tokens,
                                 .sampling = item->request.sampling,
                                 .token = batch_task_take_token,
                                 .done = batch_task_done,
                                 .owner = item};
    request.steering.bias = bias;
    request.steering.n_bias = sw_line_request_biases(&item->request, bias);
    request.steering.grammar = item->grammar.text;
    request.steering.n_grammar = item->grammar.length;
    sw_request_prompt(&request, sw_scheduler_start(item->job->scheduler), prompt->items,
                      (int)prompt->count);
    const struct sw_completion_options options = {.tokenizer = batch->tokenizer,
                                                  .apart = request.n_source > 0,
                                                  .ignore_end = item->request.ignore_end,
                                                  .special = item->request.special,
                                                  .logprobs = item->request.sampling.logprobs >= 0,
                                                  .stop = item->request.stop,
                                                  .n_stop = (size_t)item->request.n_stop};
    SW_TRY(sw_completion_begin(&item->completion, &options, prompt->items, prompt->count));
    return sw_scheduler_submit(item->job->scheduler, &request, NULL);
}

/* Frees the prompt, perhaps most of the line: from now on only its ids are needed. */
static void batch_item_drop_prompt(struct sw_batch_item *item, bool batch_form)
{
    json_t *body = batch_form ? json_object_get(item->root, "body") : item->root;
    item->request.prompt = item->request.messages = item->request.variables = NULL;
    (void)json_object_del(body, "prompt");
    (void)json_object_del(body, "messages");
}

static enum sw_status batch_task_begin(struct sw_job *job, json_t *root, bool batch_form,
                                       const struct sw_strbuf *key)
{
    struct sw_batch_job *batch = job->owner;
    struct sw_ids prompt = {0};
    struct sw_batch_item *item = calloc(1, sizeof *item);
    if (!item)
        return sw_fail(SW_ENOMEM, "no memory for a request");
    item->job = job;
    item->root = json_incref(root);
    sw_strbuf_append(&item->key, key->text, key->length);
    enum sw_status status = item->key.failed
                                ? sw_fail(SW_ENOMEM, "no memory for an id")
                                : sw_line_request_read(root, batch_form, &batch->defaults,
                                                       &job->unknown, &item->request);
    if (status == SW_OK)
        status = sw_line_request_grammar(&item->request, &item->grammar);
    if (status != SW_OK && item->request.wrong)
        snprintf(job->param, sizeof job->param, "%s", item->request.wrong);
    if (status == SW_OK && !item->request.seeded)
        item->request.sampling.seed = sw_batch_seed(batch->defaults.sampling.seed, key);
    if (status == SW_OK)
        status = batch_prompt_ids(batch, &item->request, job->ids, &prompt);
    batch_item_drop_prompt(item, batch_form);
    if (status == SW_OK)
        status = batch_task_submit(item, &prompt);
    sw_ids_free(&prompt);
    if (status != SW_OK) {
        batch_item_free(item);
        return status;
    }
    item->next = batch->items;
    item->link = &batch->items;
    if (item->next)
        item->next->link = &item->next;
    batch->items = item;
    return SW_OK;
}

static void batch_task_drop(struct sw_job *job)
{
    struct sw_batch_job *batch = job->owner;
    while (batch->items)
        batch_item_free(batch->items);
}

const struct sw_job_task sw_batch_task = {
    .knows = sw_line_request_knows, .begin = batch_task_begin, .drop = batch_task_drop};
