/* Sixteen floats on AVX-512. The same words as vec_avx2.h and vec_portable.h. */
#ifndef SW_KERNELS_VEC_H
#define SW_KERNELS_VEC_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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

/* a where |a| <= limit, else 0; *outside: the lanes where it is not, NaN among them */
static inline vec v_within(vec a, float limit, uint16_t *outside)
{
    const __mmask16 inside = _mm512_cmp_ps_mask(_mm512_abs_ps(a), v_set(limit), _CMP_LE_OQ);
    *outside = (uint16_t)~inside;
    return _mm512_maskz_mov_ps(inside, a);
}
static inline vec v_abs(vec a)
{
    return _mm512_abs_ps(a);
}

/* Int8. Sums of products are int32 lanes that travel as a vec. */

/* Sixteen whole numbers, rounded to nearest even. */
static inline void v_store_int8(int8_t *p, vec a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/* Byte `which` of each of sixteen groups of four. */
static inline vec v_load_int8(const char *p, int which)
{
    const __m512i up = _mm512_sll_epi32(_mm512_loadu_si512(p), _mm_cvtsi32_si128(8 * (3 - which)));
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(up, 24));
}
/* Byte `which` (a constant) of each of sixteen words, E4M3, divided by V_E4M3_ONE: its exponent and
 * mantissa are moved to those of a float. NaN becomes a number. */
#define V_E4M3_ONE 0x1p120f
static inline vec v_load_e4m3(const char *p, int which)
{
    const __m512i up = _mm512_slli_epi32(_mm512_loadu_si512(p), (unsigned)(8 * (3 - which)));
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_srai_epi32(up, 4), _mm512_set1_epi32((int)0x87f00000)));
}
/* Is any byte of the sixteen words E4M3's subnormal? v_load_e4m3 makes one of a float of it, which
 * costs some processors a hundred cycles at each use. */
static inline bool v_is_small_e4m3(const char *p)
{
    const __m512i w = _mm512_loadu_si512(p);
    const __mmask64 low = _mm512_testn_epi8_mask(w, _mm512_set1_epi8(0x78));
    return _mm512_mask_test_epi8_mask(low, w, _mm512_set1_epi8(0x07)) != 0;
}
/* v_load_e4m3 times V_E4M3_ONE, by way of normal numbers: (1 + m / 8) 2^-6 - 2^-6 for subnormals.
 */
static inline vec v_load_any_e4m3(const char *p, int which)
{
    const __m512i bits = _mm512_castps_si512(v_load_e4m3(p, which));
    const __m512i size = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __mmask16 low = _mm512_cmplt_epi32_mask(size, _mm512_set1_epi32(1 << 23));
    const __m512i least = _mm512_set1_epi32(121 << 23); /* 2^-6 */
    const __m512i up = _mm512_mask_or_epi32(_mm512_add_epi32(size, _mm512_set1_epi32(120 << 23)),
                                            low, size, least);
    const vec e = _mm512_castsi512_ps(up);
    const vec all = _mm512_mask_sub_ps(e, low, e, _mm512_castsi512_ps(least));
    return _mm512_castsi512_ps(
        _mm512_or_si512(_mm512_castps_si512(all), _mm512_sub_epi32(bits, size)));
}
/* The sums as floats, less `excess` each. */
static inline vec v_of_sums(vec sums, int32_t excess)
{
    return _mm512_cvtepi32_ps(
        _mm512_sub_epi32(_mm512_castps_si512(sums), _mm512_set1_epi32(excess)));
}

/* Sixteen groups of four weights, and in each lane what four elements of x (at x) add to its sum.
 * None of them is -128. */
#ifdef DOT
/* VPDPBUSD takes one side unsigned: weights are raised by 128, so sums by 128 times all of x. */
#define INT8_EXCESS 128
typedef __m512i v_bytes;
static inline v_bytes v_load_bytes(const char *w)
{
    return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8((char)0x80));
}
static inline vec v_dot_bytes(vec sums, v_bytes w, const char *x)
{
    int four;
    memcpy(&four, x, sizeof four);
    return _mm512_castsi512_ps(
        _mm512_dpbusd_epi32(_mm512_castps_si512(sums), w, _mm512_set1_epi32(four)));
}
#else
/* VPMADDUBSW takes one side unsigned too: the weight's sign goes to x. Pairs of 127 * 127 fit its
 * 16 bits. */
#define INT8_EXCESS 0
typedef struct v_bytes {
    __m512i size;
    __mmask64 negative;
} v_bytes;
static inline v_bytes v_load_bytes(const char *w)
{
    const __m512i bytes = _mm512_loadu_si512(w);
    return (v_bytes){_mm512_abs_epi8(bytes), _mm512_movepi8_mask(bytes)};
}
static inline vec v_dot_bytes(vec sums, v_bytes w, const char *x)
{
    int four;
    memcpy(&four, x, sizeof four);
    const __m512i plain = _mm512_set1_epi32(four);
    const __m512i turned = _mm512_sub_epi8(_mm512_setzero_si512(), plain);
    const __m512i pairs =
        _mm512_maddubs_epi16(w.size, _mm512_mask_blend_epi8(w.negative, plain, turned));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sums),
                                                _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))));
}
#endif

/* a, but where `lanes` says so words `from` of b; all words of 4 bytes */
#define VEC_WORDS 1
static inline __m512i v_take_words(__m512i a, uint16_t lanes, const int *from, const void *b)
{
    return _mm512_mask_permutexvar_epi32(a, lanes, _mm512_loadu_si512(from), _mm512_loadu_si512(b));
}

#endif
