/* Replaces nccl.c in builds without NCCL: rows go through host memory. */
#include "gpu/cuda.h"

#include <stddef.h>

const struct sw_gpu_link_ops *sw_cuda_links(void)
{
    return NULL;
}

enum sw_status sw_cuda_links_check(struct sw_cuda *cuda)
{
    (void)cuda;
    return SW_OK;
}

void sw_cuda_links_abort(struct sw_cuda *cuda)
{
    (void)cuda;
}

void sw_cuda_links_leave(struct sw_backend *b)
{
    (void)b;
}
