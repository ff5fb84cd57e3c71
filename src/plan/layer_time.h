/*
 * Seconds of one layer on one rank: what a micro-batch reads and computes there, in every tier. The
 * formulas are stated in docs/hardware.md. Internal to src/plan/.
 */
#ifndef SW_PLAN_LAYER_TIME_H
#define SW_PLAN_LAYER_TIME_H

#include "plan/cost.h"

/* A micro-batch: of decoded tokens, or a chunk of prompts. */
struct sw_load {
    double rows;     /* tokens */
    double position; /* of a decoded token: how many it sees without a window */
    double prompt;   /* tokens of each prompt, whose chunks are taken for equal; 0: decoding */
};

/* SW_TIER_PASSING: a host layer that is streamed for a prompt. */
enum sw_tier {
    SW_TIER_GPU,
    SW_TIER_HOST,
    SW_TIER_STREAMED,
    SW_TIER_PASSING,
    SW_TIER_DISK,
    SW_N_TIERS
};

double sw_layer_time(const struct sw_cost *cost, const struct sw_rank_resources *place,
                     const struct sw_layer_footprint *layer, enum sw_tier tier,
                     const struct sw_load *load);

#endif
