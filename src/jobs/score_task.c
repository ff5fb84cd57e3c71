/* Owns the items of `score`: a line's passes through the model, and its result. */
#include "jobs/score_task.h"

#include "jobs/record.h"
#include "jobs/score_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 10000
#define IDS_MAX (16u << 20) /* ids in all passes of one line */

/* One pass through the model. */
struct pass {
    struct sw_score_item *item;
    struct sw_score_input pair; /* of a continuation or choice; owns its ids */
    struct sw_window window;    /* of a text, in item->ids */
    double logprob;
    bool greedy;
    size_t chars, bytes, dropped;
    float *logprobs; /* (tokens) */
    bool *greedies;  /* (tokens) */
};

enum kind { CONTINUATION, CHOICES, TEXT, TARGET };

struct sw_score_item {
    struct sw_job *job;
    struct sw_score_item *next, **link; /* among the items under way */
    enum kind kind;
    struct sw_strbuf key;
    struct sw_ids ids; /* of a text: prefix and text */
    size_t bytes, words;
    size_t n_passes, n_left;
    bool undefined;      /* the logits of a pass were not finite */
    struct pass *passes; /* (n_passes) */
};

static void score_item_free(struct sw_score_item *item)
{
    if (item->link) {
        *item->link = item->next;
        if (item->next)
            item->next->link = item->link;
    }
    for (size_t i = 0; item->passes && i < item->n_passes; i++) {
        sw_score_input_free(&item->passes[i].pair);
        free(item->passes[i].logprobs);
        free(item->passes[i].greedies);
    }
    free(item->passes);
    sw_ids_free(&item->ids);
    sw_strbuf_free(&item->key);
    free(item);
}

/* JSON has no infinities: -inf is written as the least float. */
static void score_put_number(struct sw_strbuf *out, const char *name, double value)
{
    sw_strbuf_printf(out, "\"%s\":%.12g", name,
                     value < -3.4e38 ? -3.4e38
                     : value > 1e300 ? 1e300
                                     : value);
}

static size_t pass_n_scored(const struct pass *p)
{
    return p->item->kind == TEXT ? p->window.end - p->window.from
                                 : p->pair.ids.count - p->pair.from;
}

/* The last id is scored, but not computed. */
static int64_t pass_n_computed(const struct pass *p)
{
    const size_t n = p->item->kind == TEXT ? p->window.end - p->window.begin : p->pair.ids.count;
    return (int64_t)n - 1;
}

static void score_put_dropped(struct sw_strbuf *out, const struct pass *p)
{
    if (p->dropped > 0)
        sw_strbuf_printf(out, ",\"truncated\":%zu", p->dropped);
}

static void score_write_continuation(const struct sw_score_item *item, struct sw_strbuf *out)
{
    const struct pass *p = &item->passes[0];
    score_put_number(out, "logprob", p->logprob);
    sw_strbuf_printf(out, ",\"greedy\":%s,\"tokens\":[", p->greedy ? "true" : "false");
    for (size_t i = 0; i < pass_n_scored(p); i++) {
        sw_strbuf_printf(out, "%s{\"id\":%d,", i ? "," : "", p->pair.ids.items[p->pair.from + i]);
        score_put_number(out, "logprob", (double)p->logprobs[i]);
        sw_strbuf_printf(out, ",\"greedy\":%s}", p->greedies[i] ? "true" : "false");
    }
    sw_strbuf_puts(out, "]");
    score_put_dropped(out, p);
}

/* The index of the choice with the highest log-probability, divided by its size_t field at `offset`
 * unless that is 0; the first one of equals. */
static size_t choices_best(const struct sw_score_item *item, size_t offset)
{
    size_t found = 0;
    double most = -INFINITY;
    for (size_t i = 0; i < item->n_passes; i++) {
        const struct pass *p = &item->passes[i];
        const double share =
            offset ? (double)*(const size_t *)(const void *)((const char *)p + offset) : 1;
        if (share > 0 && p->logprob / share > most) {
            most = p->logprob / share;
            found = i;
        }
    }
    return found;
}

static void score_write_choices(const struct sw_score_item *item, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "\"choices\":[");
    for (size_t i = 0; i < item->n_passes; i++) {
        const struct pass *p = &item->passes[i];
        sw_strbuf_puts(out, i ? ",{" : "{");
        score_put_number(out, "logprob", p->logprob);
        sw_strbuf_printf(out, ",\"greedy\":%s,\"tokens\":%zu,\"chars\":%zu,\"bytes\":%zu",
                         p->greedy ? "true" : "false", pass_n_scored(p), p->chars, p->bytes);
        if (p->bytes > 0) {
            sw_strbuf_puts(out, ",");
            score_put_number(out, "logprob_per_char", p->logprob / (double)p->chars);
            sw_strbuf_puts(out, ",");
            score_put_number(out, "logprob_per_byte", p->logprob / (double)p->bytes);
        }
        score_put_dropped(out, p);
        sw_strbuf_puts(out, "}");
    }
    sw_strbuf_printf(out, "],\"best\":%zu,\"best_per_char\":%zu,\"best_per_byte\":%zu",
                     choices_best(item, 0), choices_best(item, offsetof(struct pass, chars)),
                     choices_best(item, offsetof(struct pass, bytes)));
}

