/*
 * The lanes of one register: on AVX-512 sixteen rows. What the products of block formats are
 * written in (blocks.h); the same words are in lanes_avx2.h and lanes_portable.h.
 */
#ifndef SW_KERNELS_LANES_H
#define SW_KERNELS_LANES_H

#include "kernels/cpu/vec_avx512.h"

#define LANES 16
#define LANES_VECS 2      /* registers of rows that a tile of several tokens is wide */
#define LANES_AHEAD 10240 /* bytes: how far ahead words are fetched (words_block.h) */
#define LANES_FAR 8192
#define WORDS_ROWS 6 /* tokens and registers of rows of a tile in words (block_words.h) */
#define WORDS_VECS 2
#define SIGNED_ROWS 6 /* the same where words are signed */
#define SIGNED_VECS 2

typedef __m512 l_vec;

static inline l_vec l_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline l_vec l_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void l_store(float *p, l_vec a)
{
    _mm512_storeu_ps(p, a);
}
/* Words of 2 bytes, f16 each. */
static inline l_vec l_load_f16(const char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline l_vec l_add(l_vec a, l_vec b)
{
    return _mm512_add_ps(a, b);
}
static inline l_vec l_mul(l_vec a, l_vec b)
{
    return _mm512_mul_ps(a, b);
}
/* a * b + c */
static inline l_vec l_fma(l_vec a, l_vec b, l_vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* ---- whole numbers: 32 bits of each lane, or four bytes of it */

typedef __m512i l_word;

static inline l_word l_load_words(const char *p)
{
    return _mm512_loadu_si512(p);
}
/* Words of 2 bytes, with zeros above. */
static inline l_word l_load_halves(const char *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline l_word l_set_word(uint32_t x)
{
    return _mm512_set1_epi32((int)x);
}
static inline l_word l_set_bytes(uint8_t x)
{
    return _mm512_set1_epi8((char)x);
}
static inline l_word l_and(l_word a, l_word b)
{
    return _mm512_and_si512(a, b);
}
static inline l_word l_or(l_word a, l_word b)
{
    return _mm512_or_si512(a, b);
}
/* Each lane's 32 bits shifted by a constant; zeros come in. */
static inline l_word l_left(l_word a, int n)
{
    return _mm512_slli_epi32(a, (unsigned)n);
}
static inline l_word l_right(l_word a, int n)
{
    return _mm512_srli_epi32(a, (unsigned)n);
}
/* Shifted by a number that is no constant. */
static inline l_word l_right_by(l_word a, int n)
{
    return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n));
}
/* Sums and products of 32 bits. */
static inline l_word l_plus(l_word a, l_word b)
{
    return _mm512_add_epi32(a, b);
}
static inline l_word l_times(l_word a, l_word b)
{
    return _mm512_mullo_epi32(a, b);
}
/* Each lane's signed number as a float; and its bits as they are. */
static inline l_vec l_float(l_word a)
{
    return _mm512_cvtepi32_ps(a);
}
static inline l_vec l_as_float(l_word a)
{
    return _mm512_castsi512_ps(a);
}
/* The number of a table that each lane's word is the index of. */
static inline l_vec l_gather(const float *table, l_word at)
{
    return _mm512_i32gather_ps(at, table, 4);
}
/* The low and the high four bits of each byte. */
static inline l_word l_low(l_word a)
{
    return l_and(a, l_set_bytes(15));
}
static inline l_word l_high(l_word a)
{
    return l_and(_mm512_srli_epi16(a, 4), l_set_bytes(15));
}
/* Sixteen entries, and for each byte (0 to 15) its entry. */
typedef __m512i l_table;
static inline l_table l_table_of(const int8_t *entries)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)entries));
}
static inline l_word l_look_up(l_table table, l_word at)
{
    return _mm512_shuffle_epi8(table, at);
}
/* Byte `which` (a constant; of l_byte_by it is none) of each lane, as a number from 0 to 255, or
 * from -128 to 127. */
static inline l_word l_byte(l_word a, int which)
{
    return l_and(l_right(a, 8 * which), l_set_word(255));
}
static inline l_word l_byte_by(l_word a, int which)
{
    return l_and(l_right_by(a, 8 * which), l_set_word(255));
}
static inline l_word l_signed_byte(l_word a, int which)
{
    return _mm512_srai_epi32(l_left(a, 8 * (3 - which)), 24);
}

/*
 * ---- dot products
 *
 * l_dot adds to each lane the products of its four weights, unsigned bytes of 63 at most, with four
 * elements of x, from -127 to 127. Where there are no dot products of bytes a lane has its sum in
 * two halves of 16 bits, of the even and the odd pairs of columns (DOTS_HALVES), and a half may
 * overflow on the way, but not in the end: 2 * calls * 127 * (largest magnitude of a weight) is at
 * most 32767. Sums may start from minus the zero point times the sum of x (struct block_x), so that
 * the weights that count are those less the zero point: 32 columns (8 calls) of -16 to 15 fit, or
 * 16 columns (4 calls) of -32 to 31.
 */
