/*
 * Keys and values of f16 and bf16 caches as the second operand of tensor cores: f16 in shared
 * memory, each word with two rows of one column (two dimensions of a key; a dimension of two
 * values).
 *
 * bf16 is converted to f16 with a power of two that is common to a block of keys, or to the values
 * so far. That is exact for magnitudes above 2^-39 of the largest. So it also works on Turing,
 * whose tensor cores have no bf16.
 */
#ifndef SW_KERNELS_CUDA_KV_PAIRS_CUH
#define SW_KERNELS_CUDA_KV_PAIRS_CUH

#include "kernels/cuda/kv.cuh"
#include "kernels/cuda/mma.cuh"

namespace sw
{

constexpr int pair_warps = 4, pair_threads = pair_warps * warp_size; /* in a block */
constexpr int pair_pad =
    8; /* words between rows, so that four rows of eight columns use all banks */

/* Words of shared memory for a matrix of `rows` by `columns`. */
__host__ __device__ constexpr int pair_words(int rows, int columns)
{
    return rows / 2 * (columns + pair_pad);
}

/* The exponent bits of an f32, limited so that the power of two that undoes the scaling is an f32.
 */
static __device__ inline int exponent_of(unsigned bits)
{
    const int exponent = (int)(bits >> 23 & 0xffu);
    return exponent < 30 ? 30 : exponent > 254 ? 254 : exponent;
}

/* A value with exponent bits `exponent` times 2^(cache_shift - exponent) is below 2^16. */
constexpr int cache_shift = 142;

/* A matrix in a cache, used in pairs of rows. Only rows [lo, hi) and columns [left, right) hold
 * values; the others are undefined. */
struct cached {
    const void *start;
    int rows, lo, hi;
    int columns, left, right; /* columns is also the distance of rows in memory */
};

static __device__ inline bool has_row(const cached &a, int row)
{
    return row >= a.lo && row < a.hi;
}

/* Loads `of` words of the pair row / 2, from `column` on. In memory the two rows of a pair are
 * apart for f16, and interleaved for bf16. */
template <enum sw_dtype format, int of> struct words_of;

template <> struct words_of<SW_F16, 8> {
    static __device__ inline void load(const cached &a, int row, int column, unsigned *words)
    {
        const uint16_t *const p = (const uint16_t *)a.start + (int64_t)row * a.columns + column;
        const uint4 zero = {0, 0, 0, 0};
        const uint4 x = has_row(a, row) ? *(const uint4 *)(const void *)p : zero;
        const uint4 y = has_row(a, row + 1) ? *(const uint4 *)(const void *)(p + a.columns) : zero;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            words[2 * i] = (word(x, i) & 0xffffu) | word(y, i) << 16;
            words[2 * i + 1] = word(x, i) >> 16 | (word(y, i) & 0xffff0000u);
        }
    }
};

template <> struct words_of<SW_F16, 1> {
    static __device__ inline void load(const cached &a, int row, int column, unsigned *words)
    {
        const uint16_t *const p = (const uint16_t *)a.start + (int64_t)row * a.columns + column;
        words[0] = (has_row(a, row) ? p[0] : 0u) | (has_row(a, row + 1) ? p[a.columns] : 0u) << 16;
    }
};

static __device__ inline unsigned masked(const cached &a, int row, int column, unsigned word)
{
    const bool there = column >= a.left && column < a.right;
    return there ? word & ((has_row(a, row) ? 0xffffu : 0u) | (has_row(a, row + 1) ? ~0xffffu : 0u))
                 : 0u;
}

template <> struct words_of<SW_BF16, 8> {
    static __device__ inline void load(const cached &a, int row, int column, unsigned *words)
    {
        const unsigned *const p =
            (const unsigned *)a.start + (int64_t)(row / 2) * a.columns + column;
        const uint4 zero = {0, 0, 0, 0};
        const bool there = has_row(a, row) || has_row(a, row + 1);
        const uint4 x = there ? ((const uint4 *)(const void *)p)[0] : zero;
        const uint4 y = there ? ((const uint4 *)(const void *)p)[1] : zero;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            words[i] = masked(a, row, column + i, word(x, i));
            words[i + 4] = masked(a, row, column + i + 4, word(y, i));
        }
    }
};

template <> struct words_of<SW_BF16, 1> {
    static __device__ inline void load(const cached &a, int row, int column, unsigned *words)
    {
        const unsigned *const p =
            (const unsigned *)a.start + (int64_t)(row / 2) * a.columns + column;
        const bool there = has_row(a, row) || has_row(a, row + 1);
        words[0] = there ? masked(a, row, column, *p) : 0u;
    }
};

/* Copies a matrix to shared memory; returns the bits of the largest bf16 magnitude that this thread
 * has loaded. A thread starts at_once loads before it waits for them. */
template <enum sw_dtype format, int of, int most>
static __device__ inline unsigned copy_words(const cached &a, unsigned *to)
{
    constexpr int at_once = 4, vectors = most / of;
    const int n = a.rows / 2 * vectors;
    unsigned top = 0;
    for (int first = (int)threadIdx.x; first < n; first += at_once * pair_threads) {
        unsigned words[at_once][of];
#pragma unroll
        for (int k = 0; k < at_once; k++) {
            const int i = first + k * pair_threads;
            if (i < n && i % vectors * of < a.columns)
                words_of<format, of>::load(a, i / vectors * 2, i % vectors * of, words[k]);
        }
#pragma unroll
        for (int k = 0; k < at_once; k++) {
            const int i = first + k * pair_threads;
            if (i >= n || i % vectors * of >= a.columns)
                continue;
#pragma unroll
            for (int j = 0; j < of; j++) {
                to[i / vectors * (most + pair_pad) + i % vectors * of + j] = words[k][j];
                if (format == SW_BF16)
                    top = max(top, max(words[k][j] & 0x7fffu, words[k][j] >> 16 & 0x7fffu));
            }
        }
    }
    return top;
}

/* All threads of a block (pair_threads) copy a matrix of at most `most` columns to shared memory,
 * in rows of `most + pair_pad` words. No thread may use `to` at the call; all may read it at the
 * return. bf16 is multiplied with 2^(cache_shift - exponent); `exponent` is raised to that of the
 * largest magnitude so far. */
template <enum sw_dtype format, int most>
static __device__ inline void copy_pairs(const cached &a, int &exponent, unsigned *to,
                                         unsigned top_of_warp[pair_warps])
{
    unsigned top = a.columns % 8 == 0 ? copy_words<format, 8, most>(a, to)
                                      : copy_words<format, 1, most>(a, to);
    if (format == SW_BF16) {
        for (int apart = warp_size / 2; apart; apart /= 2)
            top = max(top, __shfl_xor_sync(all_lanes, top, apart));
        if (lane() == 0)
            top_of_warp[warp()] = top;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < pair_warps; i++)
            exponent = max(exponent, exponent_of(top_of_warp[i] << 16));
        const float factor = power_of_two(cache_shift - exponent);
        for (int pair = warp(); pair < a.rows / 2; pair += pair_warps)
            for (int column = lane(); column < a.columns; column += warp_size) {
                unsigned &word = to[pair * (most + pair_pad) + column];
                word = bits_of(__floats2half2_rn(bf16_to_float(word & 0xffffu) * factor,
                                                 __uint_as_float(word & 0xffff0000u) * factor));
            }
    }
    __syncthreads();
}

} // namespace sw

#endif