static void score_write_text(const struct sw_score_item *item, struct sw_strbuf *out)
{
    const double bytes = (double)item->bytes, words = (double)item->words;
    const size_t tokens = item->ids.count - 1;
    double logprob = 0;
    for (size_t i = 0; i < item->n_passes; i++)
        logprob += item->passes[i].logprob;
    score_put_number(out, "logprob", logprob);
    sw_strbuf_printf(out, ",\"tokens\":%zu,\"bytes\":%zu,\"words\":%zu,", tokens, item->bytes,
                     item->words);
    score_put_number(out, "perplexity", exp(-logprob / (double)tokens));
    sw_strbuf_puts(out, ",");
    score_put_number(out, "byte_perplexity", exp(-logprob / bytes));
    sw_strbuf_puts(out, ",");
    score_put_number(out, "word_perplexity", exp(-logprob / words));
    sw_strbuf_puts(out, ",");
    score_put_number(out, "bits_per_byte", -logprob / bytes / log(2));
}

static enum sw_status score_task_finish(struct sw_score_item *item)
{
    static void (*const writers[])(const struct sw_score_item *, struct sw_strbuf *) = {
        score_write_continuation, score_write_choices, score_write_text, score_write_continuation};
    struct sw_job *job = item->job;
    struct sw_strbuf line = {0};
    sw_strbuf_puts(&line, "{\"id\":");
    sw_strbuf_append(&line, item->key.text, item->key.length);
    sw_strbuf_puts(&line, ",");
    writers[item->kind](item, &line);
    sw_strbuf_puts(&line, "}\n");
    const enum sw_status status = sw_job_finish(job, &line);
    for (size_t i = 0; i < item->n_passes; i++) {
        job->prompt_tokens += pass_n_computed(&item->passes[i]);
        job->cut_short += item->passes[i].dropped > 0;
    }
    sw_strbuf_free(&line);
    score_item_free(item);
    return status;
}

static enum sw_status pass_scored(void *owner, int index, const struct sw_sampled *score,
                                  bool greedy)
{
    struct pass *p = owner;
    p->logprob += (double)score->logprob;
    p->greedy = p->greedy && greedy;
    if (p->logprobs) {
        p->logprobs[(size_t)index - p->pair.from] = score->logprob;
        p->greedies[(size_t)index - p->pair.from] = greedy;
    }
    return SW_OK;
}

static enum sw_status score_task_done(void *owner, enum sw_finish how)
{
    struct sw_score_item *item = ((struct pass *)owner)->item;
    item->undefined = item->undefined || how == SW_FINISH_UNDEFINED;
    if (--item->n_left > 0)
        return SW_OK;
    if (!item->undefined)
        return score_task_finish(item);
    const enum sw_status status = sw_job_undefined(item->job, &item->key, false);
    score_item_free(item);
    return status;
}

static enum sw_status pass_submit(struct pass *p)
{
    const struct sw_score_item *item = p->item;
    const bool text = item->kind == TEXT;
    const struct sw_request request = {
        .ids = text ? item->ids.items + p->window.begin : p->pair.ids.items,
        .n_ids = (int)(text ? p->window.end - p->window.begin : p->pair.ids.count),
        .source = p->pair.source.items,
        .n_source = (int)p->pair.source.count,
        .score_from = (int)(text ? p->window.from - p->window.begin : p->pair.from),
        .sampling = sw_sampling_default(),
        .scored = pass_scored,
        .done = score_task_done,
        .owner = p};
    p->greedy = true;
    return sw_scheduler_submit(item->job->scheduler, &request, NULL);
}

/* Reads a text member. `optional`: absent and JSON null count as "". */
static enum sw_status score_text(const json_t *root, const char *name, bool optional,
                                 struct sw_text *out)
{
    const json_t *value = json_object_get(root, name);
    *out = (struct sw_text){"", 0};
    if (optional && sw_json_absent(value))
        return SW_OK;
    if (!json_is_string(value))
        return sw_fail(SW_EINPUT, "\"%s\" must be a text, not %s", name, sw_json_type(value));
    *out = (struct sw_text){json_string_value(value), json_string_length(value)};
    return SW_OK;
}

static enum sw_status score_make_passes(struct sw_score_item *item, size_t n)
{
    item->passes = calloc(n, sizeof *item->passes);
    if (!item->passes)
        return sw_fail(SW_ENOMEM, "no memory for %zu passes", n);
    item->n_passes = item->n_left = n;
    for (size_t i = 0; i < n; i++)
        item->passes[i].item = item;
    return SW_OK;
}

