/* The kernels compiled for AVX2, FMA and F16C; the code is in the headers. */
#include "kernels/cpu/lanes_avx2.h"

#define TABLE sw_kernels_avx2
#define TABLE_ISA SW_ISA_AVX2
#include "kernels/cpu/table.h"
