/* Arithmetic of sizes. On overflow a function that returns bool returns false and leaves *out. */
#ifndef SW_BASE_CHECKED_H
#define SW_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool sw_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool sw_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool sw_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Rounds up to a multiple of `unit` > 0. The caller makes sure that it cannot overflow. */
static inline uint64_t sw_round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static inline int sw_min_int(int a, int b)
{
    return a < b ? a : b;
}
static inline int64_t sw_min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t sw_max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static inline uint64_t sw_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
