/*
 * Formats of few bits, whose elements become floats by the scales of their blocks. Parts of a block
 * lie in planes of their own (gpu_formats.h), so that each is read in aligned words.
 *
 * A *stretch* is 256 columns of a row, what a warp reads at a time. A lane has eight of them, as
 * two fours of neighbouring columns: as many bits as a word has, as they lie in it, so that a warp
 * reads each plane once, side by side. A *part* is some of the stretch's columns with one scale.
 *
 * A class W says what a format is. Its functions are static; `row` are the planes of a row, s a
 * stretch:
 *
 *   - block_len, n_planes, plane(i): the planes of a block, elements first; then one without bytes
 *     where rows have an f32 of their own (sw_format's row_scale), and then table_plane where the
 *     matrix has a table, which every row has as its plane; packing: how the CPU's
 *     panels have it (block_unpack.cuh);
 *   - parts: of 32 columns, 1 or 2; has_offset: weight = scale * (value + zero) + offset, else it
 * is scale * value. Values count from the middle `zero`, so that sums stay small;
 *   - column(lane, four): the first column of the stretch, part(lane, four): the part of the
 * stretch, of one of the lane's fours; one_part: both fours of a lane have one scale;
 *   - raw, load(row, s, lane), values(raw, lane, float[8]): the lane's eight, loaded and as
 * numbers;
 *   - raw_scales, load_scales(row, s, i), scales(raw_scales, i, float *scale, float *offset): the
 *     same of the parts of columns [32 i, 32 i + 32).
 *
 * In place of blocks that a row's last stretch lacks its first one is loaded, and multiplied by 0.
 */
#ifndef SW_KERNELS_CUDA_BLOCK_PLANES_CUH
#define SW_KERNELS_CUDA_BLOCK_PLANES_CUH

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gpu_formats.h"

namespace sw
{
namespace blocks
{

constexpr int stretch = 256, lane_columns = 8, part_columns = 32;
constexpr int jobs = stretch / part_columns; /* lanes that make a stretch's scales */

typedef const unsigned char *place;

static __device__ inline unsigned word_at(place p, unsigned i)
{
    return ((const unsigned *)(const void *)p)[i];
}
static __device__ inline unsigned half_at(place p, unsigned i)
{
    return ((const uint16_t *)(const void *)p)[i];
}
/* Loaded once, and not kept in caches that others could use. */
static __device__ inline unsigned once(place p, unsigned i)
{
    return __ldcs((const unsigned *)(const void *)p + i);
}

constexpr struct sw_gpu_plane table_plane = {1, 0};

/* Bytes of a row in plane i. */
template <class W> static __host__ __device__ inline int64_t plane_step(int i, int64_t blocks)
{
    return W::plane(i).bytes  ? blocks * W::plane(i).bytes
           : W::plane(i).from ? 0
                              : (int64_t)sizeof(float);
}

/* A matrix of format W. */
template <class W> struct matrix {
    place first[W::n_planes];
    int64_t cols, blocks; /* blocks: of a row */

    __device__ inline void row(int64_t r, place *planes) const
    {
#pragma unroll
        for (int i = 0; i < W::n_planes; i++)
            planes[i] = first[i] + r * plane_step<W>(i, blocks);
    }
    __device__ inline unsigned stretches() const
    {
        return (unsigned)divide_up(cols, stretch);
    }
    /* Whether a column of stretch s is in a block. */
    __device__ inline bool has(unsigned s, int col) const
    {
        return W::block_len >= stretch ||
               s * stretch + (unsigned)col < (unsigned)blocks * W::block_len;
    }
    /* A lane of a stretch's first block, for one that has no block. */
    static __device__ inline int first_block(int lane)
    {
        return lane % (W::block_len / lane_columns);
    }
};

/* With padding, whole units of the CPU's panels. */
template <class W> static inline int64_t blocks_of_row(int64_t cols)
{
    return round_up(divide_up(cols, W::block_len), W::packing.blocks);
}

template <class W> static inline matrix<W> matrix_of(const void *w, int64_t rows, int64_t cols)
{
    const int64_t padded = round_up(rows, SW_ROW_PAD);
    matrix<W> m;
    m.cols = cols;
    m.blocks = blocks_of_row<W>(cols);
    place at = (place)w;
    for (int i = 0; i < W::n_planes; i++) {
        m.first[i] = at;
        at += padded * plane_step<W>(i, m.blocks);
    }
    return m;
}

/* The eight weights of a lane. */
template <class W>
static __device__ inline void weights_of(const matrix<W> &m, int64_t r, unsigned s, int lane,
                                         float *out)
{
    place row[W::n_planes];
    m.row(r, row);
    const bool there = m.has(s, W::column(lane, 0));
    W::values(W::load(row, s, there ? lane : m.first_block(lane)), lane, out);
#pragma unroll
    for (int f = 0; f < 2; f++) {
        const int col = W::column(lane, f), i = m.has(s, col) ? col / part_columns : 0;
        float scales[W::parts], offsets[W::parts] = {};
        W::scales(W::load_scales(row, s, i), i, scales, offsets);
        const bool second = W::part(lane, f) % W::parts;
        const float scale = second ? scales[W::parts - 1] : scales[0];
        const float offset = second ? offsets[W::parts - 1] : offsets[0];
#pragma unroll
        for (int k = 0; k < 4; k++)
            out[4 * f + k] = W::has_offset ? scale * (out[4 * f + k] + (float)W::zero) + offset
                                           : scale * out[4 * f + k];
    }
}

/* ---- numbers of some bits as floats. Conversions are slower than other instructions, so bits
 * become the last ones of 2^23, which is taken off again: exact. */

constexpr unsigned magic = 0x4b000000u; /* 2^23 */

/* Byte i of four as a float, less `zero`. */
template <int zero> static __device__ inline float of_byte(unsigned word, int i)
{
    return __uint_as_float(__byte_perm(word, magic, 0x7440u + (unsigned)i)) -
           (8388608.0f + (float)zero);
}

template <int zero> static __device__ inline void of_bytes(unsigned word, float *out)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        out[i] = of_byte<zero>(word, i);
}

/* (word & mask) | bits, in one instruction; of two constants compilers make two. */
static __device__ inline unsigned select(unsigned word, unsigned mask, unsigned bits)
{
#ifdef __CUDA_ARCH__
    unsigned out;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(out) : "r"(word), "r"(mask), "r"(bits));
    return out;
#else
    return (word & mask) | bits;
#endif
}

