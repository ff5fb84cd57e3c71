/*
 * The GPU backend as its files share it. All state hangs off the device's struct sw_cuda, so
 * that two devices, or two backends of one, live in a process beside each other. Names sw_gpu_… are
 * the launchers of kernels/cuda/cuda_kernels.h and the contract of backend/gpu_library.h.
 *
 * Errors. Operations only enqueue and return nothing, so the first failure is recorded in the
 * backend and stays: later operations do nothing, and every call that returns a status, sync()
 * first of all, gives the recorded failure.
 */
#ifndef SW_GPU_CUDA_H
#define SW_GPU_CUDA_H

#include "backend/gpu_library.h"
#include "kernels/cuda/cuda_kernels.h"

#include <cublas_v2.h>

/*
 * A ring of pinned memory through which everything comes from ordinary host memory: a piece is
 * handed out again when the copies from it are over, so nobody waits and nothing is overwritten.
 * Small arrays that kernels read are mirrored at the same place of `device`.
 */
#define SW_CUDA_PIECES 8
#define SW_CUDA_PIECE ((size_t)512 << 10)
struct sw_cuda_ring {
    char *host, *device; /* (SW_CUDA_PIECES, SW_CUDA_PIECE) */
    cudaEvent_t over[SW_CUDA_PIECES];
    int piece;   /* the one in use */
    size_t used; /* bytes of it */
};

/* The spans of the last call that had any: a batch's operations are many and its spans the same. */
struct sw_cuda_spans {
    struct sw_gpu_span *host, *device; /* (capacity) */
    int n;                             /* 0: none were sent yet */
    int64_t capacity;
};

/* Parts of one block, in the order of their places. */
struct sw_cuda_piece {
    size_t at, bytes;
};
struct sw_cuda_pieces {
    char *start; /* device memory; bytes 0: there is no such block */
    size_t bytes;
    struct sw_cuda_piece *used; /* (n of capacity) */
    int n, capacity;
};

/* A buffer that layers are streamed through. */
struct sw_cuda_buffer {
    cudaEvent_t fetched, used;
};
#define SW_CUDA_BUFFERS 2

/* Operations that are repeated for one number of rows and reach of positions. */
struct sw_cuda_graph {
    int64_t id, position_bucket;
    int rows;
    uint64_t used;        /* the turn of its last use; 0: this place is free */
    size_t nodes;         /* 0: it was never recorded */
    cudaGraphExec_t exec; /* NULL: it is not kept */
};
#define SW_CUDA_GRAPHS 32
struct sw_cuda_graphs {
    struct sw_cuda_graph kept[SW_CUDA_GRAPHS];
    uint64_t turn, replays;
    size_t nodes; /* of all that are kept */
    bool recording;
    bool off; /* it did not work */
    /* What launchers are told instead of the spans while operations are repeated. */
    struct sw_gpu_span told[SW_GPU_GEMV_ROWS];
    int n_told;
};

struct sw_cuda {
    struct sw_backend base; /* first: a struct sw_backend * is one of these */
    struct sw_gpu_options options;
    char name[SW_GPU_NAME_MAX];
    int major, minor;
    cudaStream_t compute, copy;
    cublasHandle_t blas;
    uint64_t allocated;
    struct sw_cuda_ring ring;
    struct sw_cuda_spans spans;
    struct sw_cuda_pieces pieces; /* of what alloc gives out */
    struct sw_cuda_buffer buffers[SW_CUDA_BUFFERS];
    struct sw_cuda_graphs graphs;
    int32_t *bad; /* (1) device: a value was not finite */
    char *work;   /* temporaries of one operation; work_bytes */
    size_t work_bytes;
    void *blas_work; /* cuBLAS's own */
    void *block;     /* device memory in which the above lie */
    struct sw_gpu_wait_hook watch;
    struct ncclComm *comm; /* the group of links, NULL: none */
    bool stuck;            /* the device did not come to an end; what waits for it would hang */
    enum sw_status status; /* the first failure, or SW_OK; … */
    const char *file;      /* … where it was noticed, … */
    int line;
    char error[SW_ERROR_MAX]; /* … and what it was */
};

static inline struct sw_cuda *sw_cuda_of(struct sw_backend *b)
{
    return (struct sw_cuda *)(void *)b;
}

/* ---- error.c */

