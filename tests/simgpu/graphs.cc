// Graphs: what a capture recorded, run as one operation, its nodes in any order that their
// dependencies allow.
#include "streams.h"

struct CUgraph_st {
    simgpu::Nodes nodes;
};
struct CUgraphExec_st {
    int device;
    uint64_t launches;
    std::shared_ptr<const simgpu::Nodes> nodes;
};

namespace simgpu
{
// A kernel that comes after nothing but this one may begin before it has ended.
static void begin_next(const Nodes &nodes, size_t node, const std::vector<size_t> &next,
                       Random *random, std::vector<Run> *begun)
{
    for (size_t after : next)
        if (nodes[node].begin && nodes[after].begin && nodes[after].after.size() == 1 &&
            random->below(2) != 0)
            (*begun)[after] = nodes[after].begin();
}

static void run_nodes(const Nodes &nodes, uint64_t launch)
{
    std::vector<size_t> missing(nodes.size()), ready;
    std::vector<std::vector<size_t>> next(nodes.size());
    std::vector<Run> begun(nodes.size());
    for (size_t i = 0; i < nodes.size(); i++) {
        missing[i] = nodes[i].after.size();
        if (!missing[i])
            ready.push_back(i);
        for (size_t before : nodes[i].after)
            next[before].push_back(i);
    }
    Random random(launch);
    while (!ready.empty()) {
        const size_t pick = random.below(static_cast<unsigned>(ready.size())), node = ready[pick];
        ready[pick] = ready.back();
        ready.pop_back();
        begin_next(nodes, node, next[node], &random, &begun);
        if (begun[node])
            begun[node]();
        else if (nodes[node].run)
            nodes[node].run();
        begun[node] = nullptr;
        for (size_t after : next[node])
            if (--missing[after] == 0)
                ready.push_back(after);
    }
}

// Does the end of the capture come after everything that was recorded?
static bool joined(const Nodes &nodes, const std::vector<size_t> &last)
{
    std::vector<bool> reached(nodes.size());
    for (size_t i : last)
        reached[i] = true;
    for (size_t i = nodes.size(); i-- > 0;) {
        if (!reached[i])
            return false;
        for (size_t before : nodes[i].after)
            reached[before] = true;
    }
    return true;
}

static void leave(const CapturePtr &capture, int device)
{
    for (CUstream_st *s : streams_of(device))
        if (s->capture == capture) {
            s->capture = nullptr;
            s->last.clear();
        }
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    CUstream_st *s = find_stream(stream);
    if (!s)
        return note(cudaErrorInvalidResourceHandle);
    if (s->legacy)
        return note(cudaErrorStreamCaptureUnsupported);
    if (s->capture)
        return note(cudaErrorIllegalState);
    s->capture = std::make_shared<Capture>();
    s->capture->origin = s;
    s->capture->mode = mode;
    s->capture->thread = std::this_thread::get_id();
    s->last.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    *out = nullptr;
    CUstream_st *s = find_stream(stream);
    if (!s)
        return note(cudaErrorInvalidResourceHandle);
    if (!s->capture)
        return note(cudaErrorIllegalState);
    const CapturePtr capture = s->capture;
    if (capture->origin != s)
        return note(cudaErrorStreamCaptureUnmatched);
    if (capture->mode != cudaStreamCaptureModeRelaxed &&
        capture->thread != std::this_thread::get_id())
        return note(cudaErrorStreamCaptureWrongThread);
    const std::vector<size_t> last = s->last;
    leave(capture, s->device);
    if (!capture->valid)
        return note(cudaErrorStreamCaptureInvalidated);
    if (!joined(capture->nodes, last))
        return note(cudaErrorStreamCaptureUnjoined);
    *out = new CUgraph_st{capture->nodes};
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *out)
{
    SIMGPU_ENTER();
    const std::lock_guard<std::mutex> guard(lock);
    const CUstream_st *s = find_stream(stream);
    if (!s)
        return note(cudaErrorInvalidResourceHandle);
    *out = !s->capture         ? cudaStreamCaptureStatusNone
           : s->capture->valid ? cudaStreamCaptureStatusActive
                               : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
}

/* Only their number; nodes have no handles here. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    SIMGPU_ENTER();
    if (!graph || !n)
        return note(cudaErrorInvalidValue);
    if (nodes)
        return note(cudaErrorNotSupported);
    *n = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (!graph)
        return note(cudaErrorInvalidValue);
    *out = new CUgraphExec_st{device, 0, std::make_shared<const Nodes>(graph->nodes)};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    SIMGPU_ENTER();
    if (!exec)
        return note(cudaErrorInvalidValue);
    const std::shared_ptr<const Nodes> nodes = exec->nodes;
    const uint64_t launch = ++exec->launches;
    unsigned devices = 0;
    for (const Node &n : *nodes)
        devices |= n.devices;
    return note(enqueue(
        stream, "a graph", [nodes, launch] { run_nodes(*nodes, launch); }, nullptr, devices));
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t)
{
    SIMGPU_ENTER();
    return exec ? cudaSuccess : note(cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    SIMGPU_ENTER();
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    SIMGPU_ENTER();
    delete graph;
    return cudaSuccess;
}
}