/* A nibble that begins at bit 0, 4, 8 or 12, less `zero`: multiplied where it is. */
template <int at, int zero> static __device__ inline float of_nibble(unsigned word)
{
    constexpr float unit = 1.0f / (float)(1 << at);
    return __uint_as_float(select(word, 15u << at, magic)) * unit -
           (8388608.0f * unit + (float)zero);
}

/* Low nibbles of four bytes, then their high ones. */
template <int zero> static __device__ inline void of_nibbles(unsigned word, float *out)
{
    const unsigned upper = word >> 16;
    out[0] = of_nibble<0, zero>(word), out[4] = of_nibble<4, zero>(word);
    out[1] = of_nibble<8, zero>(word), out[5] = of_nibble<12, zero>(word);
    out[2] = of_nibble<0, zero>(upper), out[6] = of_nibble<4, zero>(upper);
    out[3] = of_nibble<8, zero>(upper), out[7] = of_nibble<12, zero>(upper);
}

/* The same of five bits; bits i and 16 + i of `fifths` are the fifth ones of byte i's two, less 16.
 */
static __device__ inline void of_five_bits(unsigned word, unsigned fifths, float *out)
{
    /* Four bits become the fifth ones of four bytes: times 2^4 + 2^11 + 2^18 + 2^25, each is where
     * it should be, among others. */
    const unsigned low = (fifths & 15u) * 0x02040810u & 0x10101010u,
                   high = (fifths >> 16 & 15u) * 0x02040810u & 0x10101010u;
    of_bytes<16>((word & 0x0f0f0f0fu) | low, out);
    of_bytes<16>((word >> 4 & 0x0f0f0f0fu) | high, out + 4);
}

/* Nibbles as places in a table of 16 bytes, to which 128 was added: low ones, then high ones. */
template <class table> static __device__ inline void of_table(unsigned word, float *out)
{
    /* A pick of eight bytes looks at three bits of a nibble; the fourth chooses between two. */
    const unsigned which = 0x32103210u | (word >> 1 & 0x44444444u), places = word & 0x77777777u;
    unsigned four[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const unsigned first = __byte_perm(table::word(0), table::word(1), places >> 16 * i),
                       second = __byte_perm(table::word(2), table::word(3), places >> 16 * i);
        four[i] = __byte_perm(first, second, which >> 16 * i);
    }
    of_bytes<128>(__byte_perm(four[0], four[1], 0x6420), out);
    of_bytes<128>(__byte_perm(four[0], four[1], 0x7531), out + 4);
}

