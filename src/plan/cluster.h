/*
 * The hardware that a plan is made for: nodes, their devices and memory, speeds, links. It comes
 * from a text, from `probe --json`, or from a test; the planner never measures a machine.
 *
 *     cluster := group { "+" group } [ "link:" RATE ["/" TIME] ] [ "local:" … ]
 *     group   := [ COUNT "x" ] "(" item { item } ")"
 *     item    := "gpu:" [ COUNT "x" ] SIZE [ "/" SIZE ] [ "@" RATE ] [ "@" FLOPS [ "@" FLOPS ] ]
 *              | "host:" SIZE [ "/" SIZE ] [ "@" RATE [ "@" RATE ] ] [ "@" FLOPS [ "@" FLOPS ] ]
 *              | "bus:" RATE [ "@" RATE ] | "disk:" [ COUNT "x" ] RATE | "load:" [ COUNT "x" ] RATE
 *              | "ranks:" N | "cores:" N
 *              | "name:" WORD
 *
 *     2x(gpu:2x24G host:64G) + 1x(host:128G)
 *     1x(gpu:2x22G/24G@672GB/s host:60G/64G@80GB/s@1.2TF disk:3GB/s name:lab) link:1.2GB/s/30us
 *
 * The first SIZE is free memory, the one after "/" the total (without it: equal to the free one).
 * "disk:" allows layers to stay on disk when memory is short; "load:" is the rate of a disk that is
 * only used for loading; with COUNT it is that of each of so many which are read at the same time.
 * FLOPS is "16TF" or "800GF" per second. The second RATE of a host is that of one rank alone, a
 * second FLOPS that of attention; the second RATE of a bus what cores and bus read of host memory
 * together. What is not written is a default below; "#" starts a comment.
 * When a file has lines that start with "#:", only those count, so that an mpirun hostfile can
 * contain its cluster. The JSON form has the fields of the structs by name.
 */
#ifndef SW_PLAN_CLUSTER_H
#define SW_PLAN_CLUSTER_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest values; anything above is an error. */
#define SW_NAME_MAX 64
#define SW_MAX_NODES 4096
#define SW_MAX_DEVICES 64 /* of a node */
#define SW_MAX_NODE_RANKS 1024
#define SW_MAX_NODE_CORES 65536
#define SW_MAX_BYTES (1ull << 50) /* of the memory of a node or a device */
#define SW_MAX_RATE 1e18          /* of a speed; the least is 1 */
#define SW_MAX_LATENCY 1e3        /* seconds */

/* Defaults, in bytes per second and flops per second; reasons are in docs/hardware.md. */
#define SW_GPU_BANDWIDTH 450e9
#define SW_GPU_FLOPS 20e12
#define SW_GPU_ATTEND_SHARE 0.25 /* rate of attention over that of products, where not known */
#define SW_HOST_ATTEND_SHARE 0.5
#define SW_GPU_LAUNCH 0 /* seconds; not counted until it is measured */
#define SW_HOST_BANDWIDTH 40e9
#define SW_HOST_FLOPS 500e9
#define SW_BUS_BANDWIDTH 12e9
#define SW_DISK_BANDWIDTH 1e9
#define SW_LINK_BANDWIDTH 1.1e9 /* 10 Gbit/s Ethernet */
#define SW_LINK_LATENCY 50e-6   /* seconds */
#define SW_LOCAL_BANDWIDTH 5e9  /* between two ranks of one node */
#define SW_LOCAL_LATENCY 2e-6

struct sw_device {
    char name[SW_NAME_MAX];
    uint64_t free, total; /* bytes of device memory */
    double bandwidth;     /* bytes per second, reading its own memory */
    double flops;         /* per second, in a matrix product of the weight formats */
    double attend;        /* flops per second in attention; 0: SW_GPU_ATTEND_SHARE of flops */
    double launch;        /* seconds to launch a kernel with little work after another */
};

struct sw_node {
    char name[SW_NAME_MAX];
    uint64_t host_free, host_total; /* bytes of host memory */
    double host_bandwidth;          /* bytes per second, all ranks of the node reading at once */
    double rank_bandwidth;          /* bytes per second, one rank reading, the others idle */
    double cpu_flops;               /* flops per second in products, all cores of the node */
    double cpu_attend; /* flops per second in attention; 0: SW_HOST_ATTEND_SHARE of cpu_flops */
    /* Flops per second in attention of decoded tokens, which read their keys from memory and are
     * few for each key; 0: not known, then cpu_attend counts. */
    double cpu_attend_decode;
    double bus_bandwidth; /* bytes per second, host to device, shared by the node's ranks */
    /* Bytes per second that cores and bus read of host memory together, all at once; 0: not known,
     * then no more than host_bandwidth. */
    double both_bandwidth;
    double disk_bandwidth; /* bytes per second, shared by the node's ranks */
    int cores;             /* for job files only; 0: not known */
    bool disk_tier;        /* layers may stay on disk; false: the disk is for loading only */
    int n_devices;
    struct sw_device *devices; /* (n_devices) */
    int n_ranks;               /* rank i < n_devices drives device i, the others have none */
};

struct sw_cluster {
    int n_nodes;
    struct sw_node *nodes;               /* (n_nodes), in rank order */
    double link_bandwidth, link_latency; /* between nodes; bytes per second, seconds */
    double local_bandwidth,
        local_latency; /* between ranks of one node; bytes per second, seconds */
};

/*
 * Parses text, or JSON when it starts with "{". SW_EINPUT names the place and what was expected.
 * The caller frees *out with sw_cluster_free after SW_OK.
 */
enum sw_status sw_cluster_parse(const char *text, size_t length, struct sw_cluster *out);
/* Parse one form, for sw_cluster_parse, which has initialised *out and frees it on failure. */
enum sw_status sw_cluster_parse_text(const char *text, size_t length, struct sw_cluster *out);
enum sw_status sw_cluster_parse_json(const char *text, size_t length, struct sw_cluster *out);
/* SW_EINPUT, with the expected form, when the text is an mpirun host file without a cluster. */
enum sw_status sw_cluster_refuse_hostfile(const char *text, size_t length);
/* Parses the argument of --cluster: the path of a file with either form, else the text itself. */
enum sw_status sw_cluster_open(const char *text_or_path, struct sw_cluster *out);
/* Append the cluster in one form, the text without defaults. Parsing it gives an equal cluster. */
void sw_cluster_to_text(const struct sw_cluster *cluster, struct sw_strbuf *out);
void sw_cluster_to_json(const struct sw_cluster *cluster, struct sw_strbuf *out);
/*
 * Append and return a node with defaults, no device and one rank; a device with defaults. NULL
 * without memory. The cluster owns both; later calls may move them.
 */
struct sw_node *sw_cluster_add_node(struct sw_cluster *cluster);
struct sw_device *sw_node_add_device(struct sw_node *node);
/* Makes a cluster without nodes and with the default links. */
void sw_cluster_init(struct sw_cluster *cluster);
/* Copies a cluster; the caller frees *to with sw_cluster_free. SW_ENOMEM. */
enum sw_status sw_cluster_copy(const struct sw_cluster *from, struct sw_cluster *to);
void sw_cluster_free(struct sw_cluster *cluster);
/* The number of ranks. They are numbered node by node, so the ranks of a node are consecutive. */
int sw_cluster_n_ranks(const struct sw_cluster *cluster);
/* The node of a rank, and the index of its device there (-1: none). */
void sw_cluster_rank(const struct sw_cluster *cluster, int rank, int *node, int *device);

#endif
