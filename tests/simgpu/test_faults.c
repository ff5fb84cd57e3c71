/* Faults that the simulated GPU must find, each planted in a process that ends with a message. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <stdint.h>
#include <sys/mman.h>

static int *ints(int n)
{
    int *d = to_device(NULL, (size_t)n * sizeof(int));
    NEED_CUDA(cudaMemset(d, 0, (size_t)n * sizeof(int)));
    return d;
}

static void finish(cudaError_t error)
{
    NEED_CUDA(error);
    NEED_CUDA(cudaDeviceSynchronize());
}

static void off_by_one(void)
{
    finish(test_write_at(to_device(NULL, 1000), 1000, NULL));
}
static void one_before(void)
{
    char *p = to_device(NULL, 1000);
    NEED_CUDA(test_write_at(p, -1, NULL));
    cudaFree(p);
}
static void found_without_strictness(void)
{
    NEED_CUDA(test_write_at(to_device(NULL, 999), 999, NULL));
    while (cudaStreamQuery(NULL) == cudaErrorNotReady)
        usleep(1000);
}
static void far_beyond(void)
{
    finish(test_write_at(to_device(NULL, 1000), 1100, NULL));
}
static void after_free(void)
{
    char *p = to_device(NULL, 1000);
    NEED_CUDA(cudaFree(p));
    finish(test_write_at(p, 10, NULL));
}
static void copy_after_stream_free(void)
{
    char *p, host[16];
    NEED_CUDA(cudaMallocAsync((void **)&p, 1000, NULL));
    NEED_CUDA(cudaFreeAsync(p, NULL));
    NEED_CUDA(cudaDeviceSynchronize());
    NEED(cudaMemcpy(host, p, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    NEED(cudaGetLastError() == cudaErrorInvalidValue);
    finish(test_write_at(p, 10, NULL));
}
static void no_device_memory(void)
{
    char *p = to_device(NULL, 1000);
    finish(test_write_at(p, 8 - (long)(intptr_t)p, NULL));
}
static int in_host_memory;
static void host_pointer(void)
{
    finish(test_pointer(&in_host_memory, false, NULL));
}
static void host_pointer_in_structure(void)
{
    int *on_stack = &(int){0};
    finish(test_pointer(on_stack, true, NULL));
}
static void pointers_that_may_be(void)
{
    int *pinned, *device = ints(10), got;
    NEED_CUDA(cudaMallocHost((void **)&pinned, sizeof *pinned));
    pinned[0] = 5;
    finish(test_pointer(pinned, false, NULL));
    NEED(pinned[0] == 12);
    finish(test_pointer(pinned, true, NULL));
    NEED(pinned[0] == 7);
    /* with what was in the padding, its words look like the address of memory that is there */
    const uint64_t high = 0x7e01;
    void *there = mmap((void *)(uintptr_t)(high << 32), 4096, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    NEED(there != MAP_FAILED);
    finish(test_padding(device, (unsigned)high, NULL));
    finish(test_pointer(device + 9, true, NULL));
    from_device(&got, device + 9, sizeof got);
    NEED(got == 7);
}
static void copy_to_freed_host_memory(void)
{
    char *d = to_device("abc", 3);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED_CUDA(cudaHostRegister(page, 4096, 0));
    munmap(page, 4096);
    finish(cudaMemcpyAsync(page, d, 3, cudaMemcpyDeviceToHost, NULL));
}
static void crash_of_the_host(void)
{
    volatile int *volatile nowhere = NULL;
    to_device(NULL, 3);
    fprintf(stderr, "goes on: ");
    *nowhere = 1;
}
static void divergent_barrier(void)
{
    finish(test_divergent_barrier(ints(1), NULL));
}
static void stuck(void)
{
    finish(test_stuck(ints(2), NULL));
}
static void wrong_mask(void)
{
    finish(test_wrong_mask(ints(32), NULL));
}
static void ended_lanes(void)
{
    finish(test_ended_lanes(ints(32), NULL));
}
static void lanes_that_are_not(void)
{
    int *d = ints(32 * TEST_WARP_VALUES);
    finish(test_warp(d, 32, 20, NULL));
}
static void foreign_lane(void)
{
    finish(test_foreign_lane(ints(32), NULL));
}
static void trapped(void)
{
    finish(test_trap(ints(1), NULL));
}
static void aligned(void)
{
    finish(test_vector((float *)(void *)ints(16), 8, NULL));
}
static void misaligned(void)
{
    finish(test_vector((float *)(void *)ints(16), 9, NULL));
}
static void too_deep(void)
{
    finish(test_deep(ints(1), 100000, NULL));
}
static void race(void)
{
    finish(test_race(ints(64), false, NULL));
}
static void no_race(void)
{
    finish(test_race(ints(64), true, NULL));
}
static void of_another_device(void)
{
    NEED_CUDA(cudaSetDevice(1));
    char *p = to_device(NULL, 100);
    NEED_CUDA(cudaSetDevice(0));
    finish(test_write_at(p, 0, NULL));
}
static void of_a_peer(void)
{
    NEED_CUDA(cudaDeviceEnablePeerAccess(1, 0));
    of_another_device();
}
static void read_by_the_host(void)
{
    const char *volatile p = to_device("abc", 3);
    NEED(p[0] == 'a');
}

