/*
 * The GPU backend, as its files share it. All state is in struct sw_cuda, so a process can have
 * backends of several devices, or several of one device. Names sw_gpu_… are the launchers of
 * kernels/cuda/cuda_kernels.h and the contract of backend/gpu_library.h.
 *
 * Errors. Operations only enqueue work and return nothing, so the backend records the first failure
 * and keeps it: later operations do nothing, and every call that returns a status, above all
 * sync(), returns the recorded failure.
 */
#ifndef SW_GPU_CUDA_H
#define SW_GPU_CUDA_H

#include "backend/gpu_library.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gpu_formats.h"

#include <cublas_v2.h>

/*
 * A ring of pinned memory, through which all copies from ordinary host memory go. A piece is used
 * again only after the copies from it have ended. Small arrays that kernels read are copied to the
 * same offset of `device`.
 */
#define SW_CUDA_PIECES 8
#define SW_CUDA_PIECE ((size_t)512 << 10)
struct sw_cuda_ring {
    char *host, *device;              /* (SW_CUDA_PIECES, SW_CUDA_PIECE) */
    cudaEvent_t over[SW_CUDA_PIECES]; /* recorded after the last copy from each piece */
    int piece;                        /* index of the piece in use */
    size_t used;                      /* bytes used of this piece */
};

/* The spans of the last call, which are the same for all operations of a micro-batch. */
struct sw_cuda_spans {
    struct sw_gpu_span *host, *device; /* (capacity) */
    int n;                             /* spans sent; 0: none yet */
    int64_t capacity;
};

/* Parts of one block of device memory, in order of their offsets. */
struct sw_cuda_piece {
    size_t at, bytes; /* offset in the block; size */
};
struct sw_cuda_pieces {
    char *start;                /* device memory */
    size_t bytes;               /* size of the block; 0: there is none */
    struct sw_cuda_piece *used; /* (capacity), n of them in use */
    int n, capacity;
};

/* The events of a buffer that layers are streamed through: its copies and its use have ended. */
struct sw_cuda_buffer {
    cudaEvent_t fetched, used;
};
#define SW_CUDA_MARKS 2 /* in the stream of copies */

/* A captured sequence of operations, for one number of rows and one position bucket. */
struct sw_cuda_graph {
    int64_t id, position_bucket;
    int rows;
    uint64_t used;        /* turn of its last use; 0: this entry is free */
    size_t nodes;         /* 0: it was never captured */
    cudaGraphExec_t exec; /* NULL: no graph is kept now */
};
#define SW_CUDA_GRAPHS 32
struct sw_cuda_graphs {
    struct sw_cuda_graph kept[SW_CUDA_GRAPHS];
    uint64_t turn;    /* counts calls of replay that could use a graph */
    uint64_t replays; /* graphs launched that had been captured before */
    size_t nodes;     /* of all graphs that are kept */
    bool capturing;
    bool off; /* graphs do not work here; operations are enqueued one by one */
    /* Spans passed to launchers instead of the real ones while a sequence is captured or replayed;
     * they depend on the graph's rows and position bucket only. */
    struct sw_gpu_span bucket_spans[SW_GPU_GEMV_ROWS];
    int n_bucket_spans; /* 0: launchers get the real spans */
};

