/* The kernels compiled for AVX-512; the code is in the headers. */
#include "kernels/cpu/lanes_avx512.h"

#define TABLE sw_kernels_avx512
#define TABLE_ISA SW_ISA_AVX512
#include "kernels/cpu/table.h"
