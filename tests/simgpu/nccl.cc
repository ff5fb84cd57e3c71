// The calls of NCCL. None of a communicator that is not blocking does anything at once: its thread
// does, and until then the communicator must not be used.
#include "nccl_impl.h"

#include <cstring>

using namespace simgpu;

struct ncclComm {
    RingPtr ring = std::make_shared<Ring>();
    bool blocking = true;
    std::mutex guard; /* of what follows */
    std::condition_variable came;
    std::deque<std::function<ncclResult_t(std::string *)>> tasks;
    size_t under_way = 0; /* tasks not done */
    bool closing = false;
    ncclResult_t error = ncclSuccess;
    std::string text;
    std::shared_ptr<std::atomic<int>> enqueued = std::make_shared<std::atomic<int>>(0);
    std::thread worker;
};

namespace
{
// What a thread has called since ncclGroupStart.
struct Group {
    int depth = 0;
    std::vector<std::pair<ncclComm_t, Move>> moves;
};
thread_local Group group;
thread_local std::string complaint; /* of calls without a communicator */
} // namespace

#define NCCL_ENTER()                                                                               \
    do {                                                                                           \
        const int fault_ = planted_fault(__func__);                                                \
        if (fault_)                                                                                \
            return static_cast<ncclResult_t>(fault_);                                              \
    } while (0)

static void work(ncclComm *comm)
{
    set_thread_device(comm->ring->device);
    std::unique_lock<std::mutex> held(comm->guard);
    for (;;) {
        comm->came.wait(held, [&] { return comm->closing || !comm->tasks.empty(); });
        if (comm->tasks.empty())
            return;
        const auto task = std::move(comm->tasks.front());
        comm->tasks.pop_front();
        std::string text;
        ncclResult_t result = comm->error;
        if (!result) {
            held.unlock();
            result = task(&text);
            held.lock();
            comm->error = result;
            comm->text = text;
        }
        comm->under_way--;
        comm->came.notify_all();
    }
}

// Has the communicator's thread do it.
static ncclResult_t start(ncclComm *comm, std::function<ncclResult_t(std::string *)> task)
{
    std::unique_lock<std::mutex> held(comm->guard);
    comm->tasks.push_back(std::move(task));
    comm->under_way++;
    comm->came.notify_all();
    if (!comm->blocking)
        return settings().hasty ? ncclSuccess : ncclInProgress;
    comm->came.wait(held, [&] { return comm->under_way == 0; });
    return comm->error;
}

static ncclResult_t ensure_ready(ncclComm *comm)
{
    if (!comm)
        return ncclInvalidArgument;
    const std::lock_guard<std::mutex> held(comm->guard);
    if (comm->error)
        return comm->error;
    if (comm->under_way == 0)
        return ncclSuccess;
    complaint = "Attempt to use communicator before the previous operation returned ncclSuccess";
    return ncclInvalidArgument;
}

static void end_worker(ncclComm *comm)
{
    {
        const std::lock_guard<std::mutex> held(comm->guard);
        comm->closing = true;
    }
    comm->came.notify_all();
    comm->worker.join();
    delete comm;
}

