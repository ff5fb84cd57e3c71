/*
 * The time of one layer on one rank, from what a micro-batch reads and computes there, in each
 * tier, and of what else a rank does. The formulas are stated in docs/hardware.md. Internal to
 * src/plan/.
 */
#ifndef SW_PLAN_LAYER_TIME_H
#define SW_PLAN_LAYER_TIME_H

#include "plan/cost.h"

/* A micro-batch: decoded tokens, or a chunk of prompts. */
struct sw_load {
    double rows;     /* tokens of the micro-batch */
    double position; /* positions that a decoded token attends to without a window */
    double prompt;   /* tokens of each prompt, whose chunks count as equal; 0: decode */
};
struct sw_load sw_decode_load(const struct sw_cost *cost);
struct sw_load sw_prompt_load(const struct sw_cost *cost, int rows);
/* Tokens of a request's prompt, at least 1. */
int sw_prompt_tokens(const struct sw_cost *cost);

/* Where a layer is and what runs it. */
struct sw_place {
    enum sw_tier tier;
    bool by_gpu; /* a host layer is streamed to the GPU; a disk layer has the GPU run it */
    int cached;  /* of a disk or streamed layer: experts that are kept, or SW_READ_WHOLE */
};

/*
 * What a layer in host memory asks for in one micro-batch, in seconds: of the device that computes
 * it; of the bus, where it is streamed; of host memory, from which CPU and bus read. Layers of both
 * kinds take turns, and while the CPU computes one the next ones pass over the bus: all of them
 * take as long as the part of which there is most.
 */
struct sw_layer_parts {
    double computing, bus, memory;
};
struct sw_layer_parts sw_layer_parts(const struct sw_cost *cost,
                                     const struct sw_rank_resources *resources,
                                     const struct sw_layer_footprint *layer, struct sw_place place,
                                     const struct sw_load *load);
/* Seconds of one micro-batch, for layers in host memory if all are like this one. */
double sw_layer_time(const struct sw_cost *cost, const struct sw_rank_resources *resources,
                     const struct sw_layer_footprint *layer, struct sw_place place,
                     const struct sw_load *load);
/* Bytes that a disk layer keeps in memory, or a streamed one on the GPU: without experts, or moved
 * whole, none. */
uint64_t sw_layer_resident(const struct sw_layer_footprint *layer, int cached);
/* Bytes of a disk or streamed layer's weights, as in memory, that move for a micro-batch of so many
 * rows. */
double sw_layer_moved_bytes(const struct sw_cost *cost, const struct sw_layer_footprint *layer,
                            int cached, double rows);
/* The share of the choices of experts that are of kept ones. */
double sw_layer_hits(const struct sw_cost *cost, const struct sw_layer_footprint *layer,
                     int cached);

/* Seconds of the embedding, of the head (of a prompt, only the last token is sampled), and of a
 * hand-over between GPU and CPU. */
double sw_embed_time(const struct sw_cost *cost, const struct sw_rank_resources *resources,
                     bool on_gpu, double rows);
double sw_head_time(const struct sw_cost *cost, const struct sw_rank_resources *resources,
                    bool on_gpu, const struct sw_load *load);
double sw_crossing_time(const struct sw_cost *cost, const struct sw_rank_resources *resources,
                        double rows);

#endif
