/* The GPUs this process sees; which file answers is the build's choice. */
#ifndef SW_PROBE_GPU_H
#define SW_PROBE_GPU_H

#include "base/status.h"
#include "plan/cluster.h"

/*
 * Up to SW_MAX_DEVICES devices, in the driver's order, with what is free now and what the card's
 * specification gives for its speeds. None, or no driver: *n is 0 and SW_OK.
 */
enum sw_status sw_gpu_list(struct sw_device *devices, int *n);

#endif
