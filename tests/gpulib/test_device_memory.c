/*
 * The GPU backend's memory, its limits and its failures: messages, kept failures, freed memory. Run
 * with two devices of 256 MiB.
 */
#include "gpulib_help.h"

#include <simgpu.h>

#define MIB ((size_t)1 << 20)

static const struct sw_gpu_options small = {.max_rows = 8, .max_cols = 64, .max_out = 64};

static bool says(const char *text)
{
    const bool found = strstr(sw_error_message(), text) != NULL;
    if (!found)
        printf("    '%s' does not say '%s'\n", sw_error_message(), text);
    return found;
}

static void devices_are_listed(void)
{
    struct sw_gpu_info infos[4];
    char why[SW_GPU_WHY_MAX];
    int n = 0;
    ok(gpu_library()->devices(infos, 4, &n, why));
    CU_ASSERT_EQUAL_FATAL(n, 2);
    CU_ASSERT_STRING_EQUAL(why, "");
    for (int i = 0; i < n; i++) /* read, not allocated */
        CU_ASSERT_EQUAL(simgpu_has_context(i), 0);
    for (int i = 0; i < n; i++) {
        CU_ASSERT(strlen(infos[i].name) > 0 && strlen(infos[i].bus_id) == 12);
        CU_ASSERT_EQUAL(infos[i].total, 256 * MIB);
        CU_ASSERT(infos[i].free > 0 && infos[i].free <= infos[i].total);
        CU_ASSERT_EQUAL(infos[i].major, 7);
        CU_ASSERT_EQUAL(infos[i].minor, 5);
    }
    CU_ASSERT(strcmp(infos[0].bus_id, infos[1].bus_id) != 0);
    ok(gpu_library()->devices(infos, 1, &n, why)); /* no more are written than there is room for */
    CU_ASSERT_EQUAL(n, 2);
}

/* The driver allocates whole pages, which are within what `workspace` returns. */
static void workspace_is_within(void)
{
    static const struct sw_gpu_options cases[] = {
        {.max_rows = 1, .max_cols = 1, .max_out = 1},
        {.max_rows = 16, .max_cols = 1000, .max_out = 5000},
        {.max_rows = 512, .max_cols = 512, .max_out = 2048}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t before = simgpu_used(0);
        struct sw_backend *b = open_gpu_as(&cases[i]);
        const size_t took = simgpu_used(0) - before;
        const size_t most = gpu_library()->workspace(&cases[i]);
        if (took > most || took + SW_GPU_ROUNDING < most)
            printf("    case %zu: %zu taken\n", i, took);
        CU_ASSERT(took <= most && took + SW_GPU_ROUNDING >= most && took % (2 * MIB) == 0);
        CU_ASSERT_EQUAL(b->gpu->allocated(b), 0);
        b->ops->close(b);
        CU_ASSERT_EQUAL(simgpu_used(0), before);
    }
}

static void the_limit_is_exact(void)
{
    struct sw_gpu_options o = small;
    void *a, *b, *c;
    o.memory = 3 * MIB;
    struct sw_backend *g = open_gpu_as(&o);
    const size_t own = simgpu_used(0);
    ok(g->ops->alloc(g, 2 * MIB, "weights", &a));
    CU_ASSERT_EQUAL(g->ops->alloc(g, MIB + 1, "the KV cache", &b), SW_ENOMEM);
    CU_ASSERT_PTR_NULL(b);
    CU_ASSERT(says("1048577 bytes") && says("the KV cache") && says("3.00 MiB") &&
              says("1.00 MiB are left") && says("GPU 0 (") && says("--gpu-memory"));
    ok(g->ops->alloc(g, MIB, "the KV cache", &b)); /* to the last byte, after a refusal */
    CU_ASSERT_EQUAL(g->gpu->allocated(g), 3 * MIB);
    CU_ASSERT_EQUAL(simgpu_used(0) - own, 4 * MIB); /* pages of 2 MiB */
    CU_ASSERT_EQUAL(g->ops->alloc(g, 1, "one more", &c), SW_ENOMEM);
    g->ops->free(g, a, 2 * MIB);
    g->ops->free(g, NULL, 5);
    ok(g->ops->alloc(g, 2 * MIB, "weights again", &a));
    g->ops->free(g, a, 2 * MIB);
    g->ops->free(g, b, MIB);
    ok(g->ops->sync(g)); /* refusals are no failure of the backend's */
    g->ops->close(g);
}

