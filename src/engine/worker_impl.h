/* Shared by worker.c (any rank), last_stage.c (the last stage), driver.c (rank 0) and clocks.c
 * (reports of times). Internal to src/engine/. */
#ifndef SW_ENGINE_WORKER_IMPL_H
#define SW_ENGINE_WORKER_IMPL_H

#include "engine/driver.h"
#include "engine/stage_links.h"

struct sw_last_stage; /* last_stage.c */

/* What rank 0's worker passes to the driver; the workers of other ranks send it to rank 0. */
struct sw_worker_sink {
    /* Values for a hook, of a span; data: (span->n, width of `kind`). */
    enum sw_status (*values)(struct sw_driver *driver, enum sw_engine_kind kind, int layer,
                             const struct sw_span *span, const float *data);
    /* The last stage's results; valid until its next micro-batch. */
    void (*results)(struct sw_driver *driver, const struct sw_result *results, int n);
    /* Which experts a micro-batch chose, n ints as of SW_MSG_ROUTES. */
    enum sw_status (*routes)(struct sw_driver *driver, const struct sw_routes_body *body,
                             const int32_t *data, size_t n);
    /* A report of times, and n activities if they are recorded. */
    void (*times)(struct sw_driver *driver, const struct sw_times *times,
                  const struct sw_activity *activities, size_t n);
    struct sw_driver *driver;
};

struct sw_worker {
    struct sw_worker_options options;
    struct sw_wire_limits limits;
    struct sw_stage *stage;           /* NULL: this rank has no layers */
    struct sw_last_stage *last_stage; /* NULL: this rank is not the last stage */
    int stages;                       /* number of ranks with layers */
    int next;                         /* rank of the next stage; -1: there is none */
    int first_rank, last_rank;        /* ranks of the first and the last stage */
    struct sw_stage_links links;
    bool send_hidden, send_logits; /* rank 0's hooks want these values */
    char *hidden_layers;           /* (layers + 1) booleans, as of struct sw_stage */
    int32_t *hidden_rows;          /* (max_batch_tokens) of the present micro-batch */
    struct sw_span *hidden_spans;  /* (max_batch_tokens, n_hidden_spans) what these are of */
    int n_hidden_rows, n_hidden_spans;
    struct sw_wire values;  /* a payload of SW_MSG_LOGITS or SW_MSG_HIDDEN */
    struct sw_wire in, out; /* payloads */
    struct sw_wire routes;  /* of the present micro-batch, as of SW_MSG_ROUTES */
    size_t route_bytes;
    struct sw_recorder recorder;
    double load_start, load_end; /* sw_clock */
    struct sw_worker_sink sink;  /* all NULL on other ranks than 0 */
};

/* Runs the micro-batch on this rank's stage and passes the output on, to the next stage or as
 * results. */
enum sw_status sw_worker_run_batch(struct sw_worker *worker, const struct sw_microbatch *batch,
                                   const float *hidden);
/* Applies a control message (slot, steer, copy, hooks) and forwards it, with the `bytes` bytes of
 * its payload, to the next stage. */
enum sw_status sw_worker_control(struct sw_worker *worker, struct sw_message *message,
                                 const void *payload, size_t bytes);
/* Passes values for a hook to rank 0. data: the rows of all spans, one span after the other, each
 * of `width` floats. */
enum sw_status sw_worker_deliver(struct sw_worker *worker, enum sw_engine_kind kind, int layer,
                                 const struct sw_span *spans, int n_spans, const float *data,
                                 int64_t width);

/* ---- last_stage.c */

enum sw_status sw_last_stage_open(struct sw_worker *worker);
void sw_last_stage_close(struct sw_worker *worker);
void sw_last_stage_slot(struct sw_worker *worker, const struct sw_slot_body *body);
/* The tokens' bytes, of which grammars need some; only the first call counts. */
enum sw_status sw_last_stage_tokens(struct sw_worker *worker, const char *tokens, size_t n);
/* Until the next sw_last_stage_slot. What `steering` points to is copied. SW_ENOMEM. */
enum sw_status sw_last_stage_steer(struct sw_worker *worker, int slot,
                                   const struct sw_steering *steering);
void sw_last_stage_copy(struct sw_worker *worker, const struct sw_copy_body *body);
/* Runs after the last layer: *results (*n) are the samples and scores, valid until the next
 * micro-batch. */
enum sw_status sw_last_stage_finish(struct sw_worker *worker, const struct sw_microbatch *batch,
                                    const struct sw_result **results, int *n);

/* ---- worker_routes.c */

/* Has the stage report which experts rows choose, where that is asked for. */
void sw_worker_note_routes(struct sw_worker *worker);
/* Passes what was chosen in the micro-batch to rank 0; before its time is counted. */
enum sw_status sw_worker_report_routes(struct sw_worker *worker, int n_rows);

/* ---- clocks.c */

/* Starts to record activities, and reports this rank's clock to rank 0. */
enum sw_status sw_worker_start_recorder(struct sw_worker *worker);
/* Passes this rank's times to rank 0 if a report is due or is_final is set. */
enum sw_status sw_worker_report_times(struct sw_worker *worker, bool is_final);

#endif
