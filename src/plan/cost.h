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
static inline sw_ps sw_to_ps(double seconds)
{
    const double ps = seconds * 1e12;
    return ps < (double)SW_PS_MAX ? (sw_ps)(ps + 0.5) : SW_PS_MAX;
}
#define SW_MAX_LAYERS 1024
#define SW_CROSSING_LATENCY 10e-6 /* seconds to hand over between GPU and CPU inside a rank */
#define SW_LAYER_LAUNCHES 8       /* kernels of a layer on a GPU (tests/gpulib/test_launches.c) */

/* The resources of one rank after reserves and caps, with its share of what its node's ranks share.
 */
struct sw_rank_resources {
    int node, device;           /* device -1: none */
    uint64_t gpu_cap, host_cap; /* bytes that this rank may use if it were alone on its node */
    uint64_t even_cap;          /* bytes of host memory with an even share of the node's */
    int sharers;                /* number of ranks of the node */
    double gpu_bw, gpu_flops, gpu_attend, gpu_launch;       /* as in struct sw_device */
    double host_bw, cpu_flops, cpu_attend, bus_bw, disk_bw; /* bytes or flops per second */
    double both_bw;                                         /* at least host_bw and bus_bw */
    double cpu_attend_decode;                               /* cpu_attend where it is not known */
    bool disk;                                              /* layers may stay on disk */
    int kind; /* resources of one kind are equal but for node and device */
};

/*
 * A way in which a rank runs its host and disk layers: host layers are streamed to the GPU for
 * prompts (bit SW_WAY_PROMPT) or not, disk layers are run by the GPU (SW_WAY_DISK) or the CPU, and
 * read in one of the units of struct sw_cost (times SW_WAY_UNIT).
 */
#define SW_UNITS 17 /* whole layers, and at most so many numbers of kept experts less one */
enum { SW_WAY_PROMPT = 1, SW_WAY_DISK = 2, SW_WAY_UNIT = 4, SW_WAYS = SW_WAY_UNIT * SW_UNITS };
#define SW_READ_WHOLE (-1) /* in place of a number of kept experts */

/*
 * Sums of what layers in host memory ask for (struct sw_layer_parts): all of them take as long as
 * the largest one. Where some are run by the CPU and others pass over the bus, a 20th more: what a
 * perfect overlap would miss, and so much they have to be faster by together to be chosen.
 */
struct sw_parts {
    sw_ps computing, bus, memory;
};
#define SW_BOTH_LOSS 20
static inline sw_ps sw_parts_time(struct sw_parts sums, bool both)
{
    sw_ps t = sums.computing > sums.bus ? sums.computing : sums.bus;
    t = t > sums.memory ? t : sums.memory;
    return both ? t + t / SW_BOTH_LOSS : t;
}
/* Whose parts: of a layer in host memory at decode, and with a prompt, where host layers may pass
 * over the bus. */
enum sw_asking {
    SW_STEP_HOST,
    SW_STEP_STREAMED,
    SW_PROMPT_HOST,
    SW_PROMPT_STREAMED,
    SW_PROMPT_PASSING,
    SW_ASKING
};

/*
 * Times of one kind of rank resources, in the objective's measure (see struct sw_cost). Pointers
 * are prefix sums over layers, (n_layers + 1). Arrays of SW_WAYS are by way; of two, but for
 * embed and head, by its bit: host, host_beside, stream_loses and disk_loses by SW_WAY_PROMPT. disk
 * is by way / SW_WAY_DISK, streamed by way / SW_WAY_UNIT. stream_loses is about whole layers,
 * disk_loses about whole disk layers on the CPU. What whole layers in host memory take is no sum of
 * theirs, so least, floor and the costs are of lower bounds there (kinds.c).
 */
struct sw_kind {
    const struct sw_rank_resources *resources; /* the first of this kind */
    sw_ps *gpu, *disk[2 * SW_UNITS];           /* of layers in these tiers */
    sw_ps *streamed[SW_UNITS];                 /* [0]: at least; [1] and on: by expert */
    sw_ps *host[2], *host_beside[2];           /* at least: alone, and beside streamed ones */
    struct sw_parts *parts[SW_ASKING];         /* of layers in host memory that move whole */
    sw_ps *least[SW_WAYS];                     /* of layers in the fastest tier but the GPU */
    sw_ps *floor[SW_WAYS];                     /* of layers in the fastest tier */
    sw_ps embed[2], head[2];                   /* [0] on the CPU, [1] on the GPU */
    sw_ps crossing, prompt_crossing;           /* one hand-over at decode, and with a prompt */
    sw_ps
        stream_costs[SW_WAYS]; /* least time by which a streamed layer is slower than in least[] */
    sw_ps disk_costs[SW_WAYS]; /* least time by which a disk layer is slower than in least[] */
    bool gpu_wins[SW_WAYS];    /* every layer is no slower on the GPU than in any other tier */
    bool stream_loses[2]; /* every layer is slower streamed than as a host layer by 3 crossings */
    bool disk_loses[2];   /* no layer is faster from disk than as a host layer */
    bool prompt_loses;    /* every layer's prompts are slower streamed by 3 crossings */
};

/* Times of a hop over local links and over links between nodes. */
struct sw_hops {
    sw_ps local, link;         /* for hidden states */
    sw_ps local_ids, link_ids; /* for token ids */
};

