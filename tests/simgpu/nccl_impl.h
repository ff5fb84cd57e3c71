/*
 * The simulated NCCL: nccl.cc has the calls, nccl_join.cc how ranks find each other, nccl_move.cc
 * what runs in streams. Ranks are joined by Unix sockets with abstract names, so nothing is left
 * behind. Everything a call does happens in the communicator's own thread, later, as in the real
 * one when it is not blocking.
 */
#ifndef SIMGPU_NCCL_IMPL_H
#define SIMGPU_NCCL_IMPL_H

#include "include/nccl.h"
#include "runtime.h"

#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

namespace simgpu
{
/* One ncclSend or ncclRecv. */
struct Move {
    bool sends;
    int peer;
    char *data;
    size_t bytes;
    cudaStream_t stream;
};

/* A communicator as its operations see it, which may run after it has been aborted. */
struct Ring {
    int rank = 0, size = 0, device = 0;
    std::string name; /* of the job's sockets */
    std::atomic<bool> aborted{false};
    int listener = -1;
    std::vector<int> to, from; /* (size) sockets to and from each rank; -1: never used yet */
    ~Ring();
};
typedef std::shared_ptr<Ring> RingPtr;

/* nccl_join.cc */
/* Starts the thread that ranks come to; its name, for the id. "": it cannot be. */
std::string start_root();
/* Opens the rank's own socket; false: it cannot be. */
bool open_ring(Ring *ring);
/* Comes to the root and waits for all; *text: what is wrong. */
ncclResult_t join_ring(Ring *ring, std::string *text);
/* Makes the connections that the moves need, each end waiting for the other. */
ncclResult_t connect_ring(Ring *ring, const std::vector<Move> &moves, std::string *text);

/* nccl_move.cc: in a stream's thread; all moves at once, until done or aborted. */
void run_moves(Ring *ring, const std::vector<Move> &moves);
/* Waits a moment for a socket; false: aborted. *ready: there is something. */
bool look_at(const Ring *ring, int fd, short events, bool *ready);
/* Whole or not at all (aborted, or the other side is gone). */
bool write_all(const Ring *ring, int fd, const void *data, size_t bytes);
bool read_all(const Ring *ring, int fd, void *data, size_t bytes);
} // namespace simgpu

#endif
