/* Sixteen floats on AVX2 (two registers). The same words as vec_avx512.h, which explains them. */
#ifndef SW_KERNELS_VEC_H
#define SW_KERNELS_VEC_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VEC_TILE 1

typedef struct vec {
    __m256 a, b;
} vec;

static inline vec v_set(float x)
{
    return (vec){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
static inline vec v_load(const float *p)
{
    return (vec){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
static inline void v_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a.a);
    _mm256_storeu_ps(p + 8, a.b);
}
/* The first n of eight lanes; n may be below 0 or above 8. */
static inline __m256i first_lanes(int n)
{
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(lanes + 8 -
                                                              (n < 0   ? 0
                                                               : n > 8 ? 8
                                                                       : n)));
}
static inline vec v_load_n(const float *p, int n)
{
    if (n == 16)
        return v_load(p);
    return (vec){_mm256_maskload_ps(p, first_lanes(n)),
                 _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
}
static inline void v_store_n(float *p, vec a, int n)
{
    if (n == 16) {
        v_store(p, a);
        return;
    }
    _mm256_maskstore_ps(p, first_lanes(n), a.a);
    _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.b);
}
static inline vec v_load_f16(const uint16_t *p)
{
    return (vec){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
static inline __m256 widen_bf16(const uint16_t *p)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline __m256 even_of(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)p), 16));
}
static inline __m256 odd_of(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256((const __m256i *)p),
                                                _mm256_set1_epi32((int)0xffff0000)));
}
static inline vec v_load_even(const uint16_t *p)
{
    return (vec){even_of(p), even_of(p + 16)};
}
static inline vec v_load_odd(const uint16_t *p)
{
    return (vec){odd_of(p), odd_of(p + 16)};
}
static inline vec v_add(vec a, vec b)
{
    return (vec){_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)};
}
static inline vec v_sub(vec a, vec b)
{
    return (vec){_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)};
}
static inline vec v_mul(vec a, vec b)
{
    return (vec){_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)};
}
static inline vec v_div(vec a, vec b)
{
    return (vec){_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)};
}
static inline vec v_max(vec a, vec b)
{
    return (vec){_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)};
}
static inline vec v_min(vec a, vec b)
{
    return (vec){_mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b)};
}
static inline vec v_fma(vec a, vec b, vec c)
{
    return (vec){_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)};
}
static inline vec v_round(vec a)
{
    return (vec){_mm256_round_ps(a.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(a.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
static inline __m256 power2(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
static inline __m256 scale2(__m256 a, __m256 n)
{
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, power2(half)), power2(_mm256_sub_epi32(whole, half)));
}
static inline vec v_scale2(vec a, vec n)
{
    return (vec){scale2(a.a, n.a), scale2(a.b, n.b)};
}
static inline vec v_if_less(vec a, vec b, vec x, vec y)
{
    return (vec){_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
                 _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ))};
}
static inline float v_sum(vec a)
{
    __m256 h = _mm256_add_ps(a.a, a.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
static inline float v_largest(vec a)
{
    __m256 h = _mm256_max_ps(a.a, a.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
static inline vec v_abs(vec a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (vec){_mm256_andnot_ps(sign, a.a), _mm256_andnot_ps(sign, a.b)};
}
static inline vec v_within(vec a, float limit, uint16_t *outside)
{
    const vec size = v_abs(a);
    const __m256 most = _mm256_set1_ps(limit);
    const __m256 in_a = _mm256_cmp_ps(size.a, most, _CMP_LE_OQ);
    const __m256 in_b = _mm256_cmp_ps(size.b, most, _CMP_LE_OQ);
    *outside = (uint16_t) ~(_mm256_movemask_ps(in_a) | _mm256_movemask_ps(in_b) << 8);
    return (vec){_mm256_and_ps(a.a, in_a), _mm256_and_ps(a.b, in_b)};
}

static inline void v_store_int8(int8_t *p, vec a)
{
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.a), _mm256_cvtps_epi32(a.b));
    const __m256i in_order = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(in_order),
                                                   _mm256_extracti128_si256(in_order, 1)));
}
static inline __m256 byte_of(const char *p, int which)
{
    const __m256i up = _mm256_sll_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p),
                                        _mm_cvtsi32_si128(8 * (3 - which)));
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(up, 24));
}
static inline vec v_load_int8(const char *p, int which)
{
    return (vec){byte_of(p, which), byte_of(p + 32, which)};
}
#define V_E4M3_ONE 0x1p120f
static inline __m256 e4m3_of(const char *p, int which)
{
    const __m256i up =
        _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p), 8 * (3 - which));
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_srai_epi32(up, 4), _mm256_set1_epi32((int)0x87f00000)));
}
static inline vec v_load_e4m3(const char *p, int which)
{
    return (vec){e4m3_of(p, which), e4m3_of(p + 32, which)};
}
static inline __m256i small_e4m3(const char *p)
{
    const __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)p);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i low = _mm256_cmpeq_epi8(_mm256_and_si256(w, _mm256_set1_epi8(0x78)), zero);
    const __m256i none = _mm256_cmpeq_epi8(_mm256_and_si256(w, _mm256_set1_epi8(0x07)), zero);
    return _mm256_andnot_si256(none, low);
}
static inline bool v_is_small_e4m3(const char *p)
{
    return _mm256_movemask_epi8(_mm256_or_si256(small_e4m3(p), small_e4m3(p + 32))) != 0;
}
static inline __m256 any_e4m3_of(const char *p, int which)
{
    const __m256i bits = _mm256_castps_si256(e4m3_of(p, which));
    const __m256i size = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(1 << 23), size);
    const __m256i least = _mm256_set1_epi32(121 << 23); /* 2^-6 */
    const __m256i up = _mm256_blendv_epi8(_mm256_add_epi32(size, _mm256_set1_epi32(120 << 23)),
                                          _mm256_or_si256(size, least), low);
    const __m256i less = _mm256_and_si256(low, least);
    const __m256 all = _mm256_sub_ps(_mm256_castsi256_ps(up), _mm256_castsi256_ps(less));
    return _mm256_or_ps(all, _mm256_castsi256_ps(_mm256_sub_epi32(bits, size)));
}
static inline vec v_load_any_e4m3(const char *p, int which)
{
    return (vec){any_e4m3_of(p, which), any_e4m3_of(p + 32, which)};
}
static inline vec v_of_sums(vec sums, int32_t excess)
{
    const __m256i less = _mm256_set1_epi32(excess);
    return (vec){_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_castps_si256(sums.a), less)),
                 _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_castps_si256(sums.b), less))};
}
/* VPMADDUBSW takes one side unsigned: the weight's sign goes to x. Pairs of 127 * 127 fit its 16
 * bits. */
#define INT8_EXCESS 0
typedef struct v_bytes {
    __m256i a, b;
} v_bytes;
static inline v_bytes v_load_bytes(const char *w)
{
    return (v_bytes){_mm256_loadu_si256((const __m256i *)(const void *)w),
                     _mm256_loadu_si256((const __m256i *)(const void *)(w + 32))};
}
static inline __m256 dot_bytes(__m256 sums, __m256i w, __m256i x)
{
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sums),
                                                _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
}
static inline vec v_dot_bytes(vec sums, v_bytes w, const char *x)
{
    int four;
    memcpy(&four, x, sizeof four);
    const __m256i xs = _mm256_set1_epi32(four);
    return (vec){dot_bytes(sums.a, w.a, xs), dot_bytes(sums.b, w.b, xs)};
}

#endif
