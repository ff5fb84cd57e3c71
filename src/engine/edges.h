/*
 * How activations get from one stage to the next. Each edge of the pipeline takes the first way
 * that connects it: between two GPUs by NCCL, when the rows end in GPU memory on both sides; else
 * through host memory by MPI. All ranks come to the same choice, before the first micro-batch.
 */
#ifndef SW_ENGINE_EDGES_H
#define SW_ENGINE_EDGES_H

#include "backend/gpu_library.h"
#include "base/strbuf.h"
#include "engine/slice.h"
#include "transport/transport.h"

/* What a rank brings. */
struct sw_edges_options {
    struct sw_transport *transport;
    const struct sw_engine_slice *slices; /* (transport->size), the same on every rank */
    struct sw_backend *gpu;               /* NULL: none */
    const struct sw_gpu_edge_ops *ops;    /* NULL: its GPU library has no NCCL */
    const char *bus_id;                   /* the GPU's place, "0000:3b:00.0" */
    bool host_only;                       /* --transport mpi */
};

/* A rank's way to the next stage. */
struct sw_edge {
    int to;          /* rank; -1: this one has no stage, or the last */
    bool direct;     /* by NCCL; else by MPI */
    const char *why; /* … and why, e.g. "ends in host memory" */
};

struct sw_edges {
    struct sw_edges_options options;
    struct sw_edge *edges; /* (transport->size) by rank they begin at */
    int *member;           /* (transport->size) number in NCCL's group, -1: not in it */
    int from, to;          /* members that rows come from and go to directly; -1: none */
};

/* Every rank calls it; connects and tries the edges, and logs on rank 0 what each became. */
enum sw_status sw_edges_open(const struct sw_edges_options *options, struct sw_edges *out);
/* Fine after a failure or when it was not opened. */
void sw_edges_close(struct sw_edges *edges);
/* n floats to or from the neighbour, where `to` or `from` says so; enqueued on the GPU. */
enum sw_status sw_edges_send(struct sw_edges *edges, const float *d_x, int64_t n);
enum sw_status sw_edges_receive(struct sw_edges *edges, float *d_x, int64_t n);

#endif
