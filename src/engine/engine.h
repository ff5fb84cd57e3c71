/*
 * The pipeline: every rank opens an engine with its stage; rank 0 drives, the others serve. Rank 0
 * owns the slots and decides what travels; micro-batches flow through the stages in the order they
 * were submitted, any number under way at once; the last stage samples and the ids return.
 */
#ifndef SW_ENGINE_ENGINE_H
#define SW_ENGINE_ENGINE_H

#include "engine/slice.h"
#include "engine/stage.h"
#include "engine/wire.h"

struct sw_engine;

struct sw_engine_options {
    const struct sw_model *model;
    struct sw_backend *cpu, *gpu; /* NULL: not needed for this rank's slice */
    const struct sw_gpu_ops *gpu_ops;
    struct sw_transport *transport;
    struct sw_footprint_params params;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    int vocab_limit;                      /* ids from here on are never sampled */
    struct sw_pool *pool; /* samples where no CPU backend has one; NULL: the caller alone */
    /* For links between GPUs, as in stage_links.h; NULL, false: none. */
    const struct sw_gpu_link_ops *link_ops;
    const char *bus_id;
    bool host_only;
};

/* Rank 0 is told of values that were asked for beside the samples; data is valid during the call.
 */
struct sw_engine_hooks {
    /* rows [position, position + n) of the slot; layer -1 is the embedding. (n, hidden) */
    enum sw_status (*hidden)(void *context, int layer, int64_t position, int n, const float *data);
    /* (n, vocab) */
    enum sw_status (*logits)(void *context, int64_t position, int n, const float *data);
    void *context;
};

/* Loads the rank's slice; every rank calls it. `loader` as for sw_stage_open. */
enum sw_status sw_engine_open(const struct sw_engine_options *options, struct sw_loader *loader,
                              struct sw_engine **out);
void sw_engine_close(struct sw_engine *engine);
/*
 * Connects the stages, once all ranks have opened their engines; every rank calls it. Without it
 * all links go through host memory.
 */
enum sw_status sw_engine_connect(struct sw_engine *engine);
/* How a rank's rows get to the next stage: "NCCL", "MPI", or "" when there is none. */
const char *sw_engine_link(const struct sw_engine *engine, int rank);
int sw_engine_stages(const struct sw_engine *engine); /* ranks that have layers */
/* Batches of so many rows pass some rank's host layers through its GPU; 0: none do. */
int sw_engine_stream_rows(const struct sw_engine *engine);
int sw_engine_size(const struct sw_engine *engine);  /* all ranks */
int sw_engine_vocab(const struct sw_engine *engine); /* ids are below */
/* What this rank's stage has allocated on its GPU. */
uint64_t sw_engine_gpu_bytes(const struct sw_engine *engine);

/* Ranks other than 0: runs what comes until rank 0 says stop. */
enum sw_status sw_engine_run_worker(struct sw_engine *engine);

/* Rank 0 from here on. Begins a sequence in `slot`, from position 0 or where a copy ends. */
enum sw_status sw_engine_slot(struct sw_engine *engine, int slot,
                              const struct sw_sampling *sampling);
/* The first n positions of slot `from`, which have been submitted, become those of slot `to`. */
enum sw_status sw_engine_copy(struct sw_engine *engine, int from, int to, int n);
/* Sends the batch on its way (and computes the first stage, if that is rank 0's). Copied. */
enum sw_status sw_engine_submit(struct sw_engine *engine, const struct sw_microbatch *batch);
/*
 * Waits for the results of the oldest batch under way: one per row asked for, in row order. They
 * are valid until the next call.
 */
enum sw_status sw_engine_collect(struct sw_engine *engine, const struct sw_result **results,
                                 int *n);
/* Asks every stage for hidden states, or the last for logits, of all batches from now on. */
enum sw_status sw_engine_hooks(struct sw_engine *engine, const struct sw_engine_hooks *watch);
/*
 * Writes what every rank does from now on, and its loading before, to a trace file (timeline.h).
 * Once, before anything is submitted.
 */
enum sw_status sw_engine_record(struct sw_engine *engine, const char *path);
/*
 * Where each rank's time went, (transport->size): its own word, at most about a second old while
 * it has work, exact after sw_engine_stop.
 */
const struct sw_times *sw_engine_times(const struct sw_engine *engine);
/* Ends the other ranks' serve and takes their last word. Nothing may be under way. */
enum sw_status sw_engine_stop(struct sw_engine *engine);

#endif
