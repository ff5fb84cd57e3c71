/*
 * Owns the quick measurement of a GPU's speeds. Each measurement starts small and doubles until it
 * takes long enough to be exact, so it suits fast and slow GPUs.
 */
#include "gpu/cuda.h"

#include <stdlib.h>
#include <string.h>

#define LONG_ENOUGH 0.01 /* seconds */
#define MOST_BYTES ((size_t)512 << 20)
#define LEAST_BYTES ((size_t)4 << 20)
#define MOST_SIDE 8192 /* of the matrices of a product */
#define LEAST_SIDE 128
#define TIMES 3 /* runs, of which the best counts */

struct measurement {
    struct sw_cuda *cuda; /* only for errors and streams */
    cudaEvent_t begin, end;
    cudaGraphExec_t chain;
    char *device;
    size_t bytes; /* size of `device` */
};

/* Enqueues the work to be timed, of a given size. */
typedef enum sw_status work(struct measurement *m, size_t size);

static enum sw_status read_memory(struct measurement *m, size_t bytes)
{
    CUDA_TRY(m->cuda, sw_gpu_read_memory(m->device, bytes, (float *)(void *)(m->device + bytes),
                                         m->cuda->compute));
    return SW_OK;
}

static enum sw_status measure_multiply(struct measurement *m, size_t size)
{
    const float one = 1, zero = 0;
    const int n = (int)size;
    char *a = m->device, *b = a + size * size * 2, *c = b + size * size * 2;
    CUBLAS_TRY(m->cuda, cublasGemmEx(m->cuda->blas, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, a,
                                     CUDA_R_16F, n, b, CUDA_R_16F, n, &zero, c, CUDA_R_32F, n,
                                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    return SW_OK;
}

static enum sw_status measure_time(struct measurement *m, work *what, size_t size, double *seconds)
{
    float ms = 0;
    CUDA_TRY(m->cuda, cudaEventRecord(m->begin, m->cuda->compute));
    SW_TRY(what(m, size));
    CUDA_TRY(m->cuda, cudaEventRecord(m->end, m->cuda->compute));
    SW_TRY(sw_cuda_wait(m->cuda, m->end));
    CUDA_TRY(m->cuda, cudaEventElapsedTime(&ms, m->begin, m->end));
    *seconds = ms > 0 ? (double)ms / 1e3 : 1e-9;
    return SW_OK;
}

/* Finds the size that runs long enough, or `most`, and its best time. The first run of each size is
 * not counted: clocks rise, and code is loaded. Loading another cuBLAS kernel takes longer than the
 * run itself and would end the search at a size that is too small. */
static enum sw_status find_size(struct measurement *m, work *what, size_t least, size_t most,
                                size_t *size, double *seconds)
{
    for (*size = least;; *size *= 2) {
        SW_TRY(measure_time(m, what, *size, seconds));
        SW_TRY(measure_time(m, what, *size, seconds));
        if (*seconds >= LONG_ENOUGH || *size * 2 > most)
            break;
    }
    for (int i = 1; i < TIMES; i++) {
        double again;
        SW_TRY(measure_time(m, what, *size, &again));
        *seconds = again < *seconds ? again : *seconds;
    }
    return SW_OK;
}

/* Fills the ring with halves from -2 to 2. Multiplying zeros takes less power, and so runs at
 * higher clocks, than multiplying the numbers of models. */
static void fill_ring(struct sw_cuda *cuda)
{
    uint16_t *halves = (uint16_t *)(void *)cuda->ring.host;
    uint64_t state = 1;
    for (size_t i = 0; i < SW_CUDA_PIECES * SW_CUDA_PIECE / sizeof *halves; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        halves[i] = (uint16_t)(state >> 48) & 0xbfff;
    }
}

/* Takes half of the free memory, at most what the largest measurement needs, and fills it with
 * repeated copies of the ring. */
static enum sw_status take_memory(struct measurement *m)
{
    size_t free_bytes, total;
    CUDA_TRY(m->cuda, cudaMemGetInfo(&free_bytes, &total));
    for (m->bytes = MOST_BYTES; m->bytes > free_bytes / 2 && m->bytes > LEAST_BYTES;)
        m->bytes /= 2;
    CUDA_TRY(m->cuda, cudaMalloc((void **)&m->device, m->bytes + 256));
    fill_ring(m->cuda);
    for (size_t at = 0, n; at < m->bytes + 256; at += n) {
        n = m->bytes + 256 - at < SW_CUDA_PIECES * SW_CUDA_PIECE ? m->bytes + 256 - at
                                                                 : SW_CUDA_PIECES * SW_CUDA_PIECE;
        CUDA_TRY(m->cuda, cudaMemcpyAsync(m->device + at, m->cuda->ring.host, n,
                                          cudaMemcpyHostToDevice, m->cuda->compute));
    }
    return SW_OK;
}

static enum sw_status copy_piece(struct measurement *m, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += SW_CUDA_PIECES * SW_CUDA_PIECE)
        CUDA_TRY(m->cuda,
                 cudaMemcpyAsync(m->device + at, m->cuda->ring.host, SW_CUDA_PIECES * SW_CUDA_PIECE,
                                 cudaMemcpyHostToDevice, m->cuda->compute));
    return SW_OK;
}

/* A captured chain of small kernels as in a decode step, each of which waits for the one before. */
#define LAUNCHES 128
#define SMALL 1024 /* elements that each kernel reads, adds and writes */

static enum sw_status capture_chain(struct measurement *m, cudaGraph_t *graph)
{
    float *x = (float *)(void *)m->device, *y = x + SMALL;
    CUDA_TRY(m->cuda, cudaStreamBeginCapture(m->cuda->compute, cudaStreamCaptureModeThreadLocal));
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < LAUNCHES && error == cudaSuccess; i++)
        error = sw_gpu_add(1, x, SMALL, 1, SMALL, y, SMALL, m->cuda->compute);
    CUDA_TRY(m->cuda, cudaStreamEndCapture(m->cuda->compute, graph));
    CUDA_TRY(m->cuda, error);
    return SW_OK;
}

