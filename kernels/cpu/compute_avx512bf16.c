/* The kernels compiled for AVX-512 with dot products of bf16 and of int8; the code is in the
 * headers. */
#define DOT 1 /* VDPBF16PS, VPDPBUSD */
#include "kernels/cpu/lanes_avx512.h"

#define TABLE sw_kernels_avx512bf16
#define TABLE_ISA SW_ISA_AVX512BF16
#include "kernels/cpu/table.h"