/* One block for all: what was counted is what is taken, in however many parts, which do not mix. */
static void a_stage_is_one_block(void)
{
    enum { N = 200, BYTES = 12345 };
    static unsigned char in[BYTES], out[BYTES];
    struct sw_gpu_options o = small;
    void *d[N], *one;
    o.memory = N * BYTES;
    o.one_block = true;
    const size_t before = simgpu_used(0);
    struct sw_backend *b = open_gpu_as(&o);
    const size_t took = simgpu_used(0) - before;
    CU_ASSERT(took <= gpu_library()->workspace(&o) + o.memory);
    const unsigned long calls = simgpu_calls("cudaMalloc");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            memset(in, i, sizeof in);
            ok(b->ops->alloc(b, BYTES, "a part", &d[i]));
            CU_ASSERT_EQUAL((uintptr_t)d[i] % 256, 0);
            ok(b->ops->upload(b, d[i], in, BYTES));
        }
        CU_ASSERT_EQUAL(b->ops->alloc(b, 1, "one more", &one), SW_ENOMEM);
        for (int i = 0; i < N; i++) {
            memset(in, i, sizeof in);
            ok(b->ops->download(b, out, d[i], BYTES));
            CU_ASSERT(memcmp(in, out, BYTES) == 0);
        }
        for (int i = 0; i < N; i++) /* every third one, then the others */
            b->ops->free(b, d[i * 3 % N], BYTES);
        CU_ASSERT_EQUAL(b->gpu->allocated(b), 0);
    }
    CU_ASSERT_EQUAL(simgpu_calls("cudaMalloc"), calls);
    CU_ASSERT_EQUAL(simgpu_used(0) - before, took);
    b->ops->close(b);
    CU_ASSERT_EQUAL(simgpu_used(0), before);
}

static void a_full_gpu_is_an_error(void)
{
    void *p;
    struct sw_backend *b = open_gpu_as(&small);
    CU_ASSERT_EQUAL(b->ops->alloc(b, 300 * MIB, "weights", &p), SW_ENOMEM);
    CU_ASSERT(says("314572800 bytes") && says("weights") && says("256 MiB") && says("are free") &&
              says("nvidia-smi"));
    ok(b->ops->alloc(b, 64 * MIB, "weights", &p));
    b->ops->free(b, p, 64 * MIB);
    ok(b->ops->sync(b));
    b->ops->close(b);
    const struct sw_gpu_options huge = {.max_rows = 4096, .max_cols = 65536, .max_out = 65536};
    CU_ASSERT_EQUAL(gpu_library()->open(&huge, &b), SW_ENOMEM);
    CU_ASSERT(says("workspace"));
    CU_ASSERT_PTR_NULL(b);
    CU_ASSERT_EQUAL(simgpu_used(0), 0);
}

static void what_is_not_there_is_not_opened(void)
{
    struct sw_gpu_options o = small;
    struct sw_backend *b;
    o.device = 2;
    CU_ASSERT_EQUAL(gpu_library()->open(&o, &b), SW_EDEVICE);
    CU_ASSERT(says("there is no GPU 2") && says("sees 2") && says("CUDA_VISIBLE_DEVICES"));
    o.device = -1;
    CU_ASSERT_EQUAL(gpu_library()->open(&o, &b), SW_EDEVICE);
}

/* If any call of an opening fails, there is a message, and nothing is left. */
static void opening_fails_cleanly(void)
{
    static const char *const calls[] = {"cudaMalloc", "cudaMallocHost", "cudaStreamCreateWithFlags",
                                        "cudaEventCreateWithFlags"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int nth = 1; nth <= 2; nth++) {
            struct sw_backend *b = NULL;
            if (nth == 2 && i < 2) /* called once only */
                continue;
            simgpu_fail(calls[i], nth, i < 2 ? cudaErrorMemoryAllocation : cudaErrorUnknown);
            const enum sw_status status = gpu_library()->open(&small, &b);
            CU_ASSERT_EQUAL(status, i < 2 ? SW_ENOMEM : SW_EDEVICE);
            CU_ASSERT(i == 0 || says(calls[i]));
            CU_ASSERT_PTR_NULL(b);
            CU_ASSERT_EQUAL(simgpu_used(0), 0);
        }
    simgpu_fail("cublasCreate", 1, 3);
    struct sw_backend *b = NULL;
    CU_ASSERT_EQUAL(gpu_library()->open(&small, &b), SW_ENOMEM);
    CU_ASSERT(says("cublasCreate") && says("CUBLAS_STATUS_ALLOC_FAILED"));
    CU_ASSERT_EQUAL(simgpu_used(0), 0);
}

