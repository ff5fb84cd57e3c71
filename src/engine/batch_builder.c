/*
 * Owns the batch builder. The newest tokens of running sequences are divided over as many
 * micro-batches as should be under way; prompt rows are added, few enough to keep a step short.
 */
#include "engine/scheduler_impl.h"

#include "base/checked.h"

/* While sequences decode, at most 1 / PROMPT_SHARE of a micro-batch's rows are from prompts, or
 * those that hide behind decoding. */
#define PROMPT_SHARE 4
/* Least rows of the pieces into which a prompt is cut so that the stages overlap. */
#define PIECE_MIN 32

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static void add_span(struct sw_scheduler *s, int index, int n)
{
    struct sw_microbatch *b = &s->batch;
    struct slot *slot = &s->slots[index];
    const struct sw_request *r = &slot->entry->request;
    const int first = slot->n_sent, past = first + n;
    struct sw_row_outputs outputs = {n, n, 0, n};
    if (past >= r->n_ids && r->max_new > 0)
        outputs.sample_from = n - 1;
    if (past < r->n_ids)
        outputs.next = slot->ids[past];
    /* Row p gives the log-probability of the id at p + 1. */
    const int64_t score_from = sw_max_i64(r->score_from - 1 - first, 0);
    outputs.score_from = (int32_t)sw_min_i64(score_from, outputs.sample_from);
    const int64_t hidden_from = slot->entry->n_prompt - r->n_hidden - first;
    if (r->n_hidden > 0)
        outputs.hidden_from = (int32_t)sw_min_i64(sw_max_i64(hidden_from, 0), n);
    slot->n_results += n - outputs.score_from;
    b->spans[b->n_spans] = (struct sw_span){index, first, b->n_rows, n};
    b->memory[b->n_spans] = r->n_source;
    b->outputs[b->n_spans++] = outputs;
    for (int i = 0; i < n; i++)
        b->ids[b->n_rows++] = slot->ids[first + i];
    slot->n_sent = past;
}

static void add_decode_rows(struct sw_scheduler *s)
{
    int64_t n =
        sw_min_i64(ceil_div(s->n_stepping, s->in_flight.groups), s->options.max_batch_tokens);
    for (n = sw_min_i64(n, s->steps.n); n > 0; n--) {
        const int index = ring_head(&s->steps);
        ring_pop(&s->steps);
        add_span(s, index, 1);
    }
}

/* Prompt rows that this micro-batch should take. */
static int64_t prompt_quota(const struct sw_scheduler *s)
{
    int64_t n = s->options.max_batch_tokens - s->batch.n_rows;
    if (s->stream_rows > 0 && s->prompt_rows >= s->stream_rows)
        return n; /* each piece would copy the same layers again */
    if (s->n_stepping > 0)
        n = sw_min_i64(n, sw_max_i64(ceil_div(s->options.max_batch_tokens, PROMPT_SHARE),
                                     s->options.beside_rows));
    if (s->stages > 1) /* so that every stage soon has a piece */
        n = sw_min_i64(n, sw_max_i64(PIECE_MIN, ceil_div(s->prompt_rows, 2 * s->stages)));
    return n;
}

/* Rows that a slot may submit before its state is to be copied: for one that waits for it, or as a
 * snapshot. */
static int64_t rows_to_cut(const struct sw_scheduler *s, int index)
{
    const struct slot *slot = &s->slots[index];
    int64_t most = slot->n_due - slot->n_sent;
    for (int i = 0; i < s->options.slots && s->states && s->n_blocked > 0; i++)
        if (s->slots[i].entry && s->slots[i].source == index)
            most = sw_min_i64(most, s->slots[i].shared - slot->n_sent);
    if (slot->cut > slot->n_sent)
        most = sw_min_i64(most, slot->cut - slot->n_sent);
    return most;
}

static void add_prompt_rows(struct sw_scheduler *s)
{
    int64_t quota = prompt_quota(s);
    while (s->prompts.n > 0 && quota > 0) {
        const int index = ring_head(&s->prompts);
        struct slot *slot = &s->slots[index];
        const int n = (int)sw_min_i64(rows_to_cut(s, index), quota);
        add_span(s, index, n);
        quota -= n;
        s->prompt_rows -= n;
        if (slot->n_sent < slot->n_due)
            return;
        ring_pop(&s->prompts);
        if (slot->entry->request.max_new > 1)
            s->n_stepping++;
    }
}

/* Whole sources, as many as there is room for: a layer of an encoder reads all of one at once. */
static void add_sources(struct sw_scheduler *s)
{
    struct sw_microbatch *b = &s->batch;
    b->first = 0;
    b->end = s->encoder;
    while (s->sources.n > 0) {
        const int index = ring_head(&s->sources);
        const struct sw_request *r = &s->slots[index].entry->request;
        if (b->n_rows + r->n_source > s->options.max_batch_tokens)
            return;
        b->spans[b->n_spans] = (struct sw_span){index, 0, b->n_rows, r->n_source};
        b->memory[b->n_spans] = r->n_source;
        b->outputs[b->n_spans++] =
            (struct sw_row_outputs){r->n_source, r->n_source, 0, r->n_source};
        for (int i = 0; i < r->n_source; i++)
            b->ids[b->n_rows++] = r->source[i];
        ring_pop(&s->sources);
        sw_scheduler_begin_prompt(s, index);
    }
}

void sw_scheduler_build_batch(struct sw_scheduler *s)
{
    /* One more while only prompts run, so that no stage waits until rank 0 has collected. */
    const int most = s->in_flight.groups + (s->steps.n == 0 && s->stages > 1);
    s->batch.n_rows = s->batch.n_spans = 0;
    if (s->stats.under_way >= most)
        return;
    if (s->sources.n > 0) {
        add_sources(s);
        return;
    }
    s->batch.first = s->encoder;
    s->batch.end = 0;
    add_decode_rows(s);
    add_prompt_rows(s);
}
