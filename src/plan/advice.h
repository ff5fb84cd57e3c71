/* Advice: what to change when a model does not fit. Internal to src/plan/. */
#ifndef SW_PLAN_ADVICE_H
#define SW_PLAN_ADVICE_H

#include "plan/cost.h"

/*
 * Fills plan->advice with single changes, each the smallest of its kind that gives a plan, which is
 * tested by planning with it. SW_ENOMEM.
 */
enum sw_status sw_advise(const struct sw_cost *cost, struct sw_plan *plan);

#endif
