// The last error of each thread, errors that end a device's context, calls that are to fail.
#include "runtime.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace simgpu
{
static thread_local cudaError_t last;
static cudaError_t broken[max_devices];

struct Fault {
    std::string function;
    int after, error;
};

static const struct Name {
    cudaError_t error;
    const char *name, *text;
} names[] = {
#define SIMGPU_NAME(name, number, text) {name, #name, text},
    SIMGPU_ERRORS(SIMGPU_NAME)
#undef SIMGPU_NAME
};

static const Name *name_of(cudaError_t error)
{
    for (const Name &n : names)
        if (n.error == error)
            return &n;
    return nullptr;
}

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("simgpu: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

cudaError_t note(cudaError_t error)
{
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last = error;
    return error;
}

cudaError_t sticky(int device)
{
    return device >= 0 && device < max_devices ? broken[device] : cudaSuccess;
}

void set_sticky(int device, cudaError_t error)
{
    broken[device] = error;
}

static std::vector<Fault> read_faults()
{
    std::vector<Fault> out;
    const char *list = getenv("SIMGPU_FAIL");
    while (list && *list) {
        char name[64];
        int nth, error, used = 0;
        if (sscanf(list, "%63[^:,]:%d:%d%n", name, &nth, &error, &used) != 3 || nth < 1)
            die("SIMGPU_FAIL=%s: what is to fail is written as FUNCTION:NTH:ERROR", list);
        out.push_back({name, nth, error});
        list += used;
        list += *list == ',';
    }
    return out;
}

static std::vector<Fault> &faults()
{
    static std::vector<Fault> &list = *new std::vector<Fault>(read_faults());
    return list;
}

static std::map<std::string, unsigned long> &calls = *new std::map<std::string, unsigned long>;

int planted_fault_locked(const char *function)
{
    calls[function]++;
    std::vector<Fault> &list = faults();
    for (size_t i = 0; i < list.size(); i++) {
        if (list[i].function != function || --list[i].after > 0)
            continue;
        const int error = list[i].error;
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        return error;
    }
    return 0;
}

int planted_fault(const char *function)
{
    const std::lock_guard<std::mutex> guard(lock);
    return planted_fault_locked(function);
}
} // namespace simgpu

using namespace simgpu;

extern "C" {
cudaError_t cudaGetLastError(void)
{
    const cudaError_t dead = sticky(current_device());
    const cudaError_t error = dead ? dead : last;
    last = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    const cudaError_t dead = sticky(current_device());
    return dead ? dead : last;
}

const char *cudaGetErrorName(cudaError_t error)
{
    const Name *n = name_of(error);
    return n ? n->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    const Name *n = name_of(error);
    return n ? n->text : "unrecognized error code";
}

void simgpu_break(int device, cudaError_t error)
{
    const std::lock_guard<std::mutex> guard(lock);
    set_sticky(device, error);
}

unsigned long simgpu_calls(const char *function)
{
    const std::lock_guard<std::mutex> guard(lock);
    return calls[function];
}

void simgpu_fail(const char *function, int nth, int error)
{
    const std::lock_guard<std::mutex> guard(lock);
    faults().push_back({function, nth, error});
}
}
