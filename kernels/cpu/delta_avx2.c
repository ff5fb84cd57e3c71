/* Gated delta nets compiled for AVX2; the code is in the headers. */
#include "kernels/cpu/lanes_avx2.h"

#define TABLE sw_delta_avx2
#include "kernels/cpu/delta_code.h"
