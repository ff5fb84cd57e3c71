/*
 * Threads of a block as fibers: each has a stack of its own and is left and entered by an exchange
 * of stack pointers (a few lines of assembly on x86-64, ucontext elsewhere). Address and thread
 * sanitizers are told about every change of stack.
 */
#ifndef SIMGPU_FIBERS_H
#define SIMGPU_FIBERS_H

#include <cstddef>

namespace simgpu
{
struct Fiber; /* opaque */

/* A fiber that runs body(), which must not return. */
Fiber *fiber_create(void (*body)());
/* Leaves the scheduler's own stack for the fiber, until it calls fiber_leave. */
void fiber_enter(Fiber *fiber);
void fiber_leave();
/* What the thread sanitizer is told of order between fibers, by the address of something: what
 * comes before a release comes before what follows an acquire. A change of fiber is none, so it
 * finds threads of a block that touch the same memory without a barrier between them. */
void fiber_release(void *what);
void fiber_acquire(void *what);
/* May a fiber run several threads of a block one after the other? The sanitizer would take them
 * for one. */
#ifdef SIMGPU_TSAN
const bool fiber_runs_several = false;
#else
const bool fiber_runs_several = true;
#endif
/* Is p in the guard page below a fiber's stack? */
bool fiber_overflow(const void *p);
} // namespace simgpu

#endif
