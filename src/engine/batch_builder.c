/*
 * Owns what the next micro-batch holds. The newest tokens of running sequences are dealt into as
 * many groups as should be under way; prompt rows ride along, as many as keep a step short.
 */
#include "engine/scheduler_impl.h"

#include "base/checked.h"
/* Beside running sequences a batch takes at most this share of its rows from prompts. */
#define PROMPT_SHARE 4
/* A prompt is cut for the stages to overlap, but not into pieces smaller than this. */
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
    struct sw_row_outputs ask = {n, n, 0};
    if (past >= r->n_ids && r->max_new > 0)
        ask.sample_from = n - 1;
    if (past < r->n_ids)
        ask.next = slot->ids[past];
    /* Row p gives the log-probability of the id at p + 1. */
    const int64_t score_from = sw_max_i64(r->score_from - 1 - first, 0);
    ask.score_from = (int32_t)sw_min_i64(score_from, ask.sample_from);
    b->spans[b->n_spans] = (struct sw_span){index, first, b->n_rows, n};
    b->outputs[b->n_spans++] = ask;
    for (int i = 0; i < n; i++)
        b->ids[b->n_rows++] = slot->ids[first + i];
    slot->n_sent = past;
}

static void deal_steps(struct sw_scheduler *s)
{
    int64_t n =
        sw_min_i64(ceil_div(s->n_stepping, s->in_flight.groups), s->options.max_batch_tokens);
    for (n = sw_min_i64(n, s->steps.n); n > 0; n--) {
        const int index = ring_head(&s->steps);
        ring_pop(&s->steps);
        add_span(s, index, 1);
    }
}

/* Prompt rows that this batch should take. */
static int64_t prompt_quota(const struct sw_scheduler *s)
{
    int64_t n = s->options.max_batch_tokens - s->batch.n_rows;
    if (s->stream_rows > 0 && s->prompt_rows >= s->stream_rows)
        return n; /* each piece would send for the same layers again */
    if (s->n_stepping > 0)
        n = sw_min_i64(n, ceil_div(s->options.max_batch_tokens, PROMPT_SHARE));
    if (s->options.stages > 1) /* so that every stage has a piece soon */
        n = sw_min_i64(n, sw_max_i64(PIECE_MIN, ceil_div(s->prompt_rows, 2 * s->options.stages)));
    return n;
}

static void deal_prompts(struct sw_scheduler *s)
{
    int64_t quota = prompt_quota(s);
    while (s->prompts.n > 0 && quota > 0) {
        const int index = ring_head(&s->prompts);
        struct slot *slot = &s->slots[index];
        const int n = (int)sw_min_i64(slot->n_due - slot->n_sent, quota);
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

void sw_scheduler_build_batch(struct sw_scheduler *s)
{
    /* One more of prompts alone, so that no stage waits for rank 0 to hear of the oldest. */
    const int most = s->in_flight.groups + (s->steps.n == 0 && s->options.stages > 1);
    s->batch.n_rows = s->batch.n_spans = 0;
    if (s->stats.under_way >= most)
        return;
    deal_steps(s);
    deal_prompts(s);
}