/* end: as of sw_score_input_target */
static enum sw_status pass_encode(struct pass *p, struct sw_text context,
                                  struct sw_text continuation, bool end)
{
    const struct sw_score_job *score = p->item->job->owner;
    if (continuation.n == 0)
        return sw_fail(SW_EINPUT, "the continuation is empty: there is nothing to score");
    const int32_t *start = sw_scheduler_start(p->item->job->scheduler);
    if (start)
        SW_TRY(
            sw_score_input_target(score->tokenizer, *start, context, continuation, end, &p->pair));
    else
        SW_TRY(sw_score_input_encode(score->tokenizer, context, continuation, &p->pair));
    return sw_score_input_fit(&p->pair, (size_t)score->context, &p->dropped);
}

static enum sw_status score_make_pair(struct sw_score_item *item, struct sw_text context,
                                      struct sw_text continuation, bool end)
{
    SW_TRY(score_make_passes(item, 1));
    struct pass *p = &item->passes[0];
    SW_TRY(pass_encode(p, context, continuation, end));
    p->logprobs = calloc(pass_n_scored(p), sizeof *p->logprobs);
    p->greedies = calloc(pass_n_scored(p), sizeof *p->greedies);
    return p->logprobs && p->greedies
               ? SW_OK
               : sw_fail(SW_ENOMEM, "no memory for %zu log-probabilities", pass_n_scored(p));
}

static enum sw_status score_read_continuation(struct sw_score_item *item, const json_t *root)
{
    struct sw_text context, continuation;
    SW_TRY(score_text(root, "context", true, &context));
    SW_TRY(score_text(root, "continuation", false, &continuation));
    return score_make_pair(item, context, continuation, false);
}

static enum sw_status score_read_target(struct sw_score_item *item, const json_t *root)
{
    struct sw_text source, target;
    if (!sw_scheduler_start(item->job->scheduler))
        return sw_fail(SW_EINPUT, "has a \"target\", but the model has no encoder for its source; "
                                  "write \"context\" and \"continuation\"");
    SW_TRY(score_text(root, "source", false, &source));
    SW_TRY(score_text(root, "target", false, &target));
    return score_make_pair(item, source, target, true);
}

static enum sw_status score_read_choices(struct sw_score_item *item, const json_t *root)
{
    const json_t *choices = json_object_get(root, "choices");
    const size_t n = json_array_size(choices);
    struct sw_text context, delimiter;
    struct sw_strbuf whole = {0};
    size_t ids = 0;
    SW_TRY(score_text(root, "context", true, &context));
    SW_TRY(score_text(root, "delimiter", true, &delimiter));
    if (!json_is_array(choices))
        return sw_fail(SW_EINPUT, "\"choices\" must be a list of texts, not %s",
                       sw_json_type(choices));
    if (n < 1 || n > CHOICES_MAX)
        return sw_fail(SW_EINPUT, "\"choices\" has %zu texts; it must have 1 to %d", n,
                       CHOICES_MAX);
    SW_TRY(score_make_passes(item, n));
    enum sw_status status = SW_OK;
    for (size_t i = 0; i < n && status == SW_OK; i++) {
        struct pass *p = &item->passes[i];
        const json_t *choice = json_array_get(choices, i);
        if (!json_is_string(choice)) {
            status = sw_fail(SW_EINPUT, "\"choices\": item %zu must be a text, not %s", i,
                             sw_json_type(choice));
            break;
        }
        const struct sw_text text = {json_string_value(choice), json_string_length(choice)};
        p->chars = sw_text_characters(text);
        p->bytes = text.n;
        whole.length = 0;
        sw_strbuf_append(&whole, delimiter.bytes, delimiter.n);
        sw_strbuf_append(&whole, text.bytes, text.n);
        status = whole.failed
                     ? sw_fail(SW_ENOMEM, "no memory for a choice")
                     : pass_encode(p, context, (struct sw_text){whole.text, whole.length}, false);
        ids += p->pair.ids.count;
        if (status == SW_OK && ids > IDS_MAX)
            status = sw_fail(SW_EINPUT, "context and choices have more than %u tokens together",
                             IDS_MAX);
    }
    sw_strbuf_free(&whole);
    return status;
}

