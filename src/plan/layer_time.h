/*
 * The time of one layer on one rank, from what a micro-batch reads and computes there, in each
 * tier. The formulas are stated in docs/hardware.md. Internal to src/plan/.
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

/* Seconds of one micro-batch. by_gpu: a host layer is streamed to the GPU for it; a disk layer has
 * the GPU run it. */
double sw_layer_time(const struct sw_cost *cost, const struct sw_rank_resources *resources,
                     const struct sw_layer_footprint *layer, enum sw_tier tier, bool by_gpu,
                     const struct sw_load *load);

#endif
