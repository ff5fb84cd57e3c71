/*
 * What every rank of a job sees, gathered: the cluster that a plan is made for, and what keeps it
 * from being as fast as it could be. Measured from what is free now.
 */
#ifndef SW_PROBE_PROBE_H
#define SW_PROBE_PROBE_H

#include "base/status.h"
#include "base/strbuf.h"
#include "plan/cluster.h"
#include "probe/gpu.h"
#include "probe/measure.h"
#include "probe/memory.h"
#include "transport/transport.h"

struct sw_probe_options {
    /* For all measurements together, about. 0: the classes' defaults but for a glance at hops. */
    double seconds;
    uint64_t memory;      /* most bytes the measuring on a node may take; 0: some times its cache */
    int threads;          /* per rank; 0: as sw_probe_threads has it */
    enum sw_dtype format; /* of the weights whose products are measured */
    struct sw_attend_shape attention; /* of the model */
    const char *path;                 /* model to measure the disk with; NULL: not measured */
    bool connectivity;                /* try every network between the hosts (half a second) */
    bool share_gpus;                  /* ranks that outnumber the GPUs they see share them */
    const char *root;                 /* of /proc and /sys; NULL: "" (the machine's own) */
};

/* One rank's card; plain bytes, the same program on every rank understands them. */
struct sw_probe_rank {
    char version[32];
    char cpu[96];
    int32_t isa;     /* enum sw_isa: the best of this CPU */
    int32_t threads; /* that it measured with: as asked for, but no more than it has cores */
    struct sw_cpu_share cores;
    struct sw_host_memory memory;
    double read_bandwidth; /* bytes per second while all ranks of the node read */
    double alone_bandwidth; /* … while this one reads alone; 0: not measured (first on a node is) */
    double flops;           /* per second, all ranks of the node at it */
    double attend;          /* likewise, in attention; 0: not measured */
    double disk_bandwidth;                 /* likewise; 0: not measured */
    double link_latency, link_bandwidth;   /* to the next rank; 0: not measured */
    int32_t n_seen;                        /* GPUs that this rank sees */
    char seen[SW_MAX_DEVICES][SW_GPU_BUS]; /* (n_seen) their places on the bus */
    char visible[64];                      /* CUDA_VISIBLE_DEVICES as this rank has it; "": unset */
    int32_t shares;                        /* takes one that others drive, too, rather than none */
    int32_t n_unused;                      /* GPUs that cannot be used here, … */
    char unused_why[SW_GPU_WHY_MAX]; /* … and why, though there are 0: so many as there may be */
    int32_t device;                  /* the one in seen[] that this rank drives; -1: none */
    double to_device;                /* bytes per second to it, all of the node's at once; 0:
                                      * not measured */
    int32_t nccl;                    /* its version, 22809 is 2.28.9; 0: none */
    int32_t n_devices;
    struct sw_device devices[8]; /* that this rank drives */
};

struct sw_probe {
    int n_ranks;
    struct sw_probe_rank *ranks;      /* (n_ranks) */
    struct sw_transport_rank *places; /* (n_ranks) host and node */
    struct sw_cluster cluster;        /* ranks in order; the same on every rank */
    int threads;                      /* asked for per rank; 0: not */
    double link_now, local_now;       /* seconds that a hop took, between nodes and within one */
    char *warnings;                   /* one a line, "" when there are none */
    char *problems;                   /* likewise: what a run would fail on (SW_EDEVICE) */
    double seconds;                   /* it took */
};

/*
 * All ranks call it; all get the same. SW_EUSAGE: the ranks run different programs. *out is to be
 * freed after SW_OK only.
 */
enum sw_status sw_probe_run(struct sw_transport *t, const struct sw_probe_options *options,
                            struct sw_probe *out);
void sw_probe_free(struct sw_probe *probe);

/*
 * The cores that this rank should take, one number a core: all it is bound to, or its share of them
 * when other ranks of its node are bound to the same ones (`alone`: all of them nevertheless, for a
 * pipeline in which one stage works at a time). Caller frees; *n >= 1.
 */
enum sw_status sw_probe_cores(const struct sw_probe *probe, int rank, bool alone, int **cores,
                              int *n);

/*
 * How many threads should compute on these `n_cores` cores: one each, or as many as a cgroup gives
 * whole cores' worth of time to (its ranks of the node share it, unless `alone`), at least one. One
 * more would use up the time of all before the period ends, and then all stand still.
 */
int sw_probe_threads(const struct sw_probe *probe, int rank, bool alone, int n_cores);

/* From the cards: nodes, memory, speeds, links (what a test can call without a machine). */
enum sw_status sw_probe_cluster(struct sw_probe *probe);
/* The index in seen[] of the GPU that each rank drives, -1: none; choice (n_ranks).
 * gpu_assignment.c */
void sw_probe_assign_gpus(const struct sw_probe *probe, int *choice);
/* How many ranks drive the GPU that `rank` drives, itself included; 0: it drives none. */
int sw_probe_sharers(const struct sw_probe *probe, const int *choice, int rank);
/* Appends ranks that were shown no GPU but others' own, a line each. */
void sw_probe_assign_problems(const struct sw_probe *probe, const int *choice,
                              struct sw_strbuf *out);
/*
 * All ranks call it: which networks of a host cannot be reached from another, a line each, appended
 * to `out` on every rank; nothing when Open MPI has been told which to use. connectivity.c
 */
enum sw_status sw_probe_connectivity(struct sw_transport *t, struct sw_strbuf *out);
/* Fills probe->warnings and probe->problems; what is there stays, and comes first. */
enum sw_status sw_probe_warn(struct sw_probe *probe);
/* Appends a line when so many more threads were asked for than a rank has cores that they are in
 * each other's way; of the rank with fewest. */
void sw_probe_warn_threads(const struct sw_probe *probe, struct sw_strbuf *out);
/* Appends a line for each node whose GPUs are there, but cannot be used. */
void sw_probe_warn_gpus(const struct sw_probe *probe, struct sw_strbuf *out);
/*
 * Appends a sentence for each node, ". On h1 the memory cgroup …", on which a cgroup or a ulimit
 * leaves less memory than the machine has: why a model does not fit.
 */
void sw_probe_limits(const struct sw_probe *probe, struct sw_strbuf *out);
/* The table: one row a rank. */
void sw_probe_table(const struct sw_probe *probe, struct sw_strbuf *out);

#endif