/* A GPU without code in this build is an error before anything is allocated. */
static void a_gpu_without_code_is_an_error(void)
{
    static const cudaError_t errors[] = {cudaErrorNoKernelImageForDevice,
                                         cudaErrorInvalidDeviceFunction};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct sw_backend *b = NULL;
        const unsigned long taken = simgpu_calls("cudaMalloc");
        simgpu_fail("cudaFuncGetAttributes", 1 + 3 * (int)i, (int)errors[i]);
        CU_ASSERT_EQUAL(gpu_library()->open(&small, &b), SW_EDEVICE);
        CU_ASSERT(says("GPU 0 (") && says("no code for this kind of GPU") &&
                  says("CMAKE_CUDA_ARCHITECTURES"));
        CU_ASSERT_PTR_NULL(b);
        CU_ASSERT_EQUAL(simgpu_calls("cudaMalloc"), taken);
        CU_ASSERT_EQUAL(simgpu_used(0), 0);
    }
}

/* Every later call returns the first failure of an operation; nothing is computed any more. */
static void a_failure_stays(void)
{
    struct sw_backend *b = open_gpu_as(&small), *other;
    float x[64] = {1}, y[64];
    float *d_x = copied_floats(b, x, 64), *d_y = copied_floats(b, x, 64);
    void *p;
    simgpu_fail("cudaMemcpyAsync", 1, cudaErrorIllegalAddress);
    const int32_t rows[] = {0};
    b->ops->gather(b, d_x, 8, rows, NULL, 1, 8, d_y, 8); /* sends its list, and returns nothing */
    for (int i = 0; i < 2; i++) {
        sw_error_clear();
        CU_ASSERT_EQUAL(b->ops->sync(b), SW_EDEVICE);
        CU_ASSERT(says("GPU 0 (") && says("illegal memory access") &&
                  says("cudaErrorIllegalAddress") && says("cudaMemcpyAsync"));
        CU_ASSERT(strstr(sw_error_where(), "ring.c") != NULL);
    }
    b->ops->add(b, 1, d_x, 8, 1, 8, d_y, 8);
    CU_ASSERT_EQUAL(b->ops->upload(b, d_x, x, 4), SW_EDEVICE);
    CU_ASSERT_EQUAL(b->ops->download(b, y, d_x, 4), SW_EDEVICE);
    CU_ASSERT_EQUAL(b->ops->alloc(b, 4, "more", &p), SW_EDEVICE);
    CU_ASSERT_EQUAL(b->gpu->used(b, 0), SW_EDEVICE);
    CU_ASSERT(says("cudaErrorIllegalAddress"));
    other = open_gpu_as(&small); /* another backend is not affected */
    ok(other->ops->sync(other));
    other->ops->close(other);
    b->ops->free(b, d_x, sizeof x);
    b->ops->free(b, d_y, sizeof x);
    b->ops->close(b);
    CU_ASSERT_EQUAL(simgpu_used(0), 0);
}

/* A fault of the device during an operation is returned by sync(), with its name. The last test:
 * device 1 is of no use after it. */
static void a_fault_is_returned_by_sync(void)
{
    struct sw_gpu_options o = small;
    o.device = 1;
    struct sw_backend *b = open_gpu_as(&o);
    simgpu_break(1, cudaErrorECCUncorrectable);
    CU_ASSERT_EQUAL(b->ops->sync(b), SW_EDEVICE);
    CU_ASSERT(says("GPU 1 (") && says("cudaErrorECCUncorrectable") && says("memory is damaged"));
    b->ops->close(b);
}

