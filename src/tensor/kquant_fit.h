/*
 * What K-quants of GGUF have in common: a block of 256 values in parts of 16 or 32, each with a
 * scale, and some a minimum, that are small whole numbers times an f16 of the block (private to
 * src/tensor).
 */
#ifndef SW_TENSOR_KQUANT_FIT_H
#define SW_TENSOR_KQUANT_FIT_H

#include "tensor/block_search.h"

#include <stdbool.h>

#define KQUANT_LEN 256
#define KQUANT_PARTS 16 /* most of them */

/* How a format cuts its blocks, and what its search tries. */
struct kquant_shape {
    int len;                   /* elements of a part, 16 or 32 */
    int low_scale, high_scale; /* the whole numbers that scales can be; minima from 0 */
    float share;               /* of the root mean square in weights (block_search.h) */
    bool is_table;             /* elements are places in bits_iq4 */
    struct search_range range; /* of the elements */
};

struct kquant_fit {
    uint16_t scale, min; /* f16, of the block; the parts' numbers are multiplied by them */
    int8_t scales[KQUANT_PARTS];
    uint8_t mins[KQUANT_PARTS];
    uint8_t elements[KQUANT_LEN]; /* less range.low */
};

/* Fits 256 values. What is no number, or too large for f16, makes the block's scale NaN and
 * everything else 0; values too small for it make everything 0. */
void kquant_fit_with_min(const float *values, const struct kquant_shape *shape,
                         struct kquant_fit *fit);
void kquant_fit_symmetric(const float *values, const struct kquant_shape *shape,
                          struct kquant_fit *fit);

#endif
