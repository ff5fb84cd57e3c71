/*
 * Owns a quick look at a GPU's speeds. Each measurement begins small and doubles until it takes
 * long enough to be trusted, so that neither a fast card nor a slow one is asked too much.
 */
#include "gpu/cuda.h"

#include <stdlib.h>
#include <string.h>

#define LONG_ENOUGH 0.01 /* seconds */
#define MOST_BYTES ((size_t)512 << 20)
#define LEAST_BYTES ((size_t)4 << 20)
#define MOST_SIDE 8192 /* of the matrices of a product */
#define LEAST_SIDE 128
#define TIMES 3 /* the best of */

struct look {
    struct sw_cuda *cuda; /* only for errors and streams */
    cudaEvent_t begin, end;
    cudaGraphExec_t chain;
    char *device;
    size_t bytes; /* of it */
};

/* Something to be timed, of a size that its context knows. */
typedef enum sw_status work(struct look *l, size_t size);

static enum sw_status read_memory(struct look *l, size_t bytes)
{
    CUDA_TRY(l->cuda, sw_gpu_read_memory(l->device, bytes, (float *)(void *)(l->device + bytes),
                                         l->cuda->compute));
    return SW_OK;
}

static enum sw_status measure_multiply(struct look *l, size_t side)
{
    const float one = 1, zero = 0;
    const int n = (int)side;
    char *a = l->device, *b = a + side * side * 2, *c = b + side * side * 2;
    CUBLAS_TRY(l->cuda, cublasGemmEx(l->cuda->blas, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, a,
                                     CUDA_R_16F, n, b, CUDA_R_16F, n, &zero, c, CUDA_R_32F, n,
                                     CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    return SW_OK;
}

static enum sw_status timed(struct look *l, work *what, size_t size, double *seconds)
{
    float ms = 0;
    CUDA_TRY(l->cuda, cudaEventRecord(l->begin, l->cuda->compute));
    SW_TRY(what(l, size));
    CUDA_TRY(l->cuda, cudaEventRecord(l->end, l->cuda->compute));
    SW_TRY(sw_cuda_wait(l->cuda, l->end));
    CUDA_TRY(l->cuda, cudaEventElapsedTime(&ms, l->begin, l->end));
    *seconds = ms > 0 ? (double)ms / 1e3 : 1e-9;
    return SW_OK;
}

/* The size that was long enough, or `most`, and its best time. The first run of each size is not
 * counted: clocks go up, and code is loaded, which for another kernel of cuBLAS takes longer than
 * what is measured and would end the search at a size that says nothing. */
static enum sw_status find_size(struct look *l, work *what, size_t least, size_t most, size_t *size,
                                double *seconds)
{
    for (*size = least;; *size *= 2) {
        SW_TRY(timed(l, what, *size, seconds));
        SW_TRY(timed(l, what, *size, seconds));
        if (*seconds >= LONG_ENOUGH || *size * 2 > most)
            break;
    }
    for (int i = 1; i < TIMES; i++) {
        double again;
        SW_TRY(timed(l, what, *size, &again));
        *seconds = again < *seconds ? again : *seconds;
    }
    return SW_OK;
}

/* Halves from -2 to 2, whatever stands there: zeros are multiplied with less power, and so at
 * higher clocks, than the numbers of models. */
static void fill_ring(struct sw_cuda *cuda)
{
    uint16_t *halves = (uint16_t *)(void *)cuda->ring.host;
    uint64_t state = 1;
    for (size_t i = 0; i < SW_CUDA_PIECES * SW_CUDA_PIECE / sizeof *halves; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        halves[i] = (uint16_t)(state >> 48) & 0xbfff;
    }
}

/* Half of what is free, at most what the largest measurement takes; from the ring, again and again.
 */
static enum sw_status take_memory(struct look *l)
{
    size_t free_bytes, total;
    CUDA_TRY(l->cuda, cudaMemGetInfo(&free_bytes, &total));
    for (l->bytes = MOST_BYTES; l->bytes > free_bytes / 2 && l->bytes > LEAST_BYTES;)
        l->bytes /= 2;
    CUDA_TRY(l->cuda, cudaMalloc((void **)&l->device, l->bytes + 256));
    fill_ring(l->cuda);
    for (size_t at = 0, n; at < l->bytes + 256; at += n) {
        n = l->bytes + 256 - at < SW_CUDA_PIECES * SW_CUDA_PIECE ? l->bytes + 256 - at
                                                                 : SW_CUDA_PIECES * SW_CUDA_PIECE;
        CUDA_TRY(l->cuda, cudaMemcpyAsync(l->device + at, l->cuda->ring.host, n,
                                          cudaMemcpyHostToDevice, l->cuda->compute));
    }
    return SW_OK;
}

static enum sw_status copy_piece(struct look *l, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += SW_CUDA_PIECES * SW_CUDA_PIECE)
        CUDA_TRY(l->cuda,
                 cudaMemcpyAsync(l->device + at, l->cuda->ring.host, SW_CUDA_PIECES * SW_CUDA_PIECE,
                                 cudaMemcpyHostToDevice, l->cuda->compute));
    return SW_OK;
}

/* A chain of small kernels as decode steps have them: recorded, each waits for the one before. */
#define LAUNCHES 128
#define SMALL 1024 /* elements that each reads, adds and writes */

static enum sw_status record_chain(struct look *l, cudaGraph_t *graph)
{
    float *x = (float *)(void *)l->device, *y = x + SMALL;
    CUDA_TRY(l->cuda, cudaStreamBeginCapture(l->cuda->compute, cudaStreamCaptureModeThreadLocal));
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < LAUNCHES && error == cudaSuccess; i++)
        error = sw_gpu_add(x, SMALL, 1, SMALL, y, SMALL, l->cuda->compute);
    CUDA_TRY(l->cuda, cudaStreamEndCapture(l->cuda->compute, graph));
    CUDA_TRY(l->cuda, error);
    return SW_OK;
}

