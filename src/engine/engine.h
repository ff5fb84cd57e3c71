/*
 * The pipeline. Every rank opens an engine with its stage. Rank 0 is the driver: it owns the slots
 * and submits micro-batches; the other ranks run as workers. Micro-batches pass the stages in the
 * order they were submitted, and any number may be under way at once. The last stage samples and
 * sends the ids to rank 0.
 */
#ifndef SW_ENGINE_ENGINE_H
#define SW_ENGINE_ENGINE_H

#include "engine/slice.h"
#include "engine/stage.h"
#include "engine/wire.h"

struct sw_engine;

struct sw_engine_options {
    const struct sw_model *model;
    struct sw_backend *cpu, *gpu; /* NULL: this rank's slice does not need it */
    struct sw_transport *transport;
    struct sw_footprint_params params;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    int vocab_limit;                      /* only ids below this are sampled */
    struct sw_pool
        *pool; /* threads that sample on a rank without a CPU backend; NULL: only the caller's */
    /* For links between GPUs, as in stage_links.h. */
    const char *bus_id; /* of this rank's GPU; NULL: it has none */
    bool host_only;     /* all links go through host memory */
};

/*
 * Values besides the samples, passed to rank 0's callbacks. NULL: these values are not sent. `data`
 * is valid during the call. A failure of a callback is returned by the engine call that ran it.
 */
struct sw_engine_hooks {
    /* A layer's output at positions [position, position + n), (n, hidden); layer -1: the embedding.
     */
    enum sw_status (*hidden)(void *context, int layer, int64_t position, int n, const float *data);
    /* Logits of rows [position, position + n) that are sampled or scored, (n, vocab). */
    enum sw_status (*logits)(void *context, int64_t position, int n, const float *data);
    void *context;
};

/*
 * Loads the rank's slice; every rank calls it. `loader` as for sw_stage_open. SW_ENOMEM when the
 * slice does not fit. The caller frees the engine by sw_engine_close.
 */
enum sw_status sw_engine_open(const struct sw_engine_options *options, struct sw_loader *loader,
                              struct sw_engine **out);
void sw_engine_close(struct sw_engine *engine);
/*
 * Connects the stages; every rank calls it once, after all have opened their engines. Without this
 * call all links go through host memory.
 */
enum sw_status sw_engine_connect(struct sw_engine *engine);
/* The link from a rank to the next stage: "NCCL", "MPI", or "" when the rank has no next stage. */
const char *sw_engine_link(const struct sw_engine *engine, int rank);
int sw_engine_stages(const struct sw_engine *engine); /* number of ranks that have layers */
/* From this number of rows on, some rank streams its host layers through its GPU; 0: none does. */
int sw_engine_stream_rows(const struct sw_engine *engine);
int sw_engine_size(const struct sw_engine *engine);  /* number of ranks */
int sw_engine_vocab(const struct sw_engine *engine); /* all ids are below this */
/* Bytes that this rank's stage has allocated on its GPU. */
uint64_t sw_engine_gpu_bytes(const struct sw_engine *engine);

/* The worker loop of ranks other than 0: runs incoming messages until rank 0 sends stop. */
enum sw_status sw_engine_run_worker(struct sw_engine *engine);

/* ---- The functions below are for rank 0. */

/* Begins a sequence in `slot`, at position 0 or where a copy ends. */
enum sw_status sw_engine_slot(struct sw_engine *engine, int slot,
                              const struct sw_sampling *sampling);
/* Copies the first n positions of slot `from`, all of them submitted already, to slot `to`. */
enum sw_status sw_engine_copy(struct sw_engine *engine, int from, int to, int n);
/* Submits a micro-batch, which is copied. Computes the first stage when that is rank 0's own. */
enum sw_status sw_engine_submit(struct sw_engine *engine, const struct sw_microbatch *batch);
/*
 * Waits until the results of the oldest micro-batch under way are here (*ready), so that
 * sw_engine_collect need not wait for them, or until another thread has set *wake (see
 * sw_transport_wait). With nothing under way only *wake ends it. Takes in other messages meanwhile.
 */
enum sw_status sw_engine_wait(struct sw_engine *engine, const int *wake, bool *ready);
/*
 * Waits for the results of the oldest micro-batch under way: one per sampled or scored row, in row
 * order. They are valid until the next call.
 */
enum sw_status sw_engine_collect(struct sw_engine *engine, const struct sw_result **results,
                                 int *n);
/* Sets the callbacks for all micro-batches submitted from now on. Copied. */
enum sw_status sw_engine_hooks(struct sw_engine *engine, const struct sw_engine_hooks *hooks);
/*
 * Writes every rank's activities from now on, and its loading before, to a trace file (timeline.h).
 * Called at most once, before anything is submitted.
 */
enum sw_status sw_engine_record(struct sw_engine *engine, const char *path);
/*
 * Each rank's latest report of its times, (transport->size). At most about a second old while the
 * rank has work; final after sw_engine_stop.
 */
const struct sw_times *sw_engine_times(const struct sw_engine *engine);
/* Ends the other ranks' worker loops and receives their final times. Nothing may be under way. */
enum sw_status sw_engine_stop(struct sw_engine *engine);

#endif
