/*
 * The terms of the softmax and loops over many of them, compiled for each instruction set with the
 * same bits on all.
 *
 * A logit's score is (logit - best) * inverse in f32, or SW_SCORE_MIN where that is less; its
 * exponential is exp(score) in f32, by a polynomial of this file's own, within 2 units in the last
 * place. A mass is a sum of exponentials, each rounded to a multiple of 2^-SW_MASS_BITS, kept as a
 * whole number: exact, so the same in any order, for any vector width and any number of threads. A
 * logit whose exponential rounds to 0 cannot be drawn.
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
#define SW_MASS_IDS ((size_t)1 << 23) /* so many exponentials of at most 1 fit in a sum */
#define SW_SCORE_MIN (-29.0f)         /* its exponential is below half a unit of mass */
#define SW_LOGIT_BLOCK 64             /* logits that share one peak */
#define SW_TALLY 1024                 /* buckets of scores */
#define SW_TALLY_STEPS 35             /* buckets a unit of score; the last ones stay empty */

/* How logits become scores. */
struct sw_scale {
    float best;    /* the greatest logit; finite */
    float inverse; /* 1 / temperature, finite */
};

/* One instruction set's loops over x, (n) logits. */
struct sw_softmax_code {
    /* Writes the greatest logit of each block, NaNs left out, to greatest:
     * (n / SW_LOGIT_BLOCK, rounded up). Returns whether a logit is NaN or +inf. */
    bool (*peaks)(const float *x, size_t n, float *greatest);
    /* Writes the exponential of each logit to exps: (n). Returns their mass. */
    uint64_t (*exponentials)(const float *x, size_t n, struct sw_scale scale, float *exps);
    /* Adds the mass of each logit to its bucket of tally: (SW_TALLY); buckets rise as logits fall.
     */
    void (*tally)(const float *x, const float *exps, size_t n, struct sw_scale scale,
                  uint64_t *tally);
    /* Writes to `where`, in order, the index plus `base` of each logit in a bucket. Returns their
     * number. */
    size_t (*find)(const float *x, size_t n, struct sw_scale scale, uint32_t bucket, uint32_t base,
                   uint32_t *where);
    /* The mass of logits of at least `bound` whose exponential is at least `least`. */
    uint64_t (*mass)(const float *x, const float *exps, size_t n, float bound, float least);
};

extern const struct sw_softmax_code sw_softmax_portable, sw_softmax_avx2;
/* The fastest loops that instruction set `isa` can run. */
const struct sw_softmax_code *sw_softmax_for(enum sw_isa isa);

/* The mass of one exponential, 0 to 1. In a double of [2^12, 2^13) a unit in the last place is
 * 2^-40. */
static inline uint64_t sw_mass_of(float exponential)
{
    const double rounded = (double)exponential + 4096.0;
    uint64_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits - ((uint64_t)0x40B << 52);
}

/* log(x) for x > 0, not denormal, within 1e-15 of it or of |log(x)|; the same on every machine. */
double sw_natural_log(double x);

#endif
