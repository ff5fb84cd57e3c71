/* Sixteen floats on AVX-512. The same words as vec_avx2.h and vec_portable.h. */
#ifndef SW_KERNELS_VEC_H
#define SW_KERNELS_VEC_H

#include <immintrin.h>
#include <stdint.h>

#define VEC_TILE 4 /* vectors a tile of several tokens is wide */

typedef __m512 vec;

static inline vec v_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void v_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}
/* The first n lanes, 0 <= n <= 16; the others are 0 and their memory is not touched. */
static inline vec v_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void v_store_n(float *p, vec a, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}
static inline vec v_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
/* Sixteen pairs of bf16: their first members, their second members. */
static inline vec v_load_even(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
}
static inline vec v_load_odd(const uint16_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32((int)0xffff0000)));
}
static inline vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
static inline vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
static inline vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
/* a * b + c */
static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec v_round(vec a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a * 2^n for a whole n in [-252, 254] */
static inline vec v_scale2(vec a, vec n)
{
    return _mm512_scalef_ps(a, n);
}
/* a < b ? x : y, lane by lane */
static inline vec v_if_less(vec a, vec b, vec x, vec y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
/* Sum and largest of the lanes: halves onto halves, so the order is the same everywhere. */
static inline float v_sum(vec a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
static inline float v_largest(vec a)
{
    return _mm512_reduce_max_ps(a);
}

/* a, but where `lanes` says so words `from` of b; all words of 4 bytes */
#define VEC_WORDS 1
static inline __m512i v_take_words(__m512i a, uint16_t lanes, const int *from, const void *b)
{
    return _mm512_mask_permutexvar_epi32(a, lanes, _mm512_loadu_si512(from), _mm512_loadu_si512(b));
}

#endif
