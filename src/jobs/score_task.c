/* Owns the items of `score`: a line's passes through the model, and the result they make. */
#include "jobs/score_task.h"

#include "jobs/record.h"
#include "jobs/score_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 10000
#define IDS_MAX (16u << 20) /* in all passes of one line */

/* One pass: some ids, those from `from` on scored. */
struct pass {
    struct sw_score_item *item;
    struct sw_score_input pair; /* own ids; of no meaning for windows of a text */
    struct sw_window window;
    double logprob;
    bool greedy;
    size_t chars, bytes, dropped;
    float *logprobs; /* (tokens) */
    bool *greedies;  /* (tokens) */
};

enum kind { CONTINUATION, CHOICES, TEXT };

struct sw_score_item {
    struct sw_job *job;
    struct sw_score_item *next, **link; /* among the items under way */
    enum kind kind;
    struct sw_strbuf key;
    struct sw_ids ids; /* of a text, behind its prefix */
    size_t bytes, words;
    size_t n_passes, n_left;
    bool undefined;      /* the model has no numbers for a pass */
    struct pass *passes; /* (n_passes) */
};

static void free_item(struct sw_score_item *item)
{
    if (item->link) {
        *item->link = item->next;
        if (item->next)
            item->next->link = item->link;
    }
    for (size_t i = 0; item->passes && i < item->n_passes; i++) {
        sw_ids_free(&item->passes[i].pair.ids);
        free(item->passes[i].logprobs);
        free(item->passes[i].greedies);
    }
    free(item->passes);
    sw_ids_free(&item->ids);
    sw_strbuf_free(&item->key);
    free(item);
}

/* JSON has no infinities: what is impossible is the least float there is. */
static void score_task_put(struct sw_strbuf *out, const char *name, double value)
{
    sw_strbuf_printf(out, "\"%s\":%.12g", name,
                     value < -3.4e38 ? -3.4e38
                     : value > 1e300 ? 1e300
                                     : value);
}

static size_t n_scored(const struct pass *p)
{
    return p->item->kind == TEXT ? p->window.end - p->window.from
                                 : p->pair.ids.count - p->pair.from;
}

/* The last id is scored, but need not be fed. */
static int64_t n_fed(const struct pass *p)
{
    const size_t n = p->item->kind == TEXT ? p->window.end - p->window.begin : p->pair.ids.count;
    return (int64_t)n - 1;
}

static void put_dropped(struct sw_strbuf *out, const struct pass *p)
{
    if (p->dropped > 0)
        sw_strbuf_printf(out, ",\"truncated\":%zu", p->dropped);
}

static void write_continuation(const struct sw_score_item *item, struct sw_strbuf *out)
{
    const struct pass *p = &item->passes[0];
    score_task_put(out, "logprob", p->logprob);
    sw_strbuf_printf(out, ",\"greedy\":%s,\"tokens\":[", p->greedy ? "true" : "false");
    for (size_t i = 0; i < n_scored(p); i++) {
        sw_strbuf_printf(out, "%s{\"id\":%d,", i ? "," : "", p->pair.ids.items[p->pair.from + i]);
        score_task_put(out, "logprob", (double)p->logprobs[i]);
        sw_strbuf_printf(out, ",\"greedy\":%s}", p->greedies[i] ? "true" : "false");
    }
    sw_strbuf_puts(out, "]");
    put_dropped(out, p);
}

/* The first of the best, by log-probability over what each choice has of something. */
static size_t best(const struct sw_score_item *item, size_t offset)
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

static void write_choices(const struct sw_score_item *item, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "\"choices\":[");
    for (size_t i = 0; i < item->n_passes; i++) {
        const struct pass *p = &item->passes[i];
        sw_strbuf_puts(out, i ? ",{" : "{");
        score_task_put(out, "logprob", p->logprob);
        sw_strbuf_printf(out, ",\"greedy\":%s,\"tokens\":%zu,\"chars\":%zu,\"bytes\":%zu",
                         p->greedy ? "true" : "false", n_scored(p), p->chars, p->bytes);
        if (p->bytes > 0) {
            sw_strbuf_puts(out, ",");
            score_task_put(out, "logprob_per_char", p->logprob / (double)p->chars);
            sw_strbuf_puts(out, ",");
            score_task_put(out, "logprob_per_byte", p->logprob / (double)p->bytes);
        }
        put_dropped(out, p);
        sw_strbuf_puts(out, "}");
    }
    sw_strbuf_printf(out, "],\"best\":%zu,\"best_per_char\":%zu,\"best_per_byte\":%zu",
                     best(item, 0), best(item, offsetof(struct pass, chars)),
                     best(item, offsetof(struct pass, bytes)));
}

