/*
 * What to say of a checkpoint that lacks a tensor: which layout of the world outside it looks like.
 */
#ifndef SW_MODEL_FOREIGN_LAYOUT_H
#define SW_MODEL_FOREIGN_LAYOUT_H

#include "tensor/tensors.h"

/* SW_EMODEL: `what` is missing; a file, the nearest name that is there, and what it looks like. */
enum sw_status sw_layout_fail(const struct sw_tensors *tensors, const char *name, const char *what);

#endif
