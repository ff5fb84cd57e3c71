/* How a micro-batch and the engine's other messages look between ranks. */
#ifndef SW_ENGINE_WIRE_H
#define SW_ENGINE_WIRE_H

#include "engine/batch.h"
#include "text/sampler.h"
#include "transport/transport.h"

enum sw_engine_kind {
    SW_MSG_BATCH = 1, /* payload: spans, wants, ids, hidden states (none to the first stage) */
    SW_MSG_SLOT,      /* body: struct sw_slot_body */
    SW_MSG_WATCH,     /* body: struct sw_watch_body; all batches after it */
    SW_MSG_RESULT,    /* last stage → rank 0; payload: struct sw_result[] */
    SW_MSG_LOGITS,    /* last stage → rank 0; body: struct sw_values_body; payload: rows */
    SW_MSG_HIDDEN,    /* any stage → rank 0; the same */
    SW_MSG_STOP,      /* rank 0 → all */
    SW_MSG_LOAD       /* while loading, all → rank 0; body: struct sw_load_body */
};

struct sw_batch_body {
    int32_t n_rows, n_spans, hidden; /* hidden: floats per row in the payload, 0: none */
};
struct sw_slot_body {
    int32_t slot;
    struct sw_sampling sampling;
};
struct sw_watch_body {
    int32_t hidden, logits; /* booleans */
};
struct sw_values_body {
    int32_t layer, n;
    int64_t position;
};
struct sw_load_body {
    uint64_t bytes; /* weights on the device so far */
    int32_t finished;
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
void sw_wire_write_batch(const struct sw_batch *batch, char *bytes);
/*
 * Points `batch` into the payload. SW_EPEER when sizes, spans, slots or positions are not possible
 * for this model: the ranks do not run the same program or model.
 */
enum sw_status sw_wire_read_batch(const struct sw_batch_body *body, char *bytes, size_t length,
                                  int max_rows, int slots, int context, struct sw_batch *batch,
                                  const float **hidden);

#endif
