/* What this machine can do at most with a CPU backend's threads, to hold real speeds against. */
#ifndef SW_BACKEND_CPU_MEASURE_H
#define SW_BACKEND_CPU_MEASURE_H

#include "backend/backend.h"
#include "base/cpu_info.h"

/* Of a backend that sw_backend_cpu_open gave. */
enum sw_isa sw_cpu_backend_isa(const struct sw_backend *b);
int sw_cpu_backend_threads(const struct sw_backend *b);

/* A buffer to read: large pages, touched, `bytes` rounded up; at least 8 times the last cache. */
struct sw_cpu_buffer {
    void *data;
    size_t bytes;
};
#define SW_MEASURE_BYTES ((size_t)1 << 30)
enum sw_status sw_cpu_buffer_open(struct sw_backend *b, size_t bytes, struct sw_cpu_buffer *out);
void sw_cpu_buffer_close(struct sw_backend *b, struct sw_cpu_buffer *buffer);
/* Reads all of it once, one stream a thread. Bytes per second. */
double sw_cpu_read_once(struct sw_backend *b, const struct sw_cpu_buffer *buffer);

/*
 * The two figures that `probe` and `bench` print. Bandwidth: the median of some passes over
 * SW_MEASURE_BYTES (a few hundred milliseconds). Peak: multiply-adds in registers only, as products
 * with weights of `format` do them, for `seconds` on every thread; floating-point operations per
 * second.
 */
enum sw_status sw_cpu_measure_bandwidth(struct sw_backend *b, double *bytes_per_second);
double sw_cpu_measure_peak(struct sw_backend *b, enum sw_dtype format, double seconds);

#endif
