/* The table of weight formats on the GPU, and the operations on a matrix of any of them. */
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gpu_formats.h"
#include "kernels/cuda/launch.cuh"

#include <string.h>

static const struct sw_gpu_format *const formats[] = {
#define X(id, name) &sw_gpu_format_##name,
    SW_FORMATS(X)
#undef X
};

const struct sw_gpu_format *sw_gpu_format_of(enum sw_format_id format)
{
    return formats[format];
}

static void layout_add(struct sw_gpu_layout *l, size_t row_bytes)
{
    const int n = l->n_parts++;
    l->parts[n].at = n ? l->parts[n - 1].at + (size_t)l->rows * l->parts[n - 1].row_bytes : 0;
    l->parts[n].row_bytes = row_bytes;
    l->row_bytes += row_bytes;
}

struct sw_gpu_layout sw_gpu_layout_of(enum sw_format_id format, int64_t rows, int64_t cols)
{
    const struct sw_format *f = sw_format_of(format);
    const struct sw_matrix_layout all = sw_matrix_layout_of(format, rows, cols);
    const struct sw_gpu_plane *planes = formats[format]->planes;
    const size_t blocks = (size_t)(all.cols / f->block_len);
    struct sw_gpu_layout l = {};
    l.rows = all.rows;
    l.cols = all.cols;
    for (int i = 0; i < SW_GPU_PLANES && planes[i].bytes; i++)
        layout_add(&l, blocks * planes[i].bytes);
    if (l.n_parts == 0)
        layout_add(&l, all.row_bytes);
    l.n_blocks = l.n_parts;
    if (f->row_scale)
        layout_add(&l, sizeof(float));
    return l;
}

/* Copies of so many bytes; those of a number that is known are some instructions. */
template <int bytes>
static void copy_blocks(const char *from, size_t step, int64_t n, size_t other, char *to)
{
    const size_t size = bytes ? bytes : other;
    for (int64_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * size, from + (size_t)i * step, size);
}

void sw_gpu_split(enum sw_format_id format, const void *blocks, int64_t n, char *const *parts)
{
    static const struct {
        unsigned bytes;
        void (*copy)(const char *from, size_t step, int64_t n, size_t other, char *to);
    } sizes[] = {{1, copy_blocks<1>},   {2, copy_blocks<2>},    {4, copy_blocks<4>},
                 {8, copy_blocks<8>},   {16, copy_blocks<16>},  {32, copy_blocks<32>},
                 {64, copy_blocks<64>}, {128, copy_blocks<128>}};
    const size_t step = sw_format_of(format)->block_bytes;
    const struct sw_gpu_plane *planes = formats[format]->planes;
    if (!planes[0].bytes)
        memcpy(parts[0], blocks, (size_t)n * step);
    for (int i = 0; i < SW_GPU_PLANES && planes[i].bytes; i++) {
        auto *copy = copy_blocks<0>;
        for (const auto &size : sizes)
            copy = size.bytes == planes[i].bytes ? size.copy : copy;
        copy((const char *)blocks + planes[i].from, step, n, planes[i].bytes, parts[i]);
    }
}

cudaError_t sw_gpu_gemv(const struct sw_gpu_product *p, cudaStream_t stream)
{
    if (p->format >= SW_FORMAT_COUNT || p->n > SW_GPU_GEMV_ROWS || (p->gated && !p->act) ||
        (p->act && p->add))
        return cudaErrorInvalidValue;
    if (!formats[p->format]->gemv)
        return cudaErrorNotSupported;
    return p->n && p->rows ? formats[p->format]->gemv(p, stream) : cudaSuccess;
}

cudaError_t sw_gpu_weights_to_half(enum sw_dtype half, enum sw_format_id format, const void *w,
                                   int64_t rows, int64_t cols, int64_t row, int64_t n, void *out,
                                   float *scale, cudaStream_t stream)
{
    if (format >= SW_FORMAT_COUNT)
        return cudaErrorInvalidValue;
    if (!formats[format]->to_half)
        return cudaErrorNotSupported;
    return n ? formats[format]->to_half(half, w, rows, cols, row, n, out, scale, stream)
             : cudaSuccess;
}

cudaError_t sw_gpu_embed(enum sw_format_id format, const void *w, int64_t rows, int64_t cols,
                         const int32_t *ids, int64_t n, float *y, int64_t ld_y, cudaStream_t stream)
{
    if (format >= SW_FORMAT_COUNT)
        return cudaErrorInvalidValue;
    if (!formats[format]->embed)
        return cudaErrorNotSupported;
    return n ? formats[format]->embed(w, rows, cols, ids, n, y, ld_y, stream) : cudaSuccess;
}

/* A fence, because products read weights before they wait for earlier kernels. */
cudaError_t sw_gpu_unpack(enum sw_format_id format, const void *packed, int64_t rows, int64_t cols,
                          void *out, cudaStream_t stream)
{
    if (format >= SW_FORMAT_COUNT)
        return cudaErrorInvalidValue;
    if (!formats[format]->unpack)
        return cudaErrorNotSupported;
    const cudaError_t error = formats[format]->unpack(packed, rows, cols, out, stream);
    return error == cudaSuccess ? sw::launch_fence(stream) : error;
}
