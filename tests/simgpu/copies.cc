// Copies and fills. Pinned host memory is read and written when the copy's turn comes, so that
// touching it too early shows; other host memory is read at the call, and written before it
// returns, as the real runtime does by way of buffers of its own.
#include "runtime.h"

#include <cstring>

namespace simgpu
{
struct Rows {
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch, width, height;
};

static void copy_rows(const Rows &r)
{
    for (size_t i = 0; i < r.height; i++)
        memmove(r.dst + i * r.dst_pitch, r.src + i * r.src_pitch, r.width);
}

static size_t span(size_t pitch, const Rows &r)
{
    return (r.height - 1) * pitch + r.width;
}

enum Where { PAGEABLE, PINNED, DEVICE, BEYOND };

static Where where(const void *p, size_t bytes)
{
    if (find_allocation(p))
        return on_device(p, bytes) ? DEVICE : BEYOND;
    return pinned(p, bytes) ? PINNED : PAGEABLE;
}

static bool fits(enum cudaMemcpyKind kind, bool to_device, bool from_device)
{
    switch (kind) {
    case cudaMemcpyHostToHost:
        return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
        return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
        return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
        return to_device && from_device;
    case cudaMemcpyDefault:
        return true;
    }
    return false;
}

static cudaError_t copy(Rows r, enum cudaMemcpyKind kind, cudaStream_t stream, bool async)
{
    int device;
    cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (r.width > r.dst_pitch || r.width > r.src_pitch)
        return note(cudaErrorInvalidPitchValue);
    if (r.width == 0 || r.height == 0)
        return cudaSuccess;
    if (!r.dst || !r.src)
        return note(cudaErrorInvalidValue);
    Where to, from;
    bool capturing;
    unsigned devices = 0;
    {
        const std::lock_guard<std::mutex> guard(lock);
        const cudaError_t refused = async ? cudaSuccess : refuse_in_capture();
        if (refused)
            return note(refused);
        to = where(r.dst, span(r.dst_pitch, r));
        from = where(r.src, span(r.src_pitch, r));
        capturing = stream_captures(stream);
        for (const void *p : {static_cast<const void *>(r.dst), static_cast<const void *>(r.src)})
            if (const Allocation *a = find_allocation(p))
                devices |= 1u << a->device;
    }
    if (to == BEYOND || from == BEYOND || !fits(kind, to == DEVICE, from == DEVICE))
        return note(cudaErrorInvalidValue);
    std::function<void()> run = [r] { copy_rows(r); };
    if (from == PAGEABLE && to == DEVICE && !capturing) {
        auto held = std::make_shared<std::vector<char>>(r.width * r.height);
        copy_rows({held->data(), r.src, r.width, r.src_pitch, r.width, r.height});
        run = [r, held] {
            copy_rows({r.dst, held->data(), r.dst_pitch, r.width, r.width, r.height});
        };
    }
    Ticket ticket;
    error = enqueue(stream, "a copy", run, &ticket, devices);
    if (error)
        return note(error);
    const bool both_device = to == DEVICE && from == DEVICE;
    if ((async && to == PAGEABLE) || (!async && !both_device))
        wait_for(ticket);
    return cudaSuccess;
}

static Rows flat(void *dst, const void *src, size_t bytes)
{
    return {static_cast<char *>(dst), static_cast<const char *>(src), bytes, bytes, bytes, 1};
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
    SIMGPU_ENTER();
    return copy(flat(dst, src, bytes), kind, cudaStreamLegacy, false);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    SIMGPU_ENTER();
    return copy(flat(dst, src, bytes), kind, stream, true);
}

cudaError_t cudaMemcpy2D(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
    SIMGPU_ENTER();
    return copy(
        {static_cast<char *>(dst), static_cast<const char *>(src), dpitch, spitch, width, height},
        kind, cudaStreamLegacy, false);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    SIMGPU_ENTER();
    return copy(
        {static_cast<char *>(dst), static_cast<const char *>(src), dpitch, spitch, width, height},
        kind, stream, true);
}

cudaError_t cudaMemcpyPeer(void *dst, int, const void *src, int, size_t bytes)
{
    SIMGPU_ENTER();
    return copy(flat(dst, src, bytes), cudaMemcpyDeviceToDevice, cudaStreamLegacy, false);
}

cudaError_t cudaMemcpyPeerAsync(void *dst, int, const void *src, int, size_t bytes,
                                cudaStream_t stream)
{
    SIMGPU_ENTER();
    return copy(flat(dst, src, bytes), cudaMemcpyDeviceToDevice, stream, true);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (bytes == 0)
        return cudaSuccess;
    {
        const std::lock_guard<std::mutex> guard(lock);
        if (!on_device(p, bytes) && !pinned(p, bytes))
            return note(cudaErrorInvalidValue);
    }
    return note(enqueue(stream, "cudaMemset", [=] { memset(p, value, bytes); }));
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    SIMGPU_ENTER();
    return cudaMemsetAsync(p, value, bytes, cudaStreamLegacy);
}
}
