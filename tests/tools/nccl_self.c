/*
 * NCCL with one rank that sends to itself: that the library on this machine starts on the GPU, and
 * that a send and a receive in one group bring what was sent. Opened by hand, because a bundle
 * (tests/gpu/bundle.sh) is made without NCCL and takes the machine's. Exit code 77: there is none.
 */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { N = 1 << 20, FLOAT = 7 }; /* ncclFloat32 */

struct id {
    char bytes[128]; /* ncclUniqueId */
};
struct nccl {
    int (*version)(int *);
    int (*make_id)(struct id *);
    int (*join)(void **comm, int size, struct id id, int rank);
    int (*begin)(void);
    int (*end)(void);
    int (*send)(const void *, size_t, int, int, void *, cudaStream_t);
    int (*receive)(void *, size_t, int, int, void *, cudaStream_t);
    int (*leave)(void *);
};

/* POSIX has dlsym give functions as data pointers, which C cannot convert. */
static int find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static int open_nccl(struct nccl *n)
{
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return 0;
    return find(library, "ncclGetVersion", &n->version, sizeof n->version) &&
           find(library, "ncclGetUniqueId", &n->make_id, sizeof n->make_id) &&
           find(library, "ncclCommInitRank", &n->join, sizeof n->join) &&
           find(library, "ncclGroupStart", &n->begin, sizeof n->begin) &&
           find(library, "ncclGroupEnd", &n->end, sizeof n->end) &&
           find(library, "ncclSend", &n->send, sizeof n->send) &&
           find(library, "ncclRecv", &n->receive, sizeof n->receive) &&
           find(library, "ncclCommDestroy", &n->leave, sizeof n->leave);
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        const int result = (int)(call);                                                            \
        if (result != 0) {                                                                         \
            fprintf(stderr, "%s: result %d\n", #call, result);                                     \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

int main(void)
{
    static float sent[N], came[N];
    struct nccl nccl;
    struct id id;
    void *comm, *d_sent, *d_came;
    cudaStream_t stream;
    int version = 0;
    size_t before = 0, after = 0, total;
    if (!open_nccl(&nccl)) {
        printf("skipped: there is no NCCL here (%s)\n", dlerror());
        return 77;
    }
    for (int i = 0; i < N; i++)
        sent[i] = (float)i;
    TRY(nccl.version(&version));
    TRY(cudaStreamCreate(&stream));
    TRY(cudaMalloc(&d_sent, sizeof sent));
    TRY(cudaMalloc(&d_came, sizeof came));
    TRY(cudaMemcpy(d_sent, sent, sizeof sent, cudaMemcpyHostToDevice));
    TRY(cudaMemGetInfo(&before, &total));
    TRY(nccl.make_id(&id));
    TRY(nccl.join(&comm, 1, id, 0));
    TRY(nccl.begin());
    TRY(nccl.send(d_sent, N, FLOAT, 0, comm, stream));
    TRY(nccl.receive(d_came, N, FLOAT, 0, comm, stream));
    TRY(nccl.end());
    TRY(cudaStreamSynchronize(stream));
    TRY(cudaMemGetInfo(&after, &total));
    TRY(cudaMemcpy(came, d_came, sizeof came, cudaMemcpyDeviceToHost));
    TRY(nccl.leave(comm));
    printf("NCCL %d: %d floats to itself came %s; it takes %.1f MiB\n", version, N,
           memcmp(sent, came, sizeof sent) == 0 ? "right" : "WRONG",
           ((double)before - (double)after) / (1 << 20));
    return memcmp(sent, came, sizeof sent) != 0;
}
