/*
 * How far one row of logits is from another, id by id over the whole vocabulary, as llama.cpp's
 * perplexity tool (--kl-divergence) counts it. The first row, the base, is kept in 16 bits an id:
 * its log-probabilities in 65535 equal steps, from the greatest down to the least, or down to 16
 * below the greatest where the least is lower. What is asked of single ids, the likeliest one and
 * the one that follows in the text, is kept exactly.
 */
#ifndef SW_SAMPLE_DIVERGENCE_H
#define SW_SAMPLE_DIVERGENCE_H

#include "base/cpu_info.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The work buffers of one thread, for rows of up to n logits. */
struct sw_divergence_buffers;
/* SW_ENOMEM. The caller frees *out. */
enum sw_status sw_divergence_open(size_t n, enum sw_isa isa, struct sw_divergence_buffers **out);
void sw_divergence_close(struct sw_divergence_buffers *buffers); /* may be NULL */

/* A base row of n ids: this head, then (n) uint16_t steps. Plain bytes, for a file. */
struct sw_base_row {
    float step, least; /* log-probability of an id: least + step * its steps */
    float nll;         /* minus the log-probability of the id that follows, exactly */
    int32_t top;       /* the likeliest id, the lowest of equals */
};
/* Bytes of a base row of n ids, a multiple of 8. */
size_t sw_base_row_bytes(size_t n);
/* Makes the base row of logits[0..n) before the id `next`. SW_EDEVICE as sw_sampler_pick. */
enum sw_status sw_base_row_make(struct sw_divergence_buffers *buffers, const float *logits,
                                size_t n, int32_t next, struct sw_base_row *out);

struct sw_divergence {
    float nll, base_nll;   /* minus the log-probability of the id that follows */
    float probability_gap; /* its probability, less the base's */
    float kl;              /* sum of p * ln(p / q), p of the base; ids below e^-16 are left out */
    bool same_top;         /* both have the same likeliest id */
};
/* Compares logits[0..n) with a base row of n ids. SW_EDEVICE as sw_sampler_pick. */
enum sw_status sw_divergence_of(struct sw_divergence_buffers *buffers,
                                const struct sw_base_row *base, const float *logits, size_t n,
                                int32_t next, struct sw_divergence *out);

#endif
