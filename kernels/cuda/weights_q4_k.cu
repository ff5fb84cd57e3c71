/* Q4_K of GGUF: blocks of 256 nibbles q in 8 parts, each with a scale and a minimum of six bits;
 * weight = scale * q - minimum. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q4_k : in_k_blocks, nibbles_alone {
    static constexpr int zero = 8;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{16, 128}, {0, 16}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{2, 2}, {4, 35}}};

    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_nibbles<8>(v.nibbles, out);
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

const sw::listed_kernels all(SW_BLOCK_KERNELS(q4_k));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q4_k = format_of<q4_k>();
