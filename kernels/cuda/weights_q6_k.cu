/* Q6_K of GGUF: blocks of 256 numbers q of six bits in 16 parts, each with a scale of a byte, which
 * an f16 multiplies; weight = scale * (q - 32). */
#include "kernels/cuda/block_format.cuh"

namespace
{

using namespace sw::blocks;

struct q6_k {
    static constexpr int block_len = 256, parts = 2, zero = 0;
    static constexpr bool one_part = false;
    static constexpr bool has_offset = false;
    static constexpr int n_planes = 4;
    static __host__ __device__ constexpr struct sw_gpu_plane plane(int i)
    {
        constexpr struct sw_gpu_plane planes[] = {{0, 128}, {128, 64}, {192, 16}, {208, 2}};
        return planes[i];
    }
    static constexpr struct packing packing = {{{4, 52}, {2, 1}}};

    /* Lane l has word l of the nibbles: of a half of 128 columns those of columns [32 g, 32 g + 32)
     * low, those 64 further on high. */
    static __host__ __device__ constexpr int column(int lane, int four)
    {
        return lane / 16 * 128 + lane / 8 % 2 * 32 + lane % 8 * 4 + four * 64;
    }
    static __host__ __device__ constexpr int part(int lane, int four)
    {
        return column(lane, four) / 16;
    }
    struct raw {
        unsigned nibbles, upper; /* upper: two bits of each of four columns, in four places */
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {once(row[0], s * 32 + (unsigned)lane),
                word_at(row[1], s * 16 + (unsigned)lane / 16 * 8 + (unsigned)lane % 8)};
    }
    static __device__ inline void values(const raw &v, int lane, float *out)
    {
        const unsigned upper = v.upper >> lane / 8 % 2 * 2;
        of_bytes<32>((v.nibbles & 0x0f0f0f0fu) | (upper << 4 & 0x30303030u), out);
        of_bytes<32>((v.nibbles >> 4 & 0x0f0f0f0fu) | (upper & 0x30303030u), out + 4);
    }
    struct raw_scales {
        unsigned of_parts, of_block;
    };
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return {half_at(row[2], s * 8 + (unsigned)i), half_at(row[3], s)};
    }
    static __device__ inline void scales(const raw_scales &raw, int, float *scale, float *)
    {
        const float of_block = sw::f16_to_float(raw.of_block);
        scale[0] = of_block * of_byte<128>(raw.of_parts ^ 0x8080u, 0);
        scale[1] = of_block * of_byte<128>(raw.of_parts ^ 0x8080u, 1);
    }
};

const sw::listed_kernels all(SW_BLOCK_KERNELS(q6_k));

} // namespace

/* ------------------------------------------------------------------------------------------- */

const struct sw_gpu_format sw_gpu_format_q6_k = format_of<q6_k>();
