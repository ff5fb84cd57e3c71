/* The choice of what computes products of many rows. */
#include "kernels/cpu/many.h"

#include "base/cpu_amx.h"

const struct sw_cpu_many *sw_many_for(enum sw_isa isa)
{
#ifndef SW_WITHOUT_AVX512
    if (isa == SW_ISA_AVX512BF16 && sw_cpu_has_amx())
        return sw_amx_rows;
#endif
    (void)isa;
    return NULL;
}

double (*sw_spin_for(enum sw_isa isa, enum sw_format_id format))(int64_t steps, float *out)
{
    const struct sw_cpu_many *many = sw_many_for(isa);
    return many && many[format].spin ? many[format].spin
                                     : sw_kernels_for(isa)->formats[format].spin;
}
