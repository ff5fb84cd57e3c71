/*
 * Links: how activations get from one stage to the next. A link is direct, from GPU to GPU by NCCL,
 * when the rows are in GPU memory at both ends and NCCL works there. Otherwise it goes through host
 * memory by MPI. All ranks make the same choice before the first micro-batch.
 */
#ifndef SW_ENGINE_STAGE_LINKS_H
#define SW_ENGINE_STAGE_LINKS_H

#include "backend/gpu_library.h"
#include "base/strbuf.h"
#include "engine/slice.h"
#include "transport/transport.h"

/* What each rank passes to sw_stage_links_open. */
struct sw_stage_links_options {
    struct sw_transport *transport;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    struct sw_backend *gpu;               /* NULL: this rank has no GPU */
    const char *bus_id;                   /* PCI address of the GPU, like "0000:3b:00.0" */
    bool host_only;                       /* --transport mpi: no link is direct */
};

/* The link from a rank to the next stage. */
struct sw_stage_link {
    int to;          /* rank of the next stage; -1: there is none */
    bool direct;     /* true: NCCL; false: MPI */
    const char *why; /* why the link is not direct, like "ends in host memory"; NULL: it is */
};

struct sw_stage_links {
    struct sw_stage_links_options options;
    struct sw_stage_link *links; /* (transport->size) by the rank that sends */
    int *member;  /* (transport->size) rank in the NCCL communicator; -1: not in it */
    int from, to; /* members at the other ends of this rank's direct links; -1: none */
};

/* Every rank calls it. Connects and tests the links, and logs each one's kind on rank 0. The caller
 * frees by sw_stage_links_close, also after a failure. SW_EPEER when another rank is lost. */
enum sw_status sw_stage_links_open(const struct sw_stage_links_options *options,
                                   struct sw_stage_links *out);
/* Also allowed when the links are all zeros or were never opened. */
void sw_stage_links_close(struct sw_stage_links *links);
/* Enqueues on the GPU the sending of n floats to member `to`, or receiving them from `from`. */
enum sw_status sw_stage_links_send(struct sw_stage_links *links, const float *d_x, int64_t n);
enum sw_status sw_stage_links_receive(struct sw_stage_links *links, float *d_x, int64_t n);

#endif