/* What nibbles stand for in IQ4_NL and IQ4_XS, with 128 added. */
struct iq4_table {
    static __host__ __device__ constexpr unsigned word(int i)
    {
        constexpr unsigned words[] = {0x3f2d1801u, 0x766a5d4fu, 0xa6998d81u, 0xf1d9c5b5u};
        return words[i];
    }
};

/* Number i of sixteen, by choosing: an index would need memory. */
static __device__ inline float choice(const float *of, int i)
{
    float out = of[0];
#pragma unroll
    for (int k = 1; k < 16; k++)
        out = i == k ? of[k] : out;
    return out;
}

/* ---- where a lane's columns are */

/* Blocks of 32 of which a byte has elements i and i + 16: a word of each of four lanes. */
struct in_blocks_of_32 {
    static constexpr int block_len = 32, parts = 1, zero = 0;
    static constexpr bool one_part = true;
    static __host__ __device__ constexpr int column(int lane, int four)
    {
        return lane / 4 * 32 + lane % 4 * 4 + four * 16;
    }
    static __host__ __device__ constexpr int part(int lane, int)
    {
        return lane / 4;
    }
};

/* A lane's eight elements are the nibbles of a word, and nothing else. */
struct nibbles_alone {
    struct raw {
        unsigned nibbles;
    };
    static __device__ inline raw load(const place *row, unsigned s, int lane)
    {
        return {once(row[0], s * warp_size + (unsigned)lane)};
    }
};

/* Group-wise integers: a block has one word, an f32 scale whose last eight bits are a zero point,
 * from 0 to 255 or, is_signed, from -128 to 127. */
template <int len, bool is_signed = false> struct scale_with_zero {
    typedef unsigned raw_scales;
    static __device__ inline raw_scales load_scales(const place *row, unsigned s, int i)
    {
        return word_at(row[1], (s * jobs + (unsigned)i) / (len / part_columns));
    }
    static __device__ inline void scales(raw_scales raw, int, float *scale, float *offset)
    {
        constexpr int half = is_signed ? 128 : 0;
        scale[0] = __uint_as_float(raw & 0xffffff00u);
        offset[0] = -(scale[0] * of_byte<half>(raw ^ unsigned(half), 0));
    }
};

/* Blocks of bytes in order: eight of each lane. */
struct in_order {
    static constexpr int parts = 1, zero = 0;
    static constexpr bool one_part = true;
    static __host__ __device__ constexpr int column(int lane, int four)
    {
        return lane * lane_columns + four * 4;
    }
    static __host__ __device__ constexpr int part(int lane, int)
    {
        return lane / 4;
    }
};

/* Blocks of 256 of Q4_K and Q5_K: of 64 columns the first half low, the other high. */
struct in_k_blocks {
    static constexpr int block_len = 256, parts = 1;
    static constexpr bool one_part = false, has_offset = true;
    static __host__ __device__ constexpr int column(int lane, int four)
    {
        return lane / 8 * 64 + lane % 8 * 4 + four * 32;
    }
    static __host__ __device__ constexpr int part(int lane, int four)
    {
        return lane / 8 * 2 + four;
    }
};

/* Of part i of such a block. */
static __device__ inline void scale_and_minimum(const uint4 &raw, int i, float *scale,
                                                float *offset)
{
    const unsigned shift = (unsigned)(i % 4 * 8);
    const unsigned a = raw.y >> shift, b = raw.z >> shift, c = raw.w >> shift;
    const unsigned first = i < 4 ? a & 63u : (c & 15u) | (a >> 2 & 48u),
                   second = i < 4 ? b & 63u : (c >> 4 & 15u) | (b >> 2 & 48u);
    scale[0] = f16_to_float(raw.x & 0xffffu) * of_byte<0>(first, 0);
    offset[0] = -(f16_to_float(raw.x >> 16) * of_byte<0>(second, 0));
}

} // namespace blocks
} // namespace sw

#endif
