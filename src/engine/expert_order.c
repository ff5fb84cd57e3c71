/* Owns the order in which a layer's chosen experts are used. */
#include "engine/expert_order.h"

#include <assert.h>
#include <stdlib.h>

enum sw_status sw_expert_order_open(int n_experts, struct sw_expert_order *o)
{
    const size_t n = (size_t)(n_experts > 0 ? n_experts : 1);
    *o = (struct sw_expert_order){.n_experts = n_experts,
                                  .experts = malloc(n * sizeof *o->experts),
                                  .turn = malloc(n * sizeof *o->turn)};
    if (!o->experts || !o->turn)
        return sw_fail(SW_ENOMEM, "no memory for the order of %d experts", n_experts);
    return SW_OK;
}

void sw_expert_order_close(struct sw_expert_order *o)
{
    free(o->experts);
    free(o->turn);
    *o = (struct sw_expert_order){0};
}

void sw_expert_order_set(struct sw_expert_order *o, const int32_t *chosen, int n, bool any_order,
                         sw_expert_at_hand *at_hand, void *context, int *hits)
{
    enum { NOT_CHOSEN = -1, FIRST = -2, LAST = -3 }; /* in place of a turn */
    o->n = o->at = *hits = 0;
    for (int e = 0; e < o->n_experts; e++)
        o->turn[e] = NOT_CHOSEN;
    for (int i = 0; i < n; i++) {
        const bool here = at_hand(context, chosen[i]);
        o->turn[chosen[i]] = here || !any_order ? FIRST : LAST;
        *hits += here;
    }
    for (int what = FIRST; what >= LAST; what--)
        for (int i = 0; i < n; i++)
            if (o->turn[chosen[i]] == what) {
                o->turn[chosen[i]] = o->n;
                o->experts[o->n++] = chosen[i];
            }
}

void sw_expert_order_put(struct sw_expert_order *o, int turn, int expert)
{
    o->experts[turn] = expert;
    o->turn[expert] = turn;
}

void sw_expert_order_end(struct sw_expert_order *o)
{
    o->n = o->at = 0;
}

int sw_expert_order_turn(const struct sw_expert_order *o, int expert)
{
    if (o->at == o->n)
        return -1;
    return o->turn[expert] >= o->at ? o->turn[expert] : -1;
}

void sw_expert_order_reach(struct sw_expert_order *o, int expert)
{
    assert(o->n > 0 && o->turn[expert] >= o->at);
    o->at = o->turn[expert];
}
