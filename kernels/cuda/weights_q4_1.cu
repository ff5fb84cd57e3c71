/* Q4_1 of GGUF: blocks of 32 nibbles q with f16 scale and minimum; weight = scale * q + minimum. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q4_1 : in_blocks_of_32, nibbles_alone {
    static constexpr int zero = 8;
    static constexpr bool has_offset = true;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{4, 16}, {0, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{2, 2}, {4, 4}}};

    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_nibbles<8>(v.nibbles, out);
    }
    typedef unsigned raw_scales; /* scale and minimum */
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return word_at(row[1], s * 8 + (unsigned)i);
    }
    static __device__ inline void scales(raw_scales raw, int, float *scale, float *offset)
    {
        scale[0] = sw::f16_to_float(raw & 0xffffu);
        offset[0] = sw::f16_to_float(raw >> 16);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(q4_1));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q4_1 = format_of<q4_1>();
