/*
 * Group-wise integers q of four and of eight bits, in blocks of 128 and of 32 with one word: an f32
 * scale whose last eight bits are a zero point instead; weight = scale * (q - zero). Those of two
 * and three bits are in weights_few_bits.cu.
 */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

template <int len> struct int4_groups : in_blocks_of_32, nibbles_alone, scale_with_zero<len> {
    static constexpr int block_len = len, zero = 8;
    static constexpr bool has_offset = true;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{4, len / 2}, {0, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 1}, {4, len / 8}}};

    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_nibbles<8>(v.nibbles, out);
    }
};

template <int len> struct int8_groups : in_order, scale_with_zero<len, true> {
    static constexpr int block_len = len;
    static constexpr bool has_offset = true;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{4, len}, {0, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 1}, {4, len / 4}}};

    struct raw {
        uint2 bytes;
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {__ldcs((const uint2 *)(const void *)row[0] + s * 32 + (unsigned)lane)};
    }
    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_bytes<128>(v.bytes.x ^ 0x80808080u, out);
        of_bytes<128>(v.bytes.y ^ 0x80808080u, out + 4);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(int4_groups<128>), SW_BLOCK_KERNELS(int4_groups<32>),
                             SW_BLOCK_KERNELS(int8_groups<128>), SW_BLOCK_KERNELS(int8_groups<32>));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_int4_g128 = format_of<int4_groups<128>>();
const struct sw_gpu_format sw_gpu_format_int4_g32 = format_of<int4_groups<32>>();
const struct sw_gpu_format sw_gpu_format_int8_g128 = format_of<int8_groups<128>>();
const struct sw_gpu_format sw_gpu_format_int8_g32 = format_of<int8_groups<32>>();
