/* Device memory: its limit, who shares it, what is in it, copies, devices and errors. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <math.h>
#include <stdint.h>

static void limited(void)
{
    size_t free_bytes, total;
    void *a, *b = &a;
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(total == 1 << 20 && free_bytes == total);
    NEED_CUDA(cudaMalloc(&a, 600000));
    NEED(cudaMalloc(&b, 600000) == cudaErrorMemoryAllocation && !b);
    NEED(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
    NEED(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(free_bytes < total - 600000 && free_bytes > total - 602000);
    NEED(simgpu_used(0) == total - free_bytes);
    NEED_CUDA(cudaFree(a));
    NEED(cudaFree(a) == cudaErrorInvalidValue);
    NEED_CUDA(cudaMalloc(&b, 1 << 20));
    NEED(simgpu_peak(0) == 1 << 20);
    NEED_CUDA(cudaFree(b));
    simgpu_reset_peak(0);
    NEED(simgpu_peak(0) == 0 && simgpu_used(0) == 0);
    NEED(cudaMalloc(&a, SIZE_MAX - 5) == cudaErrorMemoryAllocation);
}

static void fresh(void)
{
    float x[100];
    float *d_x = to_device(NULL, sizeof x);
    NEED((uintptr_t)d_x % 256 == 0);
    from_device(x, d_x, sizeof x);
    for (int i = 0; i < 100; i++)
        NEED(isnan(x[i]));
    NEED_CUDA(cudaHostAlloc((void **)&d_x, sizeof x, 0));
    NEED(isnan(d_x[0]) && isnan(d_x[99]));
    NEED_CUDA(cudaFreeHost(d_x));
}

static void copied(void)
{
    char x[64], y[64], want[64];
    for (int i = 0; i < 64; i++)
        x[i] = (char)i;
    char *d = to_device(x, sizeof x), *e = to_device(NULL, sizeof x);
    NEED_CUDA(cudaMemcpy(e, d, 64, cudaMemcpyDeviceToDevice));
    NEED_CUDA(cudaMemcpy(y, e, 64, cudaMemcpyDefault));
    NEED(memcmp(x, y, 64) == 0);
    /* past the end, and the wrong way */
    NEED(cudaMemcpy(y, d + 1, 64, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    NEED(cudaMemcpy(y, d, 64, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    NEED(cudaMemcpy(d, y, 64, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    NEED(cudaMemset(d + 60, 1, 5) == cudaErrorInvalidValue);
    NEED_CUDA(cudaMemset(d + 60, 7, 4));
    /* columns 2..4 of three rows of 8 into columns 1..3 of rows of 5 */
    NEED_CUDA(cudaMemset(e, 0, 64));
    NEED_CUDA(cudaMemcpy2D(e + 1, 5, x + 2, 8, 3, 3, cudaMemcpyHostToDevice));
    from_device(y, e, 64);
    memset(want, 0, sizeof want);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++)
            want[1 + r * 5 + c] = (char)(2 + r * 8 + c);
    NEED(memcmp(y, want, 64) == 0);
    NEED(cudaMemcpy2D(e, 5, x, 8, 6, 3, cudaMemcpyHostToDevice) == cudaErrorInvalidPitchValue);
    from_device(y, d, 64);
    NEED(y[59] == 59 && y[60] == 7 && y[63] == 7);
}

static void pointers(void)
{
    static char host[10000];
    struct cudaPointerAttributes a;
    char *d = to_device(NULL, 100), *pinned;
    NEED_CUDA(cudaHostAlloc((void **)&pinned, 100, cudaHostAllocDefault));
    NEED_CUDA(cudaPointerGetAttributes(&a, d + 99));
    NEED(a.type == cudaMemoryTypeDevice && a.device == 0);
    NEED_CUDA(cudaPointerGetAttributes(&a, pinned));
    NEED(a.type == cudaMemoryTypeHost);
    NEED_CUDA(cudaPointerGetAttributes(&a, host));
    NEED(a.type == cudaMemoryTypeUnregistered);
    NEED_CUDA(cudaHostRegister(host, sizeof host, 0));
    NEED(cudaHostRegister(host + 5, 10, 0) == cudaErrorHostMemoryAlreadyRegistered);
    NEED_CUDA(cudaPointerGetAttributes(&a, host + 9999));
    NEED(a.type == cudaMemoryTypeHost);
    NEED_CUDA(cudaHostUnregister(host));
    NEED(cudaHostUnregister(host) == cudaErrorHostMemoryNotRegistered);
    NEED(cudaFreeHost(host) == cudaErrorInvalidValue);
    NEED_CUDA(cudaFreeHost(pinned));
}

static void several(void)
{
    int n = 0, device, can;
    char id[2][16];
    size_t free_bytes, total;
    struct cudaDeviceProp prop;
    NEED_CUDA(cudaGetDeviceCount(&n));
    NEED(n == 2);
    NEED_CUDA(cudaDeviceGetPCIBusId(id[0], 16, 0));
    NEED_CUDA(cudaDeviceGetPCIBusId(id[1], 16, 1));
    NEED(strcmp(id[0], "0000:12:00.0") == 0 && strcmp(id[1], "0000:10:00.0") == 0);
    NEED_CUDA(cudaDeviceGetByPCIBusId(&device, id[1]));
    NEED(device == 1);
    NEED_CUDA(cudaGetDeviceProperties(&prop, 1));
    NEED(prop.major == 8 && prop.minor == 9 && prop.totalGlobalMem == 2 << 20);
    NEED(cudaSetDevice(2) == cudaErrorInvalidDevice);
    NEED_CUDA(cudaSetDevice(1));
    void *p = to_device(NULL, 1 << 20);
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(free_bytes == 1 << 20);
    NEED_CUDA(cudaSetDevice(0));
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(free_bytes == 2 << 20);
    NEED_CUDA(cudaDeviceCanAccessPeer(&can, 0, 1));
    NEED(can == 1);
    NEED_CUDA(cudaDeviceEnablePeerAccess(1, 0));
    NEED(cudaDeviceEnablePeerAccess(1, 0) == cudaErrorPeerAccessAlreadyEnabled);
    NEED_CUDA(cudaFree(p));
}

static void none(void)
{
    int n = 77;
    void *p;
    NEED(cudaGetDeviceCount(&n) == cudaErrorNoDevice && n == 77);
    NEED(cudaMalloc(&p, 5) == cudaErrorNoDevice);
    NEED(strcmp(cudaGetErrorName(cudaErrorNoDevice), "cudaErrorNoDevice") == 0);
    NEED(strstr(cudaGetErrorString(cudaErrorNoDevice), "no CUDA-capable device"));
}

static void broken(void)
{
    void *p = to_device(NULL, 100);
    simgpu_fail("cudaMalloc", 2, cudaErrorMemoryAllocation);
    void *q;
    NEED_CUDA(cudaMalloc(&q, 10));
    NEED(cudaMalloc(&q, 10) == cudaErrorMemoryAllocation);
    NEED(cudaGetLastError() == cudaErrorMemoryAllocation);
    NEED_CUDA(cudaMalloc(&q, 10));
    NEED(cudaStreamSynchronize(NULL) == cudaErrorECCUncorrectable); /* SIMGPU_FAIL */
    NEED(cudaGetLastError() == cudaErrorECCUncorrectable);
    NEED_CUDA(cudaStreamSynchronize(NULL));
    simgpu_fail("operation", 2, cudaErrorIllegalAddress); /* found out when it runs */
    NEED_CUDA(cudaMemsetAsync(p, 0, 4, NULL));
    NEED_CUDA(cudaStreamSynchronize(NULL));
    NEED_CUDA(cudaMemsetAsync(p, 0, 4, NULL));
    NEED(cudaStreamSynchronize(NULL) == cudaErrorIllegalAddress);
    NEED(cudaMemsetAsync(p, 0, 4, NULL) == cudaErrorIllegalAddress);
    NEED_CUDA(cudaDeviceReset());
    NEED_CUDA(cudaMalloc(&p, 100));
    simgpu_break(0, cudaErrorLaunchFailure);
    NEED(cudaMalloc(&q, 10) == cudaErrorLaunchFailure);
    NEED(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
    NEED(test_add(p, 1, 1, NULL) == cudaErrorLaunchFailure);
    NEED(cudaGetLastError() == cudaErrorLaunchFailure);
    NEED(cudaGetLastError() == cudaErrorLaunchFailure); /* it stays */
    NEED_CUDA(cudaDeviceReset());
    NEED_CUDA(cudaGetLastError());
    NEED(simgpu_used(0) == 0);
    NEED_CUDA(cudaMalloc(&q, 10));
}

static void with_context(void)
{
    size_t free_bytes, total;
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(free_bytes == 700 << 10 && total == 1 << 20 && simgpu_used(0) == 324 << 10);
    NEED_CUDA(cudaDeviceReset());
    NEED(simgpu_used(0) == 0);
    to_device(NULL, 700 << 10);
}

/* Whole pages for what takes half of one or more; less shares them. 8 MiB in pages of 2 MiB. */
static void in_pages(void)
{
    void *p[5];
    NEED_CUDA(cudaMalloc(&p[0], 1 << 20));
    NEED(simgpu_used(0) == 2 << 20);
    NEED_CUDA(cudaMalloc(&p[1], (2 << 20) + 1));
    NEED(simgpu_used(0) == 6 << 20);
    NEED_CUDA(cudaMalloc(&p[2], 100));
    NEED_CUDA(cudaMalloc(&p[3], (1 << 20) - 1));
    NEED(simgpu_used(0) == 8 << 20);
    NEED(cudaMalloc(&p[4], 1 << 20) == cudaErrorMemoryAllocation);
    NEED(cudaMalloc(&p[4], (1 << 20) - 100) == cudaErrorMemoryAllocation);
    NEED_CUDA(cudaMalloc(&p[4], 1000));
    for (int i = 0; i < 5; i++)
        NEED_CUDA(cudaFree(p[i]));
    NEED(simgpu_used(0) == 0);
}

static void in_one_process(void)
{
    expect_right(in_pages, "SIMGPU_MEMORY=8M");
    expect_right(limited, "SIMGPU_MEMORY=1M SIMGPU_PAGE=512");
    expect_right(with_context, "SIMGPU_MEMORY=1M SIMGPU_PAGE=512 SIMGPU_CONTEXT=324K");
    expect_right(fresh, "");
    expect_right(copied, "");
    expect_right(pointers, "");
    expect_right(several, "SIMGPU_DEVICES=3 CUDA_VISIBLE_DEVICES=2,0 SIMGPU_ARCH=89 "
                          "SIMGPU_MEMORY=2M SIMGPU_PAGE=512");
    expect_right(none, "CUDA_VISIBLE_DEVICES=");
    expect_right(none, "SIMGPU_DEVICES=0");
    expect_right(broken, "SIMGPU_FAIL=cudaStreamSynchronize:1:214");
}

/* Two processes of one machine. The first takes 700 KiB and says so, then waits to be killed. */
static int to_parent[2], to_child[2];
static void first_process(void)
{
    to_device(NULL, 700 << 10);
    NEED(write(to_parent[1], "x", 1) == 1);
    pause();
}

static void second_process(void)
{
    size_t free_bytes, total;
    void *p;
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(free_bytes == 324 << 10 && total == 1 << 20);
    NEED(cudaMalloc(&p, 400 << 10) == cudaErrorMemoryAllocation);
    NEED_CUDA(cudaMalloc(&p, 300 << 10));
    NEED(simgpu_peak(0) == 300 << 10);
    NEED_CUDA(cudaFree(p));
}

static void third_process(void)
{
    void *p;
    NEED_CUDA(cudaMalloc(&p, 1 << 20));
}

/* Was there before the first, and sees what that one had come back. */
static void patient_process(void)
{
    size_t free_bytes, total;
    void *p;
    char c;
    NEED_CUDA(cudaMemGetInfo(&free_bytes, &total));
    NEED(free_bytes == total && write(to_parent[1], "x", 1) == 1);
    NEED(read(to_child[0], &c, 1) == 1);
    NEED(cudaMalloc(&p, 1 << 20) == cudaErrorMemoryAllocation);
    NEED(write(to_parent[1], "x", 1) == 1 && read(to_child[0], &c, 1) == 1);
    NEED_CUDA(cudaMalloc(&p, 1 << 20));
}

static pid_t in_background(void (*body)(void), const char *settings)
{
    const pid_t pid = fork();
    if (pid == 0) {
        child_settings(settings);
        body();
        _exit(0);
    }
    char c;
    CU_ASSERT_EQUAL(read(to_parent[0], &c, 1), 1);
    return pid;
}

static void processes_share_a_device(void)
{
    char state[] = "/tmp/simgpu-test-XXXXXX", settings[128], c;
    const int file = mkstemp(state);
    CU_ASSERT_FATAL(file >= 0 && pipe(to_parent) == 0 && pipe(to_child) == 0);
    close(file);
    snprintf(settings, sizeof settings, "SIMGPU_MEMORY=1M SIMGPU_PAGE=512 SIMGPU_STATE=%s", state);
    const pid_t patient = in_background(patient_process, settings);
    const pid_t pid = in_background(first_process, settings);
    CU_ASSERT_EQUAL(write(to_child[1], "x", 1), 1);
    CU_ASSERT_EQUAL(read(to_parent[0], &c, 1), 1);
    expect_right(second_process, settings);
    /* What a killed process had is free at once, before anybody has waited for it. */
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    CU_ASSERT_EQUAL(write(to_child[1], "x", 1), 1);
    int status = -1;
    waitpid(patient, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    expect_right(third_process, settings);
    waitpid(pid, NULL, 0);
    expect_right(third_process, settings);
    unlink(state);
}

static void uses_some(void)
{
    void *a = to_device(NULL, 100 << 10), *b = to_device(NULL, 50 << 10);
    NEED_CUDA(cudaFree(a));
    NEED(b);
}

static void a_report_is_written(void)
{
    char report[] = "/tmp/simgpu-test-XXXXXX", settings[128], text[256] = "";
    const int file = mkstemp(report);
    CU_ASSERT_FATAL(file >= 0);
    snprintf(settings, sizeof settings, "SIMGPU_PAGE=512 SIMGPU_REPORT=%s", report);
    expect_right(uses_some, settings);
    CU_ASSERT(read(file, text, sizeof text - 1) > 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "device=0 peak=153600 left=51200 contexts=1 held=1\n"));
    close(file);
    unlink(report);
}

SW_UNIT_TESTS({"in one process", in_one_process},
              {"processes share a device", processes_share_a_device},
              {"a report is written", a_report_is_written})
