/* The kernels compiled for AVX-512 with bf16 dot products; the code is in the headers. */
#include "kernels/cpu/vec_avx512.h"

#define DOT 1 /* VDPBF16PS */
#define TABLE sw_kernels_avx512bf16
#define TABLE_ISA SW_ISA_AVX512BF16
#include "kernels/cpu/table.h"
