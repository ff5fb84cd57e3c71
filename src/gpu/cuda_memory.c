/* Owns device memory: allocates and counts it, and copies between it and the host. */
#include "gpu/cuda.h"

#include "base/units.h"

#include <string.h>

uint64_t sw_cuda_allocated(const struct sw_backend *b)
{
    return ((const struct sw_cuda *)(const void *)b)->allocated;
}

static enum sw_status beyond_limit(const struct sw_cuda *cuda, size_t bytes, const char *what)
{
    char label[96], want[16], left[16], all[16];
    return sw_fail(SW_ENOMEM,
                   "%s: %zu bytes (%s) for %s, but of the %s this rank may take there only %s are "
                   "left; give it fewer layers on the GPU (--slices) or more memory "
                   "(--gpu-memory)",
                   sw_cuda_label(cuda, label, sizeof label), bytes,
                   sw_size_format(bytes, want, sizeof want), what,
                   sw_size_format(cuda->options.memory, all, sizeof all),
                   sw_size_format(cuda->options.memory - cuda->allocated, left, sizeof left));
}

static enum sw_status allocation_failed(const struct sw_cuda *cuda, size_t bytes, const char *what)
{
    char label[96], want[16], left[16], all[16];
    size_t free_bytes = 0, total = 0;
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&free_bytes, &total);
    return sw_fail(SW_ENOMEM,
                   "%s: %zu bytes (%s) for %s cannot be allocated: %s of its %s are free; end "
                   "other programs there (nvidia-smi), or give this rank fewer layers on the GPU "
                   "(--gpu-memory, --slices)",
                   sw_cuda_label(cuda, label, sizeof label), bytes,
                   sw_size_format(bytes, want, sizeof want), what,
                   sw_size_format(free_bytes, left, sizeof left),
                   sw_size_format(total, all, sizeof all));
}

/* A failed allocation is not recorded: the operations enqueued before are not affected. */
enum sw_status sw_cuda_take(struct sw_cuda *cuda, size_t bytes, const char *what, void **d_out)
{
    *d_out = NULL;
    SW_TRY(sw_cuda_enter(cuda));
    const cudaError_t error = cudaMalloc(d_out, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation)
        return allocation_failed(cuda, bytes, what);
    CUDA_TRY(cuda, error);
    return SW_OK;
}

enum sw_status sw_cuda_alloc(struct sw_backend *b, size_t bytes, const char *what, void **d_out)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    *d_out = NULL;
    if (bytes > cuda->options.memory - cuda->allocated)
        return beyond_limit(cuda, bytes, what);
    SW_TRY(sw_cuda_enter(cuda));
    *d_out = sw_cuda_pieces_take(&cuda->pieces, bytes);
    if (!*d_out)
        SW_TRY(sw_cuda_take(cuda, bytes, what, d_out));
    cuda->allocated += bytes;
    return SW_OK;
}

/* Waits until no enqueued work can use the memory, as cudaFree does by itself. False: it hangs. */
static bool wait_until_idle(struct sw_cuda *cuda)
{
    cuda->stuck =
        !sw_cuda_idle(cuda->compute, SW_CUDA_CLOSE_S) || !sw_cuda_idle(cuda->copy, SW_CUDA_CLOSE_S);
    return !cuda->stuck;
}

void sw_cuda_free(struct sw_backend *b, void *d_ptr, size_t bytes)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    if (!d_ptr || cuda->stuck)
        return;
    (void)cudaSetDevice(cuda->options.device);
    if (cuda->pieces.bytes > 0 && !wait_until_idle(cuda))
        return;
    if (!sw_cuda_pieces_return(&cuda->pieces, d_ptr))
        (void)cudaFree(d_ptr); /* waits, so no graph is under way */
    sw_cuda_graphs_clear(cuda);
    cuda->allocated -= bytes;
}

enum sw_status sw_cuda_sync(struct sw_backend *b)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    return sw_cuda_wait(cuda, NULL);
}

enum sw_status sw_cuda_upload(struct sw_backend *b, void *d_dst, const void *src, size_t bytes)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    for (size_t at = 0, n; at < bytes; at += n) {
        void *pinned;
        n = bytes - at < SW_CUDA_PIECE ? bytes - at : SW_CUDA_PIECE;
        SW_TRY(sw_cuda_ring_take(cuda, n, &pinned, NULL));
        memcpy(pinned, (const char *)src + at, n);
        CUDA_TRY(cuda, cudaMemcpyAsync((char *)d_dst + at, pinned, n, cudaMemcpyHostToDevice,
                                       cuda->compute));
    }
    return SW_OK;
}

/*
 * A copy to memory that is not pinned would wait inside CUDA for all work before it: without
 * heartbeats, and for ever behind a link that hangs. So small copies go through the ring, and large
 * ones start after all earlier work has ended.
 */
static enum sw_status copy_to_host(struct sw_cuda *cuda, void *dst, const void *d_src,
                                   size_t ld_bytes, size_t bytes, size_t n)
{
    const size_t all = n * bytes;
    const bool by_ring = all <= SW_CUDA_PIECE;
    void *to = dst;
    SW_TRY(sw_cuda_enter(cuda));
    if (by_ring)
        SW_TRY(sw_cuda_ring_take(cuda, all, &to, NULL));
    else
        SW_TRY(sw_cuda_wait(cuda, NULL));
    if (n == 1 && all > 0)
        CUDA_TRY(cuda, cudaMemcpyAsync(to, d_src, bytes, cudaMemcpyDeviceToHost, cuda->compute));
    else if (all > 0)
        CUDA_TRY(cuda, cudaMemcpy2DAsync(to, bytes, d_src, ld_bytes, bytes, n,
                                         cudaMemcpyDeviceToHost, cuda->compute));
    SW_TRY(sw_cuda_wait(cuda, NULL));
    if (by_ring && all > 0)
        memcpy(dst, to, all);
    return SW_OK;
}

enum sw_status sw_cuda_download(struct sw_backend *b, void *dst, const void *d_src, size_t bytes)
{
    return copy_to_host(sw_cuda_of(b), dst, d_src, bytes, bytes, 1);
}

enum sw_status sw_cuda_upload_rows(struct sw_backend *b, void *d_dst, size_t ld_bytes,
                                   const void *src, size_t bytes, int64_t n)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    const int64_t most = bytes ? (int64_t)(SW_CUDA_PIECE / bytes) : n;
    for (int64_t r = 0, k; r < n && bytes; r += k) {
        const char *from = (const char *)src + (size_t)r * bytes;
        char *d_to = (char *)d_dst + (size_t)r * ld_bytes;
        void *pinned;
        k = most < 1 ? 1 : n - r < most ? n - r : most;
        if (most < 1) {
            SW_TRY(sw_cuda_upload(b, d_to, from, bytes));
            continue;
        }
        SW_TRY(sw_cuda_ring_take(cuda, (size_t)k * bytes, &pinned, NULL));
        memcpy(pinned, from, (size_t)k * bytes);
        CUDA_TRY(cuda, cudaMemcpy2DAsync(d_to, ld_bytes, pinned, bytes, bytes, (size_t)k,
                                         cudaMemcpyHostToDevice, cuda->compute));
    }
    return SW_OK;
}

enum sw_status sw_cuda_download_rows(struct sw_backend *b, void *dst, const void *d_src,
                                     size_t ld_bytes, size_t bytes, int64_t n)
{
    return copy_to_host(sw_cuda_of(b), dst, d_src, ld_bytes, bytes, n > 0 ? (size_t)n : 0);
}