struct sw_cuda {
    struct sw_backend base; /* must be first: sw_cuda_of converts a pointer to it */
    struct sw_gpu_options options;
    char name[SW_GPU_NAME_MAX];
    int major, minor;
    cudaStream_t compute, copy;
    cublasHandle_t blas;
    uint64_t allocated; /* bytes given out by alloc and not freed */
    struct sw_cuda_ring ring;
    struct sw_cuda_spans spans;
    struct sw_cuda_pieces pieces; /* parts that alloc has given out */
    struct sw_cuda_buffer buffers[SW_GPU_BUFFERS];
    cudaEvent_t marks[SW_CUDA_MARKS];
    struct sw_cuda_graphs graphs;
    int32_t *bad; /* (1) in device memory: 1 when a value was not finite */
    char *work;   /* (work_bytes) in device memory: temporaries of one operation */
    size_t work_bytes;
    void *blas_work; /* cuBLAS's own workspace */
    void *block;     /* device memory that holds the buffers above */
    struct sw_gpu_wait_hook wait_hook;
    struct ncclComm *comm; /* the group of links; NULL: none */
    bool stuck;            /* the device does not finish its work; waiting for it would hang */
    enum sw_status status; /* the first failure, or SW_OK */
    const char *file;      /* source file and line where the first failure was noticed */
    int line;
    char error[SW_ERROR_MAX]; /* message of the first failure */
};

static inline struct sw_cuda *sw_cuda_of(struct sw_backend *b)
{
    return (struct sw_cuda *)(void *)b;
}

/* ---- error.c */

/* Records the failure of a CUDA or cuBLAS call, unless there is one already; returns the recorded
 * status. */
enum sw_status sw_cuda_failed(struct sw_cuda *cuda, cudaError_t error, const char *call,
                              const char *file, int line);
enum sw_status sw_cuda_blas_failed(struct sw_cuda *cuda, cublasStatus_t error, const char *call,
                                   const char *file, int line);
/* Records `status` with the message in the error slot, unless there is a failure already. */
enum sw_status sw_cuda_record(struct sw_cuda *cuda, enum sw_status status);
/* Returns the recorded status and puts its message into the error slot again. */
enum sw_status sw_cuda_status(const struct sw_cuda *cuda);
/* Makes the device the thread's current one. Fails with the recorded failure: the caller returns.
 */
enum sw_status sw_cuda_enter(struct sw_cuda *cuda);
/* Writes a name for messages, like "GPU 0 (TITAN RTX)". */
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

/* Waits for an event; NULL: for all work in the compute stream. A failure is recorded. */
enum sw_status sw_cuda_wait(struct sw_cuda *cuda, cudaEvent_t event);
/* The same for at most `seconds`; only failures of CUDA calls are recorded. */
enum sw_status sw_cuda_wait_within(struct sw_cuda *cuda, cudaEvent_t event, double seconds);
/* One step of a wait that began at `began` (sw_clock): spins or sleeps a little, and calls the wait
 * hook. A failure ends the wait and is not recorded. `what`: the event waited for, for messages. */
enum sw_status sw_cuda_pause(struct sw_cuda *cuda, double began, double seconds, const char *what);
/* Whether a stream finishes its work within `seconds`. Calls no hook and leaves no message. */
bool sw_cuda_idle(cudaStream_t stream, double seconds);
#define SW_CUDA_CLOSE_S 5.0 /* longest wait for work under way when memory is freed */
void sw_cuda_set_wait_hook(struct sw_backend *b, const struct sw_gpu_wait_hook *hook);

/* ---- nccl.c, or nccl_stub.c in builds without NCCL */

/* NULL: built without NCCL. */
const struct sw_gpu_link_ops *sw_cuda_links(void);
/* Returns the failure of a link that NCCL has noticed in the background; not recorded. */
enum sw_status sw_cuda_links_check(struct sw_cuda *cuda);
/* Leaves the group and ends its operations under way, so that the stream can finish. */
void sw_cuda_links_abort(struct sw_cuda *cuda);
/* As `leave` of sw_gpu_link_ops. */
void sw_cuda_links_leave(struct sw_backend *b);

/* ---- ring.c */

/* `device` is set before. */
enum sw_status sw_cuda_ring_open(struct sw_cuda *cuda);
void sw_cuda_ring_close(struct sw_cuda *cuda);
/* Takes bytes <= SW_CUDA_PIECE of pinned memory, which the caller fills and copies from at once, in
 * the compute stream. *d_mirror: as much device memory, used in the order of the compute stream;
 * d_mirror may be NULL. */
