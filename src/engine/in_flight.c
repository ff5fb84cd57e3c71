/* Owns in-flight control; see in_flight.h. */
#include "engine/in_flight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The weight of older times is multiplied by this at each evaluation. */
#define FADE 0.8
/* A slowest stage that computes for this share of a round trip has no idle time worth filling. */
#define SATURATED 0.9
/* A trial lasts TRIAL evaluations, or until the rate falls below CLEARLY times the one before.
 * After a failed trial the number before is kept for HOLD evaluations; each further failure doubles
 * that, up to HOLD_MOST. */
#define TRIAL 5
#define CLEARLY 0.9
#define HOLD 30
#define HOLD_MOST 480
/* A delay that cannot be measured is lowered by this factor at each evaluation. */
#define EASE 0.95

enum sw_status sw_in_flight_open(struct sw_in_flight *p, int stages, int n_ranks)
{
    *p = (struct sw_in_flight){.stages = stages,
                               .groups = stages,
                               .n_ranks = n_ranks,
                               .most_rounds = SW_IN_FLIGHT_MAX * stages + 2,
                               .slack = INFINITY,
                               .next_hold = HOLD};
    p->previous = calloc((size_t)n_ranks, sizeof *p->previous);
    p->sums = calloc((size_t)n_ranks, sizeof *p->sums);
    p->costs = calloc((size_t)n_ranks, sizeof *p->costs);
    p->rounds = calloc((size_t)p->most_rounds, sizeof *p->rounds);
    if (p->previous && p->sums && p->costs && p->rounds)
        return SW_OK;
    sw_in_flight_close(p);
    return sw_fail(SW_ENOMEM, "no memory for the times of %d ranks", n_ranks);
}

void sw_in_flight_close(struct sw_in_flight *p)
{
    free(p->previous);
    free(p->sums);
    free(p->costs);
    free(p->rounds);
    *p = (struct sw_in_flight){0};
}

/* ---- the model */

static double in_flight_cost(const struct sw_in_flight_cost *c, double rows)
{
    return c->fixed + rows * c->per_row;
}

/* Seconds that all stages together take for one group; *slowest: of the slowest stage. */
static double in_flight_work(const struct sw_in_flight_cost *costs, int stages, int sequences,
                             int groups, double *slowest)
{
    const double rows = ceil((double)sequences / groups);
    double sum = 0;
    *slowest = 0;
    for (int i = 0; i < stages; i++) {
        const double seconds = in_flight_cost(&costs[i], rows);
        *slowest = seconds > *slowest ? seconds : *slowest;
        sum += seconds;
    }
    return sum;
}

double sw_in_flight_rate(const struct sw_in_flight_cost *costs, int stages, double delay,
                         int sequences, int groups)
{
    double slowest;
    const double round = delay + in_flight_work(costs, stages, sequences, groups, &slowest);
    /* A group returns after a round trip, but not before the slowest stage has run all groups. */
    const double seconds = groups * slowest > round ? groups * slowest : round;
    return seconds > 0 ? sequences / seconds : 0;
}

int sw_in_flight_best(const struct sw_in_flight_cost *costs, int stages, double delay,
                      int sequences, int groups)
{
    const int most = sequences < SW_IN_FLIGHT_MAX * stages ? sequences : SW_IN_FLIGHT_MAX * stages;
    int best = most < groups ? most : groups;
    best = best > stages ? best : stages;
    double best_rate = SW_IN_FLIGHT_GAIN * sw_in_flight_rate(costs, stages, delay, sequences, best);
    for (int n = stages; n <= most; n++) {
        const double rate = sw_in_flight_rate(costs, stages, delay, sequences, n);
        if (rate > best_rate) {
            best_rate = rate;
            best = n;
        }
    }
    return best;
}

/* ---- fitting */

void sw_in_flight_sent(struct sw_in_flight *p, double now, int rows)
{
    if (p->n_rounds < p->most_rounds)
        p->rounds[(p->first_round + p->n_rounds++) % p->most_rounds] =
            (struct sw_in_flight_round){now, rows};
}

void sw_in_flight_returned(struct sw_in_flight *p, double now)
{
    if (p->n_rounds == 0)
        return;
    const struct sw_in_flight_round *round = &p->rounds[p->first_round];
    double slack = now - round->sent;
    for (int i = 0; i < p->stages; i++)
        slack -= in_flight_cost(&p->costs[i], round->rows);
    if (slack < p->slack)
        p->slack = slack;
    p->first_round = (p->first_round + 1) % p->most_rounds;
    p->n_rounds--;
}

