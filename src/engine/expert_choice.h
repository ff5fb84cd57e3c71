/* Which experts a row goes to, and with which shares. */
#ifndef SW_ENGINE_EXPERT_CHOICE_H
#define SW_ENGINE_EXPERT_CHOICE_H

#include "model/model.h"

struct sw_expert_scores {
    const float *scores;     /* (n_experts) the router's product of the row */
    const float *correction; /* (n_experts) is added where experts are chosen; NULL: nothing is */
    const float *factors;    /* (n_experts) of the shares; NULL: there are none */
    float *room;             /* (2 n_experts) */
    int32_t *groups;         /* (n_experts) room, too */
};

/*
 * Scores become shares of a softmax or sigmoids, as the family has it; the n_experts_used largest
 * are chosen, of the best groups, the lower index on ties; their own scores are the shares,
 * renormalised when the model says so, times its factors. All in f32. chosen, shares:
 * (n_experts_used), the largest first.
 */
void sw_choose_experts(const struct sw_model *model, struct sw_expert_scores row, int32_t *chosen,
                       float *shares);

#endif