enum sw_status sw_cuda_ring_take(struct sw_cuda *cuda, size_t bytes, void **host, void **d_mirror);
/* Enqueues the copy of a small array to device memory, for a kernel of the compute stream. */
enum sw_status sw_cuda_ring_send(struct sw_cuda *cuda, const void *src, size_t bytes, void **d_out);

/* ---- pieces.c */

/* Takes a part of the block. NULL: no free part is large enough. */
void *sw_cuda_pieces_take(struct sw_cuda_pieces *pieces, size_t bytes);
/* Returns a part to the block. False: p is not a part of it. */
bool sw_cuda_pieces_return(struct sw_cuda_pieces *pieces, const void *p);

/* ---- spans.c */

/* `device` and `capacity` are set before. */
enum sw_status sw_cuda_spans_open(struct sw_cuda *cuda);
void sw_cuda_spans_close(struct sw_cuda *cuda);
/* Sends the spans to the device, unless they are those of the last call. keys: of struct
 * sw_attention; NULL: nobody will read them. out->host: the spans
 * themselves, or those of the graph while a sequence is captured or replayed (graphs.c). */
enum sw_status sw_cuda_spans_send(struct sw_cuda *cuda, const struct sw_span *spans,
                                  const int32_t *keys, int n, struct sw_gpu_batch *out);

/* ---- graphs.c */

enum sw_status sw_cuda_replay(struct sw_backend *b, const struct sw_gpu_sequence *sequence);
/* Fails, and records that, when a sequence is being captured: `what` cannot be captured. */
enum sw_status sw_cuda_check_capture(struct sw_cuda *cuda, const char *what);
/* Drops all graphs, because memory that they name is freed. None of them may be under way. */
void sw_cuda_graphs_clear(struct sw_cuda *cuda);
uint64_t sw_cuda_replays(const struct sw_backend *b);

/* ---- device.c */

uint64_t sw_cuda_workspace(const struct sw_gpu_options *options);
enum sw_status sw_cuda_open(const struct sw_gpu_options *options, struct sw_backend **out);
void sw_cuda_close(struct sw_backend *b);
enum sw_status sw_cuda_devices(struct sw_gpu_info *out, int cap, int *n, char why[SW_GPU_WHY_MAX]);
/* nvml.c: free and total bytes of a GPU whose name and bus_id are set, read by NVML, which needs no
 * CUDA context on the device. False: NVML cannot be used. */
bool sw_cuda_nvml_memory(const struct sw_gpu_info *gpu, uint64_t *free, uint64_t *total);
/* cuda_context.c: the same by a CUDA context on the device. The context takes memory, and ends
 * before the call returns unless the process had one before. */
cudaError_t sw_cuda_driver_memory(int device, uint64_t *free, uint64_t *total);

/* ---- the operations of backend.h and gpu_library.h */

/* cuda_memory.c. sw_cuda_take is an alloc that is neither counted nor limited by the options. */
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
void sw_cuda_host_clear(struct sw_backend *b, struct sw_matrix *m);
enum sw_status sw_cuda_host_put(struct sw_backend *b, struct sw_matrix *m,
                                const struct sw_matrix_rows *rows);
/* products.c */
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
/* delta.c */
void sw_cuda_delta(struct sw_backend *b, const struct sw_delta *d,
                   const struct sw_delta_states *states, const struct sw_span *spans, int n_spans);
void sw_cuda_delta_copy(struct sw_backend *b, const struct sw_delta_states *states, int from,
                        int to);
void sw_cuda_gate(struct sw_backend *b, const float *d_gate, int64_t ld_gate, int64_t gate_head,
                  int64_t n, int heads, int64_t dim, float *d_y, int64_t ld_y);
/* streaming.c */
extern const struct sw_gpu_ops sw_cuda_streaming_ops;
/* cuda_measure.c */
enum sw_status sw_cuda_measure(int device, struct sw_gpu_speeds *out);
enum sw_status sw_cuda_left(int device, uint64_t *free);

#endif
