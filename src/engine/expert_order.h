/*
 * The experts that the rows of a layer chose, in the order in which they are used: those that are
 * at hand first, where any order will do.
 */
#ifndef SW_ENGINE_EXPERT_ORDER_H
#define SW_ENGINE_EXPERT_ORDER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sw_expert_order {
    int n_experts;
    int32_t *experts; /* (n) */
    int *turn;        /* (n_experts) the index of an expert in `experts`; -1: it is not chosen */
    int n, at;        /* the next one to be used */
};

/* Nothing is chosen. SW_ENOMEM. The caller closes *out, on failure too. */
enum sw_status sw_expert_order_open(int n_experts, struct sw_expert_order *out);
void sw_expert_order_close(struct sw_expert_order *order);

typedef bool sw_expert_at_hand(void *context, int expert);
/* Takes n experts, each once, in this order, or, if any will do, those at hand first; *hits of them
 * are. */
void sw_expert_order_set(struct sw_expert_order *order, const int32_t *chosen, int n,
                         bool any_order, sw_expert_at_hand *at_hand, void *context, int *hits);
/* Puts another expert in a turn that is still to come, as one of several that change theirs. */
void sw_expert_order_put(struct sw_expert_order *order, int turn, int expert);
/* Nothing is to be used any more. */
void sw_expert_order_end(struct sw_expert_order *order);
/* The index of an expert that is still to be used, or just is; -1: it is not, or not any more. */
int sw_expert_order_turn(const struct sw_expert_order *order, int expert);
/* Goes on to an expert that is still to be used; those before it are not any more. */
void sw_expert_order_reach(struct sw_expert_order *order, int expert);

#endif
