/* Streams, their threads, and what a capture records; for streams.cc, events.cc and graphs.cc. */
#ifndef SIMGPU_STREAMS_H
#define SIMGPU_STREAMS_H

#include "runtime.h"

#include <deque>
#include <thread>

namespace simgpu
{
struct Node {
    const char *what;
    Run run;
    std::vector<size_t> after; /* numbers of earlier nodes */
    unsigned devices;          /* these as an operation's */
    Begin begin;
};
typedef std::vector<Node> Nodes;

/* What is being recorded. It ends in the stream in which it began. */
struct Capture {
    CUstream_st *origin;
    enum cudaStreamCaptureMode mode;
    std::thread::id thread; // in which it began
    Nodes nodes;
    bool valid = true;
};
typedef std::shared_ptr<Capture> CapturePtr;

/* The stream that a handle means; NULL when it is none. With `lock` held. */
CUstream_st *find_stream(cudaStream_t handle);
std::vector<CUstream_st *> streams_of(int device);
/* What a call to wait does: waits for these, and tells of the device. With `lock` held. */
cudaError_t synchronize(std::unique_lock<std::mutex> &held, const std::vector<Ticket> &tickets,
                        int device, const char *call);
} // namespace simgpu

struct CUstream_st {
    int device;
    bool legacy;   /* the default stream: others wait for it and it for them */
    bool blocking; /* takes part in that */
    bool closing;
    uint64_t number, count; /* for the seed: which stream, which operation */
    std::deque<simgpu::Ticket> queue;
    simgpu::Ticket tail; /* the last enqueued */
    simgpu::CapturePtr capture;
    std::vector<size_t> last; /* nodes that the next one comes after */
};

struct CUevent_st {
    bool timed;
    simgpu::Ticket recorded;
    simgpu::CapturePtr capture; /* recorded in a capture: */
    std::vector<size_t> nodes;
};

#endif
