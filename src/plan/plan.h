/*
 * The plan: which layers each rank holds and in which tier, how much memory that takes, and how
 * fast it will be. Pure arithmetic over a footprint and a cluster: no I/O, no clock, no device.
 * docs/hardware.md states the cost model; partition.c says how the optimum is found and why it is
 * exact.
 */
#ifndef SW_PLAN_PLAN_H
#define SW_PLAN_PLAN_H

#include "base/status.h"
#include "model/footprint.h"
#include "plan/cluster.h"
#include "tensor/tier.h"

#include <stdbool.h>
#include <stdint.h>

/* What a plan minimises of the time of a request, prompt and new tokens together. */
enum sw_objective {
    SW_OBJECTIVE_LATENCY,   /* the sum over stages and hops, for one sequence */
    SW_OBJECTIVE_THROUGHPUT /* the slowest stage, then the sum, for a full pipeline */
};

/* Defaults for what the user does not give. */
#define SW_DEFAULT_PROMPT 512 /* tokens of a request's prompt */
#define SW_DEFAULT_NEW 128    /* new tokens of a request */
#define SW_DEFAULT_SLOTS 32   /* sequences at once in a batch */

#define SW_GPU_CONTEXT_BYTES (600ull << 20)  /* CUDA context, cuBLAS and NCCL of one process */
#define SW_GPU_NCCL_BYTES (128ull << 20)     /* part of the context bytes: NCCL, estimated */
#define SW_GPU_RESERVE_BYTES (256ull << 20)  /* of each GPU: fragmentation and graphs */
#define SW_RANK_HOST_BYTES (96ull << 20)     /* code, MPI and stacks of one process */
#define SW_NODE_RESERVE_BYTES (512ull << 20) /* of each node at most: page tables, page cache */

/*
 * For advice: makes the footprint of the same model with the context, slots and weights of
 * `params`; its other fields follow from these. The planner frees *out.
 */
typedef enum sw_status sw_footprint_at(void *user, const struct sw_footprint_params *params,
                                       struct sw_footprint *out);

struct sw_plan_options {
    enum sw_objective objective;
    int prompt_tokens; /* tokens of a request's prompt, at least 1 */
    int new_tokens;    /* new tokens of a request; 0: only prompts count */
    int micro_batch;   /* tokens of a micro-batch at decode; 0: 1, or slots per group */
    int groups;        /* throughput: micro-batches under way; 0: as many as ranks */
    int position;      /* earlier positions a decoded token attends to; -1: half the context */
    const int *slices; /* (n_slices) layers per rank by hand; NULL: the planner cuts */
    int n_slices;
    int least;      /* fewest layers that every rank takes; ignored with slices */
    bool rough;     /* ranks share their node's host memory evenly, where that fits: sooner found */
    bool no_advice; /* SW_ENOFIT without advice and message */
    bool no_disk;   /* do not use the disk tier, even if the cluster has it */
    bool no_disk_gpu;    /* disk layers are run by CPUs only */
    bool no_experts;     /* disk and streamed layers move whole, not by expert */
    bool no_gpu_experts; /* those that a GPU runs do */
    /* (n_popularity) shares of the choices of experts, of the most popular one first, for all
     * layers with so many experts; NULL: all are alike. */
    const double *popularity;
    int n_popularity;
    int n_ranks;          /* use the first so many ranks of the cluster; 0: all */
    uint64_t gpu_memory;  /* most bytes of GPU memory of each rank; UINT64_MAX: no limit */
    uint64_t host_memory; /* most bytes of host memory of each rank; UINT64_MAX: no limit */
    /* Bytes kept free or used by the process; sw_plan_options_init sets the constants above.
     * Of a node's memory at most an eighth is kept: sw_node_reserve. */
    uint64_t gpu_context, gpu_reserve, rank_host, node_reserve;
    uint64_t stored_bytes;         /* bytes of all layers' weights in the file; 0: as in memory */
    sw_footprint_at *footprint_at; /* for advice; may be NULL */
    void *user;                    /* first argument of footprint_at */
};

/* Bytes of one stage in GPU or in host memory. */
struct sw_bytes {
    uint64_t weights, kv, embed, head; /* resident; a tied matrix held once counts as embed */
    uint64_t work;                     /* activations, and logits of the last stage */
    uint64_t staging;                  /* buffers of disk layers and of streamed layers */
    uint64_t load;                     /* buffers while loading, before staging is needed */
    uint64_t context;                  /* of the process: CUDA context, or code and MPI */
    uint64_t total;                    /* the sum, with the larger of staging and load */
};

