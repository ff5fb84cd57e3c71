/*
 * Owns the last stage's own work: the sequences' ids and sampling, logits, samples and scores. Each
 * thread takes some of the rows; with fewer rows than threads, all threads work on one row at a
 * time. Results are in row order.
 */
#include "engine/worker_impl.h"

#include "base/pool.h"
#include "grammar/guide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sequence {
    struct sw_sampling sampling;
    int32_t *history;     /* (context): ids by position */
    struct sw_bias *bias; /* (n_bias) */
    int n_bias;
    struct sw_guide *guide; /* NULL: any text */
};

/* How one row ended, as a thread leaves it. */
struct row_outcome {
    enum sw_status status;
    char message[256]; /* of a failure: the error slot is the thread's own, not the caller's */
};

struct sw_last_stage {
    struct sequence *sequences;                 /* (slots) */
    struct sw_pool *pool;                       /* borrowed; NULL: only the caller's thread */
    struct sw_guides *guides;                   /* NULL: there was no grammar yet */
    int n_samplers;                             /* most rows sampled at once */
    struct sw_sampler *samplers[SW_LOGIT_ROWS]; /* (n_samplers) */
    struct row_outcome outcomes[SW_LOGIT_ROWS];
    struct sw_result *results;  /* (capacity) of the last micro-batch */
    struct sw_sampled *sampled; /* (capacity) to which they point */
    size_t capacity;
    float *logits; /* (SW_LOGIT_ROWS, vocab) */
    int32_t *rows; /* (max_batch_tokens) rows of the micro-batch that are sampled or scored */
    int *spans;    /* (max_batch_tokens) index of the span of each of these rows */
};

enum sw_status sw_last_stage_open(struct sw_worker *w)
{
    const struct sw_footprint_params *p = &w->options.params;
    const size_t vocab = (size_t)w->options.model->dims.vocab, rows = (size_t)p->max_batch_tokens;
    struct sw_last_stage *l = calloc(1, sizeof *l);
    if (!l)
        return sw_fail(SW_ENOMEM, "no memory for the logits");
    w->last_stage = l;
    l->sequences = calloc((size_t)p->slots, sizeof *l->sequences);
    l->logits = malloc((size_t)SW_LOGIT_ROWS * vocab * sizeof *l->logits);
    l->rows = malloc(rows * sizeof *l->rows);
    l->spans = malloc(rows * sizeof *l->spans);
    if (!l->sequences || !l->logits || !l->rows || !l->spans)
        return sw_fail(SW_ENOMEM, "no memory for the logits");
    for (int i = 0; i < p->slots; i++) {
        l->sequences[i].sampling = sw_sampling_default();
        l->sequences[i].history = calloc((size_t)p->context, sizeof *l->sequences[i].history);
        if (!l->sequences[i].history)
            return sw_fail(SW_ENOMEM, "no memory for a sequence's ids");
    }
    l->pool = sw_backend_cpu_pool(w->options.cpu);
    if (!l->pool)
        l->pool = w->options.pool;
    const int threads = l->pool ? sw_pool_threads(l->pool) : 1;
    const int samplers = threads < SW_LOGIT_ROWS ? threads : SW_LOGIT_ROWS;
    for (; l->n_samplers < samplers; l->n_samplers++)
        SW_TRY(sw_sampler_create(vocab, sw_cpu_isa(), &l->samplers[l->n_samplers]));
    return SW_OK;
}

static void sequence_free(struct sequence *sequence)
{
    free(sequence->history);
    free(sequence->bias);
    sw_guide_close(sequence->guide);
}

void sw_last_stage_close(struct sw_worker *w)
{
    struct sw_last_stage *l = w->last_stage;
    if (!l)
        return;
    for (int i = 0; l->sequences && i < w->options.params.slots; i++)
        sequence_free(&l->sequences[i]);
    free(l->sequences);
    free(l->logits);
    free(l->rows);
    free(l->spans);
    free(l->results);
    free(l->sampled);
    sw_guides_close(l->guides);
    for (int i = 0; i < l->n_samplers; i++)
        sw_sampler_free(l->samplers[i]);
    free(l);
    w->last_stage = NULL;
}

void sw_last_stage_slot(struct sw_worker *w, const struct sw_slot_body *body)
{
    struct sequence *sequence = &w->last_stage->sequences[body->slot];
    sequence->sampling = body->sampling;
    sequence->n_bias = 0;
    sw_guide_close(sequence->guide);
    sequence->guide = NULL;
}

