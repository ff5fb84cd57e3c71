/*
 * The hardware a plan is made for: nodes, their devices and memory, speeds, links. Written by hand
 * as text, measured by `probe --json`, or made by a test; the planner never asks the machine.
 *
 *     cluster := group { "+" group } [ "link:" RATE ["/" TIME] ] [ "local:" … ]
 *     group   := [ COUNT "x" ] "(" item { item } ")"
 *     item    := "gpu:" [ COUNT "x" ] SIZE [ "/" SIZE ] [ "@" RATE ] [ "@" FLOPS [ "@" FLOPS ] ]
 *              | "host:" SIZE [ "/" SIZE ] [ "@" RATE [ "@" RATE ] ] [ "@" FLOPS [ "@" FLOPS ] ]
 *              | "bus:" RATE | "disk:" RATE | "load:" RATE | "ranks:" N | "cores:" N
 *              | "name:" WORD
 *
 *     2x(gpu:2x24G host:64G) + 1x(host:128G)
 *     1x(gpu:2x22G/24G@672GB/s host:60G/64G@80GB/s@1.2TF disk:3GB/s name:lab) link:1.2GB/s/30us
 *
 * The first SIZE is what is free, the one after "/" what there is (the same when not written).
 * "disk:" says that layers may stay on disk when memory is short; without it they may not.
 * "load:" is the same disk's rate when it serves only for loading.
 * FLOPS is "16TF" or "800GF" a second. What is not written is a default of its class below; "#"
 * starts a comment. A host's second RATE is that of one rank alone, a second
 * FLOPS that of attention. When a file has lines that
 * start with "#:", only those count, so that an mpirun hostfile can carry its cluster. The JSON
 * form has the fields of the structs by name.
 */
#ifndef SW_PLAN_CLUSTER_H
#define SW_PLAN_CLUSTER_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_NAME_MAX 64
#define SW_MAX_NODES 4096 /* more is refused */
#define SW_MAX_DEVICES 64 /* of a node */
#define SW_MAX_NODE_RANKS 1024
#define SW_MAX_NODE_CORES 65536
#define SW_MAX_BYTES (1ull << 50) /* of a node or a device */
#define SW_MAX_RATE 1e18          /* speeds are from 1 to this, latencies up to … */
#define SW_MAX_LATENCY 1e3

/* Defaults of the classes, bytes per second and flops per second; docs/hardware.md says why. */
#define SW_GPU_BANDWIDTH 450e9
#define SW_GPU_FLOPS 20e12
/* Attention's rate, of that of products, where it is not known. */
#define SW_GPU_ATTEND_SHARE 0.25
#define SW_HOST_ATTEND_SHARE 0.5
#define SW_GPU_LAUNCH 0 /* not counted until it is measured */
#define SW_HOST_BANDWIDTH 40e9
#define SW_HOST_FLOPS 500e9
#define SW_BUS_BANDWIDTH 12e9
#define SW_DISK_BANDWIDTH 1e9
#define SW_LINK_BANDWIDTH 1.1e9 /* 10 Gbit/s Ethernet */
#define SW_LINK_LATENCY 50e-6
#define SW_LOCAL_BANDWIDTH 5e9 /* between two ranks of one node */
#define SW_LOCAL_LATENCY 2e-6

struct sw_device {
    char name[SW_NAME_MAX];
    uint64_t free, total; /* bytes of device memory */
    double bandwidth;     /* bytes per second, reading its own memory */
    double flops;         /* per second, in a matrix product of the weight formats */
    double attend;        /* flops per second in attention; 0: SW_GPU_ATTEND_SHARE of flops */
    double launch;        /* seconds that a kernel with little to do takes behind another */
};

struct sw_node {
    char name[SW_NAME_MAX];
    uint64_t host_free, host_total; /* bytes of host memory */
    double host_bandwidth;          /* bytes per second, all ranks of the node reading at once */
    double rank_bandwidth;          /* … one rank reading while the others are idle */
    double cpu_flops;               /* per second, all cores of the node */
    double cpu_attend;              /* … in attention; 0: SW_HOST_ATTEND_SHARE of cpu_flops */
    double bus_bandwidth;           /* host to device, shared by the node's ranks */
    double disk_bandwidth;          /* shared by the node's ranks */
    int cores;                      /* for job files only; 0: not known */
    bool disk_tier; /* layers may stay on disk; else disk only matters for loading */
    int n_devices;
    struct sw_device *devices; /* (n_devices) */
    int n_ranks;               /* rank i < n_devices drives device i, the others have none */
};

struct sw_cluster {
    int n_nodes;
    struct sw_node *nodes;                 /* (n_nodes), in rank order */
    double link_bandwidth, link_latency;   /* between nodes */
    double local_bandwidth, local_latency; /* between ranks of one node */
};

/* Text or JSON (when it starts with "{"). SW_EINPUT says where and what was expected. */
enum sw_status sw_cluster_parse(const char *text, size_t length, struct sw_cluster *out);
/* The two forms; sw_cluster_parse has initialised *out and frees it on failure. */
enum sw_status sw_cluster_parse_text(const char *text, size_t length, struct sw_cluster *out);
enum sw_status sw_cluster_parse_json(const char *text, size_t length, struct sw_cluster *out);
/* SW_EINPUT, with the form that is wanted, when the text is an mpirun host file and no cluster. */
enum sw_status sw_cluster_refuse_hostfile(const char *text, size_t length);
/* As --cluster takes it: the path of a file with either form, else the text itself. */
enum sw_status sw_cluster_open(const char *text_or_path, struct sw_cluster *out);
/* Appends; what is a default is left out of the text. Parsing gives an equal cluster again. */
void sw_cluster_to_text(const struct sw_cluster *cluster, struct sw_strbuf *out);
void sw_cluster_to_json(const struct sw_cluster *cluster, struct sw_strbuf *out);
/* Appends a node with the defaults, no device and one rank, and returns it (NULL: no memory). */
struct sw_node *sw_cluster_add_node(struct sw_cluster *cluster);
struct sw_device *sw_node_add_device(struct sw_node *node);
/* A cluster without nodes and with the default links. */
void sw_cluster_init(struct sw_cluster *cluster);
enum sw_status sw_cluster_copy(const struct sw_cluster *from, struct sw_cluster *to);
void sw_cluster_free(struct sw_cluster *cluster);
/* All ranks; node by node in the order of the hostfile, so a node's ranks are consecutive. */
int sw_cluster_n_ranks(const struct sw_cluster *cluster);
/* Where rank runs: its node, and its device there (-1: none). */
void sw_cluster_rank(const struct sw_cluster *cluster, int rank, int *node, int *device);

#endif