struct sw_cost {
    const struct sw_footprint *fp;
    const struct sw_plan_options *options;
    const struct sw_cluster *cluster;
    int n_layers, n_ranks, n_nodes, n_kinds;
    int groups; /* micro-batches under way; 0: as many as ranks, or for latency one */
    int micro_batch, position; /* as in struct sw_plan_options, defaults filled in */
    /*
     * The objective's measure is step_share * a decode step + prompt_share * a chunk of prompt_rows
     * tokens: the time of a request (docs/hardware.md), divided by its steps.
     */
    int prompt_rows;
    double prompt_chunks; /* chunks of a request; below 1 when requests share a chunk */
    double step_share, prompt_share;
    int n_units, n_ways; /* ways are below SW_WAY_UNIT * n_units */
    /* Experts that are kept of each disk layer, and on the GPU of each streamed one: [0]
     * SW_READ_WHOLE, [1] none, and so on. */
    int cached[SW_UNITS];
    uint64_t *resident[SW_UNITS];        /* (n_layers + 1) prefix sums of what these layers keep */
    bool uniform;                        /* all layers are equal */
    bool kv_alike;                       /* their KV caches are */
    struct sw_rank_resources *resources; /* (n_ranks) */
    struct sw_kind *kinds;               /* (n_kinds) */
    uint64_t *node_cap;                  /* (n_nodes) host bytes that the node's ranks share */
    uint64_t *weights, *kv;              /* (n_layers + 1) prefix sums of bytes over layers */
    uint64_t max_weight, max_kv;         /* bytes of the largest layer */
    uint64_t stream_bytes;               /* GPU buffers for streamed layers */
    /* Read whole, and by expert: the same where only disk layers go through them; host buffers of a
     * rank with disk layers. */
    uint64_t disk_stream_bytes[2], disk_bytes[2];
    uint64_t pass_bytes;   /* so many more for host layers that are streamed for prompts */
    uint64_t bounce_bytes; /* host buffers of a rank with a GPU for activations sent by MPI */
    double disk_scale;     /* bytes in the file for each byte in memory */
    struct sw_hops step;   /* hops at decode */
    struct sw_hops goal;   /* hops in the objective's measure */
};

/* How a rank holds consecutive layers. */
struct sw_split {
    struct sw_tiers tiers; /* without stream_rows */
    int unit;              /* index of sw_cost.cached: as by_expert and cached_experts of tiers */
    bool stream_prompt;    /* host layers, of which there are some, are streamed for prompts */
    uint64_t host_bytes;
    sw_ps time; /* in the objective's measure */
};

/*
 * Fills *cost, which keeps the pointers it is given; the caller calls sw_cost_free, on failure too.
 * SW_EMODEL and SW_EUSAGE when layers or ranks are out of range; SW_ENOMEM.
 */
enum sw_status sw_cost_init(struct sw_cost *cost, const struct sw_footprint *fp,
                            const struct sw_cluster *cluster,
                            const struct sw_plan_options *options);
void sw_cost_free(struct sw_cost *cost);
/* Whether one stage works at a time, so that it has what ranks share for itself, and the sum of the
 * stages counts instead of the slowest one. */
static inline bool sw_cost_alone(const struct sw_cost *c)
{
    return c->options->objective == SW_OBJECTIVE_LATENCY || c->groups == 1;
}
/* The tables of a cost whose other fields are filled (kinds.c). SW_ENOMEM. */
enum sw_status sw_kinds_init(struct sw_cost *cost);
void sw_kinds_free(struct sw_cost *cost);

/* The time of a decode step and of a chunk of a prompt in the objective's measure. */
static inline sw_ps sw_cost_measure(const struct sw_cost *c, double step_s, double prompt_s)
{
    return sw_to_ps(c->step_share * step_s + c->prompt_share * prompt_s);
}

/*
 * The fastest split of layers [first, first + count) on a rank of this kind with at most host_cap
 * host bytes; of equally fast ones that with the fewest host bytes. False: there is none.
 */
bool sw_cost_fastest(const struct sw_cost *cost, int kind, int first, int count, uint64_t host_cap,
                     struct sw_split *out);
/* A growing array of splits; the caller frees items. */
struct sw_splits {
    struct sw_split *items; /* (count) */
    int count, capacity;
};
/* Appends a split. SW_ENOMEM. */
enum sw_status sw_splits_add(struct sw_splits *list, const struct sw_split *split);
/*
 * Appends all splits with at most host_cap host bytes that no other beats in both host bytes and
 * time, by rising host bytes. SW_ENOMEM.
 */
enum sw_status sw_cost_frontier(const struct sw_cost *cost, int kind, int first, int count,
                                uint64_t host_cap, struct sw_splits *out);

/* The time of a hop; `from` -1: from rank 0 to the first stage; `to` -1: back to rank 0. */
sw_ps sw_cost_hop(const struct sw_cost *cost, const struct sw_hops *hops, int from, int to);
/* Bytes of the GPU buffers that layers pass through. */
uint64_t sw_cost_gpu_staging(const struct sw_cost *cost, const struct sw_tiers *tiers,
                             bool stream_prompt);
/* Fills bytes and seconds of a stage from its rank, layers and flags, by plain sums over layers. */
void sw_cost_stage(const struct sw_cost *cost, struct sw_plan_stage *stage);

/* Fills hop_s, prompt_hop_s and load_s of all stages, and plan->predicted. */
void sw_cost_finish(const struct sw_cost *cost, struct sw_plan *plan);

/* The layers of a rank in the optimum; count 0: the rank is left out. */
struct sw_slice {
    int first, count;
    struct sw_split split;
};
/* Fills slices (n_ranks) with the optimum (partition.c). SW_ENOFIT, without a message, when none
 * fits. */
enum sw_status sw_partition(const struct sw_cost *cost, struct sw_slice *slices);

#endif
