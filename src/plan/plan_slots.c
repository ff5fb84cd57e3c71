/* Owns the choice of slots and chunk: plans with all candidates, and takes the best. */
#include "plan/plan_slots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int slots_of[] = SW_SLOTS_CANDIDATES;
static const double chunk_of[] = SW_CHUNK_CANDIDATES;
#define N_SLOTS (sizeof slots_of / sizeof slots_of[0])
#define N_CHUNKS (sizeof chunk_of / sizeof chunk_of[0])

struct slots_choice {
    int slots, chunk;
    double seconds; /* of a request */
};

struct slots_list {
    struct slots_choice items[N_SLOTS * N_CHUNKS];
    int count;
};

/* Whether some layers' weights come over the bus or from disk for each pass. */
static bool weights_move(const struct sw_plan *plan)
{
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        if (s->tiers.n_streamed || s->tiers.n_disk || s->stream_prompt)
            return true;
    }
    return false;
}

/* Whether the usual slots fit so that no weights move; then footprint and plan are made. */
static enum sw_status slots_usual(const struct sw_slots_range *range,
                                  const struct sw_cluster *cluster,
                                  const struct sw_plan_options *options,
                                  struct sw_footprint *footprint, struct sw_plan *plan, bool *good)
{
    struct sw_plan_options memory = *options;
    memory.no_disk = memory.no_advice = true;
    SW_TRY(range->footprint(range->user, range->usual, range->chunk, footprint));
    const enum sw_status status = sw_plan_spread(footprint, cluster, &memory, plan);
    *good = status == SW_OK && !weights_move(plan);
    if (*good)
        return SW_OK;
    sw_plan_free(plan);
    sw_footprint_free(footprint);
    if (status != SW_ENOFIT)
        return status;
    sw_error_clear();
    return SW_OK;
}

/* Adds the candidates with this chunk; more slots than do not fit need not be tried. */
static enum sw_status slots_try_chunk(const struct sw_slots_range *range,
                                      const struct sw_cluster *cluster,
                                      const struct sw_plan_options *options, int chunk,
                                      struct slots_list *list)
{
    enum sw_status status = SW_OK;
    for (size_t i = 0; status == SW_OK && i < N_SLOTS && slots_of[i] <= range->most; i++) {
        struct sw_footprint footprint;
        struct sw_plan plan;
        SW_TRY(range->footprint(range->user, slots_of[i], chunk, &footprint));
        status = sw_plan_make(&footprint, cluster, options, &plan);
        if (status == SW_OK)
            list->items[list->count++] =
                (struct slots_choice){slots_of[i], chunk, plan.predicted.s_per_request};
        sw_plan_free(&plan);
        sw_footprint_free(&footprint);
    }
    return status == SW_ENOFIT ? SW_OK : status;
}

static double slots_distance(double a, double b)
{
    return fabs(log(a / b));
}

/* The best candidate, or of about equally good ones that nearest to what is usual. */
static struct slots_choice slots_best(const struct sw_slots_range *range,
                                      const struct slots_list *list)
{
    double least = INFINITY;
    const struct slots_choice *best = NULL;
    for (int i = 0; i < list->count; i++)
        least = fmin(least, list->items[i].seconds);
    for (int i = 0; i < list->count; i++) {
        const struct slots_choice *one = &list->items[i];
        if (one->seconds > least * (1 + SW_SLOTS_TOLERANCE))
            continue;
        const double slots = slots_distance(one->slots, range->usual);
        const double of_best = best ? slots_distance(best->slots, range->usual) : INFINITY;
        if (slots < of_best || (slots == of_best && slots_distance(one->chunk, range->chunk) <
                                                        slots_distance(best->chunk, range->chunk)))
            best = one;
    }
    return best ? *best : (struct slots_choice){.slots = 1, .chunk = range->chunk};
}

enum sw_status sw_plan_slots(const struct sw_slots_range *range, const struct sw_cluster *cluster,
                             const struct sw_plan_options *options, struct sw_footprint *footprint,
                             struct sw_plan *plan)
{
    struct slots_list list = {.count = 0};
    struct sw_plan_options quiet = *options;
    bool good;
    *plan = (struct sw_plan){.embedding_rank = -1, .head_rank = -1};
    *footprint = (struct sw_footprint){0};
    SW_TRY(slots_usual(range, cluster, options, footprint, plan, &good));
    if (good)
        return SW_OK;
    quiet.no_advice = true;
    for (size_t i = 0; i < N_CHUNKS; i++) {
        const int chunk = (int)(range->chunk * chunk_of[i]);
        if (chunk == range->chunk || (!range->fixed_chunk && chunk > 0))
            SW_TRY(slots_try_chunk(range, cluster, &quiet, chunk, &list));
    }
    const struct slots_choice best = slots_best(range, &list);
    SW_TRY(range->footprint(range->user, best.slots, best.chunk, footprint));
    const enum sw_status status = sw_plan_spread(footprint, cluster, options, plan);
    if (status == SW_OK)
        sw_error_clear(); /* of candidates that do not fit */
    return status;
}
