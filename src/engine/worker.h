/*
 * A rank's part of the pipeline. Every rank opens a worker with its stage; micro-batches pass the
 * stages in the order they were submitted, and any number may be under way at once. The last stage
 * samples. Ranks other than 0 run the worker's loop; on rank 0 the driver (driver.h) decides what
 * travels and runs its stage.
 */
#ifndef SW_ENGINE_WORKER_H
#define SW_ENGINE_WORKER_H

#include "engine/slice.h"
#include "engine/stage.h"
#include "transport/transport.h"

struct sw_worker;

struct sw_worker_options {
    const struct sw_model *model;
    struct sw_backend *cpu, *gpu; /* NULL: this rank's slice does not need it */
    struct sw_transport *transport;
    struct sw_footprint_params params;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    int vocab_limit;                      /* only ids below this are sampled */
    struct sw_pool
        *pool; /* threads that sample on a rank without a CPU backend; NULL: only the caller's */
    const uint64_t *expert_uses; /* as of struct sw_experts_options; may be NULL */
    bool look_ahead;             /* the same */
    bool routes;                 /* rank 0 gets to know which experts were chosen */
    /* For links between GPUs, as in stage_links.h. */
    const char *bus_id; /* of this rank's GPU; NULL: it has none */
    bool host_only;     /* all links go through host memory */
};

/*
 * Loads the rank's slice; every rank calls it. `loader` as for sw_stage_open. SW_ENOMEM when the
 * slice does not fit. The caller frees the worker by sw_worker_close, on rank 0 after its driver.
 */
enum sw_status sw_worker_open(const struct sw_worker_options *options, struct sw_loader *loader,
                              struct sw_worker **out);
void sw_worker_close(struct sw_worker *worker);
/*
 * Connects the stages; every rank calls it once, after all have opened their workers. Without this
 * call all links go through host memory.
 */
enum sw_status sw_worker_connect(struct sw_worker *worker);
/* The link from a rank to the next stage: "NCCL", "MPI", or "" when the rank has no next stage. */
const char *sw_worker_link(const struct sw_worker *worker, int rank);
/* Bytes that this rank's stage has allocated on its GPU. */
uint64_t sw_worker_gpu_bytes(const struct sw_worker *worker);
/* Of this rank's experts from disk; false: it has none. */
bool sw_worker_experts(const struct sw_worker *worker, struct sw_expert_stats *out);
/* The loop of ranks other than 0: runs incoming messages until rank 0 sends stop. */
enum sw_status sw_worker_run(struct sw_worker *worker);

#endif
