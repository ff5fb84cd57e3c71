/* What engine.c (a rank's part), last_stage.c (the last stage's), driver.c (rank 0's) and clocks.c
 * share. Internal to src/engine/. */
#ifndef SW_ENGINE_IMPL_H
#define SW_ENGINE_IMPL_H

#include "engine/engine.h"
#include "engine/stage_links.h"

struct sw_last_stage; /* last_stage.c: what the last stage keeps */

struct sw_engine {
    struct sw_engine_options options;
    struct sw_wire_limits limits;
    struct sw_stage *stage;     /* NULL: this rank has no layers */
    struct sw_last_stage *last; /* NULL: this rank's is not the last stage */
    int stages;
    int next;                  /* rank of the next stage, -1: this is the last */
    int first_rank, last_rank; /* of the stages */
    struct sw_stage_links links;
    bool watch_hidden, watch_logits;
    const struct sw_microbatch *current; /* the batch being run, for the tap */
    struct sw_wire in, out, results;
    struct sw_recorder recorder;
    double load_start, load_end;
    /* rank 0 */
    struct sw_engine_hooks watch;
    int under_way;
    int64_t hidden_due;    /* messages of watched hidden states still to come */
    struct sw_wire *local; /* queue of result payloads when rank 0 is the last stage */
    size_t *local_bytes;
    size_t n_local, cap_local;
    struct sw_result *decoded; /* (cap_decoded) */
    size_t cap_decoded;
    struct sw_times *times; /* (ranks) */
    double *ahead;          /* (ranks) of their clocks, once recording */
    struct sw_timeline *timeline;
};

/* Runs the batch on this rank's stage and passes on what comes of it. */
enum sw_status sw_engine_run_batch(struct sw_engine *engine, const struct sw_microbatch *batch,
                                   const float *hidden);
/* Small control messages: acted on, then passed to the next stage. */
enum sw_status sw_engine_control(struct sw_engine *engine, struct sw_message *message);
/* Values that rank 0 asked for: delivered there directly, or sent to it. */
enum sw_status sw_engine_deliver(struct sw_engine *engine, enum sw_engine_kind kind, int layer,
                                 int64_t position, int n, const float *data, int64_t width);
/* driver.c: the results of a last stage that is rank 0's own, in engine->results, wait to be
 * collected. */
enum sw_status sw_engine_queue(struct sw_engine *engine, size_t length);

/* last_stage.c */
enum sw_status sw_last_stage_open(struct sw_engine *engine);
void sw_last_stage_close(struct sw_engine *engine);
void sw_last_stage_slot(struct sw_engine *engine, const struct sw_slot_body *body);
void sw_last_stage_copy(struct sw_engine *engine, const struct sw_copy_body *body);
/* After the last layer: logits, samples and scores, into engine->results; *length bytes. */
enum sw_status sw_last_stage_finish(struct sw_engine *engine, const struct sw_microbatch *batch,
                                    size_t *length);

/* clocks.c: activities are kept from now on, and rank 0 is told this rank's clock. */
enum sw_status sw_engine_start_recorder(struct sw_engine *engine);
/* This rank's book goes to rank 0 when that is due, or as the rank's last word. */
enum sw_status sw_engine_report_times(struct sw_engine *engine, bool is_final);
/* Rank 0 takes the book of another that has come, its activities in engine->in. */
enum sw_status sw_engine_take_times(struct sw_engine *engine, const struct sw_message *message);

#endif
