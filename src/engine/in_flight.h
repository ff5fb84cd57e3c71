/*
 * In-flight control: how many micro-batches of running sequences should be under way. With one per
 * stage, one is always on a link or waits for rank 0, so stages idle where links are slow compared
 * to a stage's work. More micro-batches fill that time, but each reads the weights again.
 *
 * A stage's cost is fitted as fixed seconds for a micro-batch plus seconds for each row; the rest
 * of a round trip is the delay. From these the number with the highest rate of rows is chosen and
 * then tried. If the measured rate falls (for example because other jobs share the machine), the
 * previous number is restored.
 */
#ifndef SW_ENGINE_IN_FLIGHT_H
#define SW_ENGINE_IN_FLIGHT_H

#include "engine/timeline.h"

#define SW_IN_FLIGHT_SECONDS 0.7 /* least time between evaluations; ranks report once a second */
#define SW_IN_FLIGHT_MAX 8       /* most micro-batches, as a multiple of the stages */
#define SW_IN_FLIGHT_GAIN 1.03   /* predicted speedup that another number needs to be tried */

/* What a stage takes for a micro-batch: fixed + rows * per_row seconds. */
struct sw_in_flight_cost {
    double fixed, per_row;
};

/* Sums over micro-batches, from which costs are fitted; older ones fade. */
struct sw_in_flight_sums {
    double n, rows, seconds;
    double squares;  /* rows² */
    double products; /* rows x seconds */
};

/* A micro-batch under way. */
struct sw_in_flight_round {
    double sent; /* sw_clock */
    int rows;
};

struct sw_in_flight {
    int stages;
    int groups; /* micro-batches that should be under way */
    int n_ranks;
    struct sw_times *previous;         /* (n_ranks) times at the last evaluation */
    struct sw_in_flight_sums *sums;    /* (n_ranks) */
    struct sw_in_flight_cost *costs;   /* (n_ranks) the first `stages` are used, in rank order */
    struct sw_in_flight_round *rounds; /* (most_rounds) queue of micro-batches under way */
    int first_round, n_rounds, most_rounds;
    double slack;   /* least seconds of a round trip outside stages, since the last evaluation */
    double delay;   /* estimated seconds of a round trip outside stages */
    bool is_fitted; /* `costs` hold values */
    struct sw_in_flight_trial {
        int groups;      /* the number to restore if the trial fails */
        int evaluations; /* evaluations left; 0: no trial is running */
        double rate;     /* rows a second before the trial */
    } trial;
    int hold;             /* evaluations until another number may be tried */
    int next_hold;        /* value of `hold` after the next failed trial */
    double rows, seconds; /* computed with the present number; older ones fade */
};
/* Starts with groups = stages. SW_ENOMEM. The caller frees by sw_in_flight_close. */
enum sw_status sw_in_flight_open(struct sw_in_flight *p, int stages, int n_ranks);
void sw_in_flight_close(struct sw_in_flight *p);
/* Notes that a micro-batch was sent at `now`, or that the oldest one under way has returned. */
void sw_in_flight_sent(struct sw_in_flight *p, double now, int rows);
void sw_in_flight_returned(struct sw_in_flight *p, double now);
/* Evaluates, and may change p->groups, once all ranks with layers have sent new times. times:
 * (n_ranks) latest reports. sequences: running now; groups never exceeds it. */
void sw_in_flight_adapt(struct sw_in_flight *p, int sequences, const struct sw_times *times);

/* The model: rows a second with `sequences` divided over `groups` micro-batches. costs: (stages) */
double sw_in_flight_rate(const struct sw_in_flight_cost *costs, int stages, double delay,
                         int sequences, int groups);
/* The number to use instead of `groups`, by that model. */
int sw_in_flight_best(const struct sw_in_flight_cost *costs, int stages, double delay,
                      int sequences, int groups);

#endif
