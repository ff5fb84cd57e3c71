/* f16 <-> f32: exact one way, to nearest even the other. */
#ifndef SIMGPU_HALF_H
#define SIMGPU_HALF_H

#include "vector_types.h"

#include <cstdint>
#include <cstring>

namespace simgpu
{
inline float half_value(unsigned short h)
{
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = h >> 10 & 31;
    uint32_t mantissa = h & 0x3ff, bits;
    if (exponent == 31) {
        bits = 0x7f800000 | mantissa << 13;
    } else if (exponent) {
        bits = (exponent + 112) << 23 | mantissa << 13;
    } else {
        const float f = static_cast<float>(mantissa) * 0x1p-24f; /* subnormal: exact */
        memcpy(&bits, &f, sizeof bits);
    }
    bits |= sign;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

inline unsigned short half_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    uint32_t out;
    if (magnitude > 0x7f800000) {
        out = 0x7fff; /* NaN, as the device makes it */
        return static_cast<unsigned short>(out);
    }
    if (magnitude >= 0x47800000) { /* 65536 and above; 65520 rounds up to it below */
        out = 0x7c00;
    } else if (magnitude >= 0x38800000) {
        const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
        out = (rounded - (112u << 23)) >> 13;
    } else if (magnitude < 0x33000000) {
        out = 0; /* at most half of the smallest subnormal */
    } else {
        const uint32_t shift = 126 - (magnitude >> 23);
        const uint32_t full = (magnitude & 0x7fffff) | 0x800000;
        const uint32_t kept = full >> shift, rest = full & ((1u << shift) - 1);
        const uint32_t half = 1u << (shift - 1);
        out = kept + (rest > half || (rest == half && (kept & 1)));
    }
    return static_cast<unsigned short>(sign | out);
}
} // namespace simgpu
#endif
