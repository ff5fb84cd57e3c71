/* Owns opening and closing a backend: the device, its streams, cuBLAS, and its block of memory. */
#include "gpu/gemm.h"

#include "base/checked.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLAS_WORK ((uint64_t)32 << 20) /* the most that NVIDIA recommends for any GPU */
#define LEAST_ROWS 64                  /* least spans and rows that there is room for */
#define OLDEST_MAJOR 7
#define OLDEST_MINOR 5 /* Turing */
/* The first driver that works with all releases of the runtime's major version. */
#if CUDART_VERSION >= 13000
#define NEEDED_DRIVER "580"
#else
#define NEEDED_DRIVER "525"
#endif

/* Offsets of the parts of the backend's own block; all: its size. */
struct parts {
    uint64_t work, blas, ring, spans, bad, all;
};

static uint64_t gpu_device_reserve(uint64_t bytes, struct parts *p)
{
    const uint64_t at = p->all;
    p->all += sw_round_up(bytes, 256);
    return at;
}

static struct sw_gpu_options completed(const struct sw_gpu_options *options)
{
    struct sw_gpu_options o = *options;
    o.max_rows = o.max_rows < 1 ? 1 : o.max_rows;
    o.max_cols = o.max_cols < 1 ? 1 : o.max_cols;
    o.max_out = o.max_out < 1 ? 1 : o.max_out;
    o.memory = o.memory == 0 ? UINT64_MAX : o.memory;
    return o;
}

static int64_t span_room(const struct sw_gpu_options *o)
{
    return o->max_rows > LEAST_ROWS ? o->max_rows : LEAST_ROWS;
}

/* The rest of the block, `work`, is for products and attention. */
static struct parts parts_of(const struct sw_gpu_options *o)
{
    const uint64_t room = (uint64_t)span_room(o);
    struct parts p = {0};
    p.blas = gpu_device_reserve(BLAS_WORK, &p);
    p.ring = gpu_device_reserve(SW_CUDA_PIECES * SW_CUDA_PIECE, &p);
    p.spans = gpu_device_reserve(room * sizeof(struct sw_gpu_span), &p);
    p.bad = gpu_device_reserve(sizeof(int32_t), &p);
    p.work = p.all;
    p.all = sw_gpu_workspace_bytes(o->max_rows, o->max_cols, o->max_out) - SW_GPU_ROUNDING;
    assert(p.all >= p.work + sw_cuda_gemm_bytes(o));
    return p;
}

uint64_t sw_cuda_workspace(const struct sw_gpu_options *options)
{
    const struct sw_gpu_options o = completed(options);
    return parts_of(&o).all + SW_GPU_ROUNDING;
}

/* ---- which GPUs there are */

/* Errors that mean that no GPU can be used here. With advice: there may be GPUs, but the driver
 * does not work with this library. */
static const struct absence {
    cudaError_t error;
    const char *advice;
} absences[] = {
    {cudaErrorNoDevice, NULL},
    {cudaErrorStubLibrary, NULL},
    {cudaErrorInsufficientDriver, "install driver " NEEDED_DRIVER " or newer (nvidia-smi shows the "
                                  "present one), or a build with an older CUDA Toolkit"},
    {cudaErrorSystemDriverMismatch,
     "its parts are of different versions: restart the machine after "
     "an update; in a container take the host's libcuda.so.1"},
    {cudaErrorCompatNotSupportedOnDevice,
     "take cuda-compat out of LD_LIBRARY_PATH and install driver " NEEDED_DRIVER " or newer: these "
     "GPUs cannot use that library"},
};

static const struct absence *absence_of(cudaError_t error)
{
    for (size_t i = 0; i < sizeof absences / sizeof absences[0]; i++)
        if (absences[i].error == error)
            return &absences[i];
    return NULL;
}

/* Writes nothing where there is no driver at all, which the runtime reports as too old, too. */
static void describe_misfit(const struct absence *absence, char why[SW_GPU_WHY_MAX])
{
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return;
    snprintf(why, SW_GPU_WHY_MAX,
             "the NVIDIA driver serves CUDA %d.%d, and this build is of CUDA %d.%d (%s); %s",
             driver / 1000, driver / 10 % 100, CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100,
             cudaGetErrorName(absence->error), absence->advice);
}

