/*
 * The GPU side is a shared object of our own (libspillway_cuda.so: kernels, CUDA runtime, cuBLAS),
 * opened when a GPU is wanted, so that the program starts on nodes without driver or toolkit and a
 * run on CPUs does not pay for loading it. Tests open libspillway_simgpu.so instead, the same
 * sources on a simulated GPU (SPILLWAY_GPU_LIBRARY names another file).
 *
 * The object calls back into the program (sw_fail, sw_log, …), which exports its symbols.
 */
#ifndef SW_BACKEND_GPU_LIBRARY_H
#define SW_BACKEND_GPU_LIBRARY_H

#include "backend/backend.h"
#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>

#define SW_GPU_NAME_MAX 64
#define SW_GPU_WHY_MAX 384

/* A GPU as the driver tells it. */
struct sw_gpu_info {
    char name[SW_GPU_NAME_MAX];
    char bus_id[32];      /* PCI: tells whether two ranks were given the same one */
    uint64_t free, total; /* bytes */
    int major, minor;     /* compute capability: 7.5 is Turing */
    bool beside_context;  /* free: beside a context of this process, whose bytes are not in it */
};

struct sw_gpu_options {
    int device;
    int64_t max_rows; /* most rows a call will have, … */
    int64_t max_cols; /* … most in-features, … */
    int64_t max_out;  /* … and out-features (more go in pieces): they size the workspace */
    /* All of alloc together may take at most so much, the workspace not counted. 0 or UINT64_MAX:
     * what is free. */
    uint64_t memory;
    /* All of `memory` is taken when it is opened, in one piece that alloc gives out: the driver
     * hands out whole pages of 2 MiB. Else each alloc is one of the driver's, in which tests notice
     * what is written beside it. */
    bool one_block;
    bool no_graphs; /* repeat() only ever enqueues: what tests and measurements compare with */
    struct sw_pool *pool; /* makes weights; must outlive the backend. NULL: the caller alone */
};

/* What a look at a GPU measures, in well under a second. 0: could not be measured. */
struct sw_gpu_speeds {
    double bandwidth; /* bytes/s, reading its own memory */
    double flops;     /* in a product of many rows, f16 */
    double to_device; /* bytes/s from pinned host memory */
    double launch;    /* seconds that a kernel with little to do takes behind another */
};

/*
 * What a wait for the device does again and again, so that a rank whose GPU waits for another's
 * shows signs of life and learns when the job has failed.
 */
struct sw_gpu_wait_hook {
    /* Another status than SW_OK ends the wait, and the backend has failed with it. NULL: nothing.
     */
    enum sw_status (*step)(void *context);
    void *context;
    double seconds; /* a wait of so long is a failure, too; 0: SW_GPU_WAIT_S */
};
#define SW_GPU_WAIT_S 600.0

/*
 * Operations that come again and again, the same each time: those of a token that a sequence goes
 * on by. What they are follows from `id` and the number of rows, as long as no memory is freed, and
 * what differs from one time to the next lies in device memory or follows from the spans. Between
 * their enqueueing nothing goes to host memory or comes from there.
 */
struct sw_gpu_sequence {
    int64_t id;
    const struct sw_span *spans; /* of all of the operations that take spans */
    int n_spans;
    enum sw_status (*enqueue)(void *context);
    void *context;
};

/*
 * What a GPU can besides sw_backend_ops: streaming host layers through it, and repeating. All
 * members are there. As with the backend's own, a failure stays: every later call fails with it,
 * too.
 */
struct sw_gpu_ops {
    /* Makes host memory fit for copies that overlap computing; and the reverse. A failed pin
     * leaves the backend sound: such memory is copied, only slower. */
    enum sw_status (*pin)(struct sw_backend *b, void *host, size_t bytes);
    void (*unpin)(struct sw_backend *b, void *host);
    /*
     * Copies to the device beside what is computed, on a stream of its own, after all earlier uses
     * of `buffer` (0 or 1) are over. `src` stays as it is until a sync() after fetched(buffer).
     */
    enum sw_status (*fetch)(struct sw_backend *b, int buffer, void *d_dst, const void *src,
                            size_t bytes);
    /* What is enqueued from here on finds buffer's fetches done; … */
    enum sw_status (*fetched)(struct sw_backend *b, int buffer);
    /* … and here its use is over. */
    enum sw_status (*used)(struct sw_backend *b, int buffer);
    /* A matrix that the CPU backend packed, in device memory, becomes one of this backend's. */
    enum sw_status (*unpack)(struct sw_backend *b, const void *d_packed, struct sw_matrix *m);
    /* SW_EDEVICE, naming `where`, when a value of the rows is not finite. Waits like sync(). */
    enum sw_status (*check_finite)(struct sw_backend *b, const float *d_x, int64_t ld, int64_t n,
                                   int64_t dim, const char *where);
    /* n rows of `bytes` each between dense host memory and rows ld_bytes apart: one copy instead
     * of n. The host's rows may be reused when it returns. */
    enum sw_status (*upload_rows)(struct sw_backend *b, void *d_dst, size_t ld_bytes,
                                  const void *src, size_t bytes, int64_t n);
    enum sw_status (*download_rows)(struct sw_backend *b, void *dst, const void *d_src,
                                    size_t ld_bytes, size_t bytes, int64_t n);
    /*
     * Has the operations done in their order, as if by enqueue(); but where all spans are single
     * rows, at most eight of them, the device is given all of it by one call (a CUDA graph) once it
     * has seen it. enqueue is called no more then, or twice when that did not work, of which a
     * warning tells. Its own failure is returned.
     */
    enum sw_status (*replay)(struct sw_backend *b, const struct sw_gpu_sequence *sequence);
    /* How many times one call was all that it took. */
    uint64_t (*replays)(const struct sw_backend *b);
    /* Bytes that alloc has given out and that were not freed: what options.memory limits. */
    uint64_t (*allocated)(const struct sw_backend *b);
    /* From now on, in every wait for the device; NULL: nobody is asked any more. Copied. */
    void (*watch)(struct sw_backend *b, const struct sw_gpu_wait_hook *watch);
};

