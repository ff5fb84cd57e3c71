/*
 * Owns the operations for streamed layers: copies on a stream of their own. Each buffer has two
 * events that keep order: no copy starts before the buffer's last use has ended, and no use before
 * its copies have ended.
 */
#include "gpu/cuda.h"

#include <assert.h>

/* A failure is not recorded: memory that is not pinned can be copied, too. */
static enum sw_status gpu_streaming_pin(struct sw_backend *b, void *host, size_t bytes)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    const cudaError_t error = cudaHostRegister(host, bytes, cudaHostRegisterPortable);
    if (error == cudaSuccess)
        return SW_OK;
    (void)cudaGetLastError();
    return sw_fail(
        SW_ENOMEM,
        "GPU %d: %zu bytes of host memory cannot be pinned: %s (%s); the driver needs as "
        "much that stays in place: end other programs there, raise the limit of "
        "the container (or of WSL), or stream fewer layers (--host-memory)",
        cuda->options.device, bytes, cudaGetErrorString(error), cudaGetErrorName(error));
}

static void unpin(struct sw_backend *b, void *host)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    if (cuda->stuck)
        return;
    (void)cudaSetDevice(cuda->options.device);
    if (cudaHostUnregister(host) != cudaSuccess)
        (void)cudaGetLastError();
}

static struct sw_cuda_buffer *buffer_of(struct sw_cuda *cuda, int buffer)
{
    assert(buffer >= 0 && buffer < SW_GPU_BUFFERS);
    return &cuda->buffers[buffer];
}

static enum sw_status fetch(struct sw_backend *b, int buffer, void *d_dst, const void *src,
                            size_t bytes)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    const struct sw_cuda_buffer *at = buffer_of(cuda, buffer);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaStreamWaitEvent(cuda->copy, at->used, 0));
    CUDA_TRY(cuda, cudaMemcpyAsync(d_dst, src, bytes, cudaMemcpyHostToDevice, cuda->copy));
    CUDA_TRY(cuda, cudaEventRecord(at->fetched, cuda->copy));
    return SW_OK;
}

static enum sw_status fetched(struct sw_backend *b, int buffer)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaStreamWaitEvent(cuda->compute, buffer_of(cuda, buffer)->fetched, 0));
    return SW_OK;
}

static enum sw_status used(struct sw_backend *b, int buffer)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaEventRecord(buffer_of(cuda, buffer)->used, cuda->compute));
    return SW_OK;
}

static enum sw_status gpu_streaming_mark(struct sw_backend *b, int mark)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    assert(mark >= 0 && mark < SW_CUDA_MARKS);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaEventRecord(cuda->marks[mark], cuda->copy));
    return SW_OK;
}

/* In any thread, so it neither reads nor records the backend's failure. */
static enum sw_status gpu_streaming_passed(struct sw_backend *b, int mark, bool *out)
{
    const struct sw_cuda *cuda = sw_cuda_of(b);
    cudaError_t error = cudaSetDevice(cuda->options.device);
    if (error == cudaSuccess)
        error = cudaEventQuery(cuda->marks[mark]);
    *out = error == cudaSuccess;
    if (error == cudaSuccess || error == cudaErrorNotReady)
        return SW_OK;
    (void)cudaGetLastError();
    return sw_fail(SW_EDEVICE, "GPU %d (%s): a layer could not be copied to it: %s (%s)",
                   cuda->options.device, cuda->name, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

static enum sw_status unpack(struct sw_backend *b, const void *d_packed, struct sw_matrix *m)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, sw_gpu_unpack(m->format, d_packed, m->rows, m->cols, m->d_data, cuda->compute));
    return SW_OK;
}

/* Values that are not finite are not recorded as a failure: the caller decides. */
static enum sw_status check_finite(struct sw_backend *b, const float *d_x, int64_t ld, int64_t n,
                                   int64_t dim, const char *where)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    int32_t bad = 0;
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, cudaMemsetAsync(cuda->bad, 0, sizeof *cuda->bad, cuda->compute));
    CUDA_TRY(cuda, sw_gpu_check_finite(d_x, ld, n, dim, cuda->bad, cuda->compute));
    SW_TRY(sw_cuda_download(b, &bad, cuda->bad, sizeof bad));
    if (bad)
        return sw_fail(SW_EDEVICE,
                       "GPU %d (%s): %s has values that are not finite; the GPU may be failing "
                       "(nvidia-smi -q -d ECC), or f16 weights are too small a range for this "
                       "model: try --weights bf16",
                       cuda->options.device, cuda->name, where);
    return SW_OK;
}

const struct sw_gpu_ops sw_cuda_streaming_ops = {
    .pin = gpu_streaming_pin,
    .unpin = unpin,
    .fetch = fetch,
    .fetched = fetched,
    .used = used,
    .mark = gpu_streaming_mark,
    .passed = gpu_streaming_passed,
    .unpack = unpack,
    .host_clear = sw_cuda_host_clear,
    .host_put = sw_cuda_host_put,
    .check_finite = check_finite,
    .upload_rows = sw_cuda_upload_rows,
    .download_rows = sw_cuda_download_rows,
    .replay = sw_cuda_replay,
    .replays = sw_cuda_replays,
    .allocated = sw_cuda_allocated,
    .set_wait_hook = sw_cuda_set_wait_hook,
};
