/* The table of weight formats on the GPU, and the operations on a matrix of any of them. */
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gpu_formats.h"
#include "kernels/cuda/launch.cuh"

static const struct sw_gpu_format *const formats[] = {
#define X(id, name) &sw_gpu_format_##name,
    SW_FORMATS(X)
#undef X
};

const struct sw_gpu_format *sw_gpu_format_of(enum sw_format_id format)
{
    return formats[format];
}

struct sw_gpu_layout sw_gpu_layout_of(enum sw_format_id format, int64_t rows, int64_t cols)
{
    const struct sw_format *f = sw_format_of(format);
    const struct sw_matrix_layout all = sw_matrix_layout_of(format, rows, cols);
    const size_t blocks_apart = (size_t)(all.cols / f->block_len) * formats[format]->block_apart;
    struct sw_gpu_layout l;
    l.rows = all.rows;
    l.cols = all.cols;
    l.row_bytes = all.row_bytes - blocks_apart;
    l.apart_bytes = blocks_apart + (f->row_scale ? sizeof(float) : 0);
    l.apart = (size_t)all.rows * l.row_bytes;
    return l;
}

cudaError_t sw_gpu_gemv(const struct sw_gpu_product *p, cudaStream_t stream)
{
    if (p->format >= SW_FORMAT_COUNT || p->n > SW_GPU_GEMV_ROWS || (p->gated && !p->act) ||
        (p->act && p->add))
        return cudaErrorInvalidValue;
    return p->n && p->rows ? formats[p->format]->gemv(p, stream) : cudaSuccess;
}

cudaError_t sw_gpu_weights_to_half(enum sw_dtype half, enum sw_format_id format, const void *w,
                                   int64_t rows, int64_t cols, int64_t row, int64_t n, void *out,
                                   float *scale, cudaStream_t stream)
{
    if (format >= SW_FORMAT_COUNT)
        return cudaErrorInvalidValue;
    return n ? formats[format]->to_half(half, w, rows, cols, row, n, out, scale, stream)
             : cudaSuccess;
}

cudaError_t sw_gpu_embed(enum sw_format_id format, const void *w, int64_t rows, int64_t cols,
                         const int32_t *ids, int64_t n, float *y, int64_t ld_y, cudaStream_t stream)
{
    if (format >= SW_FORMAT_COUNT)
        return cudaErrorInvalidValue;
    return n ? formats[format]->embed(w, rows, cols, ids, n, y, ld_y, stream) : cudaSuccess;
}

/* A fence, because products read weights before they wait for earlier kernels. */
cudaError_t sw_gpu_unpack(enum sw_format_id format, const void *packed, int64_t rows, int64_t cols,
                          void *out, cudaStream_t stream)
{
    if (format >= SW_FORMAT_COUNT)
        return cudaErrorInvalidValue;
    const cudaError_t error = formats[format]->unpack(packed, rows, cols, out, stream);
    return error == cudaSuccess ? sw::launch_fence(stream) : error;
}
