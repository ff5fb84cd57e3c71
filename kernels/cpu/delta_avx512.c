/* Gated delta nets compiled for AVX-512; the code is in the headers. */
#include "kernels/cpu/lanes_avx512.h"

#define TABLE sw_delta_avx512
#include "kernels/cpu/delta_code.h"
