/*
 * Owns the fit of K-quants: first the scales that are best for each part alone, then the block's,
 * then for each part those of the neighbouring whole numbers with which its error is smallest.
 */
#include "tensor/kquant_fit.h"

#include "tensor/block_encode.h"

#define MOST_VALUE 0x1p30f /* larger ones are beyond every format */

/* What a fit works on. */
struct kquant_work {
    struct search_group groups[KQUANT_PARTS / SEARCH_PARTS];
    int n_parts;
    float scales[KQUANT_PARTS], mins[KQUANT_PARTS]; /* of the parts, as they would be best */
};

/* Cuts a block into parts. False: it has something that is no number, or is too large. */
static bool kquant_cut(const float *values, const struct kquant_shape *shape,
                       struct kquant_work *work)
{
    const struct encode_range range = encode_range_of(values, KQUANT_LEN);
    if (!range.finite || range.max > MOST_VALUE || range.min < -MOST_VALUE)
        return false;
    work->n_parts = KQUANT_LEN / shape->len;
    for (int i = 0; i < work->n_parts; i += SEARCH_PARTS)
        block_search_here()->gather(values + i * shape->len, shape->len, shape->share,
                                    &work->groups[i / SEARCH_PARTS]);
    return true;
}

static const struct search_kind *kquant_kind(const struct kquant_shape *shape)
{
    return shape->is_table ? &block_search_here()->table : &block_search_here()->linear;
}

static void kquant_is_no_number(struct kquant_fit *fit)
{
    *fit = (struct kquant_fit){.scale = BITS_F16_NAN};
}

/* Of the parts of a group. */
struct kquant_numbers {
    int scales[SEARCH_PARTS], mins[SEARCH_PARTS];
};

static int kquant_within(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* To nearest; of magnitude below 2^22. */
static inline int kquant_rounded(float value)
{
    return (int)(value + 0x1.8p23f - 0x1.8p23f);
}

/* The whole numbers of f16 units that come nearest to what would be best for the parts. */
static struct kquant_numbers kquant_nearest(const struct kquant_work *work, int first,
                                            const struct kquant_shape *shape,
                                            const struct kquant_fit *fit)
{
    const float unit = sw_f16_to_f32(fit->scale), min_unit = sw_f16_to_f32(fit->min);
    const float inverse = unit != 0 ? 1 / unit : 0, min_inverse = min_unit > 0 ? 1 / min_unit : 0;
    struct kquant_numbers n;
    for (int i = 0; i < SEARCH_PARTS; i++) {
        n.scales[i] = kquant_within(kquant_rounded(work->scales[first + i] * inverse),
                                    shape->low_scale, shape->high_scale);
        n.mins[i] = kquant_within(kquant_rounded(work->mins[first + i] * min_inverse), 0,
                                  shape->high_scale);
    }
    return n;
}

/* The parts of a group with numbers around the nearest ones, and the elements of the best. */
static void kquant_settle(const struct kquant_work *work, int first,
                          const struct kquant_shape *shape, struct kquant_fit *fit, int min_reach)
{
    const struct search_kind *kind = kquant_kind(shape);
    const struct search_group *group = &work->groups[first / SEARCH_PARTS];
    const float unit = sw_f16_to_f32(fit->scale), min_unit = sw_f16_to_f32(fit->min);
    const struct kquant_numbers nearest = kquant_nearest(work, first, shape, fit);
    struct kquant_numbers best = nearest;
    float scales[SEARCH_PARTS], mins[SEARCH_PARTS], errors[SEARCH_PARTS], least[SEARCH_PARTS];
    for (int i = 0; i < SEARCH_PARTS; i++)
        least[i] = INFINITY;
    for (int by = -1; by <= 1; by++)
        for (int min_by = -min_reach; min_by <= min_reach; min_by++) {
            struct kquant_numbers tried;
            for (int i = 0; i < SEARCH_PARTS; i++) {
                tried.scales[i] =
                    kquant_within(nearest.scales[i] + by, shape->low_scale, shape->high_scale);
                tried.mins[i] = kquant_within(nearest.mins[i] + min_by, 0, shape->high_scale);
                scales[i] = unit * (float)tried.scales[i];
                mins[i] = min_unit * (float)tried.mins[i];
            }
            kind->errors(group, shape->range, scales, mins, errors);
            for (int i = 0; i < SEARCH_PARTS; i++) {
                const bool is_better = errors[i] < least[i];
                best.scales[i] = is_better ? tried.scales[i] : best.scales[i];
                best.mins[i] = is_better ? tried.mins[i] : best.mins[i];
                least[i] = is_better ? errors[i] : least[i];
            }
        }
    for (int i = 0; i < SEARCH_PARTS; i++) {
        fit->scales[first + i] = (int8_t)best.scales[i];
        fit->mins[first + i] = (uint8_t)best.mins[i];
        scales[i] = unit * (float)best.scales[i];
        mins[i] = min_unit * (float)best.mins[i];
    }
    kind->elements(group, shape->range, scales, mins, fit->elements + first * shape->len);
}

void kquant_fit_with_min(const float *values, const struct kquant_shape *shape,
                         struct kquant_fit *fit)
{
    struct kquant_work work;
    float most = 0, most_min = 0;
    if (!kquant_cut(values, shape, &work)) {
        kquant_is_no_number(fit);
        return;
    }
    for (int i = 0; i < work.n_parts; i += SEARCH_PARTS)
        block_search_here()->with_min(&work.groups[i / SEARCH_PARTS], shape->range, work.scales + i,
                                      work.mins + i);
    for (int i = 0; i < work.n_parts; i++) {
        most = work.scales[i] > most ? work.scales[i] : most;
        most_min = work.mins[i] > most_min ? work.mins[i] : most_min;
    }
    *fit = (struct kquant_fit){.scale = encode_scale(most / (float)shape->high_scale),
                               .min = encode_scale(most_min / (float)shape->high_scale)};
    if (fit->scale == BITS_F16_NAN || fit->min == BITS_F16_NAN)
        kquant_is_no_number(fit);
    else if (fit->scale != 0 || fit->min != 0)
        for (int i = 0; i < work.n_parts; i += SEARCH_PARTS)
            kquant_settle(&work, i, shape, fit, 1);
}

void kquant_fit_symmetric(const float *values, const struct kquant_shape *shape,
                          struct kquant_fit *fit)
{
    struct kquant_work work;
    float largest = 0;
    if (!kquant_cut(values, shape, &work)) {
        kquant_is_no_number(fit);
        return;
    }
    memset(work.mins, 0, sizeof work.mins);
    for (int i = 0; i < work.n_parts; i += SEARCH_PARTS)
        kquant_kind(shape)->fit(&work.groups[i / SEARCH_PARTS], shape->range, work.scales + i);
    for (int i = 0; i < work.n_parts; i++)
        largest = fabsf(work.scales[i]) > fabsf(largest) ? work.scales[i] : largest;
    *fit = (struct kquant_fit){.scale = encode_scale(largest / (float)shape->low_scale)};
    if ((fit->scale & 0x7fff) == 0)
        *fit = (struct kquant_fit){0};
    else if (fit->scale != BITS_F16_NAN)
        for (int i = 0; i < work.n_parts; i += SEARCH_PARTS)
            kquant_settle(&work, i, shape, fit, 0);
}