static enum sw_status score_read_text(struct sw_score_item *item, const json_t *root)
{
    const struct sw_score_job *score = item->job->owner;
    const size_t context = (size_t)score->context;
    struct sw_text text;
    if (sw_scheduler_start(item->job->scheduler))
        return sw_fail(SW_EINPUT, "has a \"text\", which an encoder-decoder cannot score; write "
                                  "\"source\" and \"target\"");
    SW_TRY(score_text(root, "text", false, &text));
    SW_TRY(sw_score_input_text(score->tokenizer, text, &item->ids));
    item->bytes = text.n;
    item->words = sw_text_words(text);
    const size_t n = item->ids.count - 1;
    SW_TRY(score_make_passes(item, n / context + (n % context > 0)));
    for (size_t i = 0; i < item->n_passes; i++)
        (void)sw_window(n, context, i, &item->passes[i].window);
    return SW_OK;
}

/* Whether some kind of line has a member of this name. */
static bool score_knows(const char *name)
{
    static const char *const known[] = {"id",        "context", "continuation", "choices",
                                        "delimiter", "text",    "model",        "user",
                                        "metadata",  "source",  "target"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

/* Counts unknown members. SW_EINPUT when there is no "context", but a text under an unknown name
 * that could be meant as the context. */
static enum sw_status score_check_others(struct sw_score_item *item, const json_t *root)
{
    const bool context = !sw_json_absent(json_object_get(root, "context"));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        const bool texts = json_is_string(value) || json_is_array(value);
        if (score_knows(name) || json_is_null(value))
            continue;
        if (!context && item->kind != TEXT && item->kind != TARGET && texts)
            return sw_fail(SW_EINPUT,
                           "has \"%.200s\" but no \"context\"; rename it to \"context\", or write "
                           "\"context\": \"\" if there is none",
                           name);
        sw_unknown_note(&item->job->unknown, name);
    }
    return SW_OK;
}

static enum sw_status score_read_line(struct sw_score_item *item, const json_t *root,
                                      bool batch_form)
{
    static enum sw_status (*const readers[])(struct sw_score_item *, const json_t *) = {
        score_read_continuation, score_read_choices, score_read_text, score_read_target};
    static const char *const marks[] = {"continuation", "choices", "text", "target"};
    int found = -1;
    if (batch_form)
        return sw_fail(SW_EINPUT, "is a line of the Batch API, which has no scoring");
    for (int i = 0; i < 4; i++) {
        if (sw_json_absent(json_object_get(root, marks[i])))
            continue;
        if (found >= 0)
            return sw_fail(SW_EINPUT, "has both \"%s\" and \"%s\"", marks[found], marks[i]);
        found = i;
    }
    if (found < 0)
        return sw_fail(SW_EINPUT, "has neither \"continuation\" nor \"choices\" nor \"text\" nor "
                                  "\"target\"");
    item->kind = (enum kind)found;
    SW_TRY(score_check_others(item, root));
    return readers[found](item, root);
}

static enum sw_status score_check_ids(const struct sw_ids *ids, int vocab)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->items[i] < 0 || ids->items[i] >= vocab)
            return sw_fail(SW_EINPUT, "has token %d, but the model's token ids are below %d",
                           ids->items[i], vocab);
    return SW_OK;
}

/* Every pass fits in the context, so either all are submitted or the job ends. */
static enum sw_status score_submit(struct sw_score_item *item)
{
    struct sw_score_job *score = item->job->owner;
    SW_TRY(score_check_ids(&item->ids, score->vocab));
    for (size_t i = 0; i < item->n_passes; i++)
        SW_TRY(score_check_ids(&item->passes[i].pair.ids, score->vocab));
    for (size_t i = 0; i < item->n_passes; i++)
        SW_TRY(score_check_ids(&item->passes[i].pair.source, score->vocab));
    item->next = score->items;
    item->link = &score->items;
    if (item->next)
        item->next->link = &item->next;
    score->items = item;
    for (size_t i = 0; i < item->n_passes; i++) {
        const enum sw_status status = pass_submit(&item->passes[i]);
        if (status != SW_OK)
            return i == 0 ? status : SW_EDEVICE; /* the scheduler has passes of the item */
    }
    return SW_OK;
}

static enum sw_status score_task_begin(struct sw_job *job, json_t *root, bool batch_form,
                                       const struct sw_strbuf *key)
{
    struct sw_score_item *item = calloc(1, sizeof *item);
    if (!item)
        return sw_fail(SW_ENOMEM, "no memory for a line");
    item->job = job;
    sw_strbuf_append(&item->key, key->text, key->length);
    enum sw_status status = item->key.failed ? sw_fail(SW_ENOMEM, "no memory for an id")
                                             : score_read_line(item, root, batch_form);
    if (status == SW_OK)
        status = score_submit(item);
    if (status == SW_EDEVICE) /* score_task_drop frees the item */
        return status;
    if (status != SW_OK)
        score_item_free(item);
    return status;
}

static void score_task_drop(struct sw_job *job)
{
    struct sw_score_job *score = job->owner;
    while (score->items)
        score_item_free(score->items);
}

const struct sw_job_task sw_score_task = {
    .knows = score_knows, .begin = score_task_begin, .drop = score_task_drop};
