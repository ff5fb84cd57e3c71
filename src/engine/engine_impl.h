/* Shared by engine.c (any rank), last_stage.c (the last stage), driver.c (rank 0) and clocks.c
 * (reports of times). Internal to src/engine/. */
#ifndef SW_ENGINE_IMPL_H
#define SW_ENGINE_IMPL_H

#include "engine/engine.h"
#include "engine/stage_links.h"

struct sw_last_stage; /* last_stage.c */

struct sw_engine {
    struct sw_engine_options options;
    struct sw_wire_limits limits;
    struct sw_stage *stage;           /* NULL: this rank has no layers */
    struct sw_last_stage *last_stage; /* NULL: this rank is not the last stage */
    int stages;                       /* number of ranks with layers */
    int next;                         /* rank of the next stage; -1: there is none */
    int first_rank, last_rank;        /* ranks of the first and the last stage */
    struct sw_stage_links links;
    bool send_hidden, send_logits;       /* rank 0's hooks want these values */
    const struct sw_microbatch *current; /* the micro-batch being computed */
    struct sw_wire in, out, results;     /* payloads */
    struct sw_recorder recorder;
    double load_start, load_end; /* sw_clock */

    /* Rank 0 only. */
    struct sw_engine_hooks hooks;
    int under_way;   /* micro-batches */
    bool has_result; /* `results` has `result_bytes` of the oldest one, received early */
    size_t result_bytes;
    int64_t hidden_due;        /* messages with hidden states still to come */
    struct sw_wire *local;     /* (cap_local) queue of result payloads of rank 0's own last stage */
    size_t *local_bytes;       /* (cap_local) length of each payload */
    size_t n_local, cap_local; /* payloads in the queue; room for them */
    struct sw_result *decoded; /* (cap_decoded) results of the last sw_engine_collect */
    size_t cap_decoded;
    struct sw_times *times;       /* (ranks) latest reports */
    double *clock_ahead;          /* (ranks) seconds by which a rank's clock is ahead of rank 0's */
    struct sw_timeline *timeline; /* NULL: nothing is recorded */
};

/* Runs the micro-batch on this rank's stage and sends the output to the next stage or rank 0. */
enum sw_status sw_engine_run_batch(struct sw_engine *engine, const struct sw_microbatch *batch,
                                   const float *hidden);
/* Applies a control message (slot, copy, hooks) and forwards it to the next stage. */
enum sw_status sw_engine_control(struct sw_engine *engine, struct sw_message *message);
/* Passes values for a hook to rank 0: calls the hook on rank 0, sends a message elsewhere.
 * data: (n, width). */
enum sw_status sw_engine_deliver(struct sw_engine *engine, enum sw_engine_kind kind, int layer,
                                 int64_t position, int n, const float *data, int64_t width);
/* driver.c: queues `length` bytes of engine->results until sw_engine_collect, when rank 0 is the
 * last stage. */
enum sw_status sw_engine_queue(struct sw_engine *engine, size_t length);

/* ---- last_stage.c */

enum sw_status sw_last_stage_open(struct sw_engine *engine);
void sw_last_stage_close(struct sw_engine *engine);
void sw_last_stage_slot(struct sw_engine *engine, const struct sw_slot_body *body);
void sw_last_stage_copy(struct sw_engine *engine, const struct sw_copy_body *body);
/* Runs after the last layer: writes samples and scores to engine->results, *length bytes. */
enum sw_status sw_last_stage_finish(struct sw_engine *engine, const struct sw_microbatch *batch,
                                    size_t *length);

/* ---- clocks.c */

/* Starts to record activities, and reports this rank's clock to rank 0. */
enum sw_status sw_engine_start_recorder(struct sw_engine *engine);
/* Sends this rank's times to rank 0 if a report is due or is_final is set. */
enum sw_status sw_engine_report_times(struct sw_engine *engine, bool is_final);
/* Rank 0: takes in another rank's report; the activities are in engine->in. */
enum sw_status sw_engine_receive_times(struct sw_engine *engine, const struct sw_message *message);

#endif
