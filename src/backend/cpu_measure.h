/* The highest memory bandwidth and arithmetic rate of a CPU backend's threads, to compare speeds
 * with. */
#ifndef SW_BACKEND_CPU_MEASURE_H
#define SW_BACKEND_CPU_MEASURE_H

#include "backend/backend.h"
#include "base/cpu_info.h"

/* Instruction set and threads of a backend that sw_backend_cpu_open made. */
enum sw_isa sw_cpu_backend_isa(const struct sw_backend *b);
/* Whether products of many rows use AMX. */
bool sw_cpu_backend_amx(const struct sw_backend *b);
int sw_cpu_backend_threads(const struct sw_backend *b);

/* A buffer to read, in large pages that have been touched. For a bandwidth it should have at least
 * 8 times the size of the last-level cache. */
struct sw_cpu_buffer {
    void *data;
    size_t bytes; /* rounded up from what open was given */
};
#define SW_MEASURE_BYTES ((size_t)1 << 30)
/* SW_ENOMEM. The caller frees by sw_cpu_buffer_close. */
enum sw_status sw_cpu_buffer_open(struct sw_backend *b, size_t bytes, struct sw_cpu_buffer *out);
void sw_cpu_buffer_close(struct sw_backend *b, struct sw_cpu_buffer *buffer);
/* Reads the buffer once, shared out to the threads. Returns bytes per second. */
double sw_cpu_read_once(struct sw_backend *b, const struct sw_cpu_buffer *buffer);

/*
 * The two figures that `probe` and `bench` print. Bandwidth: the median of several passes over
 * SW_MEASURE_BYTES, which take some hundred milliseconds; SW_ENOMEM. Peak: floating-point
 * operations per second of multiply-adds in registers only, as in products with weights of
 * `format`, measured for `seconds` on every thread; 0 when memory is short.
 */
enum sw_status sw_cpu_measure_bandwidth(struct sw_backend *b, double *bytes_per_second);
double sw_cpu_measure_peak(struct sw_backend *b, enum sw_format_id format, double seconds);

#endif
