/*
 * The cost model: bytes and time of one stage on one rank, exact and in integers, so that sums do
 * not depend on their order and ties are ties. Internal to src/plan/.
 */
#ifndef SW_PLAN_COST_H
#define SW_PLAN_COST_H

#include "plan/plan.h"

typedef int64_t sw_ps; /* picoseconds; one layer at most SW_PS_MAX, so no sum overflows */
#define SW_PS_MAX ((sw_ps)1 << 50)
#define SW_PS_NEVER (INT64_MAX / 4)
#define SW_MAX_LAYERS 1024
#define SW_CROSSING_LATENCY 10e-6 /* a hand-over between GPU and CPU inside a rank */
#define SW_LAYER_LAUNCHES 8       /* kernels of a layer on a GPU (tests/gpulib/test_launches.c) */

/* What one rank has, after reserves and caps, and its share of what its node's ranks share. */
struct sw_rank_resources {
    int node, device;           /* device -1: none */
    uint64_t gpu_cap, host_cap; /* of this rank alone */
    uint64_t even_cap;          /* of host_cap, what an even share of the node allows */
    int sharers;                /* ranks of the node */
    double gpu_bw, gpu_flops, gpu_attend, gpu_launch;
    double host_bw, cpu_flops, cpu_attend, bus_bw, disk_bw;
    bool disk;
    int kind; /* places of one kind are equal but for rank, node and device */
};

/*
 * Per kind of place, times in the objective's measure (see struct sw_cost); of layers as prefix
 * sums, (n_layers + 1). Where there are two, [1] is for stages that stream host layers for prompts.
 */
struct sw_kind {
    const struct sw_rank_resources *place; /* the first of its kind */
    sw_ps *gpu, *host[2], *streamed, *disk;
    sw_ps *least[2];                 /* off the GPU, wherever it takes least */
    sw_ps embed[2], head[2];         /* [on GPU] */
    sw_ps crossing, prompt_crossing; /* at decode, with a prompt */
    sw_ps stream_costs[2]; /* every layer takes longer streamed than least[] by so much; or 0 */
    bool gpu_wins[2];      /* every layer is no slower on the GPU than anywhere else */
    bool stream_loses[2];  /* every layer is slower streamed than as a host layer by 3 crossings */
    bool disk_loses[2];    /* no layer is faster from disk than as a host layer */
    bool prompt_loses;     /* every layer's prompts are slower streamed by 3 crossings */
};

/* Between ranks: the hidden state over local and over network links, and token ids. */
struct sw_hops {
    sw_ps local, link, local_ids, link_ids;
};

struct sw_cost {
    const struct sw_footprint *fp;
    const struct sw_plan_options *options;
    const struct sw_cluster *cluster;
    int n_layers, n_ranks, n_nodes, n_kinds, micro_batch, position;
    /* What is minimised is step_share * a decode step + prompt_share * a prompt's chunk of
       prompt_rows tokens: what a request takes (docs/hardware.md), per step. */
    int prompt_rows;
    double prompt_chunks; /* of a request; several may share one */
    double step_share, prompt_share;
    bool uniform;                        /* all layers are alike */
    struct sw_rank_resources *resources; /* (n_ranks) */
    struct sw_kind *kinds;               /* (n_kinds) */
    uint64_t *node_cap;                  /* (n_nodes) host bytes all ranks of the node share */
    uint64_t *weights, *kv;              /* prefix sums, (n_layers + 1) */
    uint64_t max_weight, max_kv;
    uint64_t stream_bytes; /* buffers on a GPU for streamed layers; with their KV in host memory,
                              max_kv besides */
    uint64_t bounce_bytes; /* host buffers of a rank with a GPU for what travels by MPI */
    double disk_scale;     /* bytes in the file per byte in memory */
    struct sw_hops step, goal; /* at decode; in the objective's measure */
};

/* A way to hold layers [first, first + gpu + host + streamed + disk). */
struct sw_split {
    int gpu, host, streamed, disk;
    bool embed_on_gpu, head_on_gpu;
    bool stream_prompt; /* then there are host layers */
    uint64_t host_bytes;
    sw_ps time;
};

enum sw_status sw_cost_init(struct sw_cost *cost, const struct sw_footprint *fp,
                            const struct sw_cluster *cluster,
                            const struct sw_plan_options *options);
void sw_cost_free(struct sw_cost *cost);

/* The fastest split with at most host_cap host bytes (then: the least host bytes). False: none. */
bool sw_cost_fastest(const struct sw_cost *cost, int kind, int first, int count, uint64_t host_cap,
                     struct sw_split *out);
/*
 * All splits that no other beats in both host bytes and time, by rising host bytes; at most cap.
 * Appends to a growing array; SW_ENOMEM.
 */
struct sw_splits {
    struct sw_split *items;
    int count, capacity;
};
enum sw_status sw_splits_add(struct sw_splits *list, const struct sw_split *split);
enum sw_status sw_cost_frontier(const struct sw_cost *cost, int kind, int first, int count,
                                uint64_t host_cap, struct sw_splits *out);

/* `hops` is of the cost. `from` -1: rank 0 to the first stage; `to` -1: back to rank 0. */
sw_ps sw_cost_hop(const struct sw_cost *cost, const struct sw_hops *hops, int from, int to);
/* Fills bytes and seconds of a stage from its rank, slices and flags, by plain sums over layers. */
void sw_cost_stage(const struct sw_cost *cost, struct sw_plan_stage *stage);

/* Fills hop_s, prompt_hop_s and load_s of all stages, and the prediction. */
void sw_cost_finish(const struct sw_cost *cost, struct sw_plan *plan);

/* What rank r holds in the optimum; count 0: it is left out. */
struct sw_slice {
    int first, count;
    struct sw_split split;
};
/* Fills slices (n_ranks). SW_ENOFIT without a message: there is no plan. See partition.c. */
enum sw_status sw_partition(const struct sw_cost *cost, struct sw_slice *slices);

#endif
