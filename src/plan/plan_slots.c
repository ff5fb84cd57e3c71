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
    int slots, chunk, groups;
    double seconds; /* of a request */
};

struct slots_list {
    struct slots_choice items[2 * N_SLOTS + N_CHUNKS];
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

/* Adds a candidate if it fits. */
static enum sw_status slots_try(const struct sw_slots_range *range,
                                const struct sw_cluster *cluster,
                                const struct sw_plan_options *options, struct slots_choice choice,
                                struct slots_list *list, bool *fits)
{
    struct sw_plan_options quiet = *options;
    struct sw_footprint footprint;
    struct sw_plan plan;
    quiet.no_advice = quiet.rough = true;
    quiet.groups = choice.groups;
    SW_TRY(range->footprint(range->user, choice.slots, choice.chunk, &footprint));
    const enum sw_status status = sw_plan_make(&footprint, cluster, &quiet, &plan);
    *fits = status == SW_OK;
    choice.seconds = plan.predicted.s_per_request;
    if (*fits)
        list->items[list->count++] = choice;
    sw_plan_free(&plan);
    sw_footprint_free(&footprint);
    return status == SW_ENOFIT ? SW_OK : status;
}

static double slots_distance(double a, double b)
{
    return fabs(log(a / b));
}

/* Whether a, of two about equally good ones, is nearer to what is usual. */
static bool slots_nearer(const struct sw_slots_range *range, const struct slots_choice *a,
                         const struct slots_choice *b)
{
    const double slots_a = slots_distance(a->slots, range->usual);
    const double slots_b = slots_distance(b->slots, range->usual);
    if (slots_a != slots_b)
        return slots_a < slots_b;
    return slots_distance(a->chunk, range->chunk) < slots_distance(b->chunk, range->chunk);
}

/* The best candidate, or of about equally good ones the one that is nearest to what is usual. */
static struct slots_choice slots_best(const struct sw_slots_range *range,
                                      const struct slots_list *list)
{
    double least = INFINITY;
    const struct slots_choice *best = NULL;
    for (int i = 0; i < list->count; i++)
        least = fmin(least, list->items[i].seconds);
    for (int i = 0; i < list->count; i++) {
        const struct slots_choice *one = &list->items[i];
        if (one->seconds <= least * (1 + SW_SLOTS_TOLERANCE) &&
            (!best || slots_nearer(range, one, best)))
            best = one;
    }
    return best ? *best : (struct slots_choice){.slots = 1, .chunk = range->chunk};
}

/* Fills *best. */
static enum sw_status slots_search(const struct sw_slots_range *range,
                                   const struct sw_cluster *cluster,
                                   const struct sw_plan_options *options, struct slots_choice *best)
{
    struct slots_list list = {.count = 0};
    const int ranks = options->n_ranks ? options->n_ranks : sw_cluster_n_ranks(cluster);
    for (int groups = 0; groups < 1 + (ranks > 1); groups++) {
        bool fits = true; /* if some do not, more do not either */
        for (size_t i = 0; fits && i < N_SLOTS && slots_of[i] <= range->most; i++) {
            const struct slots_choice one = {slots_of[i], range->chunk, groups, 0};
            SW_TRY(slots_try(range, cluster, options, one, &list, &fits));
        }
    }
    *best = slots_best(range, &list);
    if (list.count == 0 || range->fixed_chunk)
        return SW_OK;
    list.count = 0;
    for (size_t i = 0; i < N_CHUNKS; i++) {
        const int chunk = (int)(range->chunk * chunk_of[i]);
        const struct slots_choice one = {best->slots, chunk, best->groups, 0};
        bool fits;
        if (chunk > 0)
            SW_TRY(slots_try(range, cluster, options, one, &list, &fits));
    }
    *best = slots_best(range, &list);
    return SW_OK;
}

enum sw_status sw_plan_slots(const struct sw_slots_range *range, const struct sw_cluster *cluster,
                             struct sw_plan_options *options, struct sw_footprint *footprint,
                             struct sw_plan *plan)
{
    struct slots_choice best;
    bool good;
    *plan = (struct sw_plan){.embedding_rank = -1, .head_rank = -1};
    *footprint = (struct sw_footprint){0};
    options->groups = 0;
    SW_TRY(slots_usual(range, cluster, options, footprint, plan, &good));
    if (good)
        return SW_OK;
    SW_TRY(slots_search(range, cluster, options, &best));
    options->groups = best.groups;
    SW_TRY(range->footprint(range->user, best.slots, best.chunk, footprint));
    const enum sw_status status = sw_plan_spread(footprint, cluster, options, plan);
    if (status == SW_OK)
        sw_error_clear(); /* of candidates that do not fit */
    return status;
}