static enum sw_status gpu_device_count(int *n, char why[SW_GPU_WHY_MAX])
{
    *n = 0;
    *why = 0;
    const cudaError_t error = cudaGetDeviceCount(n);
    const struct absence *absence = absence_of(error);
    if (error == cudaSuccess)
        return SW_OK;
    (void)cudaGetLastError();
    *n = 0;
    if (absence && absence->advice)
        describe_misfit(absence, why);
    if (absence)
        return SW_OK;
    return sw_fail(SW_EDEVICE,
                   "the NVIDIA driver cannot list its GPUs: %s (%s); nvidia-smi and dmesg may show "
                   "more, CUDA_VISIBLE_DEVICES= runs without them",
                   cudaGetErrorString(error), cudaGetErrorName(error));
}

/* Leaves no context, because other ranks compute on most of these GPUs (cudaSetDevice makes one).
 */
static cudaError_t read_free_memory(int device, struct sw_gpu_info *out)
{
    out->beside_context = !sw_cuda_nvml_memory(out, &out->free, &out->total);
    return out->beside_context ? sw_cuda_driver_memory(device, &out->free, &out->total)
                               : cudaSuccess;
}

static cudaError_t describe_device(int device, struct sw_gpu_info *out)
{
    struct cudaDeviceProp prop;
    cudaError_t error = cudaGetDeviceProperties(&prop, device);
    if (error != cudaSuccess)
        return error;
    snprintf(out->name, sizeof out->name, "%.*s", SW_GPU_NAME_MAX - 1, prop.name);
    out->major = prop.major;
    out->minor = prop.minor;
    return cudaDeviceGetPCIBusId(out->bus_id, (int)sizeof out->bus_id, device);
}

enum sw_status sw_cuda_devices(struct sw_gpu_info *out, int cap, int *n, char why[SW_GPU_WHY_MAX])
{
    SW_TRY(gpu_device_count(n, why));
    for (int i = 0; i < *n && i < cap; i++) {
        cudaError_t error = describe_device(i, &out[i]);
        if (error == cudaSuccess)
            error = read_free_memory(i, &out[i]);
        if (error != cudaSuccess) {
            (void)cudaGetLastError();
            return sw_fail(SW_EDEVICE,
                           "GPU %d: %s (%s); see nvidia-smi, or leave it out with "
                           "CUDA_VISIBLE_DEVICES",
                           i, cudaGetErrorString(error), cudaGetErrorName(error));
        }
    }
    return SW_OK;
}

enum sw_status sw_cuda_left(int device, uint64_t *free)
{
    size_t bytes = 0, total = 0;
    cudaError_t error = cudaSetDevice(device);
    if (error == cudaSuccess)
        error = cudaMemGetInfo(&bytes, &total);
    *free = bytes;
    if (error == cudaSuccess)
        return SW_OK;
    (void)cudaGetLastError();
    return sw_fail(SW_EDEVICE, "GPU %d: its free memory cannot be read: %s (%s)", device,
                   cudaGetErrorString(error), cudaGetErrorName(error));
}

/* ---- opening and closing */

static enum sw_status gpu_device_check(struct sw_cuda *cuda)
{
    struct sw_gpu_info info = {0};
    char why[SW_GPU_WHY_MAX];
    int n;
    SW_TRY(gpu_device_count(&n, why));
    if (*why)
        return sw_fail(SW_EDEVICE, "GPU %d: %s", cuda->options.device, why);
    if (cuda->options.device < 0 || cuda->options.device >= n)
        return sw_fail(SW_EDEVICE,
                       "there is no GPU %d: this process sees %d; see nvidia-smi and "
                       "CUDA_VISIBLE_DEVICES",
                       cuda->options.device, n);
    CUDA_TRY(cuda, describe_device(cuda->options.device, &info));
    memcpy(cuda->name, info.name, sizeof cuda->name);
    cuda->major = info.major;
    cuda->minor = info.minor;
    if (info.major < OLDEST_MAJOR || (info.major == OLDEST_MAJOR && info.minor < OLDEST_MINOR))
        return sw_fail(SW_EDEVICE,
                       "GPU %d (%s) has compute capability %d.%d, but %d.%d (Turing) or newer is "
                       "needed; leave it out with CUDA_VISIBLE_DEVICES",
                       cuda->options.device, info.name, info.major, info.minor, OLDEST_MAJOR,
                       OLDEST_MINOR);
    return SW_OK;
}

static enum sw_status make_block(struct sw_cuda *cuda)
{
    const struct parts p = parts_of(&cuda->options);
    const bool one = cuda->options.one_block && cuda->options.memory != UINT64_MAX;
    const uint64_t rest = one ? cuda->options.memory + SW_GPU_APART : 0;
    void *block;
    SW_TRY(sw_cuda_take(cuda, (size_t)(p.all + rest),
                        one ? "workspace, weights and KV cache" : "workspace", &block));
    char *at = cuda->block = block;
    cuda->pieces.start = at + p.all;
    cuda->pieces.bytes = (size_t)rest;
    cuda->work = at + p.work;
    cuda->work_bytes = (size_t)(p.all - p.work);
    cuda->blas_work = at + p.blas;
    cuda->ring.device = at + p.ring;
    cuda->spans.device = (struct sw_gpu_span *)(void *)(at + p.spans);
    cuda->spans.capacity = span_room(&cuda->options);
    cuda->bad = (int32_t *)(void *)(at + p.bad);
    return SW_OK;
}

