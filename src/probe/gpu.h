/* The GPUs that this process sees and can use, by way of the GPU library (backend/gpu_library.h).
 */
#ifndef SW_PROBE_GPU_H
#define SW_PROBE_GPU_H

#include "backend/gpu_library.h"
#include "base/status.h"
#include "plan/cluster.h"

#define SW_GPU_BUS 16

struct sw_gpu {
    struct sw_device device; /* its free memory is that of now, its speeds are defaults */
    bool beside_context;     /* free memory was read while this process had a context on it */
    char bus[SW_GPU_BUS];    /* "0000:3b:00.0", equal in every process of the machine */
};

/*
 * Lists up to SW_MAX_DEVICES GPUs in the driver's order, which CUDA_VISIBLE_DEVICES may change.
 * Without a GPU, driver or library *n is 0 and the status SW_OK. `why`: that the driver does not
 * suit the library, and what to do; else "". SW_EDEVICE when the library does not work.
 */
enum sw_status sw_gpu_list(struct sw_gpu *gpus, int *n, char why[SW_GPU_WHY_MAX]);
/*
 * Measures the speeds of GPU number `device` in less than a second. *to_device: bytes per second
 * from pinned host memory, 0 when not measured. Speeds that cannot be measured are left unchanged
 * in *out, with a warning in the log.
 */
void sw_gpu_measure(int device, struct sw_device *out, double *to_device);
/*
 * Corrects out->free for a device that `sharers` ranks share. Call after sw_gpu_measure, when no
 * rank of the node measures any more. A plan takes SW_GPU_CONTEXT_BYTES off out->free for a
 * context; this process has one now, so out->free becomes what is left now and that amount
 * together, without SW_GPU_NCCL_BYTES, which links take later. The result is never above the
 * earlier value, or, if `beside_context`, never above the total.
 */
void sw_gpu_correct(int device, int sharers, bool beside_context, struct sw_device *out);
/* The version of NCCL, 22809 for 2.28.9; 0: there is none. */
int sw_gpu_nccl(void);
/* Number of GPUs that cannot be used for lack of the library, and why; `root` as in memory.h. */
int sw_gpu_unused(const char *root, const char **why);
/* Number of GPUs that NVIDIA's driver lists, whether they can be used or not. */
int sw_gpu_in_driver(const char *root);

#endif