static void in_flight_add(struct sw_in_flight_sums *s, const struct sw_times *from,
                          const struct sw_times *to)
{
    const int compute = SW_ACTIVITY_COMPUTE;
    s->n = FADE * s->n + (double)(to->batches - from->batches);
    s->rows = FADE * s->rows + (double)(to->rows - from->rows);
    s->seconds = FADE * s->seconds + (to->seconds[compute] - from->seconds[compute]);
    s->squares = FADE * s->squares + (to->row_squares - from->row_squares);
    s->products = FADE * s->products + (to->row_seconds - from->row_seconds);
}

/* Least squares. While all micro-batches had about as many rows, half of the time counts as fixed.
 */
static struct sw_in_flight_cost in_flight_fit(const struct sw_in_flight_sums *s)
{
    if (s->n <= 0 || s->rows <= 0)
        return (struct sw_in_flight_cost){0};
    const double rows = s->rows / s->n, seconds = s->seconds / s->n, most = seconds / rows;
    const double variance = s->squares / s->n - rows * rows;
    double per_row = most / 2;
    if (variance > 0.01 * rows * rows)
        per_row = (s->products / s->n - rows * seconds) / variance;
    per_row = per_row < 0 ? 0 : per_row > most ? most : per_row;
    return (struct sw_in_flight_cost){seconds - per_row * rows, per_row};
}

/*
 * The least slack of many round trips is the delay, if at least that one has not waited for stages.
 * When a round trip takes about as long as the slowest stage needs for all groups, all have waited,
 * and the delay is only known to be smaller: the estimate is lowered step by step.
 */
static void estimate_delay(struct sw_in_flight *p, int sequences)
{
    double slowest;
    const double sum = in_flight_work(p->costs, p->stages, sequences, p->groups, &slowest);
    const double slack = p->slack > 0 ? p->slack : 0, eased = EASE * p->delay;
    const bool all_wait = p->groups * slowest > SATURATED * (sum + slack);
    p->delay = all_wait && eased < slack ? eased : slack;
}

/* Adds what the pipeline has computed since the last evaluation. */
static void in_flight_count(struct sw_in_flight *p, const struct sw_times *from,
                            const struct sw_times *to)
{
    p->rows = FADE * p->rows + (double)(to->rows - from->rows);
    p->seconds = FADE * p->seconds + (to->clock - from->clock);
}

static void in_flight_set_groups(struct sw_in_flight *p, int groups)
{
    p->groups = groups;
    p->rows = p->seconds = 0;
}

/* One evaluation of the number being tried. */
static void in_flight_evaluate_trial(struct sw_in_flight *p, double rate)
{
    const int left = --p->trial.evaluations;
    if (left == TRIAL - 1) { /* half of these times are from before the trial */
        p->rows = p->seconds = 0;
    } else if (rate < (left > 0 ? CLEARLY : 1) * p->trial.rate) {
        p->hold = p->next_hold;
        p->next_hold = 2 * p->hold < HOLD_MOST ? 2 * p->hold : HOLD_MOST;
        p->trial.evaluations = 0;
        in_flight_set_groups(p, p->trial.groups);
    } else if (left == 0) {
        p->next_hold = HOLD;
    }
}

/* Continues a trial, or starts one if another number promises more. */
static void in_flight_choose(struct sw_in_flight *p, int sequences)
{
    const double rate = p->seconds > 0 ? p->rows / p->seconds : 0;
    if (p->trial.evaluations > 0) {
        in_flight_evaluate_trial(p, rate);
    } else if (p->hold > 0) {
        p->hold--;
    } else {
        const int best = sw_in_flight_best(p->costs, p->stages, p->delay, sequences, p->groups);
        if (best == p->groups)
            return;
        p->trial = (struct sw_in_flight_trial){p->groups, TRIAL, rate};
        in_flight_set_groups(p, best);
    }
}

void sw_in_flight_adapt(struct sw_in_flight *p, int sequences, const struct sw_times *times)
{
    int n = 0;
    if (p->stages < 2)
        return;
    for (int r = 0; r < p->n_ranks; r++)
        if (times[r].batches > 0 && times[r].clock - p->previous[r].clock < SW_IN_FLIGHT_SECONDS)
            return;
    for (int r = 0; r < p->n_ranks; r++) {
        in_flight_add(&p->sums[r], &p->previous[r], &times[r]);
        if (times[r].batches == 0 || n == p->stages)
            continue;
        p->costs[n++] = in_flight_fit(&p->sums[r]);
        if (n == p->stages)
            in_flight_count(p, &p->previous[r], &times[r]);
    }
    memcpy(p->previous, times, (size_t)p->n_ranks * sizeof *times);
    /* From now on, round trips are compared with these costs. */
    if (isfinite(p->slack) && p->is_fitted) {
        estimate_delay(p, sequences);
        in_flight_choose(p, sequences);
    }
    p->is_fitted = n == p->stages;
    p->slack = INFINITY;
}
