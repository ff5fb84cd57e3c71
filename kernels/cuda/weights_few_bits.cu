/*
 * Group-wise integers q of two and three bits (weights_groupwise.cu has the others); how their
 * codes lie is in tensor/groupwise.h.
 */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

/* Two bits: a word has four columns in each of four places, and two lanes share it. With three, of
 * 32 columns a word has the third ones. */
template <int len, int bits> struct few_groups : scale_with_zero<len> {
    static constexpr int block_len = len, parts = 1, zero = 1 << (bits - 1);
    static constexpr bool one_part = true, has_offset = true;
    static constexpr int n_planes = bits;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {
            {4, len / 4}, {0, 4}, {4 + len / 4, bits == 3 ? len / 8 : 0}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 1}, {4, len *bits / 32}}};

    static __host__ __device__ constexpr int column(int lane, int four)
    {
        return lane / 4 * 32 + (lane % 2 * 2 + four) * 8 + lane / 2 % 2 * 4;
    }
    static __host__ __device__ constexpr int part(int lane, int)
    {
        return lane / 4;
    }
    struct raw {
        unsigned low, thirds;
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        const unsigned l = (unsigned)lane;
        return {word_at(row[0], s * 16 + l / 2),
                bits == 3 ? word_at(row[bits - 1], s * jobs + l / 4) : 0};
    }
    static __device__ inline void values(const raw &v, int lane, float *out)
    {
        const unsigned low = v.low >> lane % 2 * 4,
                       thirds = bits == 3 ? v.thirds >> (lane % 2 * 4 + lane / 2 % 2) : 0;
#pragma unroll
        for (int four = 0; four < 2; four++)
            of_bytes<zero>((low >> 2 * four & 0x03030303u) | (thirds >> 2 * four & 0x01010101u)
                                                                 << 2,
                           out + 4 * four);
    }
};
typedef few_groups<128, 2> int2_g128;
typedef few_groups<32, 2> int2_g32;
typedef few_groups<128, 3> int3_g128;
typedef few_groups<32, 3> int3_g32;

const sw::listed_kernels all(SW_BLOCK_KERNELS(int2_g128), SW_BLOCK_KERNELS(int2_g32),
                             SW_BLOCK_KERNELS(int3_g128), SW_BLOCK_KERNELS(int3_g32));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_int2_g128 = format_of<int2_g128>();
const struct sw_gpu_format sw_gpu_format_int2_g32 = format_of<int2_g32>();
const struct sw_gpu_format sw_gpu_format_int3_g128 = format_of<int3_g128>();
const struct sw_gpu_format sw_gpu_format_int3_g32 = format_of<int3_g32>();