static void memory_faults(void)
{
    const char *asan = "use-after-poison";
    expect_death(off_by_one, "", "0 bytes behind the end of an allocation of 1000 bytes", asan);
    expect_death(one_before, "", "1 bytes before the start of an allocation of 1000 bytes", asan);
    expect_death(found_without_strictness, "SIMGPU_STRICT=0",
                 "after the end of the process: something was written 0 bytes behind", asan);
    expect_death(far_beyond, "",
                 "thread (5,0,0): access to 100 bytes behind the end of an allocation of 1000",
                 asan);
    expect_death(after_free, "", "access to byte 10 of a freed allocation of 1000 bytes", NULL);
    expect_death(copy_after_stream_free, "", "byte 10 of a freed allocation of 1000 bytes", NULL);
    expect_death(no_device_memory, "", "thread (5,0,0): access to 0x8, which is no device", NULL);
    expect_death(host_pointer, "", "kernel add: argument 1 is 0x", NULL);
    expect_death(host_pointer_in_structure, "", "kernel held<holder>: argument 1 holds 0x", NULL);
    expect_right(pointers_that_may_be, "");
    expect_death(copy_to_freed_host_memory, "", "simgpu: a copy: access to 0x", NULL);
    char text[8192];
    CU_ASSERT_NOT_EQUAL(child_run(crash_of_the_host, "", text, sizeof text), 0);
    CU_ASSERT(strstr(text, "goes on: ") && !strstr(text, "simgpu: "));
}

static void barriers_and_masks(void)
{
    expect_death(divergent_barrier, "", "kernel divergent_barrier, block (0,0,0), thread (", NULL);
    expect_death(divergent_barrier, "SIMGPU_SEED=3", "divergent barrier: __syncthreads", NULL);
    expect_death(stuck, "", "kernel stuck, block (0,0,0): deadlock: thread (", NULL);
    expect_death(wrong_mask, "", "wrong mask 0000ffff: lane", NULL);
    expect_death(ended_lanes, "", "wrong mask ffffffff: lanes", "with mask ffffffff");
    expect_death(lanes_that_are_not, "",
                 "wrong mask ffffffff: lanes fff00000 of the warp do not "
                 "exist",
                 NULL);
    expect_death(foreign_lane, "", "reads from lane 20, which is not in it", NULL);
    expect_right(aligned, "");
    expect_death(misaligned, "",
                 "kernel vector, block (0,0,0), thread (0,0,0): a misaligned access",
                 "misaligned address");
    expect_death(trapped, "", "thread (3,0,0): __trap", NULL);
    expect_death(too_deep, "", "the thread's stack overflowed", "stack-overflow");
}

static void races(void)
{
    expect_right(no_race, "");
#ifdef __SANITIZE_THREAD__
    expect_death(race, "", "data race", NULL);
#else
    expect_right(race, ""); /* only the thread sanitizer sees it */
#endif
}

static void places_of_memory(void)
{
    const char *two = "SIMGPU_DEVICES=2";
    expect_death(of_another_device, two,
                 "access to byte 0 of an allocation of 100 bytes on device 1", NULL);
    expect_right(of_a_peer, two);
    expect_death(read_by_the_host, "", "simgpu: the host: access to byte 0 of an allocation of 3",
                 NULL);
}

SW_UNIT_TESTS({"memory", memory_faults}, {"barriers and masks", barriers_and_masks},
              {"races", races}, {"places of memory", places_of_memory})
