/* Owns the items of `trace`: from a line to its values in the shards and its result. */
#include "jobs/trace_task.h"

#include "jobs/jsonl_reader.h"
#include "jobs/prompt_ids.h"
#include "jobs/record.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (512u << 20) /* of values in memory, beyond which no line is begun */
#define ITEMS_MAX 8192         /* lines under way, the same */

/* The tensors of struct sw_shards_options, as far as they are chosen. */
enum { HIDDEN, LOGITS, TOP_IDS, TOP_LOGPROBS, KINDS };

struct sw_trace_item {
    struct sw_job *job;
    struct sw_trace_item *next;
    struct sw_strbuf key, line; /* line: its result, once it is known */
    int64_t tokens, count;      /* of the text; positions that it gives */
    void *values[KINDS];        /* (count, shape of a position); NULL: not chosen */
    double *sums;               /* (layers, hidden) of a mean */
    uint64_t bytes;             /* of these */
    bool done;                  /* all values are here, or it failed */
    int64_t number;             /* it is safe when so many lines' values are */
};

static struct sw_trace_job *trace_of(const struct sw_trace_item *item)
{
    return item->job->owner;
}

static void trace_item_drop_values(struct sw_trace_item *item)
{
    for (int i = 0; i < KINDS; i++) {
        free(item->values[i]);
        item->values[i] = NULL;
    }
    free(item->sums);
    item->sums = NULL;
    trace_of(item)->bytes -= item->bytes;
    item->bytes = 0;
}

static void trace_item_free(struct sw_trace_item *item)
{
    trace_item_drop_values(item);
    sw_strbuf_free(&item->key);
    sw_strbuf_free(&item->line);
    free(item);
}

static struct sw_trace_item *trace_item_make(struct sw_job *job, const struct sw_strbuf *key)
{
    struct sw_trace_item *item = calloc(1, sizeof *item);
    if (!item)
        return NULL;
    item->job = job;
    if (key)
        sw_strbuf_append(&item->key, key->text, key->length);
    return item;
}

/* Puts the item behind all others. */
static void trace_push(struct sw_trace_job *t, struct sw_trace_item *item)
{
    if (t->last)
        t->last->next = item;
    else
        t->first = item;
    t->last = item;
    if (!t->unwritten)
        t->unwritten = item;
    t->n_items++;
}

static bool trace_full(const struct sw_job *job)
{
    const struct sw_trace_job *t = job->owner;
    return t->bytes >= BYTES_MAX || t->n_items >= ITEMS_MAX;
}

/* ---- values */

/* Bytes of a position of a tensor; 0: it is not chosen. */
static size_t trace_width(const struct sw_trace_job *t, int kind)
{
    const struct sw_trace_choice *c = &t->choice;
    const size_t widths[KINDS] = {(size_t)c->n_layers * (size_t)t->hidden * sizeof(float),
                                  c->logits ? (size_t)t->vocab * sizeof(float) : 0,
                                  (size_t)c->logprobs * sizeof(int32_t),
                                  (size_t)c->logprobs * sizeof(float)};
    return widths[kind];
}

static enum sw_status trace_item_reserve(struct sw_trace_item *item)
{
    struct sw_trace_job *t = trace_of(item);
    const size_t sums = t->choice.how == SW_TRACE_MEAN
                            ? (size_t)t->choice.n_layers * (size_t)t->hidden * sizeof *item->sums
                            : 0;
    bool failed = sums > 0 && !(item->sums = calloc(1, sums));
    item->bytes = sums;
    for (int i = 0; i < KINDS; i++) {
        const size_t bytes = (size_t)item->count * trace_width(t, i);
        failed = failed || (bytes > 0 && !(item->values[i] = calloc(1, bytes)));
        item->bytes += bytes;
    }
    t->bytes += item->bytes;
    return failed ? sw_fail(SW_ENOMEM, "no memory for the values of %lld positions",
                            (long long)item->count)
                  : SW_OK;
}

/* Copies values of a text's position to where they are wanted: `bytes` bytes, `offset` within the
 * tensor's position. */
static void trace_item_place(struct sw_trace_item *item, int kind, int64_t position,
                             const void *data, size_t offset, size_t bytes)
{
    const struct sw_trace_choice *c = &trace_of(item)->choice;
    const size_t width = trace_width(trace_of(item), kind);
    char *values = item->values[kind];
    if (c->how == SW_TRACE_ALL)
        memcpy(values + (size_t)position * width + offset, data, bytes);
    for (int i = 0; i < c->n_positions; i++)
        if (sw_trace_choice_at(c, i, item->tokens) == position)
            memcpy(values + (size_t)i * width + offset, data, bytes);
}

