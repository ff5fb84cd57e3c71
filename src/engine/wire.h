/*
 * How a micro-batch, its results and the engine's other messages look between ranks. What comes
 * from another rank is checked here before it is used; SW_EPEER then says that the ranks do not
 * run the same program or model.
 */
#ifndef SW_ENGINE_WIRE_H
#define SW_ENGINE_WIRE_H

#include "engine/microbatch.h"
#include "engine/timeline.h"
#include "sample/sampler.h"
#include "transport/transport.h"

enum sw_engine_kind {
    SW_MSG_BATCH = 1, /* payload: spans, outputs, ids, hidden states (none to the first stage) */
    SW_MSG_SLOT,      /* body: struct sw_slot_body */
    SW_MSG_COPY,      /* body: struct sw_copy_body: rows of one slot become another's */
    SW_MSG_HOOKS,     /* body: struct sw_hooks_body; all batches after it */
    SW_MSG_RESULT,    /* last stage → rank 0; payload: results, sw_wire_write_result */
    SW_MSG_LOGITS,    /* last stage → rank 0; body: struct sw_values_body; payload: rows */
    SW_MSG_HIDDEN,    /* any stage → rank 0; the same */
    SW_MSG_RECORD,    /* rank 0 → each: record activities; answered with SW_MSG_TIMES */
    SW_MSG_TIMES, /* any rank → rank 0; body: struct sw_times; payload: struct sw_activity[] */
    SW_MSG_STOP,  /* rank 0 → all; answered with SW_MSG_TIMES, the rank's last word */
    SW_MSG_LOAD   /* while loading, all → rank 0; body: struct sw_load_body */
};

struct sw_batch_body {
    int32_t n_rows, n_spans, hidden; /* hidden: floats per row in the payload, 0: none */
};
struct sw_slot_body {
    int32_t slot;
    struct sw_sampling sampling;
};
struct sw_copy_body {
    int32_t from, to, n; /* slots; positions from 0 */
};
struct sw_hooks_body {
    int32_t hidden, logits; /* booleans */
};
struct sw_values_body {
    int32_t layer, n;
    int64_t position;
};
struct sw_load_body {
    uint64_t bytes; /* weights on the device so far */
    int32_t finished;
    int32_t is_short; /* … for want of memory that the plan counted on */
};

/* What a message may say on this rank, of this model. */
struct sw_wire_limits {
    int rows, slots, context, vocab;
    int hidden; /* floats a row brings; 0 to the first stage */
};

/* A growing buffer for payloads. */
struct sw_wire {
    char *bytes;
    size_t capacity;
};
enum sw_status sw_wire_reserve(struct sw_wire *wire, size_t bytes);

/* Bytes of a batch's payload before the hidden states, padded so that they start aligned. */
size_t sw_wire_batch_head(int n_rows, int n_spans);
/* Writes the head into bytes (as many as sw_wire_batch_head says). */
void sw_wire_write_batch(const struct sw_microbatch *batch, char *bytes);
/* Points `batch` and `hidden` into the payload. */
enum sw_status sw_wire_read_batch(const struct sw_batch_body *body, char *bytes, size_t length,
                                  const struct sw_wire_limits *limits, struct sw_microbatch *batch,
                                  const float **hidden);
enum sw_status sw_wire_check_copy(const struct sw_copy_body *body,
                                  const struct sw_wire_limits *limits);

/*
 * One row's answer: the sampled id that follows `position` of the slot, or, `scored`, the id that
 * was asked about, its log-probability and whether it is the likeliest.
 */
struct sw_result {
    int32_t slot, position;
    int32_t id;
    float logprob; /* sampled: 0 unless the slot's sampling outputs for it */
    bool scored, greedy;
    bool undefined; /* the logits are not finite: id and logprob say nothing */
    int n_top;
    const struct sw_alternative *top; /* (n_top) */
};
/* Appends it at wire->bytes + *length. */
enum sw_status sw_wire_write_result(const struct sw_result *result, struct sw_wire *wire,
                                    size_t *length);
/* The result at bytes + *at, whose alternatives stay there; *at moves past it. */
enum sw_status sw_wire_read_result(const char *bytes, size_t length,
                                   const struct sw_wire_limits *limits, size_t *at,
                                   struct sw_result *out);

#endif
