/*
 * NF4 and FP4 of bitsandbytes: blocks of 64 nibbles, which stand for fractions of the block's
 * absmax, an f32; or blocks of 256 with four nested absmax, each a byte, which the matrix's table
 * makes numbers of. The fractions are no whole
 * numbers, so that each is looked up: a lane has one of the sixteen in a register, and lanes ask
 * each other by shuffles.
 */
#include "kernels/cuda/block_format.cuh"

#include "tensor/format_nf4.h"

namespace
{

using namespace sw::blocks;

struct nf4_fractions {
    static __device__ inline float of(int i)
    {
        constexpr float fractions[] = {SW_NF4_VALUES};
        return choice(fractions, i);
    }
};

struct fp4_fractions {
    static __device__ inline float of(int i)
    {
        constexpr float fractions[] = {SW_FP4_VALUES};
        return choice(fractions, i);
    }
};

template <class fractions> struct four_bits : in_blocks_of_32, nibbles_alone {
    static constexpr bool has_offset = false;

    /* By all lanes of a warp: lanes 0 to 15 and 16 to 31 have the fractions, so that a nibble and
     * whatever bit is above it find one. */
    static __device__ inline void values(const raw &v, int lane, float *out)
    {
        const float mine = fractions::of(lane % 16);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[i] = __shfl_sync(sw::all_lanes, mine, (int)(v.nibbles >> 8 * i & 15u));
            out[4 + i] = __shfl_sync(sw::all_lanes, mine, (int)(v.nibbles >> (8 * i + 4) & 15u));
        }
    }
};

template <class fractions> struct plain : four_bits<fractions> {
    static constexpr int block_len = SW_NF4_LEN;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{4, 32}, {0, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 1}, {4, 8}}};

    typedef unsigned raw_scales;
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return word_at(row[1], s * 4 + (unsigned)i / 2);
    }
    static __device__ inline void scales(raw_scales raw, int, float *scale, float *)
    {
        scale[0] = __uint_as_float(raw);
    }
};
typedef plain<nf4_fractions> nf4;
typedef plain<fp4_fractions> fp4;

template <class fractions> struct nested : four_bits<fractions> {
    static constexpr int block_len = SW_NESTED_LEN;
    static constexpr int n_planes = 5;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {
            {SW_NESTED_HEAD, SW_NESTED_LEN / 2}, {0, 4}, {4, SW_NESTED_PARTS}, {}, table_plane};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 2}, {4, 32}}};

    struct raw_scales {
        unsigned scale, codes, offset;
        place table;
    };
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int)
    {
        return {word_at(row[1], s), word_at(row[2], s), word_at(row[3], 0), row[4]};
    }
    static __device__ inline void scales(const raw_scales &raw, int i, float *scale, float *)
    {
        const float share = __uint_as_float(word_at(raw.table, raw.codes >> i / 2 * 8 & 255u));
        scale[0] =
            __fadd_rn(__fmul_rn(share, __uint_as_float(raw.scale)), __uint_as_float(raw.offset));
    }
};
typedef nested<nf4_fractions> nf4_nested;
typedef nested<fp4_fractions> fp4_nested;

const sw::listed_kernels all(SW_BLOCK_KERNELS(nf4), SW_BLOCK_KERNELS(fp4),
                             SW_BLOCK_KERNELS(nf4_nested), SW_BLOCK_KERNELS(fp4_nested));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_nf4 = format_of<nf4>();
const struct sw_gpu_format sw_gpu_format_fp4 = format_of<fp4>();
const struct sw_gpu_format sw_gpu_format_nf4_nested = format_of<nf4_nested>();
const struct sw_gpu_format sw_gpu_format_fp4_nested = format_of<fp4_nested>();