static enum sw_status make_streams(struct sw_cuda *cuda)
{
    CUDA_TRY(cuda, cudaStreamCreateWithFlags(&cuda->compute, cudaStreamNonBlocking));
    CUDA_TRY(cuda, cudaStreamCreateWithFlags(&cuda->copy, cudaStreamNonBlocking));
    for (int i = 0; i < SW_GPU_BUFFERS; i++) {
        struct sw_cuda_buffer *buffer = &cuda->buffers[i];
        CUDA_TRY(cuda, cudaEventCreateWithFlags(&buffer->fetched, cudaEventDisableTiming));
        CUDA_TRY(cuda, cudaEventCreateWithFlags(&buffer->used, cudaEventDisableTiming));
    }
    for (int i = 0; i < SW_CUDA_MARKS; i++)
        CUDA_TRY(cuda, cudaEventCreateWithFlags(&cuda->marks[i], cudaEventDisableTiming));
    return SW_OK;
}

static enum sw_status gpu_device_start(struct sw_cuda *cuda)
{
    SW_TRY(gpu_device_check(cuda));
    SW_TRY(sw_cuda_enter(cuda));
    CUDA_TRY(cuda, sw_gpu_load_kernels());
    SW_TRY(make_streams(cuda));
    SW_TRY(make_block(cuda));
    SW_TRY(sw_cuda_ring_open(cuda));
    SW_TRY(sw_cuda_spans_open(cuda));
    CUBLAS_TRY(cuda, cublasCreate(&cuda->blas));
    CUBLAS_TRY(cuda, cublasSetStream(cuda->blas, cuda->compute));
    CUBLAS_TRY(cuda, cublasSetWorkspace(cuda->blas, cuda->blas_work, BLAS_WORK));
    return SW_OK;
}

enum sw_status sw_cuda_open(const struct sw_gpu_options *options, struct sw_backend **out)
{
    *out = NULL;
    struct sw_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda)
        return sw_fail(SW_ENOMEM, "no memory for the GPU backend");
    cuda->base = (struct sw_backend){&sw_cuda_backend_ops, &sw_cuda_streaming_ops, sw_cuda_links()};
    cuda->options = completed(options);
    const enum sw_status status = gpu_device_start(cuda);
    if (status != SW_OK) {
        sw_cuda_close(&cuda->base);
        return status;
    }
    *out = &cuda->base;
    return SW_OK;
}

/* Also closes a backend that was opened only in part. */
void sw_cuda_close(struct sw_backend *b)
{
    if (!b)
        return;
    struct sw_cuda *cuda = sw_cuda_of(b);
    (void)cudaSetDevice(cuda->options.device);
    sw_cuda_set_wait_hook(b, NULL);
    sw_cuda_links_leave(b);
    if (cuda->compute && !cuda->stuck)
        cuda->stuck = !sw_cuda_idle(cuda->compute, SW_CUDA_CLOSE_S);
    if (cuda->copy && !cuda->stuck)
        cuda->stuck = !sw_cuda_idle(cuda->copy, SW_CUDA_CLOSE_S);
    free(cuda->pieces.used);
    if (cuda->stuck) { /* freeing anything would wait for it */
        free(cuda);
        return;
    }
    sw_cuda_graphs_clear(cuda);
    if (cuda->blas)
        (void)cublasDestroy(cuda->blas);
    sw_cuda_spans_close(cuda);
    sw_cuda_ring_close(cuda);
    (void)cudaFree(cuda->block);
    for (int i = 0; i < SW_GPU_BUFFERS; i++) {
        if (cuda->buffers[i].fetched)
            (void)cudaEventDestroy(cuda->buffers[i].fetched);
        if (cuda->buffers[i].used)
            (void)cudaEventDestroy(cuda->buffers[i].used);
    }
    for (int i = 0; i < SW_CUDA_MARKS; i++)
        if (cuda->marks[i])
            (void)cudaEventDestroy(cuda->marks[i]);
    if (cuda->copy)
        (void)cudaStreamDestroy(cuda->copy);
    if (cuda->compute)
        (void)cudaStreamDestroy(cuda->compute);
    (void)cudaGetLastError();
    free(cuda);
}
