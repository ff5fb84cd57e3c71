/*
 * The weights of logits, and loops over many of them, compiled for each instruction set; the bits
 * are the same on all.
 *
 * A logit's score is (logit - best) * inverse in f32, or SW_SCORE_MIN where that is less; its
 * weight is exp(score) in f32, by a polynomial of its own, within 2 units in the last place. Masses
 * are sums of weights, each rounded to a multiple of 2^-SW_MASS_BITS, as whole numbers: exact, so
 * the same in any order, lanes and shares. A weight that rounds to 0 cannot be drawn.
 */
#ifndef SW_SAMPLE_SOFTMAX_H
#define SW_SAMPLE_SOFTMAX_H

#include "base/cpu_info.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SW_MASS_BITS 40
#define SW_MASS_ONE ((uint64_t)1 << SW_MASS_BITS)
#define SW_MASS_IDS ((size_t)1 << 23) /* so many weights, at most 1 each, fit in a sum */
#define SW_SCORE_MIN (-29.0f)         /* weighs less than half of a unit of mass */
#define SW_LOGIT_BLOCK 64             /* logits whose greatest is kept */
#define SW_TALLY 1024                 /* buckets, by score */
#define SW_TALLY_STEPS 35             /* in each unit of score; the last ones stay empty */

/* How logits become scores. */
struct sw_scale {
    float best;    /* the greatest logit; finite */
    float inverse; /* 1 / temperature, finite */
};

struct sw_weight_code {
    /* Writes the greatest of each block of x without NaNs; greatest: (n / SW_LOGIT_BLOCK, rounded
     * up). Returns whether one is NaN or +inf. */
    bool (*peaks)(const float *x, size_t n, float *greatest);
    /* weights: (n). Returns their mass. */
    uint64_t (*weigh)(const float *x, size_t n, struct sw_scale scale, float *weights);
    /* Adds each mass to tally[bucket], (SW_TALLY); buckets rise as logits fall. */
    void (*tally)(const float *x, const float *weights, size_t n, struct sw_scale scale,
                  uint64_t *tally);
    /* Writes the indices of the logits in a bucket, plus `base`, in order; returns their number. */
    size_t (*find)(const float *x, size_t n, struct sw_scale scale, uint32_t bucket, uint32_t base,
                   uint32_t *where);
    /* The mass of logits of at least `bound` whose weight is at least `least`. */
    uint64_t (*mass)(const float *x, const float *weights, size_t n, float bound, float least);
};

extern const struct sw_weight_code sw_weights_portable, sw_weights_avx2;
/* The fastest that an instruction set has. */
const struct sw_weight_code *sw_weights_for(enum sw_isa isa);

/* One weight, 0 to 1, as mass. In a double of [2^12, 2^13) a unit of the last place is 2^-40. */
static inline uint64_t sw_mass_of(float weight)
{
    const double rounded = (double)weight + 4096.0;
    uint64_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits - ((uint64_t)0x40B << 52);
}

/* log(x) for x > 0, not denormal, within 1e-15 of it or of |log(x)|; the same on every machine. */
double sw_natural_log(double x);

#endif
