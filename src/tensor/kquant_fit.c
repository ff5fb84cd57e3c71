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

/* What a block's parts can be tried with. */
struct kquant_trial {
    const struct search_kind *kind;
    const struct kquant_shape *shape;
    const struct search_group *group;
    float unit, min_unit;
    struct kquant_numbers best;
    float errors[SEARCH_PARTS]; /* with the best */
};

/* Tries the best numbers moved by so many steps, and keeps them where the error is smaller. */
static void kquant_move(struct kquant_trial *t, int by, int min_by)
{
    const int low = t->shape->low_scale, high = t->shape->high_scale;
    struct kquant_numbers tried;
    float scales[SEARCH_PARTS], mins[SEARCH_PARTS], errors[SEARCH_PARTS];
    for (int i = 0; i < SEARCH_PARTS; i++) {
        tried.scales[i] = kquant_within(t->best.scales[i] + by, low, high);
        tried.mins[i] = kquant_within(t->best.mins[i] + min_by, 0, high);
        scales[i] = t->unit * (float)tried.scales[i];
        mins[i] = t->min_unit * (float)tried.mins[i];
    }
    t->kind->errors(t->group, t->shape->range, scales, mins, errors);
    for (int i = 0; i < SEARCH_PARTS; i++) {
        const bool is_better = errors[i] < t->errors[i];
        t->best.scales[i] = is_better ? tried.scales[i] : t->best.scales[i];
        t->best.mins[i] = is_better ? tried.mins[i] : t->best.mins[i];
        t->errors[i] = is_better ? errors[i] : t->errors[i];
    }
}

/* From the nearest numbers, or what has been better: none, of the scale, of the minimum, of both.
 */
static const struct {
    int scale, min;
} kquant_moves[] = {{0, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, -1}};

/* The parts of a group with numbers around the nearest ones, and the elements of the best. */
static void kquant_settle(const struct kquant_work *work, int first,
                          const struct kquant_shape *shape, struct kquant_fit *fit, bool has_min)
{
    struct kquant_trial t = {.kind = kquant_kind(shape),
                             .shape = shape,
                             .group = &work->groups[first / SEARCH_PARTS],
                             .unit = sw_f16_to_f32(fit->scale),
                             .min_unit = sw_f16_to_f32(fit->min),
                             .best = kquant_nearest(work, first, shape, fit)};
    float scales[SEARCH_PARTS], mins[SEARCH_PARTS];
    for (int i = 0; i < SEARCH_PARTS; i++)
        t.errors[i] = INFINITY;
    for (int k = 0; k < (has_min ? 7 : 3); k++)
        kquant_move(&t, kquant_moves[k].scale, kquant_moves[k].min);
    for (int i = 0; i < SEARCH_PARTS; i++) {
        fit->scales[first + i] = (int8_t)t.best.scales[i];
        fit->mins[first + i] = (uint8_t)t.best.mins[i];
        scales[i] = t.unit * (float)t.best.scales[i];
        mins[i] = t.min_unit * (float)t.best.mins[i];
    }
    t.kind->elements(t.group, shape->range, scales, mins, fit->elements + first * shape->len);
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
            kquant_settle(&work, i, shape, fit, true);
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
            kquant_settle(&work, i, shape, fit, false);
}
