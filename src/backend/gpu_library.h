/*
 * The GPU library: a shared object of our own, libspillway_cuda.so, with the kernels, the CUDA
 * runtime and cuBLAS. It is opened only when a GPU is wanted, so the program starts on nodes
 * without driver or toolkit, and runs on CPUs do not load it. Tests open libspillway_simgpu.so, the
 * same sources on a simulated GPU, by SPILLWAY_GPU_LIBRARY.
 *
 * The library calls functions of the program (sw_fail, sw_log and others), which exports them.
 */
#ifndef SW_BACKEND_GPU_LIBRARY_H
#define SW_BACKEND_GPU_LIBRARY_H

#include "backend/backend.h"
#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>

#define SW_GPU_NAME_MAX 64
#define SW_GPU_WHY_MAX 384

/* A GPU as the driver describes it. */
struct sw_gpu_info {
    char name[SW_GPU_NAME_MAX];
    char bus_id[32];      /* PCI address; the same for two ranks that drive the same GPU */
    uint64_t free, total; /* bytes */
    int major, minor;     /* compute capability: 7.5 is Turing */
    bool beside_context;  /* `free` was read while this process had a context there: its bytes are
                             not free */
};

struct sw_gpu_options {
    int device;
    /* These three size the workspace. */
    int64_t max_rows; /* most rows of a call */
    int64_t max_cols; /* most in-features of a matrix */
    int64_t max_out;  /* out-features that a product computes at once; larger ones go in pieces */
    /* Most bytes that all allocations together may take, without the workspace. 0 or UINT64_MAX: as
     * much as is free. */
    uint64_t memory;
    /* Allocates all of `memory` when the backend opens, and `alloc` gives out parts of it, because
     * the driver rounds each allocation up to 2 MiB. Otherwise each alloc is an allocation of the
     * driver, which lets tests detect writes beyond its end. */
    bool one_block;
    bool no_graphs;       /* `replay` never uses a CUDA graph; for tests and measurements */
    struct sw_pool *pool; /* threads that convert weights; must outlive the backend. NULL: only the
                           * caller's */
};

/* Speeds of a GPU, measured in well under a second. 0: could not be measured. */
struct sw_gpu_speeds {
    double bandwidth; /* bytes/s, reading its own memory */
    double flops;     /* operations/s in a GEMM of f16 */
    double to_device; /* bytes/s from pinned host memory */
    double launch;    /* seconds of a very small kernel that runs after another */
};

/*
 * A hook that is called repeatedly during a wait for the device, so that a rank whose GPU waits for
 * another one sends heartbeats and notices when the job has failed.
 */
struct sw_gpu_wait_hook {
    /* A status other than SW_OK ends the wait and becomes the backend's failure. NULL: not called.
     */
    enum sw_status (*step)(void *context);
    void *context;
    double seconds; /* a wait of this length is a failure; 0: SW_GPU_WAIT_S */
};
#define SW_GPU_WAIT_S 600.0

/*
 * Operations that are repeated for every token that is decoded. The same `id` and number of rows
 * always mean the same operations, as long as no memory is freed. What differs between repetitions
 * is in device memory or follows from the spans. Nothing is copied to or from host memory while
 * they are enqueued.
 */
struct sw_gpu_sequence {
    int64_t id;
    const struct sw_span *spans; /* (n_spans) the spans of all operations that take spans */
    int n_spans;
    enum sw_status (*enqueue)(void *context);
    void *context;
};

/* Buffers that are fetched to and used at the same time: two of layers, two of experts. */
#define SW_GPU_BUFFERS 4

/*
 * The `gpu` of a backend: operations that only a GPU has, mainly for streamed layers and replay. No
 * member is NULL. A failure is kept by the backend: every later call fails with it, too.
 */
