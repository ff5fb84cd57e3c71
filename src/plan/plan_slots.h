/*
 * How many sequences a job has under way at once, and how many tokens a chunk of its prompts has.
 * Where weights move for each pass, over the bus or from disk, a pass costs about the same for one
 * row or hundreds; but keys and values of more sequences, and room for longer chunks, leave less
 * memory for weights, of which more move then. So both are chosen by the plans' own predictions.
 */
#ifndef SW_PLAN_PLAN_SLOTS_H
#define SW_PLAN_PLAN_SLOTS_H

#include "plan/plan.h"

/*
 * Makes the footprint of the model for so many slots and at most so many tokens in a micro-batch;
 * params of *out say how many these became. The caller frees *out.
 */
typedef enum sw_status sw_footprint_for(void *user, int slots, int chunk, struct sw_footprint *out);

struct sw_slots_range {
    int usual; /* slots where no weights move */
    int most;  /* most slots, at least the usual ones */
    int chunk; /* usual tokens of a chunk */
    bool fixed_chunk;
    sw_footprint_for *footprint;
    void *user;
};

/* What is tried: slots up to SW_SLOTS_LARGEST, with as many groups (micro-batches under way) as
 * ranks and with one, which reads weights once for all slots; then, with the best of these,
 * multiples of the usual chunk. Plans are rough ones (struct sw_plan_options) until
 * the choice is made. */
#define SW_SLOTS_LARGEST 1024
#define SW_SLOTS_CANDIDATES                                                                        \
    {                                                                                              \
        1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768,                \
            SW_SLOTS_LARGEST                                                                       \
    }
#define SW_CHUNK_CANDIDATES                                                                        \
    {                                                                                              \
        0.25, 0.5, 1, 2, 4                                                                         \
    }
/* Of candidates that take at most so much longer than the best, the one nearest to the usual slots
 * (and then with the more groups), or to the usual chunk, is taken. */
#define SW_SLOTS_TOLERANCE 0.02

/*
 * Makes footprint and plan (sw_plan_spread) of a job. If the usual slots fit and no weights move,
 * with them; else with the candidates whose requests take least time (s_per_request), and for want
 * of such with one slot. Sets options->groups. SW_ENOFIT as sw_plan_make, with the advice for one
 * slot. The caller frees both, on failure too.
 */
enum sw_status sw_plan_slots(const struct sw_slots_range *range, const struct sw_cluster *cluster,
                             struct sw_plan_options *options, struct sw_footprint *footprint,
                             struct sw_plan *plan);

#endif
