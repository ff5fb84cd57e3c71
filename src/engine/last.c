/* Owns what only the last stage does: the sequences' ids and sampling, logits, samples, scores. */
#include "engine/engine_impl.h"

#include <stdlib.h>
#include <string.h>

struct sequence {
    struct sw_sampling sampling;
    int32_t *history; /* (context): ids by position */
};

struct sw_last {
    struct sequence *sequences; /* (slots) */
    struct sw_sampler *sampler;
    float *logits; /* (SW_LOGIT_ROWS, vocab) */
    int32_t *rows; /* (rows) of the batch that are asked about, … */
    int *spans;    /* (rows) … and the spans they are in */
};

enum sw_status sw_last_open(struct sw_engine *e)
{
    const struct sw_footprint_params *p = &e->options.params;
    const size_t vocab = (size_t)e->options.model->dims.vocab, rows = (size_t)p->rows;
    struct sw_last *l = calloc(1, sizeof *l);
    if (!l)
        return sw_fail(SW_ENOMEM, "no memory for the logits");
    e->last = l;
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
    return sw_sampler_create(vocab, &l->sampler);
}

void sw_last_close(struct sw_engine *e)
{
    struct sw_last *l = e->last;
    if (!l)
        return;
    for (int i = 0; l->sequences && i < e->options.params.slots; i++)
        free(l->sequences[i].history);
    free(l->sequences);
    free(l->logits);
    free(l->rows);
    free(l->spans);
    sw_sampler_free(l->sampler);
    free(l);
    e->last = NULL;
}

void sw_last_slot(struct sw_engine *e, const struct sw_slot_body *body)
{
    e->last->sequences[body->slot].sampling = body->sampling;
}

void sw_last_copy(struct sw_engine *e, const struct sw_copy_body *body)
{
    memcpy(e->last->sequences[body->to].history, e->last->sequences[body->from].history,
           (size_t)body->n * sizeof(int32_t));
}

/* Rows of the batch that something is asked about. */
static int asked_rows(struct sw_last *l, const struct sw_batch *batch)
{
    int n = 0;
    for (int i = 0; i < batch->n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        for (int64_t r = batch->asks[i].score_from; r < s->n; r++, n++) {
            l->rows[n] = (int32_t)(s->row + r);
            l->spans[n] = i;
        }
    }
    return n;
}

static enum sw_status sample(struct sw_engine *e, const float *logits, struct sw_sampled *sampled,
                             struct sw_result *r)
{
    struct sequence *sequence = &e->last->sequences[r->slot];
    SW_TRY(sw_sampler_pick(e->last->sampler, &sequence->sampling, logits,
                           (size_t)e->options.model->dims.vocab, (size_t)e->options.vocab_limit,
                           sequence->history, (size_t)r->position + 1, (uint64_t)r->position + 1,
                           sampled));
    r->id = sampled->id;
    r->logprob = sampled->logprob;
    r->n_top = sampled->n_top;
    r->top = sampled->top;
    return SW_OK;
}

/* Logits that are not finite are the sequence's fault, not the job's: its other sequences go on. */
static enum sw_status or_undefined(enum sw_status status, struct sw_result *r)
{
    if (status != SW_EDEVICE)
        return status;
    sw_error_clear();
    r->undefined = true;
    return SW_OK;
}

/* One row's answer from its logits (vocab), appended to the results. */
static enum sw_status answer(struct sw_engine *e, const struct sw_batch *batch, int span,
                             int32_t row, const float *logits, size_t *length)
{
    const struct sw_span *s = &batch->spans[span];
    const struct sw_ask *ask = &batch->asks[span];
    const int32_t at = row - (int32_t)s->row;
    struct sw_sampled sampled;
    struct sw_result r = {.slot = s->slot, .position = (int32_t)s->position + at};
    if (at >= ask->sample_from) {
        SW_TRY(or_undefined(sample(e, logits, &sampled, &r), &r));
    } else {
        /* Among all ids of the model, as the reference implementation's log-softmax. */
        r.scored = true;
        r.id = at + 1 < s->n ? batch->ids[row + 1] : ask->next;
        SW_TRY(or_undefined(sw_logprob_of(logits, (size_t)e->options.model->dims.vocab, r.id,
                                          &r.logprob, &r.greedy),
                            &r));
    }
    SW_TRY(sw_wire_write_result(&r, &e->results, length));
    if (!e->watch_logits)
        return SW_OK;
    return sw_engine_deliver(e, SW_MSG_LOGITS, 0, r.position, 1, logits,
                             e->options.model->dims.vocab);
}

enum sw_status sw_last_finish(struct sw_engine *e, const struct sw_batch *batch, size_t *length)
{
    struct sw_last *l = e->last;
    const int64_t vocab = e->options.model->dims.vocab;
    const int n = asked_rows(l, batch);
    for (int i = 0; i < batch->n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        memcpy(l->sequences[s->slot].history + s->position, batch->ids + s->row,
               (size_t)s->n * sizeof *batch->ids);
    }
    *length = 0;
    for (int i = 0; i < n; i += SW_LOGIT_ROWS) {
        const int m = n - i < SW_LOGIT_ROWS ? n - i : SW_LOGIT_ROWS;
        SW_TRY(sw_stage_logits(e->stage, l->rows + i, m, l->logits));
        for (int j = 0; j < m; j++)
            SW_TRY(
                answer(e, batch, l->spans[i + j], l->rows[i + j], l->logits + j * vocab, length));
    }
    return SW_OK;
}