struct sw_gpu_ops {
    /* Pins host memory, so that copies overlap computing, and unpins it. A failed pin is returned
     * but not kept: memory that is not pinned is copied more slowly. */
    enum sw_status (*pin)(struct sw_backend *b, void *host, size_t bytes);
    void (*unpin)(struct sw_backend *b, void *host);
    /*
     * Copies to the device on a stream of its own, while others compute, after all earlier uses of
     * `buffer` (below SW_GPU_BUFFERS) have ended. The caller leaves `src` unchanged until a sync()
     * after fetched(buffer), or until a mark behind it has passed.
     */
    enum sw_status (*fetch)(struct sw_backend *b, int buffer, void *d_dst, const void *src,
                            size_t bytes);
    /* Operations enqueued after this call run after the fetches to `buffer`. */
    enum sw_status (*fetched)(struct sw_backend *b, int buffer);
    /* Ends the use of `buffer`: later fetches to it wait for what is enqueued so far. */
    enum sw_status (*used)(struct sw_backend *b, int buffer);
    /* Sets mark 0 or 1 behind the fetches so far. */
    enum sw_status (*mark)(struct sw_backend *b, int mark);
    /* Whether the fetches before the mark have ended. Any thread may ask, while others use the
     * backend; a failure is not kept. */
    enum sw_status (*passed)(struct sw_backend *b, int mark, bool *out);
    /* Converts a matrix that the CPU backend packed to this backend's layout, in m->d_data. */
    enum sw_status (*unpack)(struct sw_backend *b, const void *d_packed, struct sw_matrix *m);
    /*
     * As matrix_put, but m->d_data is host memory: the rows are made there in this backend's
     * layout, by options.pool, or by the caller where rows->alone says so, and nothing is copied
     * to the device. host_clear comes first, zeroes the padding and puts the format's own table
     * there, if it has one. After a copy of all sw_matrix_bytes to the device (`fetch`) the matrix
     * is what matrix_put makes there. Failures are not kept. Any thread may call both, while others
     * use the backend.
     */
    void (*host_clear)(struct sw_backend *b, struct sw_matrix *m);
    enum sw_status (*host_put)(struct sw_backend *b, struct sw_matrix *m,
                               const struct sw_matrix_rows *rows);
    /* SW_EDEVICE, not kept, with `where` in the message, when a value of the n rows is not finite.
     * Waits like sync(). */
    enum sw_status (*check_finite)(struct sw_backend *b, const float *d_x, int64_t ld, int64_t n,
                                   int64_t dim, const char *where);
    /* Copy n rows of `bytes` between contiguous host memory and device rows that are ld_bytes
     * apart, in one copy. The host's rows may be reused when the call returns. */
    enum sw_status (*upload_rows)(struct sw_backend *b, void *d_dst, size_t ld_bytes,
                                  const void *src, size_t bytes, int64_t n);
    enum sw_status (*download_rows)(struct sw_backend *b, void *dst, const void *d_src,
                                    size_t ld_bytes, size_t bytes, int64_t n);
    /*
     * Runs the sequence's operations in order, as if by enqueue(). If all spans are single rows, at
     * most eight, they are captured as a CUDA graph when they come the second time, and replayed by
     * one call from then on, without calling enqueue. If that fails, a warning is logged and
     * enqueue is called a second time. A failure of enqueue is returned.
     */
    enum sw_status (*replay)(struct sw_backend *b, const struct sw_gpu_sequence *sequence);
    /* How many times a captured graph was replayed. */
    uint64_t (*replays)(const struct sw_backend *b);
    /* Bytes allocated and not freed, which options.memory limits. */
    uint64_t (*allocated)(const struct sw_backend *b);
    /* Sets the hook of every wait from now on; NULL: none. Copied. */
    void (*set_wait_hook)(struct sw_backend *b, const struct sw_gpu_wait_hook *hook);
};

/*
 * The `links` of a backend: links between GPUs, by NCCL: rows go from one rank's GPU memory to
 * another's. The ranks with such links form one group. join, warm_up and leave wait for the whole
 * group, at most `seconds`. A failure of theirs is not kept by the backend, but ends its
 * membership. A failure of the wait hook is returned unchanged. SW_EPEER: another rank is lost or
 * stuck; SW_EDEVICE: this rank's GPU is.
 */