static enum sw_status trace_hidden(void *owner, int layer, int64_t position, int64_t n,
                                   const float *data)
{
    struct sw_trace_item *item = owner;
    const struct sw_trace_job *t = trace_of(item);
    const size_t width = (size_t)t->hidden;
    size_t column = 0;
    for (int i = 0; i < layer + 1; i++)
        column += t->choice.layers[i] != 0;
    for (int64_t r = 0; r < n; r++) {
        const float *row = data + (size_t)r * width;
        for (size_t i = 0; i < width && item->sums; i++)
            item->sums[column * width + i] += (double)row[i];
        if (!item->sums)
            trace_item_place(item, HIDDEN, position + r, row, column * width * sizeof *row,
                             width * sizeof *row);
    }
    return SW_OK;
}

static enum sw_status trace_logits(void *owner, int64_t position, int64_t n, const float *data)
{
    struct sw_trace_item *item = owner;
    const size_t width = trace_width(trace_of(item), LOGITS);
    for (int64_t r = 0; r < n && width > 0; r++)
        trace_item_place(item, LOGITS, position + r, data + r * trace_of(item)->vocab, 0, width);
    return SW_OK;
}

static enum sw_status trace_scored(void *owner, int index, const struct sw_sampled *score,
                                   bool greedy)
{
    struct sw_trace_item *item = owner;
    const int most = trace_of(item)->choice.logprobs;
    int32_t ids[SW_TOP_LOGPROBS_MAX];
    float logprobs[SW_TOP_LOGPROBS_MAX];
    (void)greedy;
    for (int i = 0; i < most && i < score->n_top; i++) {
        ids[i] = score->top[i].id;
        logprobs[i] = score->top[i].logprob;
    }
    if (most == 0)
        return SW_OK;
    if (score->n_top < most)
        return sw_fail(SW_EINPUT, "--logprobs %d: the model has %d ids only", most, score->n_top);
    trace_item_place(item, TOP_IDS, index - 1, ids, 0, trace_width(trace_of(item), TOP_IDS));
    trace_item_place(item, TOP_LOGPROBS, index - 1, logprobs, 0,
                     trace_width(trace_of(item), TOP_LOGPROBS));
    return SW_OK;
}

static enum sw_status trace_done(void *owner, enum sw_finish finish)
{
    struct sw_trace_item *item = owner;
    struct sw_trace_job *t = trace_of(item);
    if (finish == SW_FINISH_UNDEFINED) {
        t->ending = item;
        const enum sw_status status = sw_job_undefined(item->job, &item->key, false);
        t->ending = NULL;
        return status;
    }
    float *means = item->values[HIDDEN];
    for (int64_t i = 0; i < (int64_t)t->choice.n_layers * t->hidden && item->sums; i++)
        means[i] = (float)(item->sums[i] / (double)item->tokens);
    item->job->prompt_tokens += item->tokens;
    item->done = true;
    return SW_OK;
}

/* ---- to the disk */

/* Appends the results of lines whose values are safe, in their order. */
static enum sw_status trace_note(struct sw_job *job)
{
    struct sw_trace_job *t = job->owner;
    const int64_t safe = sw_shards_safe(t->shards);
    while (t->first && t->first != t->unwritten && t->first->number <= safe) {
        struct sw_trace_item *item = t->first;
        SW_TRY(sw_results_append(job->results, &item->line, item->count == 0));
        t->first = item->next;
        t->last = t->first ? t->last : NULL;
        t->n_items--;
        trace_item_free(item);
    }
    return SW_OK;
}

/* Makes all written lines results that last. */
static enum sw_status trace_flush(struct sw_job *job)
{
    const struct sw_trace_job *t = job->owner;
    SW_TRY(sw_shards_flush(t->shards));
    SW_TRY(trace_note(job));
    return sw_results_flush(job->results);
}

static enum sw_status trace_write_values(struct sw_trace_item *item)
{
    struct sw_trace_job *t = trace_of(item);
    const void *data[KINDS];
    int n = 0, shard;
    int64_t first;
    if (sw_shards_full(t->shards, item->count)) { /* a full shard has results for all it holds */
        SW_TRY(trace_flush(item->job));
        SW_TRY(sw_shards_finish(t->shards));
    }
    for (int i = 0; i < KINDS; i++)
        if (item->values[i])
            data[n++] = item->values[i];
    SW_TRY(sw_shards_append(t->shards, data, item->count, &shard, &first));
    t->n_written++;
    sw_strbuf_puts(&item->line, "{\"id\":");
    sw_strbuf_append(&item->line, item->key.text, item->key.length);
    sw_strbuf_printf(&item->line, ",\"tokens\":%lld,\"shard\":%d,\"first\":%lld,\"count\":%lld}\n",
                     (long long)item->tokens, shard, (long long)first, (long long)item->count);
    trace_item_drop_values(item);
    return SW_OK;
}