static void pause_a_little()
{
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// In the communicator's thread: connects, then enqueues, one operation a stream.
static ncclResult_t launch(const RingPtr &ring, const std::shared_ptr<std::atomic<int>> &enqueued,
                           std::vector<Move> moves, std::string *text)
{
    const ncclResult_t connected = connect_ring(ring.get(), moves, text);
    if (connected)
        return connected;
    while (!moves.empty()) {
        const cudaStream_t stream = moves.front().stream;
        std::vector<Move> part, rest;
        for (const Move &m : moves)
            (m.stream == stream ? part : rest).push_back(m);
        moves = rest;
        ++*enqueued;
        const cudaError_t error =
            enqueue(stream, part[0].sends ? "ncclSend" : "ncclRecv", [ring, enqueued, part] {
                run_moves(ring.get(), part);
                --*enqueued;
            });
        if (error) {
            --*enqueued;
            *text = cudaGetErrorString(error);
            return ncclUnhandledCudaError;
        }
    }
    return ncclSuccess;
}

static ncclResult_t end_group()
{
    std::vector<std::pair<ncclComm_t, Move>> all;
    std::swap(all, group.moves);
    ncclResult_t result = ncclSuccess;
    while (!all.empty()) {
        ncclComm *comm = all.front().first;
        std::vector<Move> moves;
        std::vector<std::pair<ncclComm_t, Move>> rest;
        for (const auto &one : all)
            if (one.first == comm)
                moves.push_back(one.second);
            else
                rest.push_back(one);
        all = rest;
        const RingPtr ring = comm->ring;
        const auto enqueued = comm->enqueued;
        const ncclResult_t started =
            start(comm, [=](std::string *text) { return launch(ring, enqueued, moves, text); });
        result = result == ncclSuccess || result == ncclInProgress ? started : result;
    }
    return result;
}

static size_t size_of(ncclDataType_t type)
{
    const struct {
        ncclDataType_t type;
        size_t bytes;
    } sizes[] = {{ncclInt8, 1}, {ncclUint8, 1}, {ncclInt32, 4}, {ncclFloat16, 2}, {ncclFloat32, 4}};
    for (const auto &s : sizes)
        if (s.type == type)
            return s.bytes;
    return 0;
}

static ncclResult_t move(bool sends, void *data, size_t count, ncclDataType_t type, int peer,
                         ncclComm *comm, cudaStream_t stream)
{
    const ncclResult_t ready = ensure_ready(comm);
    const size_t bytes = count * size_of(type);
    if (ready)
        return ready;
    if (peer < 0 || peer >= comm->ring->size || peer == comm->ring->rank || bytes == 0)
        return ncclInvalidArgument;
    {
        const std::lock_guard<std::mutex> held(lock);
        if (!on_device(data, bytes))
            die("%s of %zu bytes at %p, which is not within one allocation of device memory",
                sends ? "ncclSend" : "ncclRecv", bytes, data);
        if (stream_captures(stream))
            return ncclInvalidUsage;
    }
    group.moves.push_back({comm, {sends, peer, static_cast<char *>(data), bytes, stream}});
    return group.depth ? ncclSuccess : end_group();
}

extern "C" {
ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    NCCL_ENTER();
    const std::string name = start_root();
    if (name.empty())
        return ncclSystemError;
    memset(id, 0, sizeof *id);
    memcpy(id->internal, name.data(), name.size());
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int nranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    NCCL_ENTER();
    *out = nullptr;
    id.internal[NCCL_UNIQUE_ID_BYTES - 1] = 0;
    if (nranks < 1 || rank < 0 || rank >= nranks || (config && config->magic != 0xcafebeef))
        return ncclInvalidArgument;
    if (group.depth)
        die("ncclCommInitRankConfig in a group is not simulated");
    int device;
    if (use_device(&device))
        return ncclUnhandledCudaError;
    ncclComm *comm = new ncclComm();
    comm->blocking = !config || config->blocking != 0;
    comm->ring->name = id.internal;
    comm->ring->rank = rank;
    comm->ring->size = nranks;
    comm->ring->device = device;
    if (!open_ring(comm->ring.get())) {
        delete comm;
        return ncclSystemError;
    }
    comm->worker = std::thread(work, comm);
    *out = comm;
    const RingPtr ring = comm->ring;
    return start(comm, [ring](std::string *text) { return join_ring(ring.get(), text); });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    if (!comm || !error)
        return ncclInvalidArgument;
    const int fault = planted_fault(__func__);
    const std::lock_guard<std::mutex> held(comm->guard);
    if (fault)
        comm->error = static_cast<ncclResult_t>(fault);
    *error = comm->error ? comm->error : comm->under_way ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    NCCL_ENTER();
    const ncclResult_t ready = ensure_ready(comm);
    if (ready)
        return ready;
    const RingPtr ring = comm->ring;
    const auto enqueued = comm->enqueued;
    return start(comm, [=](std::string *) {
        while (*enqueued && !ring->aborted)
            pause_a_little();
        return ncclSuccess;
    });
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (!comm)
        return ncclInvalidArgument;
    while (*comm->enqueued) // as the real one: for ever
        pause_a_little();
    end_worker(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    NCCL_ENTER();
    if (!comm)
        return ncclInvalidArgument;
    comm->ring->aborted = true; /* operations end, whether they have begun or not */
    end_worker(comm);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const texts[] = {
        "no error",
        "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "internal error - please report this issue to the NCCL developers",
        "invalid argument (run with NCCL_DEBUG=WARN for details)",
        "invalid usage (run with NCCL_DEBUG=WARN for details)",
        "remote process exited or there was a network error",
        "NCCL operation in progress",
    };
    return result >= 0 && result < ncclNumResults ? texts[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    static thread_local std::string last;
    last = complaint;
    if (comm) {
        const std::lock_guard<std::mutex> held(comm->guard);
        if (!comm->text.empty())
            last = comm->text;
    }
    return last.c_str();
}

ncclResult_t ncclSend(const void *buffer, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    NCCL_ENTER();
    return move(true, const_cast<void *>(buffer), count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void *buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    NCCL_ENTER();
    return move(false, buffer, count, type, peer, comm, stream);
}

ncclResult_t ncclGroupStart(void)
{
    NCCL_ENTER();
    group.depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    NCCL_ENTER();
    if (group.depth == 0)
        return ncclInvalidUsage;
    return --group.depth ? ncclSuccess : end_group();
}
}
