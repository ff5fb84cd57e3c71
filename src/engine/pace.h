/*
 * How many micro-batches of running sequences should be under way. Of as many as there are stages,
 * one is always on the wire or waits for rank 0; where links are slow beside a stage's work, stages
 * then stand still. More of them keep the stages busy, but each reads the weights anew, so no more
 * than the busiest stage asks for.
 */
#ifndef SW_ENGINE_PACE_H
#define SW_ENGINE_PACE_H

#include "engine/timeline.h"

#define SW_PACE_LOW 0.90    /* below, the busiest stage lacks work */
#define SW_PACE_HIGH 0.98   /* above, fewer micro-batches may do as well, … */
#define SW_PACE_PATIENCE 5  /* … which is tried after so many looks */
#define SW_PACE_SECONDS 0.7 /* between two looks; ranks tell their times once a second */
#define SW_PACE_MOST 8      /* times the stages */

struct sw_pace {
    int stages, groups;
    int n_ranks;
    int saturated;         /* looks in a row that found the busiest stage so */
    struct sw_times *then; /* (n_ranks) at the last look */
};
/* groups: stages to begin with. SW_ENOMEM */
enum sw_status sw_pace_open(struct sw_pace *p, int stages, int n_ranks);
void sw_pace_close(struct sw_pace *p);
/* times: (n_ranks), what the ranks last told; changes groups when all with layers have told anew.
 * sequences: that run now; there are never more groups. */
void sw_pace_look(struct sw_pace *p, int sequences, const struct sw_times *times);
/* The rule alone: how many instead of `groups`, when the busiest stage computes that share (at
 * more than SW_PACE_HIGH: and has done so for long). */
int sw_pace_next(int groups, int stages, int sequences, double busiest);

#endif