/* Writes what is complete, as far as all before it is. */
static enum sw_status trace_step(struct sw_job *job)
{
    struct sw_trace_job *t = job->owner;
    SW_TRY(sw_trace_open(t));
    while (t->unwritten && t->unwritten->done) {
        struct sw_trace_item *item = t->unwritten;
        if (item->count > 0)
            SW_TRY(trace_write_values(item));
        item->number = t->n_written;
        t->unwritten = item->next;
    }
    if (trace_full(job) && sw_scheduler_idle(job->scheduler))
        return trace_flush(job);
    return trace_note(job);
}

static enum sw_status trace_end(struct sw_job *job)
{
    struct sw_trace_job *t = job->owner;
    SW_TRY(trace_step(job));
    SW_TRY(trace_flush(job));
    SW_TRY(sw_shards_finish(t->shards));
    return sw_shards_index(t->shards, t->metadata);
}

/* Where the results in the file end. */
static enum sw_status trace_find_end(struct sw_trace_job *t)
{
    struct sw_jsonl *lines;
    struct sw_jsonl_line line;
    bool more;
    SW_TRY(sw_jsonl_open(t->results, SW_LINE_MAX, UINT64_MAX, &lines));
    enum sw_status status;
    while ((status = sw_jsonl_next(lines, &line, &more)) == SW_OK && more) {
        json_t *root = json_loadb(line.bytes, line.n, 0, NULL);
        const json_t *shard = json_object_get(root, "shard");
        const json_int_t first = json_integer_value(json_object_get(root, "first"));
        const json_int_t count = json_integer_value(json_object_get(root, "count"));
        if (shard) {
            t->options.shard = (int)json_integer_value(shard);
            t->options.positions = first + count;
        }
        const bool good = !shard || (json_integer_value(shard) >= 0 && first >= 0 && count > 0 &&
                                     json_integer_value(shard) < 1 << 30 && first < 1LL << 50 &&
                                     count < 1LL << 50);
        json_decref(root);
        if (!good) {
            status = sw_fail(SW_EINPUT,
                             "%s: line %lld is not a result of a trace; start over with "
                             "--fresh",
                             t->results, (long long)line.number);
            break;
        }
    }
    sw_jsonl_close(lines);
    return status;
}

void sw_trace_describe(struct sw_trace_job *t)
{
    const struct sw_trace_choice *c = &t->choice;
    const struct sw_shards_tensor tensors[KINDS] = {{"hidden", SW_F32, 2, {c->n_layers, t->hidden}},
                                                    {"logits", SW_F32, 1, {t->vocab}},
                                                    {"top_ids", SW_I32, 1, {c->logprobs}},
                                                    {"top_logprobs", SW_F32, 1, {c->logprobs}}};
    t->options = (struct sw_shards_options){.folder = t->folder, .limit = t->shard_bytes};
    for (int i = 0; i < KINDS; i++)
        if (trace_width(t, i) > 0)
            t->options.tensors[t->options.n_tensors++] = tensors[i];
}

enum sw_status sw_trace_open(struct sw_trace_job *t)
{
    if (t->shards)
        return SW_OK;
    SW_TRY(trace_find_end(t));
    return sw_shards_open(&t->options, &t->shards);
}

void sw_trace_close(struct sw_trace_job *t)
{
    while (t->first) {
        struct sw_trace_item *item = t->first;
        t->first = item->next;
        trace_item_free(item);
    }
    t->last = t->unwritten = NULL;
    sw_shards_close(t->shards);
    t->shards = NULL;
}

/* ---- lines */

/* A result that says what is wrong with a line, in its turn. */
static enum sw_status trace_take(struct sw_job *job, const struct sw_strbuf *line, bool failed)
{
    struct sw_trace_job *t = job->owner;
    struct sw_trace_item *item = t->ending ? t->ending : trace_item_make(job, NULL);
    (void)failed;
    if (!item)
        return sw_fail(SW_ENOMEM, "no memory for a line");
    sw_strbuf_append(&item->line, line->text, line->length);
    trace_item_drop_values(item);
    item->count = 0;
    item->done = true;
    if (!t->ending)
        trace_push(t, item);
    return line->failed ? sw_fail(SW_ENOMEM, "no memory for a result") : SW_OK;
}

