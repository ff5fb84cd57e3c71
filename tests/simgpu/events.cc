// Events: marks in a stream, also the way by which a second stream joins a capture.
#include "streams.h"

#include <set>

namespace simgpu
{
static std::set<CUevent_st *> &events = *new std::set<CUevent_st *>;

static cudaError_t create_event(cudaEvent_t *out, unsigned flags)
{
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    const std::lock_guard<std::mutex> guard(lock);
    *out = new CUevent_st();
    (*out)->timed = !(flags & cudaEventDisableTiming);
    events.insert(*out);
    return cudaSuccess;
}

static void add(std::vector<size_t> *to, const std::vector<size_t> &more)
{
    to->insert(to->end(), more.begin(), more.end());
}

// A stream that waits for an event of a capture belongs to it from then on.
static cudaError_t join_capture(CUstream_st *s, const CUevent_st *event)
{
    if (s->legacy)
        return cudaErrorStreamCaptureImplicit;
    if (s->capture && s->capture != event->capture)
        return cudaErrorStreamCaptureMerge;
    s->capture = event->capture;
    add(&s->last, event->nodes);
    return cudaSuccess;
}

// Why an event cannot be asked or waited for now; with the lock.
static cudaError_t refuse(const CUevent_st *event)
{
    if (!events.count(const_cast<CUevent_st *>(event)))
        return cudaErrorInvalidResourceHandle;
    if (event->capture) {
        event->capture->valid = false;
        return cudaErrorCapturedEvent;
    }
    return refuse_in_capture();
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    SIMGPU_ENTER();
    return create_event(out, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    SIMGPU_ENTER();
    return create_event(out, flags);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    if (!events.erase(event))
        return note(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    SIMGPU_ENTER();
    {
        const std::lock_guard<std::mutex> guard(lock);
        const CUstream_st *s = find_stream(stream);
        if (!s || !events.count(event))
            return note(cudaErrorInvalidResourceHandle);
        if (s->capture) {
            event->capture = s->capture;
            event->nodes = s->last;
            event->recorded = nullptr;
            return cudaSuccess;
        }
    }
    Ticket ticket;
    const cudaError_t error = enqueue(stream, "cudaEventRecord", nullptr, &ticket);
    if (error)
        return note(error);
    const std::lock_guard<std::mutex> guard(lock);
    event->recorded = ticket;
    event->capture = nullptr;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    SIMGPU_ENTER();
    Ticket ticket;
    {
        const std::lock_guard<std::mutex> guard(lock);
        CUstream_st *s = find_stream(stream);
        if (!s || !events.count(event))
            return note(cudaErrorInvalidResourceHandle);
        if (event->capture)
            return note(join_capture(s, event));
        if (s->capture && event->recorded)
            return note(cudaErrorStreamCaptureIsolation);
        ticket = event->recorded;
    }
    return ticket ? note(enqueue_wait(stream, ticket)) : cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    const cudaError_t refused = refuse(event);
    if (refused)
        return note(refused);
    return !event->recorded || event->recorded->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    SIMGPU_ENTER();
    std::unique_lock<std::mutex> held(lock);
    const cudaError_t refused = refuse(event);
    if (refused)
        return note(refused);
    return synchronize(held, {event->recorded}, current_device(), "cudaEventSynchronize");
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    if (!events.count(start) || !events.count(end) || !start->timed || !end->timed ||
        !start->recorded || !end->recorded)
        return note(cudaErrorInvalidResourceHandle);
    if (!start->recorded->done || !end->recorded->done)
        return cudaErrorNotReady;
    *ms = static_cast<float>((end->recorded->end - start->recorded->end) * 1e3);
    return cudaSuccess;
}
}
