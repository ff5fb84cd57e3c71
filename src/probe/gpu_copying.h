/*
 * Copies from host memory to a GPU by a thread of its own, to measure what the bus brings while
 * cores read the same memory.
 */
#ifndef SW_PROBE_GPU_COPYING_H
#define SW_PROBE_GPU_COPYING_H

#include <stddef.h>

struct sw_gpu_copying;
/*
 * Begins to copy `bytes` of host memory, which it pins, to GPU number `device`, again and again;
 * returns when the first copies are under way. NULL: it cannot be done, and nothing is under way.
 */
struct sw_gpu_copying *sw_gpu_copying_start(int device, void *host, size_t bytes);
/* Ends that, and frees. Returns bytes per second; 0: nothing was copied. NULL does nothing. */
double sw_gpu_copying_stop(struct sw_gpu_copying *copying);

#endif