static bool trace_knows(const char *name)
{
    static const char *const known[] = {"id",    "prompt", "messages", "chat_template_kwargs",
                                        "model", "user",   "metadata"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

static enum sw_status trace_ids(const struct sw_job *job, const json_t *root, struct sw_ids *ids)
{
    const struct sw_trace_job *t = job->owner;
    const json_t *prompt = json_object_get(root, "prompt");
    const json_t *messages = json_object_get(root, "messages");
    if (sw_json_absent(prompt) == sw_json_absent(messages))
        return sw_fail(SW_EINPUT, sw_json_absent(prompt) ? "has neither \"prompt\" nor \"messages\""
                                                         : "has both \"prompt\" and \"messages\"");
    if (!sw_json_absent(prompt) && !json_is_string(prompt) && !json_is_array(prompt))
        return sw_fail(SW_EINPUT, "\"prompt\" must be a text or a list of ids, not %s",
                       sw_json_type(prompt));
    if (!sw_json_absent(prompt))
        return sw_prompt_ids(prompt, job->ids, t->tokenizer, t->vocab, ids);
    if (!t->tokenizer)
        return sw_fail(SW_EINPUT, "the model has no tokenizer, so prompts must be lists of ids");
    if (!t->chat)
        return sw_fail(SW_EINPUT, "\"messages\": %s", t->no_chat);
    const json_t *variables = json_object_get(root, "chat_template_kwargs");
    const struct sw_chat_request chat = {.messages = messages,
                                         .variables = sw_json_absent(variables) ? NULL : variables,
                                         .add_generation_prompt = true};
    return sw_chat_encode(t->chat, t->tokenizer, &chat, ids);
}

/*
 * Only scores, so that each position has one row: after the text comes an id that stands for
 * nothing, whose score ends the request.
 */
static enum sw_status trace_submit(struct sw_trace_item *item, struct sw_ids *ids)
{
    const struct sw_trace_choice *c = &trace_of(item)->choice;
    const int n = (int)ids->count, first = (int)sw_trace_choice_first(c, n);
    SW_TRY(sw_ids_push(ids, 0));
    struct sw_request request = {.ids = ids->items,
                                 .n_ids = n + 1,
                                 .score_from = c->logits || c->logprobs > 0 ? first + 1 : n,
                                 .n_hidden = c->n_layers > 0 ? n - first : 0,
                                 .sampling = sw_sampling_default(),
                                 .scored = trace_scored,
                                 .done = trace_done,
                                 .hidden = trace_hidden,
                                 .logits = trace_logits,
                                 .owner = item};
    if (c->logprobs > 0)
        request.sampling.logprobs = c->logprobs;
    return sw_scheduler_submit(item->job->scheduler, &request, NULL);
}

static enum sw_status trace_read(struct sw_trace_item *item, const json_t *root, bool batch_form)
{
    struct sw_ids ids = {0};
    const char *name;
    json_t *value;
    if (batch_form)
        return sw_fail(SW_EINPUT, "is a line of the Batch API; write \"id\" and \"prompt\"");
    json_object_foreach((json_t *)(uintptr_t)root, name,
                        value) if (!trace_knows(name) && !json_is_null(value))
        sw_unknown_note(&item->job->unknown, name);
    enum sw_status status = trace_ids(item->job, root, &ids);
    item->tokens = (int64_t)ids.count;
    if (status == SW_OK && ids.count == 0)
        status = sw_fail(SW_EINPUT, "the prompt is empty, and this model has no start token; give "
                                    "it at least one token");
    if (status == SW_OK)
        status = sw_trace_choice_count(&trace_of(item)->choice, item->tokens, &item->count);
    if (status == SW_OK)
        status = trace_item_reserve(item);
    if (status == SW_OK)
        status = trace_submit(item, &ids);
    sw_ids_free(&ids);
    return status;
}

static enum sw_status trace_begin(struct sw_job *job, json_t *root, bool batch_form,
                                  const struct sw_strbuf *key)
{
    struct sw_trace_item *item = trace_item_make(job, key);
    if (!item)
        return sw_fail(SW_ENOMEM, "no memory for a line");
    const enum sw_status status = item->key.failed ? sw_fail(SW_ENOMEM, "no memory for an id")
                                                   : trace_read(item, root, batch_form);
    if (status == SW_OK)
        trace_push(job->owner, item);
    else
        trace_item_free(item);
    return status;
}

static void trace_drop(struct sw_job *job)
{
    sw_trace_close(job->owner);
}

const struct sw_job_task sw_trace_task = {.knows = trace_knows,
                                          .begin = trace_begin,
                                          .drop = trace_drop,
                                          .full = trace_full,
                                          .take = trace_take,
                                          .step = trace_step,
                                          .end = trace_end};
