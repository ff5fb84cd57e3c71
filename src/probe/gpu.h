/* The GPUs this process sees; which file answers is the build's choice. */
#ifndef SW_PROBE_GPU_H
#define SW_PROBE_GPU_H

#include "base/status.h"
#include "plan/cluster.h"

#define SW_GPU_BUS 16

struct sw_gpu {
    struct sw_device device; /* with what is free now, and its specification's speeds */
    char bus[SW_GPU_BUS];    /* "0000:3b:00.0", the same from every process of the machine */
};

/*
 * Up to SW_MAX_DEVICES GPUs, in the driver's order as CUDA_VISIBLE_DEVICES leaves it. None, or no
 * driver: *n is 0 and SW_OK.
 */
enum sw_status sw_gpu_list(struct sw_gpu *gpus, int *n);
/* GPUs of this machine that this build has no use for (0 with CUDA); `root` as in memory.h. */
int sw_gpu_unused(const char *root);

#endif
