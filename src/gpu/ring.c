/* Owns the ring of pinned memory, through which all copies from ordinary host memory go. */
#include "gpu/cuda.h"

#include "base/checked.h"

#include <assert.h>
#include <string.h>

enum sw_status sw_cuda_ring_open(struct sw_cuda *cuda)
{
    struct sw_cuda_ring *ring = &cuda->ring;
    CUDA_TRY(cuda, cudaMallocHost((void **)&ring->host, SW_CUDA_PIECES * SW_CUDA_PIECE));
    for (int i = 0; i < SW_CUDA_PIECES; i++)
        CUDA_TRY(cuda, cudaEventCreateWithFlags(&ring->over[i], cudaEventDisableTiming));
    return SW_OK;
}

void sw_cuda_ring_close(struct sw_cuda *cuda)
{
    struct sw_cuda_ring *ring = &cuda->ring;
    for (int i = 0; i < SW_CUDA_PIECES; i++)
        if (ring->over[i])
            (void)cudaEventDestroy(ring->over[i]);
    if (ring->host)
        (void)cudaFreeHost(ring->host);
}

/* Goes on to the next piece, after waiting for the last copy from it. */
static enum sw_status ring_next_piece(struct sw_cuda *cuda)
{
    struct sw_cuda_ring *ring = &cuda->ring;
    CUDA_TRY(cuda, cudaEventRecord(ring->over[ring->piece], cuda->compute));
    ring->piece = (ring->piece + 1) % SW_CUDA_PIECES;
    ring->used = 0;
    return sw_cuda_wait(cuda, ring->over[ring->piece]);
}

enum sw_status sw_cuda_ring_take(struct sw_cuda *cuda, size_t bytes, void **host, void **d_mirror)
{
    struct sw_cuda_ring *ring = &cuda->ring;
    assert(bytes <= SW_CUDA_PIECE);
    SW_TRY(sw_cuda_check_capture(cuda, "something from host memory"));
    if (ring->used + bytes > SW_CUDA_PIECE)
        SW_TRY(ring_next_piece(cuda));
    const size_t at = (size_t)ring->piece * SW_CUDA_PIECE + ring->used;
    ring->used += (size_t)sw_round_up(bytes, SW_ALIGN);
    *host = ring->host + at;
    if (d_mirror)
        *d_mirror = ring->device + at;
    return SW_OK;
}

enum sw_status sw_cuda_ring_send(struct sw_cuda *cuda, const void *src, size_t bytes, void **d_out)
{
    void *host;
    SW_TRY(sw_cuda_ring_take(cuda, bytes, &host, d_out));
    memcpy(host, src, bytes);
    CUDA_TRY(cuda, cudaMemcpyAsync(*d_out, host, bytes, cudaMemcpyHostToDevice, cuda->compute));
    return SW_OK;
}
