/*
 * Operands of GEMM in f16 or bf16, and the last step of its results. f16 has few exponents, so each
 * row is multiplied by a power of two that brings its largest magnitude into [2^14, 2^15). That is
 * exact, nothing overflows, and small elements keep as many digits as f16 has for them.
 */
#include "kernels/cuda/device.cuh"

namespace
{

constexpr int threads = 256;
constexpr int per_vector = 8; /* columns that a thread converts at a time: 16 bytes */

/* The exponent of the power of two to multiply by; 0 for zeros and values that are not finite. */
__device__ inline int scale_exponent(float largest)
{
    const int exponent = (int)(__float_as_uint(largest) >> 23 & 0xffu);
    if (largest == 0 || exponent == 255)
        return 0;
    const int wanted = 14 - (exponent - 127); /* subnormals count as 2^-127 */
    return wanted > 126 ? 126 : wanted;
}

/* Loads eight columns from `col` on as floats; 0 beyond the end. */
template <enum sw_dtype format>
__device__ inline void load(const typename sw::element<format>::type *row, int64_t col,
                            int64_t cols, bool whole, float *out)
{
    constexpr int n = sw::element<format>::per_vector;
    if (whole && format == SW_I8) {
        const uint2 half = *(const uint2 *)(const void *)(row + col);
        float all[16];
        sw::element<SW_I8>::unpack(make_uint4(half.x, half.y, 0, 0), all);
#pragma unroll
        for (int i = 0; i < per_vector; i++)
            out[i] = all[i];
    } else if (whole) {
#pragma unroll
        for (int i = 0; i + n <= per_vector; i += n)
            sw::element<format>::unpack(*(const uint4 *)(const void *)(row + col + i), out + i);
    } else {
#pragma unroll
        for (int i = 0; i < per_vector; i++)
            out[i] = col + i < cols ? sw::element<format>::load(row[col + i]) : 0.0f;
    }
}

template <enum sw_dtype half> __device__ inline uint4 pack(const float *values, float factor)
{
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        words[i] = (unsigned)sw::element<half>::store(values[2 * i] * factor) |
                   (unsigned)sw::element<half>::store(values[2 * i + 1] * factor) << 16;
    return make_uint4(words[0], words[1], words[2], words[3]);
}

/* A block for each row, which has `elements` in memory. If the range of f16 may be too small, the
 * row is read twice. int8 rows have their own scale, and f16 needs no scaling. */
template <enum sw_dtype half, enum sw_dtype format>
__global__ void __launch_bounds__(threads)
    to_half(const void *in, const float *row_scales, int64_t elements, int64_t cols, bool whole,
            uint4 *out, float *scale)
{
    sw::await_previous();
    typedef typename sw::element<format>::type type;
    constexpr bool fits = half == SW_BF16 || format == SW_F16 || format == SW_I8;
    __shared__ float scratch[threads / sw::warp_size];
    const int64_t r = blockIdx.x, vectors = sw::divide_up(cols, per_vector);
    const type *const row = (const type *)in + r * elements;
    int exponent = 0;
    float values[per_vector];
    if (!fits) {
        float largest = 0;
        for (int64_t v = threadIdx.x; v < vectors; v += threads) {
            load<format>(row, v * per_vector, cols, whole, values);
#pragma unroll
            for (int i = 0; i < per_vector; i++)
                largest = fmaxf(largest, fabsf(values[i]));
        }
        exponent = scale_exponent(sw::block_max<threads>(largest, scratch));
    }
    if (threadIdx.x == 0)
        scale[r] = row_scales ? row_scales[r] : sw::power_of_two(-exponent);
    const float factor = sw::power_of_two(exponent);
    for (int64_t v = threadIdx.x; v < vectors; v += threads) {
        load<format>(row, v * per_vector, cols, whole, values);
        out[r * vectors + v] = pack<half>(values, factor);
    }
}

template <bool whole>
__global__ void finish(const float *sums, int64_t n, int64_t rows, const float *x_scale,
                       const float *w_scale, const float *bias, bool add, float *y, int64_t ld_y)
{
    sw::await_previous();
    const int64_t col = sw::this_column() * 4, left = rows - col;
    if (left <= 0)
        return;
    float scale[4] = {1, 1, 1, 1}, shift[4] = {0, 0, 0, 0};
    if (w_scale)
        sw::load_four<whole>(w_scale + col, left, scale);
    if (bias)
        sw::load_four<whole>(bias + col, left, shift);
    for (int64_t r = blockIdx.y; r < n; r += gridDim.y) {
        float values[4], old[4] = {0, 0, 0, 0};
        float *const out = y + r * ld_y + col;
        const float factor = x_scale ? x_scale[r] : 1.0f;
        sw::load_four<whole>(sums + r * rows + col, left, values);
        if (add)
            sw::load_four<whole>(out, left, old);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            /* One scale after the other: their product may be out of range. */
            const float value = values[i] * factor * scale[i] + shift[i];
            values[i] = add ? old[i] + value : value;
        }
        sw::store_four<whole>(out, left, values);
    }
}

