/* Owns the layout of micro-batches and results in messages, and the checks of received ones. */
#include "engine/wire.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum sw_status sw_wire_reserve(struct sw_wire *wire, size_t bytes)
{
    if (bytes <= wire->capacity)
        return SW_OK;
    char *grown = realloc(wire->bytes, bytes);
    if (!grown)
        return sw_fail(SW_ENOMEM, "no memory for a message of %zu bytes", bytes);
    wire->bytes = grown;
    wire->capacity = bytes;
    return SW_OK;
}

size_t sw_wire_batch_head(int n_rows, int n_spans)
{
    return sw_round_up((size_t)n_spans * (sizeof(struct sw_span) + sizeof(struct sw_row_outputs) +
                                          sizeof(int32_t)) +
                           (size_t)n_rows * sizeof(int32_t),
                       SW_ALIGN);
}

void sw_wire_write_batch(const struct sw_microbatch *batch, char *bytes)
{
    const size_t spans = (size_t)batch->n_spans * sizeof *batch->spans;
    const size_t outputs = (size_t)batch->n_spans * sizeof *batch->outputs;
    memcpy(bytes, batch->spans, spans);
    memcpy(bytes + spans, batch->outputs, outputs);
    const size_t memory = (size_t)batch->n_spans * sizeof *batch->memory;
    if (batch->memory)
        memcpy(bytes + spans + outputs, batch->memory, memory);
    else
        memset(bytes + spans + outputs, 0, memory);
    memcpy(bytes + spans + outputs + memory, batch->ids,
           (size_t)batch->n_rows * sizeof *batch->ids);
}

static bool wire_is_valid_span(const struct sw_span *s, const struct sw_row_outputs *outputs,
                               int64_t row, int64_t n, const struct sw_wire_limits *limits)
{
    const bool scores_last = outputs->score_from < s->n && outputs->sample_from == s->n;
    return s->slot >= 0 && s->slot < limits->slots && s->row == row && s->n >= 1 &&
           s->n <= n - row && s->position >= 0 && s->position <= limits->context - s->n &&
           outputs->score_from >= 0 && outputs->score_from <= outputs->sample_from &&
           outputs->sample_from <= s->n && outputs->hidden_from >= 0 &&
           outputs->hidden_from <= s->n &&
           (!scores_last || (outputs->next >= 0 && outputs->next < limits->vocab));
}

enum sw_status sw_wire_read_batch(const struct sw_batch_body *body, char *bytes, size_t length,
                                  const struct sw_wire_limits *limits, struct sw_microbatch *batch,
                                  const float **hidden)
{
    const int n = body->n_rows, n_spans = body->n_spans;
    if (body->first < 0 || body->end < 0 || body->end > limits->layers ||
        body->first >= (body->end ? body->end : limits->layers))
        return sw_fail(SW_EPEER,
                       "a batch for layers %d to %d came, but there are %d; start the same program "
                       "everywhere",
                       body->first, body->end, limits->layers);
    if (n < 1 || n > limits->rows || n_spans < 1 || n_spans > n || body->hidden != limits->hidden ||
        length != sw_wire_batch_head(n, n_spans) + (size_t)n * (size_t)body->hidden * sizeof(float))
        return sw_fail(SW_EPEER,
                       "a batch of %d rows in %zu bytes came; the ranks do not agree on "
                       "the model: start the same program everywhere",
                       n, length);
    const size_t spans = (size_t)n_spans * sizeof *batch->spans;
    const size_t outputs = (size_t)n_spans * sizeof *batch->outputs;
    const size_t memory = (size_t)n_spans * sizeof *batch->memory;
    *batch = (struct sw_microbatch){.n_rows = n,
                                    .n_spans = n_spans,
                                    .spans = (struct sw_span *)(void *)bytes,
                                    .outputs = (struct sw_row_outputs *)(void *)(bytes + spans),
                                    .memory = (int32_t *)(void *)(bytes + spans + outputs),
                                    .ids = (int32_t *)(void *)(bytes + spans + outputs + memory),
                                    .first = body->first,
                                    .end = body->end};
    *hidden =
        body->hidden ? (const float *)(const void *)(bytes + sw_wire_batch_head(n, n_spans)) : NULL;
    int64_t row = 0;
    for (int i = 0; i < n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        if (!wire_is_valid_span(s, &batch->outputs[i], row, n, limits) || batch->memory[i] < 0 ||
            batch->memory[i] > limits->context)
            return sw_fail(SW_EPEER,
                           "a batch with an impossible span came (slot %d, position %lld, %lld "
                           "rows); start the same program everywhere",
                           s->slot, (long long)s->position, (long long)s->n);
        row += s->n;
    }
    for (int i = 0; i < n; i++)
        if (batch->ids[i] < 0 || batch->ids[i] >= limits->vocab)
            return sw_fail(SW_EPEER, "a batch with id %d came, but the model has %d", batch->ids[i],
                           limits->vocab);
    return row == n ? SW_OK
                    : sw_fail(SW_EPEER, "a batch of %d rows came with spans for %lld", n,
                              (long long)row);
}

