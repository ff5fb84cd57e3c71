/* The GPUs this process sees and can use: those that the GPU library knows (backend/gpu_library.h).
 */
#ifndef SW_PROBE_GPU_H
#define SW_PROBE_GPU_H

#include "backend/gpu_library.h"
#include "base/status.h"
#include "plan/cluster.h"

#define SW_GPU_BUS 16

struct sw_gpu {
    struct sw_device device; /* with what is free now, and usual speeds */
    bool beside_context;     /* free: beside a context of this process */
    char bus[SW_GPU_BUS];    /* "0000:3b:00.0", the same from every process of the machine */
};

/*
 * Up to SW_MAX_DEVICES GPUs, in the driver's order as CUDA_VISIBLE_DEVICES leaves it. None, or no
 * driver, or no library: *n is 0 and SW_OK; `why`: a driver that is not one for the library, and
 * what to do, else "". SW_EDEVICE: there is a library, but it does not work.
 */
enum sw_status sw_gpu_list(struct sw_gpu *gpus, int *n, char why[SW_GPU_WHY_MAX]);
/* The speeds of GPU number `device`, measured in less than a second; bytes/s from pinned host
 * memory. What cannot be measured is left as it is (to_device: 0), and logged. */
void sw_gpu_measure(int device, struct sw_device *out, double *to_device);
/*
 * After it, when no rank of the node measures any more: `sharers` ranks share the device. out->free
 * becomes what a plan may count from, which takes SW_GPU_CONTEXT_BYTES off it: less where this
 * process's context took more than that without what links take later, or was read beside one.
 */
void sw_gpu_correct(int device, int sharers, bool beside_context, struct sw_device *out);
/* The version of NCCL that joins GPUs, 22809 is 2.28.9; 0: none. */
int sw_gpu_nccl(void);
/* GPUs of this machine that cannot be used for want of a library, and why; `root` as in memory.h.
 */
int sw_gpu_unused(const char *root, const char **why);
/* GPUs that NVIDIA's driver has here, whether they can be used or not. */
int sw_gpu_in_driver(const char *root);

#endif
