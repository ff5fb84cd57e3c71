/* Q4_0 of GGUF: blocks of 32 nibbles q with one f16 scale; weight = scale * (q - 8). */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q4_0 : in_blocks_of_32, nibbles_alone {
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{2, 16}, {0, 2}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{2, 1}, {4, 4}}};

    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_nibbles<8>(v.nibbles, out);
    }
    typedef unsigned raw_scales;
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return half_at(row[1], s * 8 + (unsigned)i);
    }
    static __device__ inline void scales(raw_scales raw, int, float *scale, float *)
    {
        scale[0] = sw::f16_to_float(raw);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(q4_0));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q4_0 = format_of<q4_0>();
