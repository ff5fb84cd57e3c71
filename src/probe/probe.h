/*
 * The probe: every rank measures its machine, and all ranks gather the results into the cluster
 * that a plan is made for, and into warnings about what makes it slower than it could be. Memory is
 * what is free now.
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

#define SW_PROBE_DISK_S 1.0 /* seconds that sw_probe_disk takes at most */

struct sw_probe_options {
    double seconds;  /* for all measurements; 0: speeds are defaults, hops are timed briefly */
    double forced_s; /* in place of it for one rank without a GPU; 0: `seconds` */
    uint64_t memory; /* most bytes to measure with on a node; 0: some times its caches */
    int threads;     /* per rank; 0: what sw_probe_threads returns */
    enum sw_format_id format;         /* weight format whose products are measured */
    struct sw_attend_shape attention; /* the model's, to measure attention with */
    const char *path;                 /* model to measure the disk with; NULL: not measured */
    bool connectivity;                /* try every network between the hosts (half a second) */
    bool share_gpus;                  /* ranks that outnumber the GPUs they see share them */
    const char *root;                 /* prefix of /proc and /sys; NULL: "" */
};

/*
 * What one rank measured; plain bytes, exchanged between ranks that run the same program. Rates are
 * measured while all ranks of the node measure, where nothing else is stated; 0: not measured.
 */
struct sw_probe_rank {
    char version[32]; /* of this program */
    char cpu[96];     /* name of the processor */
    int32_t isa;      /* enum sw_isa: the best of this CPU */
    int32_t amx;      /* 1: it may use AMX, too */
    int32_t threads;  /* threads it measured with: options.threads, at most one for each core */
    struct sw_cpu_share cores;
    struct sw_host_memory memory;
    double read_bandwidth;  /* bytes per second from host memory */
    double alone_bandwidth; /* bytes per second with no other rank reading; first of a node only */
    double
        both_bandwidth;   /* bytes per second that it and its GPU's bus read together; 0: unknown */
    double flops;         /* floating-point operations per second in matrix products */
    double attend;        /* floating-point operations per second in attention */
    double attend_decode; /* the same of decoded tokens */
    double disk_bandwidth;                 /* bytes per second from disk */
    double link_latency;                   /* seconds to the next rank */
    double link_bandwidth;                 /* bytes per second to the next rank */
    int32_t n_seen;                        /* number of GPUs that this rank sees */
    char seen[SW_MAX_DEVICES][SW_GPU_BUS]; /* (n_seen) their addresses on the bus */
    char visible[64];                      /* CUDA_VISIBLE_DEVICES of this rank; "": unset */
    int32_t shares;                        /* 1: drives a GPU of other ranks rather than none */
    int32_t n_unused;                /* number of GPUs that cannot be used; 0: may be unknown */
    char unused_why[SW_GPU_WHY_MAX]; /* why GPUs cannot be used; "": all can */
    int32_t device;                  /* index in seen[] of the GPU it drives; -1: none */
    double to_device;                /* bytes per second from host memory to its GPU */
    int32_t nccl;                    /* version of NCCL, 22809 for 2.28.9; 0: none */
    int32_t n_devices;               /* number of GPUs that it drives */
    struct sw_device devices[8];     /* (n_devices) */
};

struct sw_probe {
    int n_ranks;
    struct sw_probe_rank *ranks;     /* (n_ranks) */
    struct sw_transport_rank *hosts; /* (n_ranks) host and node of each rank */
    struct sw_cluster cluster;       /* its ranks are those of the job; equal on every rank */
    int threads;                     /* options.threads; 0: not given */
    double link_now, local_now;      /* seconds that a hop took, between nodes and within one */
    char *warnings;                  /* one on each line; "" when there are none */
    char *problems;                  /* one on each line: what makes a run fail with SW_EDEVICE */
    double seconds;                  /* that the probe took */
};

/*
 * All ranks call it, and get the same result. SW_EUSAGE when the ranks run different programs.
 * After SW_OK, and only then, the caller frees *out with sw_probe_free.
 */
enum sw_status sw_probe_run(struct sw_transport *t, const struct sw_probe_options *options,
                            struct sw_probe *out);
/*
 * Measures again, for longer, at what rate layers can be read from the model `path` by each rank: a
 * plan with layers on disk depends on it. All ranks call it; fills disk_bandwidth of ranks and of
 * the cluster's nodes.
 */
enum sw_status sw_probe_disk(struct sw_transport *t, const char *path, struct sw_probe *probe);
void sw_probe_free(struct sw_probe *probe);

/*
 * The numbers of the cores that this rank should use: all that it is bound to, or its share when
 * other ranks of its node are bound to the same ones. `alone`: all of them in any case, for a
 * pipeline in which one stage works at a time. The caller frees *cores (*n >= 1). SW_EDEVICE when
 * there is no core.
 */
enum sw_status sw_probe_cores(const struct sw_probe *probe, int rank, bool alone, int **cores,
                              int *n);

/*
 * How many threads should compute on these `n_cores` cores: one for each core, but no more than the
 * whole cores of a cgroup's quota (shared by its ranks of the node, unless `alone`), at least one.
 * A thread more would use up the quota before its period ends, and then all threads stop.
 */
int sw_probe_threads(const struct sw_probe *probe, int rank, bool alone, int n_cores);

/* Fills probe->cluster (nodes, memory, speeds, links) from probe->ranks; needs no machine.
 * SW_ENOMEM. */
enum sw_status sw_probe_cluster(struct sw_probe *probe);
/* Fills choice (n_ranks): the index in seen[] of the GPU that each rank drives; -1: none. */
void sw_probe_assign_gpus(const struct sw_probe *probe, int *choice);
/* How many ranks drive the GPU that `rank` drives, including `rank`; 0: it drives none. */
int sw_probe_sharers(const struct sw_probe *probe, const int *choice, int rank);
/* Appends a line for each rank that sees only GPUs that other ranks drive. */
void sw_probe_assign_problems(const struct sw_probe *probe, const int *choice,
                              struct sw_strbuf *out);
/*
 * All ranks call it. Appends a line on every rank for each network of a host that another host
 * cannot reach; nothing when Open MPI is restricted to given networks. SW_ENOMEM, SW_EPEER.
 */
enum sw_status sw_probe_connectivity(struct sw_transport *t, struct sw_strbuf *out);
/* Appends to probe->warnings and probe->problems. SW_ENOMEM. */
enum sw_status sw_probe_warn(struct sw_probe *probe);
/* Appends a line when options.threads is far above the cores of a rank; names that with fewest. */
void sw_probe_warn_threads(const struct sw_probe *probe, struct sw_strbuf *out);
/* Appends a line for each node with GPUs that cannot be used. */
void sw_probe_warn_gpus(const struct sw_probe *probe, struct sw_strbuf *out);
/*
 * Appends a sentence, ". On h1 the memory cgroup …", for each node on which a cgroup or a ulimit
 * leaves less memory than the machine has, which may be why a model does not fit.
 */
void sw_probe_limits(const struct sw_probe *probe, struct sw_strbuf *out);
/* Appends the table, with one row for each rank. */
void sw_probe_table(const struct sw_probe *probe, struct sw_strbuf *out);

#endif