/* Two devices, and two backends of one, at once: each has its own memory and results. */
static void devices_do_not_mix(void)
{
    enum { N = 3 };
    static const int devices[N] = {0, 1, 0};
    struct sw_backend *b[N];
    float *d_x[N], *d_y[N], x[3 * 64], y[64];
    for (int i = 0; i < N; i++) {
        struct sw_gpu_options o = small;
        o.device = devices[i];
        b[i] = open_gpu_as(&o);
    }
    for (int i = 0; i < 3 * 64; i++)
        x[i] = (float)i;
    for (int i = 0; i < N; i++) {
        d_x[i] = copied_floats(b[i], x + 64 * i, 64);
        d_y[i] = copied_floats(b[i], x, 64);
    }
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < N; i++)
            b[i]->ops->add(b[i], 1, d_x[i], 64, 1, 64, d_y[i], 64);
    for (int i = 0; i < N; i++) {
        ok(b[i]->ops->download(b[i], y, d_y[i], sizeof y));
        bool right = true;
        for (int k = 0; k < 64; k++)
            right = right && y[k] == x[k] + 5 * x[64 * i + k];
        CU_ASSERT(right);
        b[i]->ops->free(b[i], d_x[i], sizeof y);
        b[i]->ops->free(b[i], d_y[i], sizeof y);
        b[i]->ops->close(b[i]);
    }
    CU_ASSERT_EQUAL(simgpu_used(0) + simgpu_used(1), 0);
}

/* More than the ring of pinned memory holds, in one piece and in rows, there and back. */
static void copies_of_any_size(void)
{
    static const size_t sizes[] = {0, 1, 4097, 512 << 10, (5 << 20) + 3};
    struct sw_backend *b = open_gpu_as(&small);
    const struct sw_gpu_ops *ops = b->gpu;
    unsigned char *from = malloc(6 << 20), *to = malloc(6 << 20);
    for (size_t i = 0; i < 6 << 20; i++)
        from[i] = (unsigned char)((uint32_t)i * 2654435761u >> 24); /* no piece is like another */
    enum { BUSY = 1 << 16 };
    float *d_busy = room(b, BUSY * sizeof(float));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *d;
        /* The GPU has something to do first: the ring comes round before its copies are made. */
        b->ops->add(b, 1, d_busy, BUSY, 1, BUSY, d_busy, BUSY);
        memset(to, 0, 6 << 20);
        ok(b->ops->alloc(b, sizes[i], "bytes", &d));
        ok(b->ops->upload(b, d, from, sizes[i]));
        ok(b->ops->download(b, to, d, sizes[i]));
        CU_ASSERT(memcmp(from, to, sizes[i]) == 0 && to[sizes[i]] == 0);
        b->ops->free(b, d, sizes[i]);
    }
    b->ops->free(b, d_busy, BUSY * sizeof(float));
    static const struct {
        size_t bytes, ld;
        int64_t n;
    } rows[] = {{4, 4, 1}, {100, 260, 7}, {4096, 5000, 300}, {(600 << 10), 700 << 10, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t all = rows[i].ld * (size_t)rows[i].n;
        void *d = room(b, all);
        ok(ops->upload_rows(b, d, rows[i].ld, from, rows[i].bytes, rows[i].n));
        memset(to, 0, 6 << 20);
        ok(ops->download_rows(b, to, d, rows[i].ld, rows[i].bytes, rows[i].n));
        CU_ASSERT(memcmp(from, to, rows[i].bytes * (size_t)rows[i].n) == 0);
        ok(b->ops->download(b, to, d, all)); /* between the rows nothing was written */
        CU_ASSERT(rows[i].ld == rows[i].bytes || to[rows[i].bytes] == 0xff);
        b->ops->free(b, d, all);
    }
    free(from), free(to);
    b->ops->close(b);
}

SW_UNIT_TESTS({"devices are listed", devices_are_listed},
              {"the workspace is within", workspace_is_within},
              {"the limit is exact", the_limit_is_exact},
              {"a stage is one block", a_stage_is_one_block},
              {"a full GPU is an error", a_full_gpu_is_an_error},
              {"what is not there is not opened", what_is_not_there_is_not_opened},
              {"opening fails cleanly", opening_fails_cleanly},
              {"a GPU without code is an error", a_gpu_without_code_is_an_error},
              {"a failure stays", a_failure_stays}, {"devices do not mix", devices_do_not_mix},
              {"copies of any size", copies_of_any_size},
              {"a fault is returned by sync", a_fault_is_returned_by_sync})
