/* Q5_K of GGUF: as Q4_K, with numbers q of five bits. Bit p of byte i of the fifth bits is that of
 * element i of part p. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q5_k : in_k_blocks {
    static constexpr int zero = 16;
    static constexpr int n_planes = 3;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{48, 128}, {0, 16}, {16, 32}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{2, 2}, {4, 43}}};

    struct raw {
        unsigned nibbles, fifths;
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {once(row[0], s * 32 + (unsigned)lane), word_at(row[2], s * 8 + (unsigned)lane % 8)};
    }
    static __device__ inline void values(const raw &v, int lane, float *out)
    {
        const unsigned bits = v.fifths >> lane / 8 * 2;
        of_bytes<16>((v.nibbles & 0x0f0f0f0fu) | (bits << 4 & 0x10101010u), out);
        of_bytes<16>((v.nibbles >> 4 & 0x0f0f0f0fu) | (bits << 3 & 0x10101010u), out + 4);
    }
    typedef uint4 raw_scales; /* of a block: d and dmin, then six bits of each part's two */
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int)
    {
        return ((const uint4 *)(const void *)row[1])[s];
    }
    static __device__ inline void scales(const raw_scales &raw, int i, float *scale, float *offset)
    {
        scale_and_minimum(raw, i, scale, offset);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(q5_k));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q5_k = format_of<q5_k>();