static enum sw_status run_chain(struct look *l, size_t unused)
{
    (void)unused;
    CUDA_TRY(l->cuda, cudaGraphLaunch(l->chain, l->cuda->compute));
    return SW_OK;
}

static enum sw_status measure_launch(struct look *l, double *out)
{
    cudaGraph_t graph = NULL;
    double seconds, best = 1;
    SW_TRY(record_chain(l, &graph));
    CUDA_TRY(l->cuda, cudaGraphInstantiate(&l->chain, graph, 0));
    CUDA_TRY(l->cuda, cudaGraphDestroy(graph));
    for (int i = 0; i <= TIMES; i++) { /* the first one is not counted */
        SW_TRY(timed(l, run_chain, 0, &seconds));
        if (i > 0 && seconds < best)
            best = seconds;
    }
    *out = best / LAUNCHES;
    return SW_OK;
}

static enum sw_status measure_measure(struct look *l, struct sw_gpu_speeds *out)
{
    size_t size, most_side = LEAST_SIDE;
    double seconds;
    CUDA_TRY(l->cuda, cudaEventCreate(&l->begin));
    CUDA_TRY(l->cuda, cudaEventCreate(&l->end));
    SW_TRY(take_memory(l));
    SW_TRY(find_size(l, read_memory, LEAST_BYTES, l->bytes, &size, &seconds));
    out->bandwidth = (double)size / seconds;
    SW_TRY(find_size(l, copy_piece, SW_CUDA_PIECES * SW_CUDA_PIECE, l->bytes, &size, &seconds));
    out->to_device = (double)size / seconds;
    while (most_side * 2 <= MOST_SIDE && most_side * most_side * 4 * 8 <= l->bytes)
        most_side *= 2;
    SW_TRY(find_size(l, measure_multiply, LEAST_SIDE, most_side, &size, &seconds));
    out->flops = 2.0 * (double)size * (double)size * (double)size / seconds;
    return measure_launch(l, &out->launch);
}

enum sw_status sw_cuda_measure(int device, struct sw_gpu_speeds *out)
{
    const struct sw_gpu_options options = {
        .device = device, .max_rows = 1, .max_cols = 1, .max_out = 1};
    struct sw_backend *b;
    memset(out, 0, sizeof *out);
    SW_TRY(sw_cuda_open(&options, &b));
    struct look l = {.cuda = sw_cuda_of(b)};
    const enum sw_status status = measure_measure(&l, out);
    if (l.chain)
        (void)cudaGraphExecDestroy(l.chain);
    if (l.begin)
        (void)cudaEventDestroy(l.begin);
    if (l.end)
        (void)cudaEventDestroy(l.end);
    if (l.device)
        (void)cudaFree(l.device);
    sw_cuda_close(b);
    return status;
}
