/*
 * Which ids of one row of logits may be drawn, and the draw. All decisions are exact (whole
 * numbers, comparisons), so neither threads nor vector widths change a result.
 *
 * Top-k: ids with a logit of at least the k-th greatest. Top-p: of the ids ordered by logit from
 * the greatest down, equals by id from the lowest up, the fewest from the first on whose masses
 * (softmax.h) sum to at least ceil(p * the sum of all), computed in double, at least 1. Min-p: ids
 * whose exponential is at least min_p; the likeliest id's exponential is 1. The draw: of the kept
 * ids in their order the first at which the sum of masses exceeds u * the sum of all.
 */
#ifndef SW_SAMPLE_SELECTION_H
#define SW_SAMPLE_SELECTION_H

#include "sample/softmax.h"

#include "base/pool.h"
#include "base/status.h"

#define SW_MASS_BLOCK 1024  /* logits whose mass is one sum */
#define SW_SHARES 8         /* most threads that share a row */
#define SW_KEY_BUCKETS 2048 /* values of the 11 bits of a logit that one round sorts by */

struct sw_selection {
    const struct sw_softmax_code *code;
    struct sw_pool *pool; /* borrowed; NULL: the caller's thread alone */
    size_t max_ids;

    const float *logits; /* (n) the row: the caller's memory, `own` or `picked` */
    const int32_t *ids;  /* (n) ids of the logits; NULL: in order from 0 */
    size_t n;
    struct sw_scale scale; /* of the row */
    float *peaks;          /* (n / SW_LOGIT_BLOCK, rounded up) greatest logit of each block */
    uint64_t *masses;      /* (n / SW_MASS_BLOCK, rounded up) what may be drawn of each block */

    /* What may be drawn: logits of at least `bound` (from index `n_equals` on only greater ones)
     * with an exponential of at least `least`. */
    float bound, least;
    size_t n_equals;

    float *own;                          /* (max_ids) logits that were changed */
    float *picked;                       /* (max_ids) logits of at least a bound, in order */
    int32_t *picked_ids;                 /* (max_ids) ids of `picked` */
    float *exps;                         /* (max_ids) exponentials of the row's logits */
    uint32_t *among;                     /* (max_ids) indices that are left in a selection */
    uint64_t counts[SW_KEY_BUCKETS];     /* masses, or numbers of ids, by bits of the logits */
    uint64_t tally[SW_SHARES][SW_TALLY]; /* each thread's masses by score */
    size_t found[SW_SHARES];             /* how many indices each thread wrote to `among` */
    bool bad[SW_SHARES];                 /* whether each thread's share has a NaN or +inf */
    bool samples; /* whether sw_selection_mass also tallies a sample of each block */
};

/* Allocates scratch memory for rows of up to max_ids <= SW_MASS_IDS logits. The caller closes it,
 * also after SW_ENOMEM. */
enum sw_status sw_selection_open(struct sw_selection *s, size_t max_ids, enum sw_isa isa);
void sw_selection_close(struct sw_selection *s);
/* Bytes that opening allocates. */
uint64_t sw_selection_bytes(size_t max_ids);

/* Makes n >= 1 logits the row, at temperature 1, and finds its peaks and its best logit; all ids
 * may be drawn. False: a logit is NaN or +inf, or all are -inf. */
bool sw_selection_row(struct sw_selection *s, const float *logits, size_t n);
/* The index of the best logit, the lowest one of equals. */
size_t sw_selection_best(const struct sw_selection *s);
/* The mass of what may be drawn. */
uint64_t sw_selection_mass(struct sw_selection *s);

/* These reduce what may be drawn; to be called after sw_selection_row, in this order. */
void sw_selection_scale(struct sw_selection *s, float temperature); /* temperature > 0 */
void sw_selection_top_k(struct sw_selection *s, int32_t k);         /* 0 keeps all */
void sw_selection_top_p(struct sw_selection *s, float p);           /* 1 keeps all */
void sw_selection_min_p(struct sw_selection *s, float min_p);       /* 0 keeps all */
/* Draws an id by the random number `uniform` in [0, 1). */
int32_t sw_selection_draw(struct sw_selection *s, double uniform);

#endif
