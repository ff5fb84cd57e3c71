/*
 * The pipeline: every rank opens an engine with its stage; rank 0 drives, the others serve. Rank 0
 * owns the slots and decides what travels; micro-batches flow through the stages in the order they
 * were submitted, any number under way at once; the last stage samples and the ids return.
 */
#ifndef SW_ENGINE_ENGINE_H
#define SW_ENGINE_ENGINE_H

#include "engine/stage.h"
#include "text/sampler.h"
#include "transport/transport.h"

struct sw_engine;

/* Which layers a rank runs; count 0: none. */
struct sw_engine_slice {
    int first, count;
};

struct sw_engine_options {
    const struct sw_model *model;
    struct sw_backend *backend; /* may be NULL on a rank without layers */
    struct sw_transport *transport;
    struct sw_footprint_params params;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    int vocab_limit;                      /* ids from here on are never sampled */
};

/* One sampled token: what follows `position` of the slot. */
struct sw_result {
    int32_t slot;
    int64_t position;
    struct sw_sampled sampled;
};

/* Rank 0 is told of values that were asked for beside the samples; data is valid during the call.
 */
struct sw_engine_watch {
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

/* Ranks other than 0: runs what comes until rank 0 says stop. */
enum sw_status sw_engine_serve(struct sw_engine *engine);

/* Rank 0 from here on. Begins a sequence in `slot`, from position 0. */
enum sw_status sw_engine_slot(struct sw_engine *engine, int slot,
                              const struct sw_sampling *sampling);
/* Sends the batch on its way (and computes the first stage, if that is rank 0's). Copied. */
enum sw_status sw_engine_submit(struct sw_engine *engine, const struct sw_batch *batch);
/*
 * Waits for the results of the oldest batch under way: one per row asked for, in row order. They
 * are valid until the next call.
 */
enum sw_status sw_engine_collect(struct sw_engine *engine, const struct sw_result **results,
                                 int *n);
/* Asks every stage for hidden states, or the last for logits, of all batches from now on. */
enum sw_status sw_engine_watch(struct sw_engine *engine, const struct sw_engine_watch *watch);
/* Ends the other ranks' serve. Nothing may be under way. */
enum sw_status sw_engine_stop(struct sw_engine *engine);

#endif
