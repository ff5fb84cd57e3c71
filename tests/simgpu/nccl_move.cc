// What ncclSend and ncclRecv do when their turn in the stream has come: they hold the stream until
// the other side's has come, too. A peer that is gone is not noticed, as over NVLink or shared
// memory.
#include "nccl_impl.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace simgpu
{
static const int moment = 2; /* milliseconds between looks at `aborted` */

bool look_at(const Ring *ring, int fd, short events, bool *ready)
{
    pollfd p = {fd, events, 0};
    *ready = poll(&p, 1, moment) > 0;
    return !ring->aborted;
}

bool write_all(const Ring *ring, int fd, const void *data, size_t bytes)
{
    const char *at = static_cast<const char *>(data);
    while (bytes > 0) {
        bool ready;
        if (!look_at(ring, fd, POLLOUT, &ready))
            return false;
        const ssize_t n = send(fd, at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        at += n > 0 ? n : 0;
        bytes -= n > 0 ? static_cast<size_t>(n) : 0;
    }
    return true;
}

bool read_all(const Ring *ring, int fd, void *data, size_t bytes)
{
    char *at = static_cast<char *>(data);
    while (bytes > 0) {
        bool ready;
        if (!look_at(ring, fd, POLLIN, &ready))
            return false;
        const ssize_t n = recv(fd, at, bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        at += n > 0 ? n : 0;
        bytes -= n > 0 ? static_cast<size_t>(n) : 0;
    }
    return true;
}

namespace
{
// The receiver says how much it takes; only then the sender sends.
struct Progress {
    const Move *move;
    int fd;
    uint64_t ready; /* what the receiver said, … */
    size_t said;    /* … bytes of it that came, or went */
    size_t moved;   /* bytes of data */
    bool gone;
    bool done() const
    {
        return said == sizeof ready && moved == move->bytes;
    }
};
} // namespace

static size_t step(Progress *p, bool sends, char *data, size_t bytes)
{
    const ssize_t n = sends ? send(p->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : recv(p->fd, data, bytes, MSG_DONTWAIT);
    p->gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    return n > 0 ? static_cast<size_t>(n) : 0;
}

static void advance(const Ring *ring, Progress *p)
{
    const Move &m = *p->move;
    char *ready = reinterpret_cast<char *>(&p->ready);
    if (p->said < sizeof p->ready) {
        p->said += step(p, !m.sends, ready + p->said, sizeof p->ready - p->said);
        if (p->said == sizeof p->ready && p->ready != m.bytes)
            die("ncclSend of %zu bytes from rank %d to %d, whose ncclRecv is of %llu: sizes or "
                "orders differ",
                m.bytes, ring->rank, m.peer, static_cast<unsigned long long>(p->ready));
        return;
    }
    p->moved += step(p, m.sends, m.data + p->moved, m.bytes - p->moved);
}

// The first that is not done, of those to or from the same rank.
static bool is_next(const std::vector<Progress> &all, const Progress &p)
{
    for (const Progress &other : all)
        if (!other.done() && other.fd == p.fd)
            return &other == &p;
    return false;
}

void run_moves(Ring *ring, const std::vector<Move> &moves)
{
    std::vector<Progress> all;
    for (const Move &m : moves) {
        const size_t peer = static_cast<size_t>(m.peer);
        all.push_back({&m, m.sends ? ring->to[peer] : ring->from[peer],
                       m.sends ? 0 : static_cast<uint64_t>(m.bytes), 0, 0, false});
    }
    while (!ring->aborted) {
        std::vector<pollfd> fds;
        bool done = true;
        for (Progress &p : all) {
            done = done && p.done();
            if (!is_next(all, p) || p.gone)
                continue;
            const bool writes = p.move->sends == (p.said == sizeof p.ready);
            fds.push_back({p.fd, static_cast<short>(writes ? POLLOUT : POLLIN), 0});
        }
        if (done)
            return;
        poll(fds.data(), fds.size(), moment);
        for (Progress &p : all)
            if (is_next(all, p) && !p.gone)
                advance(ring, &p);
    }
}
} // namespace simgpu
