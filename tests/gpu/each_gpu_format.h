/* The loop of tests over the weight formats that GPUs have kernels for. */
#ifndef SW_TESTS_EACH_GPU_FORMAT_H
#define SW_TESTS_EACH_GPU_FORMAT_H

#include "kernels/cuda/gpu_formats.h"
#include "unit.h"

/* False, and says so, for a format that only CPUs have kernels for. */
static inline bool gpu_multiplies(int format)
{
    const struct sw_format *f = sw_format_of((enum sw_format_id)format);
    CU_ASSERT_EQUAL(f->cpu_only, sw_gpu_format_of((enum sw_format_id)format)->gemv == NULL);
    if (f->cpu_only)
        printf("    %s: no kernels on GPUs, skipped\n", f->name);
    return !f->cpu_only;
}

#define FOR_EACH_GPU_FORMAT(format)                                                                \
    for (int format = 0; format < SW_FORMAT_COUNT; format++)                                       \
        if (gpu_multiplies(format))

#endif