enum sw_status sw_last_stage_tokens(struct sw_worker *w, const char *tokens, size_t n)
{
    struct sw_last_stage *l = w->last_stage;
    return l->guides ? SW_OK : sw_guides_open(tokens, n, &l->guides);
}

enum sw_status sw_last_stage_steer(struct sw_worker *w, int slot,
                                   const struct sw_steering *steering)
{
    struct sequence *sequence = &w->last_stage->sequences[slot];
    const size_t bytes = (size_t)steering->n_bias * sizeof *sequence->bias;
    if (steering->n_grammar > 0 && !w->last_stage->guides)
        return sw_fail(SW_EPEER,
                       "a grammar came before the tokens; start the same program everywhere");
    if (steering->n_grammar > 0)
        SW_TRY(sw_guide_open(w->last_stage->guides, steering->grammar, steering->n_grammar,
                             &sequence->guide));
    if (bytes == 0)
        return SW_OK;
    struct sw_bias *bias = realloc(sequence->bias, bytes);
    if (!bias)
        return sw_fail(SW_ENOMEM, "no memory for %d biases", steering->n_bias);
    memcpy(bias, steering->bias, bytes);
    sequence->bias = bias;
    sequence->n_bias = steering->n_bias;
    return SW_OK;
}

void sw_last_stage_copy(struct sw_worker *w, const struct sw_copy_body *body)
{
    struct sequence *sequences = w->last_stage->sequences;
    const int from = body->from % w->limits.slots;
    if (body->to < w->limits.slots && from != body->to)
        memcpy(sequences[body->to].history, sequences[from].history,
               (size_t)body->n * sizeof(int32_t));
}

/* Makes room for n results. */
static enum sw_status last_stage_reserve(struct sw_last_stage *l, size_t n)
{
    if (n <= l->capacity)
        return SW_OK;
    const size_t capacity = n > 2 * l->capacity ? n : 2 * l->capacity;
    struct sw_result *results = realloc(l->results, capacity * sizeof *results);
    if (results)
        l->results = results;
    struct sw_sampled *sampled = realloc(l->sampled, capacity * sizeof *sampled);
    if (sampled)
        l->sampled = sampled;
    if (!results || !sampled)
        return sw_fail(SW_ENOMEM, "no memory for %zu results", capacity);
    l->capacity = capacity;
    return SW_OK;
}

/* Lists the rows of the micro-batch that are sampled or scored; returns how many. */
static int list_output_rows(struct sw_last_stage *l, const struct sw_microbatch *batch)
{
    int n = 0;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        for (int64_t r = batch->outputs[i].score_from; r < s->n; r++, n++) {
            l->rows[n] = (int32_t)(s->row + r);
            l->spans[n] = i;
        }
    }
    return n;
}

static enum sw_status sample_row(const struct sw_worker *w, struct sw_sampler *sampler,
                                 const float *logits, struct sw_result *r,
                                 struct sw_sampled *sampled)
{
    struct sequence *sequence = &w->last_stage->sequences[r->slot];
    const uint64_t *allowed = NULL;
    if (sequence->guide)
        SW_TRY(sw_guide_allowed(sequence->guide, &allowed));
    sw_sampler_steer(sampler, sequence->bias, sequence->n_bias, allowed);
    const enum sw_status status =
        sw_sampler_pick(sampler, &sequence->sampling, logits, (size_t)w->options.model->dims.vocab,
                        (size_t)w->options.vocab_limit, sequence->history, (size_t)r->position + 1,
                        (uint64_t)r->position + 1, sampled);
    sw_sampler_steer(sampler, NULL, 0, NULL);
    SW_TRY(status);
    if (sequence->guide)
        SW_TRY(sw_guide_take(sequence->guide, sampled->id));
    r->id = sampled->id;
    r->logprob = sampled->logprob;
    r->n_top = sampled->n_top;
    r->top = sampled->top;
    return SW_OK;
}

static enum sw_status score_row(const struct sw_worker *w, struct sw_sampler *sampler,
                                const float *logits, struct sw_result *r,
                                struct sw_sampled *sampled)
{
    const struct sw_sampling *sampling = &w->last_stage->sequences[r->slot].sampling;
    SW_TRY(sw_score_of(sampler, logits, (size_t)w->options.model->dims.vocab, r->id,
                       sampling->logprobs, sampled, &r->greedy));
    r->logprob = sampled->logprob;
    r->n_top = sampled->n_top;
    r->top = sampled->top;
    return SW_OK;
}

/* The n listed rows from `first` on, whose logits are computed; shared by the threads. */
struct rows {
    struct sw_worker *worker;
    const struct sw_microbatch *batch;
    int first, n;
};

