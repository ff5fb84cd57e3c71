// Stacks of fibers and the change between them.
#include "fibers.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <vector>

#if defined(__has_feature)
#define SIMGPU_HAS(x) __has_feature(x)
#else
#define SIMGPU_HAS(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || SIMGPU_HAS(address_sanitizer)
#define SIMGPU_ASAN 1
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SIMGPU_TSAN // by CMake: this file and blocks.cc are not instrumented themselves
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simgpu
{
#ifdef __x86_64__
struct Context {
    void *stack_pointer;
};
extern "C" void simgpu_switch(void **save, void *to);
// Saves what the calling convention says a function keeps, including the rounding mode.
asm(R"(
.text
.p2align 4
.globl simgpu_switch
.hidden simgpu_switch
.type simgpu_switch,@function
simgpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simgpu_switch,.-simgpu_switch
.section .note.GNU-stack,"",@progbits
.text
)");
static void change(Context *from, Context *to)
{
    simgpu_switch(&from->stack_pointer, to->stack_pointer);
}
#else
struct Context {
    ucontext_t ucontext;
};
static void change(Context *from, Context *to)
{
    swapcontext(&from->ucontext, &to->ucontext);
}
#endif

struct Fiber {
    Context context;
    char *stack; // above its guard page
    void (*body)();
    void *sanitizer; // ASan's fake stack, or TSan's fiber
};

// Frames are larger when instrumented.
#if defined(SIMGPU_ASAN) || defined(SIMGPU_TSAN)
static const size_t stack_bytes = 256 << 10;
#else
static const size_t stack_bytes = 128 << 10;
#endif
static const size_t page = 4096;

static Context main_context;
static Fiber *current;
static std::vector<Fiber *> &all = *new std::vector<Fiber *>;
#ifdef SIMGPU_ASAN
static const void *main_bottom;
static size_t main_size;
#endif
#ifdef SIMGPU_TSAN
static void *main_fiber;
#endif

static void start()
{
#ifdef SIMGPU_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);
#endif
    current->body();
    abort();
}

Fiber *fiber_create(void (*body)())
{
    Fiber *f = new Fiber();
    f->body = body;
    char *p = static_cast<char *>(mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (p == MAP_FAILED || mprotect(p, page, PROT_NONE) != 0)
        abort();
    f->stack = p + page;
#ifdef __x86_64__
    // As if start had been called: its frame begins 8 below a multiple of 16.
    void **top = reinterpret_cast<void **>(f->stack + stack_bytes - 64);
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(start);
    top -= 6;
    memset(static_cast<void *>(top), 0, 6 * sizeof *top);
    f->context.stack_pointer = top;
#else
    getcontext(&f->context.ucontext);
    f->context.ucontext.uc_stack.ss_sp = f->stack;
    f->context.ucontext.uc_stack.ss_size = stack_bytes;
    makecontext(&f->context.ucontext, start, 0);
#endif
#ifdef SIMGPU_TSAN
    f->sanitizer = __tsan_create_fiber(0);
#endif
    all.push_back(f);
    return f;
}

void fiber_enter(Fiber *f)
{
    current = f;
#if defined(SIMGPU_ASAN)
    void *fake;
    __sanitizer_start_switch_fiber(&fake, f->stack, stack_bytes);
    change(&main_context, &f->context);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#elif defined(SIMGPU_TSAN)
    main_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->sanitizer, __tsan_switch_to_fiber_no_sync);
    change(&main_context, &f->context);
#else
    change(&main_context, &f->context);
#endif
}

void fiber_leave()
{
    Fiber *f = current;
#if defined(SIMGPU_ASAN)
    __sanitizer_start_switch_fiber(&f->sanitizer, main_bottom, main_size);
    change(&f->context, &main_context);
    // Another thread may have entered: its stack is the one to return to now.
    __sanitizer_finish_switch_fiber(f->sanitizer, &main_bottom, &main_size);
#elif defined(SIMGPU_TSAN)
    __tsan_switch_to_fiber(main_fiber, __tsan_switch_to_fiber_no_sync);
    change(&f->context, &main_context);
#else
    change(&f->context, &main_context);
#endif
}

void fiber_release(void *what)
{
#ifdef SIMGPU_TSAN
    __tsan_release(what);
#else
    (void)what;
#endif
}

void fiber_acquire(void *what)
{
#ifdef SIMGPU_TSAN
    __tsan_acquire(what);
#else
    (void)what;
#endif
}

bool fiber_overflow(const void *p)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(p);
    for (const Fiber *f : all) {
        const uintptr_t stack = reinterpret_cast<uintptr_t>(f->stack);
        if (address >= stack - page && address < stack)
            return true;
    }
    return false;
}
} // namespace simgpu