/* One rank's slice of the layers. */
struct sw_plan_stage {
    int rank, node;
    int device;            /* index of the device on its node; -1: none */
    int first, count;      /* layers; count 0: this rank is left out */
    struct sw_tiers tiers; /* where its layers are */
    bool embed, head;      /* it holds the embedding; it holds the head */
    bool stream_prompt;    /* host layers are streamed to the GPU for prompts: stream_rows > 0 */
    struct sw_bytes gpu, host;
    uint64_t disk_bytes; /* bytes of weights that stay on disk */
    double disk_read;    /* bytes of files that a decode micro-batch reads */
    double expert_hits; /* of layers by expert: the share of the choices of experts that are kept */
    double step_s;      /* seconds of a decode micro-batch, without the hop to the next stage */
    double prompt_s;    /* seconds of a chunk of a prompt (sw_plan.prompt_rows tokens) */
    int hidden_rows;    /* most rows of prompts that hide behind a decode micro-batch */
    double hop_s;       /* seconds to the next stage, or of ids back to rank 0, at decode */
    double prompt_hop_s; /* seconds to the next stage, or of ids back to rank 0, for a chunk */
    double load_s;       /* seconds to load its weights */
};

struct sw_prediction {
    double load_s;              /* seconds until all stages are loaded */
    double s_per_token;         /* seconds of a token of one sequence: all stages and hops */
    double tokens_per_s;        /* latency: 1 / s_per_token; throughput: of the full pipeline */
    double prompt_tokens_per_s; /* latency: of one prompt; throughput: of the full pipeline */
    double s_per_request;       /* throughput: seconds by which a request lengthens the job */
    double disk_bytes;          /* bytes that all ranks read from files for each new token */
};

enum sw_advice_kind {
    SW_ADVICE_CAPS,    /* leave out --gpu-memory and --host-memory */
    SW_ADVICE_CONTEXT, /* value: the largest context that fits */
    SW_ADVICE_SLOTS,   /* value: the most slots that fit */
    SW_ADVICE_WEIGHTS, /* format: the largest smaller weight format that fits */
    SW_ADVICE_NODES,   /* value: more nodes like `node` that make it fit */
    SW_ADVICE_DISK,    /* allow layers to stay on disk (slow) */
    SW_ADVICE_HOST     /* value: more bytes of host memory on `node` that make it fit */
};

struct sw_advice {
    enum sw_advice_kind kind;
    uint64_t value;
    enum sw_format_id format;
    int node;
    char text[192]; /* "use --context 1024 (of 2048)" */
};

#define SW_MAX_ADVICE 8
#define SW_HIDDEN 0.1

struct sw_plan {
    bool fits;
    enum sw_objective objective;
    int micro_batch, position; /* as in the options, defaults filled in */
    int prompt_rows;           /* tokens of a prompt's chunk */
    /* Rows of prompts that hide behind a decode micro-batch on every stage: which take at most
     * SW_HIDDEN longer, as most time is that of weights, which are read or moved once for both. */
    int hidden_rows;
    int n_layers, n_ranks;
    struct sw_plan_stage *stages; /* (n_ranks), stages[r] is rank r's; NULL when it does not fit */
    int n_stages;                 /* number of stages with layers */
    int embedding_rank, head_rank;
    struct sw_prediction predicted;
    uint64_t needed, available; /* bytes of GPU and host memory, when the model does not fit */
    int n_advice;
    struct sw_advice advice[SW_MAX_ADVICE];
};

/* Sets the defaults. */
void sw_plan_options_init(struct sw_plan_options *options);
/* What a node keeps of so many free bytes of host memory, and the fewest free bytes that leave
 * `bytes` after that. */
uint64_t sw_node_reserve(const struct sw_plan_options *o, uint64_t free);
uint64_t sw_node_with_reserve(const struct sw_plan_options *o, uint64_t bytes);
/*
 * Makes the best plan. SW_ENOFIT when there is none: fits is false, advice is filled, the message
 * states what is short. SW_EUSAGE when slices do not match the layers or ranks. The caller frees
 * *out with sw_plan_free, on failure too.
 */
enum sw_status sw_plan_make(const struct sw_footprint *footprint, const struct sw_cluster *cluster,
                            const struct sw_plan_options *options, struct sw_plan *out);
/*
 * As sw_plan_make, but prefers a plan that leaves no rank out when a request takes at most
 * SW_SPREAD longer with it, or too little longer to notice: users expect the ranks they start to be
 * used, and such a plan loads faster and leaves memory free everywhere.
 */
#define SW_SPREAD 0.05
/* Seconds for each new token that are too little to notice, for one sequence (250 tokens a second
 * are enough), and in a full pipeline, where requests add up. */
#define SW_UNNOTICED_S 4e-3
#define SW_UNNOTICED_FULL_S 1e-3
enum sw_status sw_plan_spread(const struct sw_footprint *footprint,
                              const struct sw_cluster *cluster,
                              const struct sw_plan_options *options, struct sw_plan *out);
/* Predicts the plan's speed again, for a cluster whose links have other speeds. */
enum sw_status sw_plan_predict(const struct sw_footprint *footprint,
                               const struct sw_cluster *cluster,
                               const struct sw_plan_options *options, struct sw_plan *plan);
void sw_plan_free(struct sw_plan *plan);
/*
 * Checks every invariant of a plan, with bytes and seconds computed again. false: one is broken,
 * which is a bug of the planner; `why` names it.
 */
bool sw_plan_check(const struct sw_plan *plan, const struct sw_footprint *footprint,
                   const struct sw_cluster *cluster, const struct sw_plan_options *options,
                   char *why, size_t cap);

#endif
