/* MXFP4: blocks of 32 floats of four bits with one power of two; weight = power * value. Values are
 * doubled, so that they are whole numbers, and powers halved. */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct mxfp4_table {
    static __host__ __device__ constexpr unsigned word(int i)
    {
        constexpr unsigned words[] = {0x83828180u, 0x8c888684u, 0x7d7e7f80u, 0x74787a7cu};
        return words[i];
    }
};

struct mxfp4 : in_blocks_of_32, nibbles_alone {
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{1, 16}, {0, 1}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{2, 1}, {4, 8}}, 2};

    static __device__ inline void values(const raw &v, int, float *out)
    {
        of_table<mxfp4_table>(v.nibbles, out);
    }
    typedef unsigned raw_scales;
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return row[1][s * 8 + (unsigned)i];
    }
    /* 2^(e - 128); the two smallest are subnormal, and 255 is no number. */
    static __device__ inline void scales(raw_scales e, int, float *scale, float *)
    {
        scale[0] = __uint_as_float(e == 255 ? 0x7fc00000u
                                   : e < 2  ? 0x00200000u << e
                                            : (e - 1) << 23);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(mxfp4));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_mxfp4 = format_of<mxfp4>();
