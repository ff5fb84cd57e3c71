// Device memory. An allocation lies between two pages that nobody may touch, its end close to the
// second; what is left between is filled with a pattern and looked at later. Freed memory stays
// inaccessible for a while. New memory is NaN.
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace simgpu
{
static const size_t page = 4096, alignment = 256, granule = 512;
static const size_t most_freed = 4096;
static const unsigned char pattern = 0xa5;

// By address of data; leaked, so that it outlives every thread.
static std::map<uintptr_t, Allocation> &live = *new std::map<uintptr_t, Allocation>;
static std::deque<Allocation> &freed = *new std::deque<Allocation>;

static unsigned users[max_devices]; // operations that run
static bool is_open[max_devices];

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

// Device memory is handed out in pages: whole ones for what takes half of one or more; less shares
// them, as if there were no gaps. With the lock.
static size_t shared_bytes[max_devices]; // of the small ones

static bool is_small(size_t bytes)
{
    return bytes < settings().page / 2;
}

static bool charge(int device, size_t bytes)
{
    const size_t page_size = settings().page;
    if (!is_small(bytes))
        return machine_take(machine_number(device), round_up(bytes, page_size));
    const size_t before = round_up(shared_bytes[device], page_size);
    const size_t all = shared_bytes[device] + round_up(bytes, granule);
    const size_t more = round_up(all, page_size) - before;
    if (more && !machine_take(machine_number(device), more))
        return false;
    shared_bytes[device] = all;
    return true;
}

static void discharge(int device, size_t bytes)
{
    const size_t page_size = settings().page;
    if (!is_small(bytes))
        return machine_give(machine_number(device), round_up(bytes, page_size));
    const size_t before = round_up(shared_bytes[device], page_size);
    shared_bytes[device] -= round_up(bytes, granule);
    machine_give(machine_number(device), before - round_up(shared_bytes[device], page_size));
}

static char *first_usable(const Allocation &a)
{
    return a.base + page;
}

static char *end_usable(const Allocation &a)
{
    return a.base + a.mapped - page;
}

// Makes the guard zones visible to the address sanitizer, or hides them for a look at them.
static void guard_zones(const Allocation &a, bool on)
{
#ifdef __SANITIZE_ADDRESS__
    const size_t front = static_cast<size_t>(a.data - first_usable(a));
    const size_t back = static_cast<size_t>(end_usable(a) - (a.data + a.bytes));
    if (on) {
        ASAN_POISON_MEMORY_REGION(first_usable(a), front);
        ASAN_POISON_MEMORY_REGION(a.data + a.bytes, back);
    } else {
        ASAN_UNPOISON_MEMORY_REGION(first_usable(a), front + a.bytes + back);
    }
#else
    (void)a;
    (void)on;
#endif
}

static const char *damaged(const char *from, const char *to)
{
    for (; from < to; from++)
        if (static_cast<unsigned char>(*from) != pattern)
            return from;
    return nullptr;
}

static void check(const Allocation &a, const char *when)
{
    guard_zones(a, false);
    const char *before = damaged(first_usable(a), a.data);
    const char *behind = damaged(a.data + a.bytes, end_usable(a));
    if (before)
        die("after %s: something was written %td bytes before the start of an allocation of "
            "%zu bytes on device %d",
            when, a.data - before, a.bytes, a.device);
    if (behind)
        die("after %s: something was written %td bytes behind the end of an allocation of %zu "
            "bytes on device %d",
            when, behind - (a.data + a.bytes), a.bytes, a.device);
    guard_zones(a, true);
}

static bool accessible(int device)
{
    return is_open[device] || !settings().strict;
}

void check_guards(const char *when)
{
    for (const auto &entry : live)
        if (accessible(entry.second.device))
            check(entry.second, when);
}

static void protect(const Allocation &a, int protection)
{
    if (mprotect(first_usable(a), a.mapped - 2 * page, protection) != 0)
        die("mprotect of %zu bytes of device memory failed", a.mapped);
}

static void set_open(int device, bool open, const char *what)
{
    is_open[device] = open;
    for (const auto &entry : live) {
        const Allocation &a = entry.second;
        if (a.device != device)
            continue;
        if (!open)
            check(a, what);
        protect(a, open ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
}

void begin_use(unsigned devices)
{
    for (int d = 0; d < max_devices; d++)
        if (devices >> d & 1 && users[d]++ == 0 && !accessible(d))
            set_open(d, true, "");
}

void end_use(unsigned devices, bool idle, const char *what)
{
    for (int d = 0; d < max_devices; d++)
        if (devices >> d & 1 && --users[d] == 0 && idle && is_open[d])
            set_open(d, false, what);
}

const Allocation *find_allocation(const void *p)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(p);
    auto next = live.upper_bound(address);
    if (next == live.begin())
        return nullptr;
    const Allocation &a = (--next)->second;
    return address < reinterpret_cast<uintptr_t>(a.data) + a.bytes ? &a : nullptr;
}

static bool holds(const Allocation &a, const void *p)
{
    const char *address = static_cast<const char *>(p);
    return address >= a.base && address < a.base + a.mapped;
}

bool near_allocation(const void *p)
{
    auto next = live.upper_bound(reinterpret_cast<uintptr_t>(p));
    if (next != live.end() && holds(next->second, p))
        return true;
    return next != live.begin() && holds((--next)->second, p);
}

bool near_freed(const void *p)
{
    for (const Allocation &a : freed)
        if (holds(a, p))
            return true;
    return false;
}

bool on_device(const void *p, size_t bytes)
{
    const Allocation *a = find_allocation(p);
    return a && bytes <= static_cast<size_t>(a->data + a->bytes - static_cast<const char *>(p));
}

static bool describe(const Allocation &a, const char *p, char *out, size_t size)
{
    if (!holds(a, p))
        return false;
    const char *state = a.freed ? "a freed " : "an ";
    if (p < a.data)
        snprintf(out, size, "%td bytes before %sallocation of %zu bytes on device %d", a.data - p,
                 state, a.bytes, a.device);
    else if (p >= a.data + a.bytes)
        snprintf(out, size, "%td bytes behind the end of %sallocation of %zu bytes on device %d",
                 p - (a.data + a.bytes), state, a.bytes, a.device);
    else
        snprintf(out, size, "byte %td of %sallocation of %zu bytes on device %d", p - a.data, state,
                 a.bytes, a.device);
    return true;
}

bool describe_address(const void *p, char *out, size_t size)
{
    const char *address = static_cast<const char *>(p);
    for (const auto &entry : live)
        if (describe(entry.second, address, out, size))
            return true;
    for (const Allocation &a : freed)
        if (describe(a, address, out, size))
            return true;
    snprintf(out, size, "%p, which is no device memory", p);
    return false;
}

static void forget_oldest()
{
    munmap(freed.front().base, freed.front().mapped);
    freed.pop_front();
}

static cudaError_t allocate(int device, size_t bytes, void **out)
{
    if (bytes > SIZE_MAX / 2 || !charge(device, bytes))
        return cudaErrorMemoryAllocation;
    Allocation a = {};
    a.mapped = round_up(bytes + alignment, page) + 2 * page;
    void *base =
        mmap(nullptr, a.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        die("no host memory to stand for %zu bytes on device %d", bytes, device);
    a.base = static_cast<char *>(base);
    a.bytes = bytes;
    a.device = device;
    a.data = end_usable(a) - round_up(bytes, alignment);
    char *usable = first_usable(a);
    protect(a, PROT_READ | PROT_WRITE);
    memset(usable, pattern, static_cast<size_t>(a.data - usable));
    memset(a.data, 0xff, bytes);
    memset(a.data + bytes, pattern, static_cast<size_t>(end_usable(a) - (a.data + bytes)));
    guard_zones(a, true);
    if (!accessible(device))
        protect(a, PROT_NONE);
    live[reinterpret_cast<uintptr_t>(a.data)] = a;
    *out = a.data;
    return cudaSuccess;
}

static void release(Allocation a)
{
    if (accessible(a.device))
        check(a, "cudaFree");
    guard_zones(a, false);
    live.erase(reinterpret_cast<uintptr_t>(a.data));
    discharge(a.device, a.bytes);
    // Gives the pages back and keeps the addresses.
    void *p = mmap(a.base, a.mapped, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (p == MAP_FAILED)
        die("cudaFree: mmap failed");
    a.freed = true;
    freed.push_back(a);
    if (freed.size() > most_freed)
        forget_oldest();
}

void release_all(int device)
{
    std::vector<Allocation> doomed;
    for (const auto &entry : live)
        if (entry.second.device == device)
            doomed.push_back(entry.second);
    for (const Allocation &a : doomed)
        release(a);
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    if (!out)
        return note(cudaErrorInvalidValue);
    *out = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    const std::lock_guard<std::mutex> guard(lock);
    const cudaError_t refused = refuse_in_capture();
    return note(refused ? refused : allocate(device, bytes, out));
}

cudaError_t cudaFree(void *p)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error || !p)
        return error;
    int owner;
    {
        const std::lock_guard<std::mutex> guard(lock);
        const Allocation *a = find_allocation(p);
        if (!a || a->data != p)
            return note(cudaErrorInvalidValue);
        const cudaError_t refused = refuse_in_capture();
        if (refused)
            return note(refused);
        owner = a->device;
    }
    wait_for_device(owner); /* as the real one */
    const std::lock_guard<std::mutex> guard(lock);
    const Allocation *a = find_allocation(p);
    if (!a || a->data != p)
        return note(cudaErrorInvalidValue);
    release(*a);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t)
{
    SIMGPU_ENTER();
    return cudaMalloc(out, bytes);
}

/* In the stream's order: whoever uses the memory there later uses freed memory. */
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    SIMGPU_ENTER();
    if (!p)
        return cudaSuccess;
    {
        const std::lock_guard<std::mutex> guard(lock);
        const Allocation *a = find_allocation(p);
        if (!a || a->data != p)
            return note(cudaErrorInvalidValue);
    }
    return note(enqueue(stream, "cudaFreeAsync", [p] {
        const std::lock_guard<std::mutex> guard(lock);
        const Allocation *a = find_allocation(p);
        if (!a)
            die("cudaFreeAsync: the memory was freed before its turn came");
        release(*a);
    }));
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    SIMGPU_ENTER();
    int device;
    const cudaError_t error = use_device(&device);
    if (error)
        return error;
    const std::lock_guard<std::mutex> guard(lock);
    *free_bytes = machine_free(machine_number(device));
    *total = settings().memory;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *out, const void *p)
{
    const std::lock_guard<std::mutex> guard(lock);
    void *const pointer = const_cast<void *>(p);
    const Allocation *a = find_allocation(p);
    if (a)
        *out = {cudaMemoryTypeDevice, a->device, pointer, nullptr};
    else if (pinned(p, 1))
        *out = {cudaMemoryTypeHost, current_device(), pointer, pointer};
    else
        *out = {cudaMemoryTypeUnregistered, -2, nullptr, pointer};
    return cudaSuccess;
}

size_t simgpu_used(int device)
{
    const std::lock_guard<std::mutex> guard(lock);
    return machine_used(machine_number(device));
}

size_t simgpu_peak(int device)
{
    const std::lock_guard<std::mutex> guard(lock);
    return machine_peak(machine_number(device));
}

void simgpu_reset_peak(int device)
{
    const std::lock_guard<std::mutex> guard(lock);
    machine_reset_peak(machine_number(device));
}

void simgpu_check(void)
{
    const std::lock_guard<std::mutex> guard(lock);
    check_guards("simgpu_check");
}
}
