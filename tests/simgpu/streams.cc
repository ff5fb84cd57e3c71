// Streams: a thread each, that runs its operations in order and often late.
#include "streams.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace simgpu
{
static std::set<CUstream_st *> &streams = *new std::set<CUstream_st *>;
static CUstream_st *defaults[max_devices];
static uint64_t created;
thread_local const char *running_operation;
static unsigned queued[max_devices]; // operations that have not ended

double now()
{
    const auto t = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(t).count();
}

static bool finished(const Ticket &t)
{
    return !t || t->done;
}

static unsigned reachable(int device)
{
    unsigned devices = 0;
    for (int d = 0; d < max_devices; d++)
        devices |= static_cast<unsigned>(peers(device, d)) << d;
    return devices;
}

// The next operation, if it begins before `op` has ended: both are kernels that may, nothing else
// is in its way, and by chance. With the lock.
static Ticket early(const CUstream_st *s, const Ticket &op, Random *random)
{
    if (s->queue.size() < 2 || !op->begin || !s->queue[1]->begin || !s->queue[1]->after.empty() ||
        sticky(s->device) || random->below(2) == 0)
        return nullptr;
    return s->queue[1];
}

static void perform(CUstream_st *s, const Ticket &op, std::unique_lock<std::mutex> &held)
{
    for (const Ticket &other : op->after)
        changed.wait(held, [&] { return other->done; });
    op->after.clear();
    const unsigned devices = op->devices | reachable(s->device);
    Random random(s->number << 32 | s->count++);
    const Settings &set = settings();
    const bool late = set.delay && random.below(set.odds) == 0;
    if (late) {
        held.unlock();
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(set.delay) + 1));
        held.lock();
    }
    // What a fault of the device does: this and all that follows is not done.
    const int fault = op->run ? planted_fault_locked("operation") : 0;
    if (fault)
        set_sticky(s->device, static_cast<cudaError_t>(fault));
    const Ticket next = early(s, op, &random);
    begin_use(devices);
    held.unlock();
    if (next) {
        running_operation = next->what;
        next->run = next->begin();
    }
    running_operation = op->what;
    if (op->run && !sticky(s->device))
        op->run();
    running_operation = nullptr;
    op->run = nullptr; // gives back what it held
    op->begin = nullptr;
    held.lock();
    end_use(devices, --queued[s->device] == 0, op->what);
    op->end = now();
    op->done = true;
    changed.notify_all();
}

static void work(CUstream_st *s)
{
    watch_stack();
    set_thread_device(s->device);
    std::unique_lock<std::mutex> held(lock);
    for (;;) {
        changed.wait(held, [&] { return !s->queue.empty() || s->closing; });
        if (s->queue.empty())
            break;
        const Ticket op = s->queue.front();
        perform(s, op, held);
        s->queue.pop_front();
    }
    delete s;
}

// With the lock held.
static CUstream_st *create(int device, bool legacy, bool blocking)
{
    CUstream_st *s = new CUstream_st();
    s->device = device;
    s->legacy = legacy;
    s->blocking = blocking;
    s->number = ++created;
    streams.insert(s);
    std::thread(work, s).detach();
    return s;
}

static CUstream_st *default_stream(int device)
{
    if (!defaults[device])
        defaults[device] = create(device, true, true);
    return defaults[device];
}

CUstream_st *find_stream(cudaStream_t handle)
{
    if (!handle || handle == cudaStreamLegacy)
        return default_stream(current_device());
    return streams.count(handle) ? handle : nullptr;
}

std::vector<CUstream_st *> streams_of(int device)
{
    std::vector<CUstream_st *> out;
    for (CUstream_st *s : streams)
        if (s->device == device)
            out.push_back(s);
    return out;
}

int stream_device(cudaStream_t handle)
{
    const CUstream_st *s = find_stream(handle);
    return s ? s->device : -1;
}

bool stream_captures(cudaStream_t handle)
{
    const CUstream_st *s = find_stream(handle);
    return s && s->capture;
}

static bool is_in_the_way_here(const Capture &c)
{
    return c.mode == cudaStreamCaptureModeGlobal ||
           (c.mode == cudaStreamCaptureModeThreadLocal && c.thread == std::this_thread::get_id());
}

cudaError_t refuse_in_capture()
{
    for (CUstream_st *s : streams)
        if (s->capture && is_in_the_way_here(*s->capture)) {
            s->capture->valid = false;
            return cudaErrorStreamCaptureUnsupported;
        }
    return cudaSuccess;
}

// A capture is no work that one could wait for, in whatever mode.
static cudaError_t refuse_if_captured(CUstream_st *s)
{
    if (!s->capture)
        return cudaSuccess;
    s->capture->valid = false;
    return cudaErrorStreamCaptureUnsupported;
}

// What an operation in s waits for, besides the stream's own order.
static std::vector<Ticket> before(CUstream_st *s)
{
    std::vector<Ticket> out;
    if (s->legacy) {
        for (CUstream_st *other : streams_of(s->device))
            if (other != s && other->blocking && !finished(other->tail))
                out.push_back(other->tail);
    } else if (s->blocking && defaults[s->device] && !finished(defaults[s->device]->tail)) {
        out.push_back(defaults[s->device]->tail);
    }
    return out;
}

static bool capture_in_the_way(CUstream_st *s)
{
    if (!s->legacy)
        return false;
    for (CUstream_st *other : streams_of(s->device))
        if (other->blocking && other->capture) {
            other->capture->valid = false;
            return true;
        }
    return false;
}