/* Four elements of x for all lanes. */
typedef __m512i l_x;
static inline l_x l_x_of(const int8_t *x)
{
    int four;
    memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
}
#ifdef DOT
typedef __m512i l_dots;
#define DOTS_HALVES 0
static inline l_dots l_dot_x(l_dots sums, l_word w, l_x x)
{
    return _mm512_dpbusd_epi32(sums, w, x);
}
/* The sums, and the sums times a factor of each lane, from -32768 to 32767. */
static inline l_word l_sum(l_dots sums)
{
    return sums;
}
typedef __m512i l_factor;
static inline l_factor l_factor_of(l_word factor)
{
    return factor;
}
static inline l_word l_sum_times(l_dots sums, l_factor factor)
{
    return _mm512_mullo_epi32(sums, factor);
}
#else
typedef __m512i l_dots;
#define DOTS_HALVES 1
/* Compilers may not turn a chain of sums into a tree: more values than there are registers. */
static inline __m512i l_chained(__m512i sums)
{
    __asm__("" : "+v"(sums));
    return sums;
}
static inline l_dots l_dot_x(l_dots sums, l_word w, l_x x)
{
    return l_chained(_mm512_add_epi16(sums, _mm512_maddubs_epi16(w, x)));
}
static inline l_word l_sum(l_dots sums)
{
    return _mm512_madd_epi16(sums, _mm512_set1_epi16(1));
}
typedef __m512i l_factor;
static inline l_factor l_factor_of(l_word factor)
{
    return l_or(l_and(factor, l_set_word(65535)), l_left(factor, 16));
}
static inline l_word l_sum_times(l_dots sums, l_factor factor)
{
    return _mm512_madd_epi16(sums, factor);
}
#endif
static inline l_dots l_dot(l_dots sums, l_word w, const int8_t *x)
{
    return l_dot_x(sums, w, l_x_of(x));
}
static inline l_dots l_dots_zero(void)
{
    return _mm512_setzero_si512();
}
/* start: of struct block_x */
static inline l_dots l_dots_from(int32_t start)
{
    return _mm512_set1_epi32(start);
}

/*
 * Signed weights, whole bytes: the sums have 32 bits. A word is made ready by l_signed_of for all
 * tokens; sums start from l_signed_start, of a block of 32 elements and their sum.
 */
#ifdef DOT
static inline l_word l_signed_of(l_word w)
{
    return _mm512_xor_si512(w, l_set_bytes(128)); /* raised by 128 */
}
static inline int32_t l_signed_start(const int8_t *x, int32_t sum)
{
    (void)x;
    return -128 * sum;
}
typedef l_x l_signed_x;
static inline l_signed_x l_signed_x_of(const int8_t *x)
{
    return l_x_of(x);
}
static inline l_dots l_signed_dot(l_dots sums, l_word w, l_signed_x x)
{
    return _mm512_dpbusd_epi32(sums, w, x);
}
#else
/* As in lanes_avx2.h. */
static inline l_word l_signed_of(l_word w)
{
    return w;
}
static inline int32_t l_signed_start(const int8_t *x, int32_t sum)
{
    (void)sum;
    const __m256i all = _mm256_loadu_si256((const __m256i *)(const void *)x);
    const __m256i sizes = _mm256_maskz_abs_epi8(_mm256_movepi8_mask(all), all);
    const __m512i halves = _mm512_cvtepu8_epi16(sizes);
    return _mm512_reduce_add_epi32(_mm512_madd_epi16(halves, _mm512_set1_epi16(1)));
}
typedef struct l_signed_x {
    __m512i sizes, flips;
} l_signed_x;
static inline l_signed_x l_signed_x_of(const int8_t *x)
{
    const l_x four = l_x_of(x);
    return (l_signed_x){_mm512_abs_epi8(four), _mm512_movm_epi8(_mm512_movepi8_mask(four))};
}
static inline l_dots l_signed_dot(l_dots sums, l_word w, l_signed_x x)
{
    const __m512i pairs = _mm512_maddubs_epi16(x.sizes, _mm512_xor_si512(w, x.flips));
    return l_chained(_mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))));
}
#endif

/* Sums of sixteen elements: of columns 0, 1, 4, 5, 8 … and of columns 2, 3, 6, 7, … */
static inline void l_sum_pairs(const int8_t *x, int32_t *even, int32_t *odd)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)x);
    const __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), bytes);
    const __m128i two = _mm_add_epi16(pairs, _mm_unpackhi_epi64(pairs, pairs));
    const __m128i one = _mm_add_epi16(two, _mm_shuffle_epi32(two, 1));
    *even = (int16_t)_mm_extract_epi16(one, 0);
    *odd = (int16_t)_mm_extract_epi16(one, 1);
}

#endif
