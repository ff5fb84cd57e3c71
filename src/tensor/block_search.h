/*
 * The search for the scales of K-quants and of tables of values, compiled for each instruction set
 * with the same bits on all (private to src/tensor).
 *
 * A group is eight parts of a block, or eight blocks, side by side: its sums go along the elements,
 * one lane a part, so no width of vectors changes a bit. Errors are sums of weight * (value of the
 * element - value)^2.
 */
#ifndef SW_TENSOR_BLOCK_SEARCH_H
#define SW_TENSOR_BLOCK_SEARCH_H

#include <stdint.h>

#define SEARCH_PARTS 8
#define SEARCH_LEN 32 /* most elements of a part */

struct search_group {
    int len;                                 /* elements of a part, 16 or 32 */
    float values[SEARCH_LEN][SEARCH_PARTS];  /* (len, parts), finite */
    float weights[SEARCH_LEN][SEARCH_PARTS]; /* (len, parts), none below 0 */
};

/* What is searched: elements from `low` to `high` (unused in tables), and scales with which the
 * values take up first + k * step more, or less, than the elements' range; 0 <= k < tries. */
struct search_range {
    int low, high, tries;
    float first, step;
};

/* Parts whose values are scale * what an element stands for - min. */
struct search_kind {
    /* The best scales without minima, of either sign; 0 where all values are nearly 0. */
    void (*fit)(const struct search_group *group, struct search_range range, float *scale);
    /* The errors with these scales and minima, with the elements that come nearest. */
    void (*errors)(const struct search_group *group, struct search_range range, const float *scale,
                   const float *min, float *errors);
    /* Those elements less range.low, part after part: (parts, len). Scale 0: element 0. */
    void (*elements)(const struct search_group *group, struct search_range range,
                     const float *scale, const float *min, uint8_t *elements);
};

struct block_search {
    /* Makes a group of eight parts of len values each, side by side in memory, with weights
     * share * root mean square of the part + magnitude. */
    void (*gather)(const float *values, int len, float share, struct search_group *group);
    /* The best scales and minima (none below 0) of elements 0 to high. Scale 0: all values of the
     * part are alike and below 0. */
    void (*with_min)(const struct search_group *group, struct search_range range, float *scale,
                     float *min);
    /* How many of 15 ascending numbers each of n values, a multiple of 32, exceeds when it is
     * multiplied by `factor`. */
    void (*places)(const float *values, int n, float factor, const float middles[15],
                   uint8_t *places);
    struct search_kind linear; /* an element stands for itself */
    struct search_kind table;  /* an element is a place in bits_iq4; minima are 0 */
};

extern const struct block_search block_search_portable, block_search_avx2;

/* The fastest that this CPU can run. */
static inline const struct block_search *block_search_here(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") ? &block_search_avx2 : &block_search_portable;
#else
    return &block_search_portable;
#endif
}

#endif
