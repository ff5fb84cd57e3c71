/* AWQ's matrices, which AutoRound can write, too. */
#ifndef SW_CHECKPOINT_ADAPTER_AWQ_H
#define SW_CHECKPOINT_ADAPTER_AWQ_H

#include "checkpoint/adapter.h"

/* As `matrix` of an adapter, for STEM.qweight. */
enum sw_status sw_awq_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                             const char *stem);

#endif
