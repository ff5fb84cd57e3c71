/* Q3_K of GGUF: blocks of 256 numbers q of three bits in 16 parts, each with a scale of six bits,
 * which an f16 multiplies; weight = scale * (q - 4). The third bits lie apart. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q3_k {
    static constexpr int block_len = 256, parts = 2, zero = 0;
    static constexpr bool one_part = false;
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 4;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{32, 64}, {0, 32}, {96, 12}, {108, 2}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 27}, {2, 1}}};

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
        unsigned bits, thirds; /* bit j of byte i of the thirds: column 32 j + i */
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {word_at(row[0], s * 16 + (unsigned)lane / 16 * 8 + (unsigned)lane % 8),
                word_at(row[1], s * 8 + (unsigned)lane % 8)};
    }
    static __device__ inline void values(const raw &v, int lane, float *out)
    {
        const unsigned bits = v.bits >> lane / 8 % 2 * 4;
        const unsigned thirds = v.thirds >> lane / 8 * 2;
        of_bytes<4>((bits & 0x03030303u) | (thirds << 2 & 0x04040404u), out);
        of_bytes<4>((bits >> 2 & 0x03030303u) | (thirds << 1 & 0x04040404u), out + 4);
    }
    struct raw_scales {
        unsigned low, high, of_block; /* four bits of two parts in one of two places; two of all */
    };
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return {half_at(row[2], s * 6 + (unsigned)i % 4),
                half_at(row[2], s * 6 + 4 + (unsigned)i % 2), half_at(row[3], s)};
    }
    static __device__ inline void scales(const raw_scales &raw, int i, float *scale, float *)
    {
        const float of_block = sw::f16_to_float(raw.of_block);
        const unsigned both =
            (raw.low >> i / 4 * 4 & 0x0f0fu) | (raw.high >> i / 2 * 2 << 4 & 0x3030u);
        scale[0] = of_block * of_byte<32>(both, 0);
        scale[1] = of_block * of_byte<32>(both, 1);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(q3_k));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q3_k = format_of<q3_k>();
