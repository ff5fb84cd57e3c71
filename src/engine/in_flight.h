/*
 * How many micro-batches of running sequences should be under way. Of as many as there are stages,
 * one is always on the wire or waits for rank 0; where links are slow beside a stage's work, stages
 * then stand still. More of them fill that time, but each reads the weights anew. So what a stage
 * takes for a micro-batch is learnt as seconds for reading and seconds a row, and what a round
 * takes besides as a delay; the number is the one with which most rows a second would come through.
 * Whether they do is looked at afterwards: where other things make a round long (machines that are
 * shared), the number before comes back.
 */
#ifndef SW_ENGINE_IN_FLIGHT_H
#define SW_ENGINE_IN_FLIGHT_H

#include "engine/timeline.h"

#define SW_IN_FLIGHT_SECONDS 0.7 /* between two looks; ranks tell their times once a second */
#define SW_IN_FLIGHT_MAX 8       /* times the stages */
#define SW_IN_FLIGHT_GAIN 1.03   /* so much faster must another number promise to be */

/* What a stage takes for a micro-batch: fixed + rows * per_row seconds. */
struct sw_in_flight_cost {
    double fixed, per_row;
};

/* Sums over micro-batches, from which costs are learnt; newer ones count more. */
struct sw_in_flight_sums {
    double n, rows, seconds, squares, products; /* of rows; of rows and seconds */
};

/* A micro-batch under way. */
struct sw_in_flight_round {
    double sent; /* clock */
    int rows;
};

struct sw_in_flight {
    int stages, groups;
    int n_ranks;
    struct sw_times *then;             /* (n_ranks) at the last look */
    struct sw_in_flight_sums *sums;    /* (n_ranks) */
    struct sw_in_flight_cost *costs;   /* (n_ranks) of the stages, in the order of ranks */
    struct sw_in_flight_round *rounds; /* a queue of those under way, (most_rounds) */
    int first_round, n_rounds, most_rounds;
    double slack;   /* least of a round's seconds that stages did not take, since the last look */
    double delay;   /* what a round takes besides the stages */
    bool is_learnt; /* costs are */
    struct sw_in_flight_trial {
        int groups, looks; /* what comes back if it fails; looks to its end, 0: there is none */
        double rate;       /* rows a second before */
    } trial;
    int hold, next_hold;  /* looks until another number may be tried; after the next failure */
    double rows, seconds; /* at this number; newer ones count more */
};
/* groups: stages to begin with. SW_ENOMEM */
enum sw_status sw_in_flight_open(struct sw_in_flight *p, int stages, int n_ranks);
void sw_in_flight_close(struct sw_in_flight *p);
/* A micro-batch goes on its way; the oldest under way is back. */
void sw_in_flight_sent(struct sw_in_flight *p, double now, int rows);
void sw_in_flight_returned(struct sw_in_flight *p, double now);
/* times: (n_ranks), what the ranks last told; changes groups when all with layers have told anew.
 * sequences: that run now; there are never more groups. */
void sw_in_flight_adapt(struct sw_in_flight *p, int sequences, const struct sw_times *times);

/* The rule alone. Rows a second of `sequences` in `groups` micro-batches, costs: (stages) */
double sw_in_flight_rate(const struct sw_in_flight_cost *costs, int stages, double delay,
                         int sequences, int groups);
/* Which number instead of `groups`. */
int sw_in_flight_best(const struct sw_in_flight_cost *costs, int stages, double delay,
                      int sequences, int groups);

#endif