struct sw_gpu_link_id {
    unsigned char bytes[128];
};
struct sw_gpu_link_ops {
    /* NCCL's version, 22809 for 2.28.9, which must be the same on all ranks. 0: NCCL does not work.
     */
    int (*version)(void);
    /* Makes the id of a group. One rank calls it and sends the id to the others. */
    enum sw_status (*make_id)(struct sw_gpu_link_id *out);
    /* Joins the group as `rank` of `size`. Two ranks of a group cannot share a GPU. */
    enum sw_status (*join)(struct sw_backend *b, const struct sw_gpu_link_id *id, int rank,
                           int size, double seconds);
    /* Sends test values to `to` while receiving from `from` (-1: none), and checks them. NCCL
     * connects a link at its first use, which waits for both ends. */
    enum sw_status (*warm_up)(struct sw_backend *b, int from, int to, double seconds);
    /* Enqueue the sending or receiving of n floats. Operations enqueued later wait until the other
     * end has run the matching call with the same n. A failure is kept. */
    enum sw_status (*send)(struct sw_backend *b, int to, const float *d_x, int64_t n);
    enum sw_status (*receive)(struct sw_backend *b, int from, float *d_x, int64_t n);
    /* Leaves the group: in good order when all work has ended without failure, else by aborting. */
    void (*leave)(struct sw_backend *b);
};

struct sw_gpu_library {
    /* sw_source_id of the library's sources. Checked first; must equal the program's. */
    const char *(*source_id)(void);
    const char *what; /* versions, like "CUDA 13.0, cuBLAS 13.1" */
    /* Writes the first `cap` GPUs to `out` and the number of all to *n. Leaves no new context on
     * any device. Without GPU or driver: SW_OK and *n = 0. With a driver that does not work with
     * this library: SW_OK, *n = 0, and `why` says what to do; otherwise `why` is "". */
    enum sw_status (*devices)(struct sw_gpu_info *out, int cap, int *n, char why[SW_GPU_WHY_MAX]);
    /* SW_ENOMEM, SW_EDEVICE. The backend has `gpu`, and `links` in a build with NCCL. The caller
     * closes it by its ops->close. */
    enum sw_status (*open)(const struct sw_gpu_options *options, struct sw_backend **out);
    /* Most bytes of device memory that `open` takes as workspace and for rounding up with
     * one_block: sw_gpu_workspace_bytes, which the planner counts. */
    uint64_t (*workspace)(const struct sw_gpu_options *options);
    /* Measures a device. A backend may be open there; memory is taken for a short time only. */
    enum sw_status (*measure)(int device, struct sw_gpu_speeds *out);
    /* Bytes free on the device after this process has created its context there, which stays, and
     * after measure() has loaded its code. */
    enum sw_status (*left)(int device, uint64_t *free);
    /* The `links` of every backend, for their version. NULL: built without NCCL. */
    const struct sw_gpu_link_ops *(*links)(void);
};

/* The symbol that the library exports, of type const struct sw_gpu_library. */
#define SW_GPU_LIBRARY_SYMBOL "sw_gpu_library"

/*
 * Returns the library, which the first call loads: the file that SPILLWAY_GPU_LIBRARY names, or, if
 * NVIDIA's driver is installed, the one in the program's directory or in ../lib.
 *
 * NULL: there is none, and *why is the reason (never a NULL pointer). That is not an error: this
 * node has no GPU to use. *status is SW_EDEVICE, with a message in the error slot, when there is a
 * library that cannot be used: it is from another build, or the named file is not a GPU library.
 * `why` and `status` may be NULL. Any thread may call this.
 */
const struct sw_gpu_library *sw_gpu_library_load(const char **why, enum sw_status *status);

#endif