/* Records what a CUDA or cuBLAS call said, unless something failed before, and is its status. */
enum sw_status sw_cuda_failed(struct sw_cuda *cuda, cudaError_t error, const char *call,
                              const char *file, int line);
enum sw_status sw_cuda_blas_failed(struct sw_cuda *cuda, cublasStatus_t error, const char *call,
                                   const char *file, int line);
/* Records what the error slot holds. */
enum sw_status sw_cuda_record(struct sw_cuda *cuda, enum sw_status status);
/* The recorded failure, put into the error slot again. */
enum sw_status sw_cuda_status(const struct sw_cuda *cuda);
/* Makes the device the thread's current one; a status other than SW_OK: nothing is to be done. */
enum sw_status sw_cuda_enter(struct sw_cuda *cuda);
/* "GPU 0 (TITAN RTX)" */
const char *sw_cuda_label(const struct sw_cuda *cuda, char *out, size_t cap);

#define CUDA_TRY(cuda, call)                                                                       \
    do {                                                                                           \
        const cudaError_t cuda_error = (call);                                                     \
        if (cuda_error != cudaSuccess)                                                             \
            return sw_cuda_failed(cuda, cuda_error, #call, __FILE__, __LINE__);                    \
    } while (0)
#define CUBLAS_TRY(cuda, call)                                                                     \
    do {                                                                                           \
        const cublasStatus_t cublas_error = (call);                                                \
        if (cublas_error != CUBLAS_STATUS_SUCCESS)                                                 \
            return sw_cuda_blas_failed(cuda, cublas_error, #call, __FILE__, __LINE__);             \
    } while (0)

/* ---- cuda_wait.c */

/* Waits for an event, NULL: for all of the compute stream. A failure is recorded. */
enum sw_status sw_cuda_wait(struct sw_cuda *cuda, cudaEvent_t event);
/* At most `seconds`; only what CUDA says is recorded. */
enum sw_status sw_cuda_wait_within(struct sw_cuda *cuda, cudaEvent_t event, double seconds);
/* One step of a wait that began at `began` (sw_clock): spins or sleeps a little. Another status
 * than SW_OK ends it; not recorded. `what`: is waited for, for the message. */
enum sw_status sw_cuda_pause(struct sw_cuda *cuda, double began, double seconds, const char *what);
/* Whether a stream comes to its end within `seconds`; asks nobody, and leaves no message. */
bool sw_cuda_idle(cudaStream_t stream, double seconds);
#define SW_CUDA_CLOSE_S 5.0 /* what is under way has so long when memory is given back */
void sw_cuda_set_wait_hook(struct sw_backend *b, const struct sw_gpu_wait_hook *watch);

/* ---- nccl.c, or nccl_stub.c in builds without */

const struct sw_gpu_link_ops *sw_cuda_links(void); /* NULL: there are none */
/* What has gone wrong with a link of which nobody was told yet; not recorded. */
enum sw_status sw_cuda_links_check(struct sw_cuda *cuda);
/* Leaves the group; what is under way ends, so that the stream does. */
void sw_cuda_links_abort(struct sw_cuda *cuda);
void sw_cuda_links_leave(struct sw_backend *b);

/* ---- ring.c */

/* `device` is set. */
enum sw_status sw_cuda_ring_open(struct sw_cuda *cuda);
void sw_cuda_ring_close(struct sw_cuda *cuda);
/* bytes <= SW_CUDA_PIECE of pinned memory to fill and to copy from, on the compute stream, at once;
 * *d_mirror, unless d_mirror is NULL: as much device memory, in the compute stream's order. */
enum sw_status sw_cuda_ring_take(struct sw_cuda *cuda, size_t bytes, void **host, void **d_mirror);
/* A small array of host memory for a kernel to read, enqueued on the compute stream. */
enum sw_status sw_cuda_ring_send(struct sw_cuda *cuda, const void *src, size_t bytes, void **d_out);

/* ---- pieces.c */

/* NULL: no part of the block is large enough. */
void *sw_cuda_pieces_take(struct sw_cuda_pieces *pieces, size_t bytes);
/* False: it is none of them. */
bool sw_cuda_pieces_give(struct sw_cuda_pieces *pieces, const void *p);

/* ---- spans.c */

/* `device` and `capacity` are set. */
enum sw_status sw_cuda_spans_open(struct sw_cuda *cuda);
void sw_cuda_spans_close(struct sw_cuda *cuda);
/* The spans on the device. While operations are repeated the host's are those of the graph
 * (graphs.c). */
enum sw_status sw_cuda_spans_send(struct sw_cuda *cuda, const struct sw_span *spans, int n,
                                  struct sw_gpu_batch *out);

/* ---- graphs.c */

enum sw_status sw_cuda_replay(struct sw_backend *b, const struct sw_gpu_sequence *sequence);
/* A failure, recorded, if operations are being recorded, for which `what` will not do. */
enum sw_status sw_cuda_recordable(struct sw_cuda *cuda, const char *what);
/* Graphs name memory, so they go when any does. Nothing of them is under way. */
void sw_cuda_graphs_forget(struct sw_cuda *cuda);
uint64_t sw_cuda_replays(const struct sw_backend *b);

/* ---- device.c */

uint64_t sw_cuda_workspace(const struct sw_gpu_options *options);
enum sw_status sw_cuda_open(const struct sw_gpu_options *options, struct sw_backend **out);
void sw_cuda_close(struct sw_backend *b);
enum sw_status sw_cuda_devices(struct sw_gpu_info *out, int cap, int *n, char why[SW_GPU_WHY_MAX]);
/* nvml.c: free and total bytes of a GPU whose name and place are known, from the driver's monitor,
 * which needs no context of ours on the device. False: it does not know. */
bool sw_cuda_nvml_memory(const struct sw_gpu_info *gpu, uint64_t *free, uint64_t *total);
/* cuda_context.c: the same by a context on the device, which takes some of it and ends here, unless
 * the process had one before. */
cudaError_t sw_cuda_driver_memory(int device, uint64_t *free, uint64_t *total);
/* Bytes from one row of a matrix to the next. */
size_t sw_cuda_row_bytes(enum sw_dtype format, int64_t cols);

/* ---- the operations, as backend.h and gpu_library.h have them */

/* cuda_memory.c; take: as alloc, but not counted, and beyond what the options allow */
enum sw_status sw_cuda_take(struct sw_cuda *cuda, size_t bytes, const char *what, void **d_out);
enum sw_status sw_cuda_alloc(struct sw_backend *b, size_t bytes, const char *what, void **d_out);
void sw_cuda_free(struct sw_backend *b, void *d_ptr, size_t bytes);
enum sw_status sw_cuda_upload(struct sw_backend *b, void *d_dst, const void *src, size_t bytes);
enum sw_status sw_cuda_download(struct sw_backend *b, void *dst, const void *d_src, size_t bytes);
enum sw_status sw_cuda_upload_rows(struct sw_backend *b, void *d_dst, size_t ld_bytes,
                                   const void *src, size_t bytes, int64_t n);
enum sw_status sw_cuda_download_rows(struct sw_backend *b, void *dst, const void *d_src,
                                     size_t ld_bytes, size_t bytes, int64_t n);
enum sw_status sw_cuda_sync(struct sw_backend *b);
uint64_t sw_cuda_allocated(const struct sw_backend *b);
/* cuda_matrix.c */
enum sw_status sw_cuda_matrix_clear(struct sw_backend *b, struct sw_matrix *m);
enum sw_status sw_cuda_matrix_put(struct sw_backend *b, struct sw_matrix *m,
                                  const struct sw_matrix_rows *rows);
/* products.c */
uint64_t sw_cuda_products_bytes(const struct sw_gpu_options *options);
void sw_cuda_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                    const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add);
void sw_cuda_project(struct sw_backend *b, const struct sw_projection *p, const float *d_x,
                     int64_t ld_x, int64_t n, float *d_y, int64_t ld_y);
/* rows.c */
extern const struct sw_backend_ops sw_cuda_backend_ops;
/* attention.c */
void sw_cuda_place_heads(struct sw_backend *b, const struct sw_heads *heads, const struct sw_kv *kv,
                         const struct sw_span *spans, int n_spans);
void sw_cuda_kv_copy(struct sw_backend *b, const struct sw_kv *kv, int from, int to, int64_t n);
void sw_cuda_attend(struct sw_backend *b, const struct sw_attention *a, const struct sw_kv *kv,
                    const struct sw_span *spans, int n_spans);
/* streaming.c */
extern const struct sw_gpu_ops sw_cuda_streaming_ops;
/* cuda_measure.c */
enum sw_status sw_cuda_measure(int device, struct sw_gpu_speeds *out);
enum sw_status sw_cuda_left(int device, uint64_t *free);

#endif
