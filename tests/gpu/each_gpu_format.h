/*
 * The loops of tests over the weight formats that GPUs have kernels for: all of them, for what a
 * format's own kernels do; and one of each kind, for what is the same code whatever their bits are
 * (the library's products, its copies, whole models).
 */
#ifndef SW_TESTS_EACH_GPU_FORMAT_H
#define SW_TESTS_EACH_GPU_FORMAT_H

#include "kernels/cuda/gpu_formats.h"
#include "unit.h"

/* False, and says so, for a format that only CPUs have kernels for. */
static inline bool gpu_multiplies(int format)
{
    const struct sw_format *f = sw_format_of((enum sw_format_id)format);
    CU_ASSERT_EQUAL(f->cpu_only, sw_gpu_format_of((enum sw_format_id)format)->gemv == NULL);
    if (f->cpu_only)
        printf("    %s: no kernels on GPUs, skipped\n", f->name);
    return !f->cpu_only;
}

#define FOR_EACH_GPU_FORMAT(format)                                                                \
    for (int format = 0; format < SW_FORMAT_COUNT; format++)                                       \
        if (gpu_multiplies(format))

static inline bool gpu_same_kind(const struct sw_format *a, const struct sw_gpu_format *gpu_a,
                                 const struct sw_format *b, const struct sw_gpu_format *gpu_b)
{
    return a->dtype == b->dtype && a->row_scale == b->row_scale && !a->table == !b->table &&
           gpu_a->operand == gpu_b->operand && gpu_a->turing_operand == gpu_b->turing_operand &&
           !a->cpu_only && !gpu_a->planes[0].bytes == !gpu_b->planes[0].bytes;
}

/* Whether no format before it is of the same kind. */
static inline bool gpu_first_of_kind(int format)
{
    const enum sw_format_id id = (enum sw_format_id)format;
    for (int i = 0; i < format; i++)
        if (gpu_same_kind(sw_format_of((enum sw_format_id)i),
                          sw_gpu_format_of((enum sw_format_id)i), sw_format_of(id),
                          sw_gpu_format_of(id)))
            return false;
    return !sw_format_of(id)->cpu_only;
}

#define FOR_EACH_KIND_OF_FORMAT(format)                                                            \
    for (int format = 0; format < SW_FORMAT_COUNT; format++)                                       \
        if (gpu_first_of_kind(format))

#endif
