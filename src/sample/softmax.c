/* Owns the choice among the compiled loops over logits, and the natural logarithm. */
#include "sample/softmax.h"

const struct sw_softmax_code *sw_softmax_for(enum sw_isa isa)
{
#if defined(__x86_64__)
    return isa >= SW_ISA_AVX2 ? &sw_softmax_avx2 : &sw_softmax_portable;
#else
    (void)isa;
    return &sw_softmax_portable;
#endif
}

/* 2^k * m, m in [sqrt(1/2), sqrt(2)), and log(m) = 2 * atanh((m - 1) / (m + 1)) by its series. */
double sw_natural_log(double x)
{
    static const double root = 1.4142135623730951;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t k = (int32_t)(bits >> 52) - 1023;
    bits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m >= root) {
        m /= 2;
        k++;
    }
    const double s = (m - 1) / (m + 1), square = s * s;
    double sum = 0;
    for (int i = 23; i >= 1; i -= 2)
        sum = sum * square + 1.0 / i;
    return k * 0.6931471805599453 + 2 * s * sum;
}
