/* The lanes of one register on AVX2: eight rows. The same words as lanes_avx512.h, which explains
 * them. */
#ifndef SW_KERNELS_LANES_H
#define SW_KERNELS_LANES_H

#include "kernels/cpu/vec_avx2.h"

#define LANES 8
#define LANES_VECS 1
#define LANES_AHEAD 2688 /* bytes: how far ahead words are fetched (words_block.h) */
#define LANES_FAR 4096
#define WORDS_ROWS 3 /* tokens and registers of rows of a tile in words (block_words.h) */
#define WORDS_VECS 3
#define SIGNED_ROWS 2 /* the same where words are signed */
#define SIGNED_VECS 4

typedef __m256 l_vec;

static inline l_vec l_set(float x)
{
    return _mm256_set1_ps(x);
}
static inline l_vec l_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void l_store(float *p, l_vec a)
{
    _mm256_storeu_ps(p, a);
}
static inline l_vec l_load_f16(const char *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline l_vec l_add(l_vec a, l_vec b)
{
    return _mm256_add_ps(a, b);
}
static inline l_vec l_mul(l_vec a, l_vec b)
{
    return _mm256_mul_ps(a, b);
}
static inline l_vec l_fma(l_vec a, l_vec b, l_vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* ---- whole numbers */

typedef __m256i l_word;

static inline l_word l_load_words(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline l_word l_load_halves(const char *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline l_word l_set_word(uint32_t x)
{
    return _mm256_set1_epi32((int)x);
}
static inline l_word l_set_bytes(uint8_t x)
{
    return _mm256_set1_epi8((char)x);
}
static inline l_word l_and(l_word a, l_word b)
{
    return _mm256_and_si256(a, b);
}
static inline l_word l_or(l_word a, l_word b)
{
    return _mm256_or_si256(a, b);
}
static inline l_word l_left(l_word a, int n)
{
    return _mm256_slli_epi32(a, n);
}
static inline l_word l_right(l_word a, int n)
{
    return _mm256_srli_epi32(a, n);
}
static inline l_word l_right_by(l_word a, int n)
{
    return _mm256_srl_epi32(a, _mm_cvtsi32_si128(n));
}
static inline l_word l_plus(l_word a, l_word b)
{
    return _mm256_add_epi32(a, b);
}
static inline l_word l_times(l_word a, l_word b)
{
    return _mm256_mullo_epi32(a, b);
}
static inline l_vec l_float(l_word a)
{
    return _mm256_cvtepi32_ps(a);
}
static inline l_vec l_as_float(l_word a)
{
    return _mm256_castsi256_ps(a);
}
static inline l_vec l_gather(const float *table, l_word at)
{
    int32_t i[8]; /* VGATHERDPS takes longer than eight loads */
    _mm256_storeu_si256((__m256i *)(void *)i, at);
    return _mm256_setr_ps(table[i[0]], table[i[1]], table[i[2]], table[i[3]], table[i[4]],
                          table[i[5]], table[i[6]], table[i[7]]);
}
static inline l_word l_low(l_word a)
{
    return l_and(a, l_set_bytes(15));
}
static inline l_word l_high(l_word a)
{
    return l_and(_mm256_srli_epi16(a, 4), l_set_bytes(15));
}
typedef __m256i l_table;
static inline l_table l_table_of(const int8_t *entries)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)entries));
}
static inline l_word l_look_up(l_table table, l_word at)
{
    return _mm256_shuffle_epi8(table, at);
}
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
    return _mm256_srai_epi32(l_left(a, 8 * (3 - which)), 24);
}

/* ---- dot products: VPMADDUBSW, in 16 bits each two of the four products of a lane */

typedef __m256i l_dots;
#define DOTS_HALVES 1

static inline l_dots l_dots_zero(void)
{
    return _mm256_setzero_si256();
}
static inline l_dots l_dots_from(int32_t start)
{
    return _mm256_set1_epi32(start);
}
/* Four elements of x for all lanes. Of floats a broadcast from memory is made. */
typedef __m256i l_x;
static inline l_x l_x_of(const int8_t *x)
{
    float four; /* their bits */
    memcpy(&four, x, sizeof four);
    return _mm256_castps_si256(_mm256_set1_ps(four));
}
/* Compilers may not turn a chain of sums into a tree: more values than there are registers. */
static inline __m256i l_chained(__m256i sums)
{
    __asm__("" : "+x"(sums));
    return sums;
}
static inline l_dots l_dot_x(l_dots sums, l_word w, l_x x)
{
    return l_chained(_mm256_add_epi16(sums, _mm256_maddubs_epi16(w, x)));
}
static inline l_dots l_dot(l_dots sums, l_word w, const int8_t *x)
{
    return l_dot_x(sums, w, l_x_of(x));
}
static inline l_word l_sum(l_dots sums)
{
    return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}
typedef __m256i l_factor;
static inline l_factor l_factor_of(l_word factor)
{
    return l_or(l_and(factor, l_set_word(65535)), l_left(factor, 16));
}
static inline l_word l_sum_times(l_dots sums, l_factor factor)
{
    return _mm256_madd_epi16(sums, factor);
}

/* Signed weights. The unsigned side of VPMADDUBSW has the sizes of x; where x is negative the bits
 * of the weight are flipped, which makes -w - 1 of it, and the start has what is then missing, the
 * size of x. Pairs of 127 * 128 fit the 16 bits, sums of them do not. */
static inline l_word l_signed_of(l_word w)
{
    return w;
}
static inline int32_t l_signed_start(const int8_t *x, int32_t sum)
{
    (void)sum;
    const __m256i all = _mm256_loadu_si256((const __m256i *)(const void *)x);
    const __m256i negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), all);
    const __m256i eights =
        _mm256_sad_epu8(l_and(_mm256_abs_epi8(all), negative), _mm256_setzero_si256());
    const __m128i fours =
        _mm_add_epi32(_mm256_castsi256_si128(eights), _mm256_extracti128_si256(eights, 1));
    return _mm_cvtsi128_si32(fours) + _mm_extract_epi32(fours, 2);
}
typedef struct l_signed_x {
    __m256i sizes, flips;
} l_signed_x;
static inline l_signed_x l_signed_x_of(const int8_t *x)
{
    const l_x four = l_x_of(x);
    return (l_signed_x){_mm256_abs_epi8(four), _mm256_cmpgt_epi8(_mm256_setzero_si256(), four)};
}
static inline l_dots l_signed_dot(l_dots sums, l_word w, l_signed_x x)
{
    const __m256i pairs = _mm256_maddubs_epi16(x.sizes, _mm256_xor_si256(w, x.flips));
    return l_chained(_mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
}

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