static void finish_row(const struct rows *rows, int row, struct sw_sampler *sampler)
{
    struct sw_worker *w = rows->worker;
    struct sw_last_stage *l = w->last_stage;
    struct row_outcome *a = &l->outcomes[row];
    const int span = l->spans[rows->first + row];
    const int32_t at_row = l->rows[rows->first + row];
    const struct sw_span *s = &rows->batch->spans[span];
    const struct sw_row_outputs *outputs = &rows->batch->outputs[span];
    const int32_t at = at_row - (int32_t)s->row;
    const int64_t vocab = w->options.model->dims.vocab;
    const float *logits = l->logits + row * vocab;
    struct sw_result *r = &l->results[rows->first + row];
    *r = (struct sw_result){.slot = s->slot, .position = (int32_t)s->position + at};
    if (at >= outputs->sample_from) {
        a->status = sample_row(w, sampler, logits, r, &l->sampled[rows->first + row]);
    } else {
        /* The log-softmax is over all ids of the model, as in the reference implementation. */
        r->scored = true;
        r->id = at + 1 < s->n ? rows->batch->ids[at_row + 1] : outputs->next;
        a->status = score_row(w, sampler, logits, r, &l->sampled[rows->first + row]);
    }
    if (a->status == SW_OK)
        return;
    /* Logits that are not finite end their sequence; the other sequences go on. */
    r->undefined = a->status == SW_EDEVICE;
    r->stuck = a->status == SW_EINPUT && w->last_stage->sequences[r->slot].guide;
    snprintf(a->message, sizeof a->message, "%s", sw_error_message());
    sw_error_clear();
}

/* One thread's rows: every n_samplers-th from this one on. */
static void finish_share(void *context, int64_t share, int worker)
{
    const struct rows *rows = context;
    struct sw_last_stage *l = rows->worker->last_stage;
    (void)worker;
    for (int row = (int)share; row < rows->n; row += l->n_samplers)
        finish_row(rows, row, l->samplers[share]);
}

/* One row after the other, each by all threads. */
static void finish_rows_by_turns(const struct rows *rows)
{
    struct sw_last_stage *l = rows->worker->last_stage;
    sw_sampler_share(l->samplers[0], l->pool);
    for (int row = 0; row < rows->n; row++)
        finish_row(rows, row, l->samplers[0]);
    sw_sampler_share(l->samplers[0], NULL);
}

/* Computes the results of these rows. */
static enum sw_status finish_rows(const struct rows *rows)
{
    struct sw_worker *w = rows->worker;
    struct sw_last_stage *l = w->last_stage;
    const int64_t vocab = w->options.model->dims.vocab;
    struct sw_span spans[SW_LOGIT_ROWS];
    if (rows->n < l->n_samplers)
        finish_rows_by_turns(rows);
    else
        sw_pool_run(l->pool, finish_share, (void *)(uintptr_t)rows, l->n_samplers);
    for (int i = 0; i < rows->n; i++) {
        const struct row_outcome *a = &l->outcomes[i];
        const struct sw_result *r = &l->results[rows->first + i];
        if (a->status != SW_OK && !r->undefined && !r->stuck)
            return sw_fail(a->status, "%s", a->message);
        spans[i] = (struct sw_span){.slot = r->slot, .position = r->position, .n = 1};
    }
    return w->send_logits ? sw_worker_deliver(w, SW_MSG_LOGITS, 0, spans, rows->n, l->logits, vocab)
                          : SW_OK;
}

enum sw_status sw_last_stage_finish(struct sw_worker *w, const struct sw_microbatch *batch,
                                    const struct sw_result **results, int *n_results)
{
    struct sw_last_stage *l = w->last_stage;
    const int n = list_output_rows(l, batch);
    SW_TRY(last_stage_reserve(l, (size_t)n));
    const bool runs = sw_microbatch_runs(batch, w->options.model->dims.n_layers - 1);
    for (int i = 0; i < batch->n_spans && runs; i++) {
        const struct sw_span *s = &batch->spans[i];
        memcpy(l->sequences[s->slot].history + s->position, batch->ids + s->row,
               (size_t)s->n * sizeof *batch->ids);
    }
    for (int i = 0; i < n; i += SW_LOGIT_ROWS) {
        const int m = n - i < SW_LOGIT_ROWS ? n - i : SW_LOGIT_ROWS;
        const struct rows rows = {w, batch, i, m};
        SW_TRY(sw_stage_logits(w->stage, l->rows + i, m, l->logits));
        SW_TRY(finish_rows(&rows));
    }
    *results = l->results;
    *n_results = n;
    return SW_OK;
}
