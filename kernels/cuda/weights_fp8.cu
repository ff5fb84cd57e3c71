/*
 * FP8: blocks of one f32 scale and 128 elements in E4M3. An element's bits, as they lie in a
 * float, stand for 2^-120 of its value.
 */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct fp8 : in_order {
    static constexpr int block_len = 128;
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 2;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{4, 128}, {0, 4}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 1}, {4, 32}}};

    struct raw {
        uint2 bytes;
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {__ldcs((const uint2 *)(const void *)row[0] + s * 32 + (unsigned)lane)};
    }
    /* Element i of a word. The format's only numbers that are none have all bits but the sign. */
    static __device__ inline float value(unsigned word, int i)
    {
        const unsigned bits = word >> 8 * i, magnitude = (bits & 0x7fu) << 20;
        const float value = __uint_as_float((bits & 0x80u) << 24 | magnitude) * 0x1p120f;
        return magnitude == 0x07f00000u ? __uint_as_float(0x7fc00000u) : value;
    }
    static __device__ inline void values(const raw &v, int, float *out)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[i] = value(v.bytes.x, i);
            out[4 + i] = value(v.bytes.y, i);
        }
    }
    typedef unsigned raw_scales;
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return word_at(row[1], s * 2 + (unsigned)i / 4);
    }
    static __device__ inline void scales(raw_scales raw, int, float *scale, float *)
    {
        scale[0] = __uint_as_float(raw);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(fp8));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_fp8 = format_of<fp8>();
