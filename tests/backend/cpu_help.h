/* What the CPU backend's tests share: backends of every instruction set here, data, comparison. */
#ifndef SW_TESTS_CPU_HELP_H
#define SW_TESTS_CPU_HELP_H

#include "backend/backend.h"
#include "base/cpu.h"
#include "unit.h"

#include <math.h>

#define MAX_ROWS 64
#define MAX_COLS 2048

static inline struct sw_backend *open_cpu(int threads, enum sw_isa isa)
{
    const struct sw_cpu_options o = {
        .threads = threads, .isa = sw_isa_name(isa), .max_rows = MAX_ROWS, .max_cols = MAX_COLS};
    struct sw_backend *b = NULL;
    if (sw_backend_cpu_open(&o, &b) != SW_OK) {
        fprintf(stderr, "%s\n", sw_error_message());
        abort();
    }
    return b;
}

static inline void *device(struct sw_backend *b, size_t bytes)
{
    void *p = NULL;
    if (b->ops->alloc(b, bytes, "test", &p) != SW_OK)
        abort();
    memset(p, 0xff, bytes); /* NaN: what is not written must not be read */
    return p;
}

/* Uniform in [-1, 1), the same on every machine. */
static inline float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(*state >> 33) - (1 << 30)) / (float)(1 << 30);
}

static inline float *floats(int64_t n, uint64_t seed)
{
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = noise(&seed);
    return p;
}

static inline double largest_error(const float *got, const double *want, int64_t n)
{
    double error = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= error)) /* NaN counts */
            error = isnan(got[i]) ? INFINITY : fabs(got[i] - want[i]);
    return error;
}

/* Bytes of a file dtype that hold these values, rounded. */
static inline void *encode(enum sw_dtype dtype, const float *x, int64_t n)
{
    const size_t size = sw_dtype_info(dtype)->bits / 8;
    char *p = malloc((size_t)n * size);
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = dtype == SW_F16 ? sw_f32_to_f16(x[i]) : sw_f32_to_bf16(x[i]);
        const double d = x[i];
        const void *from = dtype == SW_F32   ? (const void *)&x[i]
                           : dtype == SW_F64 ? &d
                                             : (const void *)&h;
        memcpy(p + (size_t)i * size, from, size);
    }
    return p;
}

static inline float rounded(enum sw_dtype format, float x)
{
    if (format == SW_F16)
        return sw_f16_to_f32(sw_f32_to_f16(x));
    return format == SW_BF16 ? sw_bf16_to_f32(sw_f32_to_bf16(x)) : x;
}

#define FOR_EACH_ISA(isa)                                                                          \
    for (enum sw_isa isa = SW_ISA_PORTABLE; isa <= sw_cpu_isa(); isa = (enum sw_isa)(isa + 1))

#endif
