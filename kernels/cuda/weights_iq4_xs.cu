/* IQ4_XS of GGUF: blocks of 256 in 8 parts, each with a scale of six bits; nibbles as in IQ4_NL. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct iq4_xs : in_blocks_of_32, nibbles_alone {
    static constexpr int block_len = 256;
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{8, 128}, {0, 8}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{2, 2}, {4, 33}}};

    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_table<iq4_table>(v.nibbles, out);
    }
    /* Of a block: its f16 scale, then two bits of each part, then four of each. */
    typedef uint2 raw_scales;
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int)
    {
        return ((const uint2 *)(const void *)row[1])[s];
    }
    static __device__ inline void scales(raw_scales raw, int i, float *scale, float *)
    {
        const unsigned low = raw.y >> 4 * i & 15u, high = raw.x >> (16 + 2 * i) & 3u;
        scale[0] = sw::f16_to_float(raw.x & 0xffffu) * ((float)(int)(low | high << 4) - 32.0f);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(iq4_xs));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_iq4_xs = format_of<iq4_xs>();