enum sw_status sw_wire_read_values(const struct sw_values_body *body, const char *bytes,
                                   size_t length, const struct sw_wire_limits *limits,
                                   int64_t width, const struct sw_span **spans, const float **data)
{
    const int64_t n = body->n, n_spans = body->n_spans;
    const size_t head = n_spans > 0 ? (size_t)n_spans * sizeof **spans : 0;
    int64_t rows = 0;
    bool good = body->layer >= -1 && body->layer < limits->layers && n_spans > 0 && n >= n_spans &&
                length == head + (size_t)n * (size_t)width * sizeof **data;
    *spans = (const struct sw_span *)(const void *)bytes;
    for (int64_t i = 0; i < n_spans && good; i++) {
        const struct sw_span *s = &(*spans)[i];
        good = s->slot >= 0 && s->slot < limits->slots && s->n >= 1 && s->n <= n - rows &&
               s->position >= 0 && s->position <= limits->context - s->n;
        rows += s->n;
    }
    *data = (const float *)(const void *)(bytes + head);
    return good && rows == n
               ? SW_OK
               : sw_fail(SW_EPEER,
                         "values of an unexpected size or place came (layer %d, %lld rows "
                         "in %zu bytes); start the same program everywhere",
                         body->layer, (long long)n, length);
}

enum sw_status sw_wire_check_copy(const struct sw_copy_body *body,
                                  const struct sw_wire_limits *limits)
{
    const int most = limits->snapshots ? 2 * limits->slots : limits->slots;
    if (body->from >= 0 && body->from < most && body->to >= 0 && body->to < most &&
        body->from != body->to && body->n >= 1 && body->n <= limits->context)
        return SW_OK;
    return sw_fail(
        SW_EPEER,
        "a message to copy %d positions from slot %d to %d came, but there are %d slots of "
        "%d; start the same program everywhere",
        body->n, body->from, body->to, limits->slots, limits->context);
}

enum sw_status sw_wire_read_steering(const struct sw_steer_body *body, const char *bytes,
                                     size_t length, const struct sw_wire_limits *limits,
                                     struct sw_steering *out)
{
    if (body->slot < 0 || body->slot >= limits->slots || body->n_bias < 0 ||
        body->n_bias > SW_BIAS_MAX || body->n_grammar < 0 ||
        length != (size_t)body->n_bias * sizeof *out->bias + (size_t)body->n_grammar)
        return sw_fail(SW_EPEER,
                       "a message about slot %d with %d biases in %zu bytes came; start the same "
                       "program everywhere",
                       body->slot, body->n_bias, length);
    *out = (struct sw_steering){.bias = (const struct sw_bias *)(const void *)bytes,
                                .n_bias = body->n_bias,
                                .n_grammar = (size_t)body->n_grammar};
    if (body->n_grammar > 0)
        out->grammar = bytes + (size_t)body->n_bias * sizeof *out->bias;
    return SW_OK;
}

/* The fixed part of a result in a message; its alternatives follow. */
struct record {
    int32_t slot, position, id;
    float logprob;
    uint16_t n_top;
    uint8_t scored, greedy, undefined, stuck;
};

enum sw_status sw_wire_write_result(const struct sw_result *r, struct sw_wire *wire, size_t *length)
{
    const struct record record = {r->slot,    r->position,        r->id,
                                  r->logprob, (uint16_t)r->n_top, r->scored,
                                  r->greedy,  r->undefined,       r->stuck};
    const size_t top = (size_t)r->n_top * sizeof *r->top, end = *length + sizeof record + top;
    if (end > wire->capacity)
        SW_TRY(sw_wire_reserve(wire, 2 * end));
    memcpy(wire->bytes + *length, &record, sizeof record);
    if (top)
        memcpy(wire->bytes + *length + sizeof record, r->top, top);
    *length = end;
    return SW_OK;
}

enum sw_status sw_wire_read_result(const char *bytes, size_t length,
                                   const struct sw_wire_limits *limits, size_t *at,
                                   struct sw_result *out)
{
    struct record r;
    const size_t left = length - *at;
    if (left >= sizeof r)
        memcpy(&r, bytes + *at, sizeof r);
    if (left < sizeof r || r.n_top > SW_TOP_LOGPROBS_MAX ||
        left - sizeof r < r.n_top * sizeof *out->top || r.slot < 0 || r.slot >= limits->slots ||
        r.position < 0 || r.position >= limits->context || r.id < 0 || r.id >= limits->vocab)
        return sw_fail(SW_EPEER, "results came that are not possible for this model; start the "
                                 "same program everywhere");
    *out = (struct sw_result){
        .slot = r.slot,
        .position = r.position,
        .id = r.id,
        .logprob = r.logprob,
        .scored = r.scored != 0,
        .greedy = r.greedy != 0,
        .undefined = r.undefined != 0,
        .stuck = r.stuck != 0,
        .n_top = r.n_top,
        .top = (const struct sw_alternative *)(const void *)(bytes + *at + sizeof r)};
    *at += sizeof r + r.n_top * sizeof *out->top;
    return SW_OK;
}
