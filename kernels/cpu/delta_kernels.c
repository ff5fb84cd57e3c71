/* Owns the choice among the tables of gated delta nets. */
#include "kernels/cpu/delta_kernels.h"

const struct sw_delta_kernels *sw_delta_kernels_for(enum sw_isa isa)
{
    static const struct sw_delta_kernels *const tables[SW_ISA_COUNT] = {
        &sw_delta_portable, &sw_delta_avx2,
#ifndef SW_WITHOUT_AVX512
        &sw_delta_avx512, &sw_delta_avx512
#endif
    };
    return tables[isa];
}
