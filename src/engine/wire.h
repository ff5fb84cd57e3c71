/*
 * The format of the engine's messages between ranks. What another rank sends is checked here before
 * it is used; SW_EPEER means that the ranks do not run the same program or model.
 */
#ifndef SW_ENGINE_WIRE_H
#define SW_ENGINE_WIRE_H

#include "engine/microbatch.h"
#include "engine/timeline.h"
#include "sample/sampler.h"
#include "transport/transport.h"

enum sw_engine_kind {
    SW_MSG_BATCH = 1, /* body: struct sw_batch_body; payload: spans, outputs, memory, ids, hidden */
    SW_MSG_SLOT,      /* body: struct sw_slot_body */
    SW_MSG_COPY,      /* body: struct sw_copy_body */
    SW_MSG_HOOKS,  /* body: struct sw_hooks_body; payload, with hidden: (layers + 1) booleans, which
                      layers; for all micro-batches after it */
    SW_MSG_RESULT, /* last stage → rank 0; payload: results of sw_wire_write_result */
    SW_MSG_LOGITS, /* last stage → rank 0; body: struct sw_values_body; payload: (n_spans) spans,
                      then (n, vocab) floats */
    SW_MSG_HIDDEN, /* any stage → rank 0; the same with (n, hidden) floats */
    SW_MSG_RECORD, /* rank 0 → each: starts recording; answered with SW_MSG_TIMES */
    SW_MSG_TIMES,  /* any rank → rank 0; body: struct sw_times; payload: struct sw_activity[] */
    SW_MSG_STOP,   /* rank 0 → each; answered with SW_MSG_TIMES, is_final set */
    SW_MSG_LOAD,   /* each → rank 0 while loading; body: struct sw_load_body */
    SW_MSG_TOKENS, /* before the first grammar; payload: the tokens' bytes (grammar/token_trie.h) */
    SW_MSG_STEER,  /* after SW_MSG_SLOT, of the same slot; body: struct sw_steer_body; payload:
                      (n_bias) struct sw_bias, then (n_grammar) bytes of GBNF */
    SW_MSG_ROUTES /* each → rank 0; body: struct sw_routes_body; payload: for each routed layer its
                     index, then the experts of each row, in int32_t */
};

struct sw_batch_body {
    int32_t n_rows, n_spans;
    int32_t hidden;     /* floats of each row in the payload; 0: none */
    int32_t first, end; /* layers, as of struct sw_microbatch */
};
struct sw_slot_body {
    int32_t slot;
    struct sw_sampling sampling;
};
struct sw_steer_body {
    int32_t slot, n_bias, n_grammar;
};
struct sw_copy_body {
    int32_t from, to; /* slots, or snapshots of them (sw_stage_copy) */
    int32_t n;        /* positions, from 0 */
};
struct sw_hooks_body {
    int32_t hidden, logits; /* booleans: send these values to rank 0 */
};
struct sw_values_body {
    int32_t layer;   /* -1: the embedding; 0 for logits */
    int32_t n;       /* rows */
    int32_t n_spans; /* that these rows are of */
};
struct sw_routes_body {
    int64_t step; /* the rank's micro-batch, from 0 */
    int32_t n_rows;
    int32_t unused; /* 0 */
};
struct sw_load_body {
    uint64_t bytes;   /* of weights loaded so far */
    int32_t finished; /* boolean: this is the rank's last report of loading */
    int32_t is_short; /* boolean: memory that the plan counted on could not be allocated */
};

/* Limits of valid messages to this rank. */
struct sw_wire_limits {
    int rows; /* max_batch_tokens */
    int slots, context, vocab, layers;
    bool snapshots; /* slots have snapshots of their states */
    int hidden;     /* floats of each row of a batch; 0: none, as on the first stage */
};

/* A growing buffer for payloads. */
struct sw_wire {
    char *bytes;
    size_t capacity;
};
/* Grows the buffer to at least `bytes`. SW_ENOMEM. */
enum sw_status sw_wire_reserve(struct sw_wire *wire, size_t bytes);

/* Bytes of a batch's payload before the hidden states, which start aligned. */
size_t sw_wire_batch_head(int n_rows, int n_spans);
/* Writes that part, sw_wire_batch_head bytes. */
void sw_wire_write_batch(const struct sw_microbatch *batch, char *bytes);
/* Checks a payload, then points *batch and *hidden into it; *hidden NULL: none. */
enum sw_status sw_wire_read_batch(const struct sw_batch_body *body, char *bytes, size_t length,
                                  const struct sw_wire_limits *limits, struct sw_microbatch *batch,
                                  const float **hidden);
/* Checks a payload of SW_MSG_LOGITS or SW_MSG_HIDDEN, whose rows have `width` floats, then points
 * *spans and *data into it. SW_EPEER. */
enum sw_status sw_wire_read_values(const struct sw_values_body *body, const char *bytes,
                                   size_t length, const struct sw_wire_limits *limits,
                                   int64_t width, const struct sw_span **spans, const float **data);
/* SW_EPEER when the slots or positions are outside the limits. */
enum sw_status sw_wire_check_copy(const struct sw_copy_body *body,
                                  const struct sw_wire_limits *limits);

/* Checks a payload of SW_MSG_STEER, then points *out into it. */
enum sw_status sw_wire_read_steering(const struct sw_steer_body *body, const char *bytes,
                                     size_t length, const struct sw_wire_limits *limits,
                                     struct sw_steering *out);

/*
 * The result of one row. Sampled: the id that follows `position` of the slot. Scored: the id that
 * follows in the request, its log-probability, and whether it is the likeliest id.
 */
struct sw_result {
    int32_t slot, position;
    int32_t id;
    float logprob;  /* of a sampled id: 0 unless the slot's sampling requests it */
    bool scored;    /* true: scored; false: sampled */
    bool greedy;    /* scored only: the id is the likeliest */
    bool undefined; /* the logits are not finite: id and logprob have no meaning */
    bool stuck;     /* no id is allowed here: the same */
    int n_top;
    const struct sw_alternative *top; /* (n_top) the likeliest ids, best first */
};
/* Appends a result at wire->bytes + *length and increases *length. SW_ENOMEM. */
enum sw_status sw_wire_write_result(const struct sw_result *result, struct sw_wire *wire,
                                    size_t *length);
/* Reads the result at bytes + *at and moves *at past it. out->top points into `bytes`. SW_EPEER
 * when it is not valid. */
enum sw_status sw_wire_read_result(const char *bytes, size_t length,
                                   const struct sw_wire_limits *limits, size_t *at,
                                   struct sw_result *out);

#endif