/*
 * Links: rows that go from the memory of one rank's GPU to that of another's, by NCCL. The ranks
 * whose GPUs take part form one group. join, warm_up and leave wait for all of it, at most
 * `seconds`; what fails there does not stay, but leaves the group. A failure that the watch gives
 * is returned as it is. SW_EPEER: another rank is gone or stuck; SW_EDEVICE: this one.
 */
struct sw_gpu_link_id {
    unsigned char bytes[128];
};
struct sw_gpu_link_ops {
    /* 22809 is 2.28.9; must be the same everywhere. 0: it does not work. */
    int (*version)(void);
    /* One rank makes it, and the others get it by other means. */
    enum sw_status (*make_id)(struct sw_gpu_link_id *out);
    /* As rank `rank` of `size` of the group; no two on one GPU. */
    enum sw_status (*join)(struct sw_backend *b, const struct sw_gpu_link_id *id, int rank,
                           int size, double seconds);
    /* Something to `to` and something from `from` at once (-1: nobody), and looks at what came: an
     * link is connected when it is first used, which waits for both ends. */
    enum sw_status (*warm_up)(struct sw_backend *b, int from, int to, double seconds);
    /* n floats; enqueued like any operation. Each holds up what is enqueued behind it until the
     * other end's call, of as many floats, has its turn. A failure stays. */
    enum sw_status (*send)(struct sw_backend *b, int to, const float *d_x, int64_t n);
    enum sw_status (*receive)(struct sw_backend *b, int from, float *d_x, int64_t n);
    /* In good order when all is done and well, else what is under way is given up. */
    void (*leave)(struct sw_backend *b);
};

struct sw_gpu_library {
    /* sw_source_id of the sources it was built from: must be ours. Looked at before all else. */
    const char *(*source_id)(void);
    const char *what; /* "CUDA 13.0, cuBLAS 13.1" */
    /* *n devices, at most cap written; no device has a context after it that had none before. No
     * GPU or no driver: SW_OK and 0; likewise with a driver that is not one for this library, and
     * then `why` says so, and what to do. Else it is "". */
    enum sw_status (*devices)(struct sw_gpu_info *out, int cap, int *n, char why[SW_GPU_WHY_MAX]);
    enum sw_status (*open)(const struct sw_gpu_options *options, struct sw_backend **out);
    /* Bytes of device memory that open takes at most for workspace, and for rounding up with
     * one_block: sw_gpu_workspace_bytes, which the planner counts. */
    uint64_t (*workspace)(const struct sw_gpu_options *options);
    const struct sw_gpu_ops *ops;
    /* May be called beside a backend that is open on the device; takes no memory from it for long.
     */
    enum sw_status (*measure)(int device, struct sw_gpu_speeds *out);
    /* Bytes that are free on the device once this process has its context there, which stays, and
     * what measure() has loaded. */
    enum sw_status (*left)(int device, uint64_t *free);
    /* NULL: built without NCCL. */
    const struct sw_gpu_link_ops *(*links)(void);
};

/* The symbol the object exports: a const struct sw_gpu_library. */
#define SW_GPU_LIBRARY_SYMBOL "sw_gpu_library"

/*
 * The library, loaded at the first call; NULL when there is none, with the reason in *why (never
 * NULL; not an error: this node has no GPU to use). Opens what SPILLWAY_GPU_LIBRARY names; else,
 * where there is NVIDIA's driver, the one beside the program or in ../lib. *status is SW_EDEVICE,
 * and the error slot filled, when there is one that cannot be used: of another build, or the file
 * that SPILLWAY_GPU_LIBRARY names and that is not one. `why` and `status` may be NULL. Any thread
 * may call it.
 */
const struct sw_gpu_library *sw_gpu_library_load(const char **why, enum sw_status *status);

#endif