static void write_text(const struct sw_score_item *item, struct sw_strbuf *out)
{
    const double bytes = (double)item->bytes, words = (double)item->words;
    const size_t tokens = item->ids.count - 1;
    double logprob = 0;
    for (size_t i = 0; i < item->n_passes; i++)
        logprob += item->passes[i].logprob;
    score_task_put(out, "logprob", logprob);
    sw_strbuf_printf(out, ",\"tokens\":%zu,\"bytes\":%zu,\"words\":%zu,", tokens, item->bytes,
                     item->words);
    score_task_put(out, "perplexity", exp(-logprob / (double)tokens));
    sw_strbuf_puts(out, ",");
    score_task_put(out, "byte_perplexity", exp(-logprob / bytes));
    sw_strbuf_puts(out, ",");
    score_task_put(out, "word_perplexity", exp(-logprob / words));
    sw_strbuf_puts(out, ",");
    score_task_put(out, "bits_per_byte", -logprob / bytes / log(2));
}

static enum sw_status score_task_finish(struct sw_score_item *item)
{
    static void (*const writers[])(const struct sw_score_item *, struct sw_strbuf *) = {
        write_continuation, write_choices, write_text};
    struct sw_job *job = item->job;
    struct sw_strbuf line = {0};
    sw_strbuf_puts(&line, "{\"id\":");
    sw_strbuf_append(&line, item->key.text, item->key.length);
    sw_strbuf_puts(&line, ",");
    writers[item->kind](item, &line);
    sw_strbuf_puts(&line, "}\n");
    const enum sw_status status = sw_job_finish(job, &line);
    for (size_t i = 0; i < item->n_passes; i++) {
        job->prompt_tokens += n_fed(&item->passes[i]);
        job->cut_short += item->passes[i].dropped > 0;
    }
    sw_strbuf_free(&line);
    free_item(item);
    return status;
}

