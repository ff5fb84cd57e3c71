/* Q2_K of GGUF: blocks of 256 numbers q of two bits in 16 parts, each with a scale and a minimum of
 * four bits; weight = scale * q - minimum. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q2_k {
    static constexpr int block_len = 256, parts = 2, zero = 2;
    static constexpr bool one_part = false;
    static constexpr bool has_offset = true;
    static constexpr int n_planes = 3;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{16, 64}, {0, 16}, {80, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 20}, {2, 2}}};

    /* A word has four columns in each of four places of two bits; two lanes share it. */
    static __host__ __device__ constexpr int column(int lane, int four)
    {
        return lane / 16 * 128 + lane / 8 % 2 * 64 + lane % 8 * 4 + four * 32;
    }
    static __host__ __device__ constexpr int part(int lane, int four)
    {
        return column(lane, four) / 16;
    }
    struct raw {
        unsigned bits;
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {word_at(row[0], s * 16 + (unsigned)lane / 16 * 8 + (unsigned)lane % 8)};
    }
    static __device__ inline void values(const raw &v, int lane, float *out)
    {
        const unsigned bits = v.bits >> lane / 8 % 2 * 4;
        of_bytes<2>(bits & 0x03030303u, out);
        of_bytes<2>(bits >> 2 & 0x03030303u, out + 4);
    }
    struct raw_scales {
        unsigned of_parts, of_block;
    };
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return {half_at(row[1], s * 8 + (unsigned)i), word_at(row[2], s)};
    }
    static __device__ inline void scales(const raw_scales &raw, int, float *scale, float *offset)
    {
        const float d = sw::f16_to_float(raw.of_block & 0xffffu),
                    dmin = sw::f16_to_float(raw.of_block >> 16);
#pragma unroll
        for (int k = 0; k < 2; k++) {
            scale[k] = d * of_byte<0>(raw.of_parts & 0x0f0fu, k);
            offset[k] = -(dmin * of_byte<0>(raw.of_parts >> 4 & 0x0f0fu, k));
        }
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(q2_k));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q2_k = format_of<q2_k>();
