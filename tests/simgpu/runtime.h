/*
 * What the files of the simulated GPU share. One mutex, `lock`, guards all of the runtime's state;
 * operations run on their stream's thread without it. A block of threads runs under `sm`
 * (blocks.cc).
 */
#ifndef SIMGPU_RUNTIME_H
#define SIMGPU_RUNTIME_H

#include "cuda_runtime_api.h"
#include "simgpu.h"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace simgpu
{
struct Launch;
struct Course;

const int max_devices = 16;
extern std::mutex &lock;
extern std::condition_variable &changed; /* an operation ended */

/* Settings (settings.cc): from the environment, read once. */
struct Settings {
    int devices;          /* of this machine, SIMGPU_DEVICES */
    size_t memory;        /* bytes of each, SIMGPU_MEMORY */
    size_t page;          /* in which memory is handed out, SIMGPU_PAGE */
    size_t context;       /* bytes a process takes of a device by using it, SIMGPU_CONTEXT */
    int arch;             /* 80 for 8.0, SIMGPU_ARCH */
    int driver;           /* the CUDA version that the driver serves, SIMGPU_DRIVER */
    uint64_t seed;        /* SIMGPU_SEED */
    bool loaded;          /* kernels must be loaded before they are launched, SIMGPU_LOADED */
    bool alike;           /* products of one number are well, SIMGPU_ALIKE */
    bool hasty;           /* NCCL's calls are done before they are, SIMGPU_HASTY */
    bool strict;          /* memory of idle devices cannot be touched, SIMGPU_STRICT */
    unsigned delay, odds; /* up to so many microseconds, before one in `odds` operations */
    std::string state, report;
    std::vector<int> visible; /* CUDA_VISIBLE_DEVICES: numbers of the machine's */
};
const Settings &settings();

/* A stream of numbers that depends on the seed and on what is asked for. */
struct Random {
    uint64_t state;
    explicit Random(uint64_t what);
    uint64_t next();
    unsigned below(unsigned n);
};

/* Errors (errors.cc). Records what a call returns as the thread's last error. */
cudaError_t note(cudaError_t error);
/* The error that ended the current device's context, or cudaSuccess. */
cudaError_t sticky(int device);
void set_sticky(int device, cudaError_t error);
/* The error that this call of a function is to give, 0: none. */
int planted_fault(const char *function);
int planted_fault_locked(const char *function); /* with the lock held */
#define SIMGPU_ENTER()                                                                             \
    do {                                                                                           \
        const int fault_ = ::simgpu::planted_fault(__func__);                                      \
        if (fault_)                                                                                \
            return ::simgpu::note(static_cast<cudaError_t>(fault_));                               \
    } while (0)
[[noreturn]] void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Devices (devices.cc). */
int current_device();
void set_thread_device(int device);
void end_context(int device);           /* the runtime's hold on it; with the lock */
cudaError_t retain_context(int device); /* one more holder; made if there is none */
cudaError_t release_context(int device);
cudaError_t use_device(int *device); /* the current one, its context made; else why not */
int device_count();
int machine_number(int device);    /* the machine's number of a device of this process */
bool peers(int device, int other); /* may kernels of `device` use memory of `other`? */
size_t shared_limit(const void *kernel);
/* Whether it was not yet. */
bool load_kernel(int device, const void *kernel);
size_t shared_optin();

/* The machine's memory, shared with other processes (machine.cc). device: the machine's number. */
bool machine_take(int device, size_t bytes);
void machine_give(int device, size_t bytes);
size_t machine_free(int device);
size_t machine_used(int device); /* by this process */
size_t machine_peak(int device);
void machine_reset_peak(int device);

/* Memory (memory.cc). All with `lock` held. */
struct Allocation {
    char *base; /* first byte of its mapping: a page that is never accessible */
    size_t mapped;
    char *data;
    size_t bytes;
    int device;
    bool freed;
};
const Allocation *find_allocation(const void *p); /* live ones, whose data holds p */
/* In the mapping of a live one, guard zones too; and of one that was freed. */
bool near_allocation(const void *p);
bool near_freed(const void *p);
/* Is [p, p + bytes) within one live allocation? */
bool on_device(const void *p, size_t bytes);
/* Of the memory that can be used now; the rest was looked at when its last use ended. */
void check_guards(const char *when);
/* Only operations that run open the memory of their devices; nobody else can read or write it. */
void begin_use(unsigned devices);
void end_use(unsigned devices, bool idle, const char *what);
void release_all(int device);
/* What an address is or was, as text; false: no device memory. From a signal handler without the
 * lock. */
bool describe_address(const void *p, char *out, size_t size);
bool pinned(const void *p, size_t bytes); /* host.cc */

/* Streams (streams.cc). An operation runs when those before it in its stream and those in `after`
 * are done. */
typedef std::function<void()> Run;
/* Of a kernel that may begin before the one before it has ended: does what it does until then, and
 * gives what is to be run in place of `run`. */
typedef std::function<Run()> Begin;
struct Operation {
    const char *what = "";
    Run run;
    Begin begin; /* may be empty */
    std::vector<std::shared_ptr<Operation>> after;
    unsigned devices = 0; /* bits of those whose memory it uses besides its stream's */
    bool done = false;
    double end = 0; /* seconds, when done */
};
typedef std::shared_ptr<Operation> Ticket;
/* `run` may be empty. *ticket: what to wait for; NULL when it was recorded into a graph. */
cudaError_t enqueue(cudaStream_t stream, const char *what, Run run, Ticket *ticket = nullptr,
                    unsigned devices = 0, Begin begin = nullptr);
/* An operation that only waits for another stream's. */
cudaError_t enqueue_wait(cudaStream_t stream, const Ticket &event);
bool stream_captures(cudaStream_t stream); /* with the lock */
/* For calls that may not be made while a stream is captured, in the mode of its capture. Locked. */
cudaError_t refuse_in_capture();
void wait_for(const Ticket &ticket);               /* without the lock */
void wait_for_device(int device);                  /* without the lock */
extern thread_local const char *running_operation; /* of this thread, NULL: none */
int stream_device(cudaStream_t stream);
double now();

/* Faults and the end (faults.cc). */
void watch_process(); /* once, when a device is first used */
void watch_stack();   /* a thread that runs kernels: their stack may be what is full */

/* The kernel that runs now, for messages (blocks.cc). */
/* A grid; or its first block only, as far as it comes before it waits for the grid before, and then
 * the rest. */
void run_grid(const Launch &launch, Course *begun);
std::shared_ptr<Course> begin_grid(const Launch &launch);
const char *running_thread(); /* "kernel K, block (…), thread (…)", or "" outside kernels */
/* Fills static shared memory with a pattern (shared.cc). */
void poison_static_shared(const void *kernel);
} // namespace simgpu

#endif