static enum sw_status scored(void *owner, int index, float logprob, bool greedy)
{
    struct pass *p = owner;
    p->logprob += (double)logprob;
    p->greedy = p->greedy && greedy;
    if (p->logprobs) {
        p->logprobs[(size_t)index - p->pair.from] = logprob;
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
    free_item(item);
    return status;
}

static enum sw_status score_task_submit(struct pass *p)
{
    const struct sw_score_item *item = p->item;
    const bool text = item->kind == TEXT;
    const struct sw_request request = {
        .ids = text ? item->ids.items + p->window.begin : p->pair.ids.items,
        .n_ids = (int)(text ? p->window.end - p->window.begin : p->pair.ids.count),
        .score_from = (int)(text ? p->window.from - p->window.begin : p->pair.from),
        .sampling = sw_sampling_default(),
        .scored = scored,
        .done = score_task_done,
        .owner = p};
    p->greedy = true;
    return sw_scheduler_submit(item->job->scheduler, &request);
}

/* A text; optional: absent is as good as empty, and JSON null as good as absent. */
static enum sw_status text_of(const json_t *root, const char *name, bool optional,
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

static enum sw_status make_passes(struct sw_score_item *item, size_t n)
{
    item->passes = calloc(n, sizeof *item->passes);
    if (!item->passes)
        return sw_fail(SW_ENOMEM, "no memory for %zu passes", n);
    item->n_passes = item->n_left = n;
    for (size_t i = 0; i < n; i++)
        item->passes[i].item = item;
    return SW_OK;
}

static enum sw_status encode_pass(struct pass *p, struct sw_text context,
                                  struct sw_text continuation)
{
    const struct sw_score_job *score = p->item->job->owner;
    if (continuation.n == 0)
        return sw_fail(SW_EINPUT, "the continuation is empty: there is nothing to score");
    SW_TRY(sw_score_input_encode(score->tokenizer, context, continuation, &p->pair));
    return sw_score_input_fit(&p->pair, (size_t)score->context, &p->dropped);
}

static enum sw_status read_continuation(struct sw_score_item *item, const json_t *root)
{
    struct sw_text context, continuation;
    SW_TRY(text_of(root, "context", true, &context));
    SW_TRY(text_of(root, "continuation", false, &continuation));
    SW_TRY(make_passes(item, 1));
    struct pass *p = &item->passes[0];
    SW_TRY(encode_pass(p, context, continuation));
    p->logprobs = calloc(n_scored(p), sizeof *p->logprobs);
    p->greedies = calloc(n_scored(p), sizeof *p->greedies);
    return p->logprobs && p->greedies
               ? SW_OK
               : sw_fail(SW_ENOMEM, "no memory for %zu log-probabilities", n_scored(p));
}

static enum sw_status read_choices(struct sw_score_item *item, const json_t *root)
{
    const json_t *choices = json_object_get(root, "choices");
    const size_t n = json_array_size(choices);
    struct sw_text context, delimiter;
    struct sw_strbuf whole = {0};
    size_t ids = 0;
    SW_TRY(text_of(root, "context", true, &context));
    SW_TRY(text_of(root, "delimiter", true, &delimiter));
    if (!json_is_array(choices))
        return sw_fail(SW_EINPUT, "\"choices\" must be a list of texts, not %s",
                       sw_json_type(choices));
    if (n < 1 || n > CHOICES_MAX)
        return sw_fail(SW_EINPUT, "\"choices\" has %zu texts; 1 to %d are possible", n,
                       CHOICES_MAX);
    SW_TRY(make_passes(item, n));
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
        status = whole.failed ? sw_fail(SW_ENOMEM, "no memory for a choice")
                              : encode_pass(p, context, (struct sw_text){whole.text, whole.length});
        ids += p->pair.ids.count;
        if (status == SW_OK && ids > IDS_MAX)
            status = sw_fail(SW_EINPUT, "context and choices have more than %u tokens together",
                             IDS_MAX);
    }
    sw_strbuf_free(&whole);
    return status;
}

static enum sw_status read_text(struct sw_score_item *item, const json_t *root)
{
    const struct sw_score_job *score = item->job->owner;
    const size_t context = (size_t)score->context;
    struct sw_text text;
    SW_TRY(text_of(root, "text", false, &text));
    SW_TRY(sw_score_input_text(score->tokenizer, text, &item->ids));
    item->bytes = text.n;
    item->words = sw_text_words(text);
    const size_t n = item->ids.count - 1;
    SW_TRY(make_passes(item, n / context + (n % context > 0)));
    for (size_t i = 0; i < item->n_passes; i++)
        (void)sw_window(n, context, i, &item->passes[i].window);
    return SW_OK;
}

/* Members of any kind of line; what else there is passes, but … */
static bool is_known(const char *name)
{
    static const char *const known[] = {"id",   "context", "continuation", "choices", "delimiter",
                                        "text", "model",   "user",         "metadata"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

/* … without a context a text under another name could be meant to be it. */
static enum sw_status check_others(struct sw_score_item *item, const json_t *root)
{
    const bool context = !sw_json_absent(json_object_get(root, "context"));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        const bool texts = json_is_string(value) || json_is_array(value);
        if (is_known(name) || json_is_null(value))
            continue;
        if (!context && item->kind != TEXT && texts)
            return sw_fail(SW_EINPUT,
                           "has \"%.200s\" but no \"context\"; call it that, or say "
                           "\"context\": \"\" where there is none",
                           name);
        sw_unknown_note(&item->job->unknown, name);
    }
    return SW_OK;
}

static enum sw_status read_line(struct sw_score_item *item, const json_t *root, bool batch_form)
{
    static enum sw_status (*const readers[])(struct sw_score_item *, const json_t *) = {
        read_continuation, read_choices, read_text};
    static const char *const marks[] = {"continuation", "choices", "text"};
    int found = -1;
    if (batch_form)
        return sw_fail(SW_EINPUT, "is a line of the Batch API, which knows no scoring");
    for (int i = 0; i < 3; i++) {
        if (sw_json_absent(json_object_get(root, marks[i])))
            continue;
        if (found >= 0)
            return sw_fail(SW_EINPUT, "has both \"%s\" and \"%s\"", marks[found], marks[i]);
        found = i;
    }
    if (found < 0)
        return sw_fail(SW_EINPUT, "has neither \"continuation\" nor \"choices\" nor \"text\"");
    item->kind = (enum kind)found;
    SW_TRY(check_others(item, root));
    return readers[found](item, root);
}

static enum sw_status check_ids(const struct sw_ids *ids, int vocab)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->items[i] < 0 || ids->items[i] >= vocab)
            return sw_fail(SW_EINPUT, "has token %d, but the model's are below %d", ids->items[i],
                           vocab);
    return SW_OK;
}

/* Every pass is known to fit, so either all are submitted or the job ends. */
static enum sw_status submit_all(struct sw_score_item *item)
{
    struct sw_score_job *score = item->job->owner;
    SW_TRY(check_ids(&item->ids, score->vocab));
    for (size_t i = 0; i < item->n_passes; i++)
        SW_TRY(check_ids(&item->passes[i].pair.ids, score->vocab));
    item->next = score->items;
    item->link = &score->items;
    if (item->next)
        item->next->link = &item->next;
    score->items = item;
    for (size_t i = 0; i < item->n_passes; i++) {
        const enum sw_status status = score_task_submit(&item->passes[i]);
        if (status != SW_OK)
            return i == 0 ? status : SW_EDEVICE; /* the queue has passes of the item */
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
                                             : read_line(item, root, batch_form);
    if (status == SW_OK)
        status = submit_all(item);
    if (status == SW_EDEVICE) /* dropped with the others at the end */
        return status;
    if (status != SW_OK)
        free_item(item);
    return status;
}

static void score_task_drop(struct sw_job *job)
{
    struct sw_score_job *score = job->owner;
    while (score->items)
        free_item(score->items);
}

const struct sw_job_task sw_score_task = {
    .knows = is_known, .begin = score_task_begin, .drop = score_task_drop};
