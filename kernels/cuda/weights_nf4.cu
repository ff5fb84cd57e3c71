/*
 * NF4 and FP4 of bitsandbytes: blocks of 64 nibbles, which stand for fractions of the block's
 * absmax, an f32. The fractions are no whole numbers, so that each is looked up: a lane has one of
 * the sixteen in a register, and lanes ask each other by shuffles.
 */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct nf4_fractions {
    static __device__ inline float of(int i)
    {
        constexpr float fractions[] = {
            -1.0f,
            -0.6961928009986877f,
            -0.5250730514526367f,
            -0.39491748809814453f,
            -0.28444138169288635f,
            -0.18477343022823334f,
            -0.09105003625154495f,
            0.0f,
            0.07958029955625534f,
            0.16093020141124725f,
            0.24611230194568634f,
            0.33791524171829224f,
            0.44070982933044434f,
            0.5626170039176941f,
            0.7229568362236023f,
            1.0f,
        };
        return choice(fractions, i);
    }
};

struct fp4_fractions {
    static __device__ inline float of(int i)
    {
        constexpr float fractions[] = {0.0f,
                                       0.0052083334885537624f,
                                       0.6666666865348816f,
                                       1.0f,
                                       0.3333333432674408f,
                                       0.5f,
                                       0.1666666716337204f,
                                       0.25f,
                                       -0.0f,
                                       -0.0052083334885537624f,
                                       -0.6666666865348816f,
                                       -1.0f,
                                       -0.3333333432674408f,
                                       -0.5f,
                                       -0.1666666716337204f,
                                       -0.25f};
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
