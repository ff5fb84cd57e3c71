// Says what an access to forbidden memory was: whose thread, which allocation. And what is looked
// at and written when the process ends.
#include "fibers.h"
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

namespace simgpu
{
static struct sigaction segv_before, bus_before, ill_before;

static void say(const char *who, const char *what, const char *more)
{
    static char text[900];
    const int n = snprintf(text, sizeof text, "simgpu: %s: %s%s\n", who, what, more);
    if (write(STDERR_FILENO, text, static_cast<size_t>(n)) != n)
        return;
}

// Kernels are compiled so that they trap on a vector that is not on its bound.
static void on_trap(int signal, siginfo_t *, void *)
{
    sigaction(signal, &ill_before, nullptr);
    if (*running_thread())
        say(running_thread(),
            "a misaligned access: what has N bytes (float4: 16) lies at multiples of N", "");
}

static void on_fault(int signal, siginfo_t *info, void *)
{
    // Whatever comes next is for who was there before: the access is repeated on return.
    sigaction(signal, signal == SIGSEGV ? &segv_before : &bus_before, nullptr);
    static char what[256];
    const char *who = running_thread();
    if (*who && signal == SIGSEGV && info->si_code == SI_KERNEL)
        return say(who, "a misaligned access, or a pointer that no memory has", "");
    const bool ours = describe_address(info->si_addr, what, sizeof what);
    const bool overflow = fiber_overflow(info->si_addr);
    if (!ours && !overflow && !running_operation)
        return; // a fault of the program that has nothing to do with the GPU
    if (!*who)
        who = running_operation ? running_operation : "the host";
    say(who, overflow ? "the thread's stack overflowed at " : "access to ", what);
}

void watch_stack()
{
    static const size_t size = 64 << 10;
    void *stack = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = size;
    if (stack != MAP_FAILED)
        sigaltstack(&alternative, nullptr);
}

static void report()
{
    {
        const std::lock_guard<std::mutex> guard(lock);
        check_guards("the end of the process");
    }
    if (settings().report.empty())
        return;
    FILE *f = fopen(settings().report.c_str(), "a");
    if (!f)
        die("SIMGPU_REPORT=%s: cannot be written", settings().report.c_str());
    for (int d = 0; d < device_count(); d++)
        fprintf(f, "pid=%d device=%d peak=%zu left=%zu contexts=%d held=%d\n",
                static_cast<int>(getpid()), machine_number(d), simgpu_peak(d), simgpu_used(d),
                simgpu_contexts_made(d), simgpu_has_context(d));
    fclose(f);
}

void watch_process()
{
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, &segv_before);
        sigaction(SIGBUS, &action, &bus_before);
        action.sa_sigaction = on_trap;
        sigaction(SIGILL, &action, &ill_before);
        atexit(report);
    });
}
} // namespace simgpu
