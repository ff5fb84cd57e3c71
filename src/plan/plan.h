/*
 * The plan: which layers each rank holds and in which tier, what that takes, how fast it will be.
 * Pure arithmetic over a footprint and a cluster: no I/O, no clock, no device. docs/hardware.md
 * states the cost model; partition.c says how the optimum is found and why it is exact.
 */
#ifndef SW_PLAN_PLAN_H
#define SW_PLAN_PLAN_H

#include "base/status.h"
#include "model/footprint.h"
#include "plan/cluster.h"

#include <stdbool.h>
#include <stdint.h>

/* Of what a request takes, its prompt and its new tokens together. */
enum sw_objective {
    SW_OBJECTIVE_LATENCY,   /* least sum over stages and hops: one sequence */
    SW_OBJECTIVE_THROUGHPUT /* least slowest stage, then least sum: a full pipeline */
};

#define SW_DEFAULT_PROMPT 512 /* tokens of a request that nobody described */
#define SW_DEFAULT_SLOTS 32   /* sequences at once in a batch that nobody described */
#define SW_DEFAULT_NEW 128

#define SW_GPU_CONTEXT_BYTES (600ull << 20)  /* CUDA context, cuBLAS and NCCL of one process */
#define SW_GPU_NCCL_BYTES (128ull << 20)     /* … of which NCCL, by reckoning */
#define SW_GPU_RESERVE_BYTES (256ull << 20)  /* of each GPU: fragmentation, and graphs */
#define SW_RANK_HOST_BYTES (96ull << 20)     /* code, MPI and stacks of one process */
#define SW_NODE_RESERVE_BYTES (512ull << 20) /* of each node: page tables, page cache */

/* Gives the footprint of the same model with the context, slots and weights of other params (the
 * rest follows from these), for advice; the planner frees it. */
typedef enum sw_status sw_footprint_at(void *user, const struct sw_footprint_params *params,
                                       struct sw_footprint *out);

struct sw_plan_options {
    enum sw_objective objective;
    int prompt_tokens; /* of a request: its prompt, at least 1, … */
    int new_tokens;    /* … and what follows; 0: only prompts count */
    int micro_batch;   /* tokens that travel together at decode; 0: 1, or slots per rank */
    int position;      /* earlier positions a decoded token attends to; -1: half the context */
    const int *slices; /* (n_slices) layers per rank by hand; NULL: the planner cuts */
    int n_slices;
    int least;           /* layers that every rank takes at least (slices given: of no meaning) */
    bool no_disk;        /* the disk tier is not to be used, whatever the cluster says */
    int n_ranks;         /* the first so many ranks of the cluster; 0: all */
    uint64_t gpu_memory; /* caps per rank; UINT64_MAX: none */
    uint64_t host_memory;
    uint64_t gpu_context, gpu_reserve, rank_host, node_reserve; /* sw_plan_options_init sets them */
    uint64_t stored_bytes; /* of all layers' weights in the file, for load_s; 0: as in memory */
    sw_footprint_at *footprint_at; /* for advice; may be NULL */
    void *user;
};

/* All in bytes; the tiers' totals are what must fit. */
struct sw_bytes {
    uint64_t weights, kv, embed, head; /* resident; a tied matrix held once counts as embed */
    uint64_t work;                     /* activations, and the last stage's logits */
    uint64_t staging;                  /* of disk layers, and of all that pass through the GPU */
    uint64_t load;                     /* while loading, before staging is needed */
    uint64_t context;                  /* of the process: CUDA context, or code and MPI */
    uint64_t total;                    /* sum, with the larger of staging and load */
};

/*
 * One rank's slice, in this order: n_gpu layers in GPU memory, n_host in host memory run by the
 * CPU (KV in host memory too), n_streamed in host memory copied to the GPU for each use (KV in GPU
 * memory), n_disk read from disk for each use and run by the CPU (KV in host memory).
 */
