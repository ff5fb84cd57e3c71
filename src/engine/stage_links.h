/*
 * How activations get from one stage to the next. Each link of the pipeline takes the first way
 * that connects it: between two GPUs by NCCL, when the rows end in GPU memory on both devices; else
 * through host memory by MPI. All ranks come to the same choice, before the first micro-batch.
 */
#ifndef SW_ENGINE_STAGE_LINKS_H
#define SW_ENGINE_STAGE_LINKS_H

#include "backend/gpu_library.h"
#include "base/strbuf.h"
#include "engine/slice.h"
#include "transport/transport.h"

/* What a rank brings. */
struct sw_stage_links_options {
    struct sw_transport *transport;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    struct sw_backend *gpu;               /* NULL: none */
    const struct sw_gpu_link_ops *ops;    /* NULL: its GPU library has no NCCL */
    const char *bus_id;                   /* the GPU's place, "0000:3b:00.0" */
    bool host_only;                       /* --transport mpi */
};

/* A rank's way to the next stage. */
struct sw_stage_link {
    int to;          /* rank; -1: this one has no stage, or the last */
    bool direct;     /* by NCCL; else by MPI */
    const char *why; /* … and why, e.g. "ends in host memory" */
};

struct sw_stage_links {
    struct sw_stage_links_options options;
    struct sw_stage_link *links; /* (transport->size) by rank they begin at */
    int *member;                 /* (transport->size) number in NCCL's group, -1: not in it */
    int from, to;                /* members that rows come from and go to directly; -1: none */
};

/* Every rank calls it; connects and tries the links, and logs on rank 0 what each became. */
enum sw_status sw_stage_links_open(const struct sw_stage_links_options *options,
                                   struct sw_stage_links *out);
/* Fine after a failure or when it was not opened. */
void sw_stage_links_close(struct sw_stage_links *links);
/* n floats to or from the neighbour, where `to` or `from` says so; enqueued on the GPU. */
enum sw_status sw_stage_links_send(struct sw_stage_links *links, const float *d_x, int64_t n);
enum sw_status sw_stage_links_receive(struct sw_stage_links *links, float *d_x, int64_t n);

#endif
