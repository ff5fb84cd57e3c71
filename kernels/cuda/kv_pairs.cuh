/*
 * Keys and values of f16 and bf16 caches as the tensor cores' second operand: f16 in shared memory,
 * a word of two rows (dimensions of keys; keys of values) of one column. bf16 becomes f16 by a
 * power of two for all of a block of keys, or of the values so far, which loses nothing above 2^-39
 * of the largest; so Turing, whose tensor cores have no bf16, has this, too.
 */
#ifndef SW_KERNELS_CUDA_KV_PAIRS_CUH
#define SW_KERNELS_CUDA_KV_PAIRS_CUH

#include "kernels/cuda/kv.cuh"
#include "kernels/cuda/mma.cuh"

namespace sw
{

constexpr int pair_warps = 4, pair_threads = pair_warps * warp_size; /* of a block */
constexpr int pair_pad = 8; /* words between rows: four rows of eight columns fall on all banks */

/* Room for `rows` by `columns`. */
__host__ __device__ constexpr int pair_words(int rows, int columns)
{
    return rows / 2 * (columns + pair_pad);
}

/* Of f32, with bounds that keep powers of two that undo them within f32. */
static __device__ inline int exponent_of(unsigned bits)
{
    const int exponent = (int)(bits >> 23 & 0xffu);
    return exponent < 30 ? 30 : exponent > 254 ? 254 : exponent;
}

/* What has such an exponent is below 2^16 when it is multiplied with 2^(cache_shift - exponent). */
constexpr int cache_shift = 142;

/* A matrix in a cache whose rows come in pairs; rows [lo, hi) and columns [left, right) are there,
 * others may hold anything. */
struct cached {
    const void *start;
    int rows, lo, hi;
    int columns, left, right; /* columns: also from row to row in memory */
};

static __device__ inline bool has_row(const cached &a, int row)
{
    return row >= a.lo && row < a.hi;
}

/* `of` words of pair `row / 2`, from `column` on: f16 has its rows apart, bf16 together. */
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

/* To shared memory; returns the largest magnitude of a bf16 that this thread met, as bits. What a
 * thread loads at once it waits for once. */
template <enum sw_dtype format, int of, int most>
static __device__ inline unsigned fetch(const cached &a, unsigned *to)
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

/* All threads of a block (pair_threads) bring a matrix of at most `most` columns; its rows of words
 * are `most + pair_pad` apart. Shared memory is free before, and ready after for all of them. bf16
 * is multiplied with 2^(cache_shift - exponent), where `exponent` is of the largest so far. */
template <enum sw_dtype format, int most>
static __device__ inline void bring(const cached &a, int &exponent, unsigned *to,
                                    unsigned top_of_warp[pair_warps])
{
    unsigned top =
        a.columns % 8 == 0 ? fetch<format, 8, most>(a, to) : fetch<format, 1, most>(a, to);
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