struct sw_plan_stage {
    int rank, node, device; /* device of the node, -1: none */
    int first, count;       /* count 0: this rank is left out */
    int n_gpu, n_host, n_streamed, n_disk;
    bool embed, head; /* holds the embedding, the head; where: */
    bool embed_on_gpu, head_on_gpu;
    bool stream_prompt; /* host layers are streamed to the GPU when a prompt is fed, … */
    int stream_rows;    /* … from so many rows in a micro-batch on; 0: never */
    struct sw_bytes gpu, host;
    uint64_t disk_bytes; /* weights that stay on disk */
    double step_s;       /* one decode micro-batch, without the hop to the next stage */
    double prompt_s;     /* one chunk of a prompt (sw_plan.prompt_rows tokens) */
    double hop_s;        /* to the next stage (ids back to rank 0 from the last), at decode */
    double prompt_hop_s;
    double load_s;
};

struct sw_prediction {
    double load_s;
    double s_per_token;         /* one sequence: all stages and hops */
    double tokens_per_s;        /* latency: 1 / s_per_token; throughput: of the full pipeline */
    double prompt_tokens_per_s; /* likewise */
    double s_per_request;       /* throughput: by which each adds to the job */
};

enum sw_advice_kind {
    SW_ADVICE_CAPS,    /* without --gpu-memory and --host-memory */
    SW_ADVICE_CONTEXT, /* value: the largest context that fits */
    SW_ADVICE_SLOTS,   /* value: the most slots that fit */
    SW_ADVICE_WEIGHTS, /* format: the largest smaller weight format that fits */
    SW_ADVICE_NODES,   /* value: more nodes like `node` that make it fit */
    SW_ADVICE_DISK,    /* it fits when layers may stay on disk (slow) */
    SW_ADVICE_HOST     /* value: bytes more host memory on `node`, which make it fit */
};

struct sw_advice {
    enum sw_advice_kind kind;
    uint64_t value;
    enum sw_dtype format;
    int node;
    char text[192]; /* "use --context 1024 (of 2048)" */
};

#define SW_MAX_ADVICE 8

struct sw_plan {
    bool fits;
    enum sw_objective objective;
    int micro_batch, position, prompt_rows;
    int n_layers, n_ranks;
    struct sw_plan_stage *stages; /* (n_ranks), stages[r] is rank r's; NULL when it does not fit */
    int n_stages;                 /* with layers */
    int embedding_rank, head_rank;
    struct sw_prediction predicted;
    uint64_t needed, available; /* GPU and host bytes, when it does not fit: the least it takes */
    int n_advice;
    struct sw_advice advice[SW_MAX_ADVICE];
};

void sw_plan_options_init(struct sw_plan_options *options);
/*
 * SW_ENOFIT: fits is false, advice is filled, the message says what is short. SW_EUSAGE: slices
 * that do not match the layers or ranks. On both the plan is to be freed as on success.
 */
enum sw_status sw_plan_make(const struct sw_footprint *footprint, const struct sw_cluster *cluster,
                            const struct sw_plan_options *options, struct sw_plan *out);
/*
 * As sw_plan_make; but when a request takes at most SW_SPREAD longer by a plan that leaves no rank
 * out, or too little for anyone to notice, that one is made: who starts ranks wants them used, and
 * it loads faster and leaves memory free everywhere.
 */
#define SW_SPREAD 0.05
#define SW_UNNOTICED_S 4e-3      /* a new token of one sequence: nobody reads 250 a second */
#define SW_UNNOTICED_FULL_S 1e-3 /* … of a full pipeline, where requests add up */
enum sw_status sw_plan_spread(const struct sw_footprint *footprint,
                              const struct sw_cluster *cluster,
                              const struct sw_plan_options *options, struct sw_plan *out);
/* Predicts the plan's speed anew, for a cluster whose links have other speeds. */
enum sw_status sw_plan_predict(const struct sw_footprint *footprint,
                               const struct sw_cluster *cluster,
                               const struct sw_plan_options *options, struct sw_plan *plan);
void sw_plan_free(struct sw_plan *plan);
/* Every invariant, bytes and seconds computed anew. A broken one is our bug: names it in `why`. */
bool sw_plan_check(const struct sw_plan *plan, const struct sw_footprint *footprint,
                   const struct sw_cluster *cluster, const struct sw_plan_options *options,
                   char *why, size_t cap);

#endif
