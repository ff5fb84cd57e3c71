/* What engine.c (a rank's part) and lead.c (rank 0's) share. Internal to src/engine/. */
#ifndef SW_ENGINE_IMPL_H
#define SW_ENGINE_IMPL_H

#include "engine/engine.h"
#include "engine/wire.h"

/* What the last stage knows of a sequence. */
struct slot {
    struct sw_sampling sampling;
    int32_t *history; /* (context): ids by position */
};

struct sw_engine {
    struct sw_engine_options options;
    struct sw_stage_run *stage; /* NULL: this rank has no layers */
    struct slot *slots;         /* (slots), last stage only */
    struct sw_sampler *sampler;
    float *logits;             /* (SW_LOGIT_ROWS, vocab), last stage only */
    int next;                  /* rank of the next stage, -1: this is the last */
    int first_rank, last_rank; /* of the stages */
    bool watch_hidden, watch_logits;
    const struct sw_batch *current; /* the batch being run, for the tap */
    struct sw_wire in, out, results;
    /* rank 0 */
    struct sw_engine_watch watch;
    int under_way;
    int64_t hidden_due;    /* messages of watched hidden states still to come */
    struct sw_wire *local; /* queue of result payloads when rank 0 is the last stage */
    size_t *local_bytes;
    size_t n_local, cap_local;
};

/* Runs the batch on this rank's stage and passes on what comes of it. */
enum sw_status sw_engine_run_batch(struct sw_engine *engine, const struct sw_batch *batch,
                                   const float *hidden);
/* Small control messages: acted on, then passed to the next stage. */
enum sw_status sw_engine_control(struct sw_engine *engine, struct sw_message *message);
/* Values that rank 0 asked for: delivered there directly, or sent to it. */
enum sw_status sw_engine_deliver(struct sw_engine *engine, enum sw_engine_kind kind, int layer,
                                 int64_t position, int n, const float *data, int64_t width);
/* lead.c: results of a last stage that is rank 0's own wait here to be collected. */
enum sw_status sw_engine_queue(struct sw_engine *engine, const void *bytes, size_t length);

#endif
