/* The rows of formats that only CPUs have kernels for (cpu_only in their struct sw_format). */
#include "kernels/cuda/gpu_formats.h"

#define NONE(name)                                                                                 \
    const struct sw_gpu_format sw_gpu_format_##name = {{}, SW_F16, SW_F16, NULL, NULL, NULL, NULL};

NONE(nf4)
NONE(fp4)
NONE(fp8)
NONE(q4_1)
NONE(q5_0)
NONE(q5_1)
NONE(iq4_nl)
NONE(mxfp4)
NONE(int4_g128)
NONE(int4_g32)
NONE(int8_g128)
NONE(int8_g32)
