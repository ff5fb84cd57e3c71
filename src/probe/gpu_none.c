/* Stands in for the list of GPUs in builds without CUDA. */
#include "probe/gpu.h"

enum sw_status sw_gpu_list(struct sw_device *devices, int *n)
{
    (void)devices;
    *n = 0;
    return SW_OK;
}
