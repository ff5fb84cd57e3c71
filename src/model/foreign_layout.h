/*
 * The message for a checkpoint that lacks a tensor: which other program's layout it looks like.
 */
#ifndef SW_MODEL_FOREIGN_LAYOUT_H
#define SW_MODEL_FOREIGN_LAYOUT_H

#include "tensor/tensors.h"

/* Fails with SW_EMODEL: `what` is missing; names a file, the most similar name and the layout. */
enum sw_status sw_layout_fail(const struct sw_tensors *tensors, const char *name, const char *what);

#endif
