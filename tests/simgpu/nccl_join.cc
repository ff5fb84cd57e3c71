// How the ranks of a communicator find each other: all come to a root, in the process that made the
// id, which looks at their devices; later each pair connects when it is first used.
#include "nccl_impl.h"

#include <cstdio>
#include <cstring>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace simgpu
{
namespace
{
struct Hello {
    int rank, size;
    char host[64], bus[16];
};
struct Answer {
    ncclResult_t result;
    char text[160];
};
} // namespace

static socklen_t address_of(const std::string &name, sockaddr_un *out)
{
    *out = {};
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path + 1, name.data(), name.size()); // abstract: it begins with a zero
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

static int listen_at(const std::string &name)
{
    sockaddr_un address;
    const socklen_t length = address_of(name, &address);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, reinterpret_cast<sockaddr *>(&address), length) || listen(fd, 128))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connect_to(const Ring *ring, const std::string &name)
{
    sockaddr_un address;
    const socklen_t length = address_of(name, &address);
    while (!ring->aborted) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, reinterpret_cast<sockaddr *>(&address), length) == 0)
            return fd;
        close(fd);
        usleep(2000); // nobody is there, or not yet
    }
    return -1;
}

static std::string name_of(const Ring *ring, int rank)
{
    return ring->name + "-" + std::to_string(rank);
}

Ring::~Ring()
{
    close(listener);
    for (int fd : to)
        close(fd);
    for (int fd : from)
        close(fd);
}

bool open_ring(Ring *ring)
{
    ring->to.assign(static_cast<size_t>(ring->size), -1);
    ring->from = ring->to;
    ring->listener = listen_at(name_of(ring, ring->rank));
    return ring->listener >= 0;
}

/* ---- the root */

static Answer judge(const std::vector<Hello> &hellos)
{
    Answer answer = {};
    for (const Hello &a : hellos)
        for (const Hello &b : hellos)
            if (a.rank < b.rank && strcmp(a.host, b.host) == 0 && strcmp(a.bus, b.bus) == 0) {
                answer.result = ncclInvalidUsage;
                snprintf(answer.text, sizeof answer.text,
                         "Duplicate GPU detected : rank %d and rank %d both on CUDA device %s",
                         a.rank, b.rank, a.bus);
                return answer;
            }
    return answer;
}

static void be_root(int listener)
{
    const Ring never;
    std::vector<Hello> hellos;
    std::vector<int> ends;
    do {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        Hello hello;
        if (fd < 0 || !read_all(&never, fd, &hello, sizeof hello))
            continue;
        hellos.push_back(hello);
        ends.push_back(fd);
    } while (hellos.empty() || hellos.size() < static_cast<size_t>(hellos[0].size));
    const Answer answer = judge(hellos);
    close(listener); // first: who has an answer must not find the root again
    for (int fd : ends) {
        write_all(&never, fd, &answer, sizeof answer);
        close(fd);
    }
}

std::string start_root()
{
    uint64_t key;
    char name[48];
    if (getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key))
        return "";
    snprintf(name, sizeof name, "simgpu-nccl-%016llx", static_cast<unsigned long long>(key));
    const int listener = listen_at(name);
    if (listener < 0)
        return "";
    std::thread(be_root, listener).detach();
    return name;
}

/* ---- a rank */

ncclResult_t join_ring(Ring *ring, std::string *text)
{
    Hello hello = {};
    Answer answer;
    hello.rank = ring->rank;
    hello.size = ring->size;
    const char *host = getenv("NCCL_HOSTID");
    if (host)
        snprintf(hello.host, sizeof hello.host, "%s", host);
    else
        gethostname(hello.host, sizeof hello.host - 1);
    cudaDeviceGetPCIBusId(hello.bus, sizeof hello.bus, ring->device);
    const int fd = connect_to(ring, ring->name);
    const bool answered = fd >= 0 && write_all(ring, fd, &hello, sizeof hello) &&
                          read_all(ring, fd, &answer, sizeof answer);
    close(fd);
    if (!answered) {
        *text = "the process that made the id is gone";
        return ncclSystemError;
    }
    *text = answer.text;
    return answer.result;
}

static ncclResult_t reach(Ring *ring, int peer)
{
    int &fd = ring->to[static_cast<size_t>(peer)];
    char seen;
    fd = connect_to(ring, name_of(ring, peer));
    return fd >= 0 && write_all(ring, fd, &ring->rank, sizeof ring->rank) &&
                   read_all(ring, fd, &seen, 1)
               ? ncclSuccess
               : ncclRemoteError;
}

static ncclResult_t be_reached(Ring *ring, int peer)
{
    while (ring->from[static_cast<size_t>(peer)] < 0) {
        bool ready = false;
        int rank;
        if (!look_at(ring, ring->listener, POLLIN, &ready))
            return ncclRemoteError;
        if (!ready)
            continue;
        const int fd = accept4(ring->listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0 || !read_all(ring, fd, &rank, sizeof rank) || !write_all(ring, fd, "", 1))
            return ncclRemoteError;
        ring->from[static_cast<size_t>(rank)] = fd;
    }
    return ncclSuccess;
}

ncclResult_t connect_ring(Ring *ring, const std::vector<Move> &moves, std::string *text)
{
    // Those who are reached do not wait for anybody, so both ways are tried at once.
    ncclResult_t sent = ncclSuccess, taken = ncclSuccess;
    std::thread reaching([&] {
        for (const Move &m : moves)
            if (m.sends && ring->to[static_cast<size_t>(m.peer)] < 0 && !sent)
                sent = reach(ring, m.peer);
    });
    for (const Move &m : moves)
        if (!m.sends && !taken)
            taken = be_reached(ring, m.peer);
    reaching.join();
    if (sent || taken)
        *text = "a rank that was to be connected is gone";
    return sent ? sent : taken;
}
} // namespace simgpu
