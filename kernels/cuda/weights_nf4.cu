/*
 * NF4 and FP4 of bitsandbytes: blocks of 64 nibbles, which stand for fractions of the block's
 * absmax, an f32. The fractions are no whole numbers, so that each is looked up: a lane has one of
 * the sixteen in a register, and lanes ask each other by shuffles.
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
    static constexpr int block_len = 64;
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{4, 32}, {0, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 1}, {4, 8}}};

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
typedef four_bits<nf4_fractions> nf4;
typedef four_bits<fp4_fractions> fp4;

const sw::listed_kernels all(SW_BLOCK_KERNELS(nf4), SW_BLOCK_KERNELS(fp4));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_nf4 = format_of<nf4>();
const struct sw_gpu_format sw_gpu_format_fp4 = format_of<fp4>();