typedef void (*kernel)(const void *, const float *, int64_t, int64_t, bool, uint4 *, float *);
#define FOR_FORMATS(half)                                                                          \
    {                                                                                              \
        to_half<half, SW_F32>, to_half<half, SW_F16>, to_half<half, SW_BF16>, to_half<half, SW_I8> \
    }
const kernel kernels[2][4] = {FOR_FORMATS(SW_F16), FOR_FORMATS(SW_BF16)};

cudaError_t launch(enum sw_dtype to, enum sw_format_id format, const void *in, const float *scales,
                   int64_t elements, int64_t cols, int64_t n, void *out, float *scale,
                   cudaStream_t stream)
{
    const int from = sw::format_row(format);
    if ((to != SW_F16 && to != SW_BF16) || from < 0 || !sw::is_aligned(out, 16))
        return cudaErrorInvalidValue;
    if (n == 0)
        return cudaSuccess;
    const int64_t bytes = sw_format_of(format)->block_bytes;
    const size_t vector = format == SW_FORMAT_INT8 ? 8 : 16;
    const bool whole = cols % per_vector == 0 && elements * bytes % (int64_t)vector == 0 &&
                       sw::is_aligned(in, vector);
    SW_LAUNCH(kernels[to == SW_BF16][from], (unsigned)n, threads, 0, stream, in, scales, elements,
              cols, whole, (uint4 *)out, scale);
    return cudaGetLastError();
}

const sw::listed_kernels all(kernels, finish<true>, finish<false>);

} // namespace

/* ------------------------------------------------------------------------------------------- */

cudaError_t sw_gpu_to_half(enum sw_dtype to, const float *x, int64_t ld_x, int64_t n, int64_t cols,
                           void *out, float *scale, cudaStream_t stream)
{
    return launch(to, SW_FORMAT_F32, x, nullptr, ld_x, cols, n, out, scale, stream);
}

cudaError_t sw_gpu_weights_to_half(enum sw_dtype to, enum sw_format_id format, const void *w,
                                   int64_t rows, int64_t cols, int64_t row, int64_t n, void *out,
                                   float *scale, cudaStream_t stream)
{
    const int64_t elements = sw::row_elements(format, cols);
    const float *const scales = sw_matrix_scales(format, w, rows, cols);
    const char *const from =
        (const char *)w + (size_t)row * sw_matrix_layout_of(format, rows, cols).row_bytes;
    return launch(to, format, from, scales ? scales + row : nullptr, elements, cols, n, out, scale,
                  stream);
}

cudaError_t sw_gpu_finish(const float *sums, int64_t n, int64_t rows, const float *x_scale,
                          const float *w_scale, const float *bias, bool add, float *y, int64_t ld_y,
                          cudaStream_t stream)
{
    if (n == 0 || rows == 0)
        return cudaSuccess;
    const bool whole = sw::is_in_fours(sums, rows, rows) && sw::is_in_fours(y, rows, ld_y) &&
                       sw::is_aligned(w_scale, 16) && sw::is_aligned(bias, 16);
    SW_LAUNCH((whole ? finish<true> : finish<false>), sw::grid_of_rows(n, sw::divide_up(rows, 4)),
              sw::column_threads, 0, stream, sums, n, rows, x_scale, w_scale, bias, add, y, ld_y);
    return cudaGetLastError();
}
