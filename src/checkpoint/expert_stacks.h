/* Experts that lie in one tensor: a tensor for each of them. */
#ifndef SW_CHECKPOINT_EXPERT_STACKS_H
#define SW_CHECKPOINT_EXPERT_STACKS_H

#include "tensor/tensors.h"

/*
 * Adds views of tensors that hold all experts of a layer, with a number E behind the name: of
 * matrices "NAME.E.weight" (out, in), of vectors "NAME.E"; and of those that have gate and up by
 * turns "NAME.E.even.weight", "NAME.E.odd.weight" and so on. Of stacks whose matrices may also be
 * (out, in) as they lie those are "NAME.E.plain.weight"; and, where gate lies above up, their parts
 * under the names that experts of their own have, "experts.E.gate_proj.weight". Views have strides
 * and lie where the stack lies.
 */
enum sw_status sw_expert_stacks(struct sw_tensors *tensors);

#endif