// With the lock held.
static void push(CUstream_st *s, const Ticket &op)
{
    s->queue.push_back(op);
    s->tail = op;
    queued[s->device]++;
    changed.notify_all();
}

cudaError_t enqueue(cudaStream_t handle, const char *what, Run run, Ticket *ticket,
                    unsigned devices, Begin begin)
{
    const std::lock_guard<std::mutex> guard(lock);
    CUstream_st *s = find_stream(handle);
    if (!s)
        return cudaErrorInvalidResourceHandle;
    if (sticky(s->device))
        return sticky(s->device);
    if (ticket)
        ticket->reset();
    if (s->capture) {
        if (!s->capture->valid)
            return cudaErrorStreamCaptureInvalidated;
        Nodes &nodes = s->capture->nodes;
        nodes.push_back({what, std::move(run), s->last, devices, std::move(begin)});
        s->last = {nodes.size() - 1};
        return cudaSuccess;
    }
    if (capture_in_the_way(s))
        return cudaErrorStreamCaptureImplicit;
    const Ticket op = std::make_shared<Operation>();
    op->what = what;
    op->run = std::move(run);
    op->begin = std::move(begin);
    op->devices = devices;
    op->after = before(s);
    push(s, op);
    if (ticket)
        *ticket = op;
    return cudaSuccess;
}

cudaError_t enqueue_wait(cudaStream_t handle, const Ticket &event)
{
    const std::lock_guard<std::mutex> guard(lock);
    CUstream_st *s = find_stream(handle);
    if (!s)
        return cudaErrorInvalidResourceHandle;
    const Ticket op = std::make_shared<Operation>();
    op->what = "cudaStreamWaitEvent";
    op->after = before(s);
    op->after.push_back(event);
    push(s, op);
    return cudaSuccess;
}

static void wait_for_all(std::unique_lock<std::mutex> &held, const std::vector<Ticket> &tickets)
{
    for (const Ticket &t : tickets)
        changed.wait(held, [&] { return finished(t); });
}

void wait_for(const Ticket &ticket)
{
    std::unique_lock<std::mutex> held(lock);
    wait_for_all(held, {ticket});
}

static std::vector<Ticket> tails(int device, bool blocking_only)
{
    std::vector<Ticket> out;
    for (CUstream_st *s : streams_of(device))
        if (!blocking_only || s->blocking)
            out.push_back(s->tail);
    return out;
}

// Also for what streams still have to do that were destroyed meanwhile.
void wait_for_device(int device)
{
    std::unique_lock<std::mutex> held(lock);
    changed.wait(held, [&] { return queued[device] == 0; });
}

cudaError_t synchronize(std::unique_lock<std::mutex> &held, const std::vector<Ticket> &tickets,
                        int device, const char *call)
{
    wait_for_all(held, tickets);
    check_guards(call);
    return note(sticky(device));
}

static std::vector<Ticket> pending(CUstream_st *s)
{
    return s->legacy ? tails(s->device, true) : std::vector<Ticket>{s->tail};
}

static cudaError_t create_stream(cudaStream_t *out, unsigned flags)
{
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (flags & ~static_cast<unsigned>(cudaStreamNonBlocking))
        return note(cudaErrorInvalidValue);
    const std::lock_guard<std::mutex> guard(lock);
    *out = create(device, false, !(flags & cudaStreamNonBlocking));
    return cudaSuccess;
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaStreamCreate(cudaStream_t *out)
{
    SIMGPU_ENTER();
    return create_stream(out, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    SIMGPU_ENTER();
    return create_stream(out, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int)
{
    SIMGPU_ENTER();
    return create_stream(out, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    if (!streams.erase(stream))
        return note(cudaErrorInvalidResourceHandle);
    stream->closing = true; /* its thread ends after what is left */
    changed.notify_all();
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    SIMGPU_ENTER();
    std::unique_lock<std::mutex> held(lock);
    CUstream_st *s = find_stream(stream);
    if (!s)
        return note(cudaErrorInvalidResourceHandle);
    cudaError_t refused = refuse_if_captured(s);
    if (!refused)
        refused = refuse_in_capture();
    if (refused)
        return note(refused);
    return synchronize(held, pending(s), s->device, "cudaStreamSynchronize");
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    CUstream_st *s = find_stream(stream);
    if (!s)
        return note(cudaErrorInvalidResourceHandle);
    if (sticky(s->device))
        return note(sticky(s->device));
    cudaError_t refused = refuse_if_captured(s);
    if (!refused)
        refused = refuse_in_capture();
    if (refused)
        return note(refused);
    for (const Ticket &t : pending(s))
        if (!finished(t))
            return cudaErrorNotReady;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    std::unique_lock<std::mutex> held(lock);
    cudaError_t refused = refuse_in_capture();
    for (CUstream_st *s : streams_of(device))
        if (refuse_if_captured(s))
            refused = cudaErrorStreamCaptureUnsupported;
    if (refused)
        return note(refused);
    return synchronize(held, tails(device, false), device, "cudaDeviceSynchronize");
}

cudaError_t cudaDeviceReset(void)
{
    const int device = current_device();
    wait_for_device(device);
    const std::lock_guard<std::mutex> guard(lock);
    for (CUstream_st *s : streams_of(device)) {
        streams.erase(s);
        s->closing = true;
    }
    defaults[device] = nullptr;
    changed.notify_all();
    release_all(device);
    end_context(device);
    set_sticky(device, cudaSuccess);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *arg)
{
    SIMGPU_ENTER();
    return note(enqueue(stream, "a host function", [=] { fn(arg); }));
}
}
