/* The rows of formats that only CPUs have kernels for (cpu_only in their struct sw_format). */
#include "kernels/cuda/gpu_formats.h"

#define NONE(name)                                                                                 \
    const struct sw_gpu_format sw_gpu_format_##name = {{}, SW_F16, SW_F16, NULL, NULL, NULL, NULL};