static enum sw_status run_chain(struct measurement *m, size_t unused)
{
    (void)unused;
    CUDA_TRY(m->cuda, cudaGraphLaunch(m->chain, m->cuda->compute));
    return SW_OK;
}

static enum sw_status measure_launch(struct measurement *m, double *out)
{
    cudaGraph_t graph = NULL;
    double seconds, best = 1;
    SW_TRY(capture_chain(m, &graph));
    CUDA_TRY(m->cuda, cudaGraphInstantiate(&m->chain, graph, 0));
    CUDA_TRY(m->cuda, cudaGraphDestroy(graph));
    for (int i = 0; i <= TIMES; i++) { /* the first run is not counted */
        SW_TRY(measure_time(m, run_chain, 0, &seconds));
        if (i > 0 && seconds < best)
            best = seconds;
    }
    *out = best / LAUNCHES;
    return SW_OK;
}

static enum sw_status measure_all(struct measurement *m, struct sw_gpu_speeds *out)
{
    size_t size, most_size = LEAST_SIDE;
    double seconds;
    CUDA_TRY(m->cuda, cudaEventCreate(&m->begin));
    CUDA_TRY(m->cuda, cudaEventCreate(&m->end));
    SW_TRY(take_memory(m));
    SW_TRY(find_size(m, read_memory, LEAST_BYTES, m->bytes, &size, &seconds));
    out->bandwidth = (double)size / seconds;
    SW_TRY(find_size(m, copy_piece, SW_CUDA_PIECES * SW_CUDA_PIECE, m->bytes, &size, &seconds));
    out->to_device = (double)size / seconds;
    while (most_size * 2 <= MOST_SIDE && most_size * most_size * 4 * 8 <= m->bytes)
        most_size *= 2;
    SW_TRY(find_size(m, measure_multiply, LEAST_SIDE, most_size, &size, &seconds));
    out->flops = 2.0 * (double)size * (double)size * (double)size / seconds;
    return measure_launch(m, &out->launch);
}

enum sw_status sw_cuda_measure(int device, struct sw_gpu_speeds *out)
{
    const struct sw_gpu_options options = {
        .device = device, .max_rows = 1, .max_cols = 1, .max_out = 1};
    struct sw_backend *b;
    memset(out, 0, sizeof *out);
    SW_TRY(sw_cuda_open(&options, &b));
    struct measurement m = {.cuda = sw_cuda_of(b)};
    const enum sw_status status = measure_all(&m, out);
    if (m.chain)
        (void)cudaGraphExecDestroy(m.chain);
    if (m.begin)
        (void)cudaEventDestroy(m.begin);
    if (m.end)
        (void)cudaEventDestroy(m.end);
    if (m.device)
        (void)cudaFree(m.device);
    sw_cuda_close(b);
    return status;
}
