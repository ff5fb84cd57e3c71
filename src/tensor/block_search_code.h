/*
 * The loops of block_search.h for the instruction set that the including file is compiled for; it
 * names the table, SEARCH_TABLE, and the lanes of a vector, LANES. Every lane is a part of its own.
 */
#include "tensor/block_bits.h"
#include "tensor/block_search.h"

#include <math.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t lanes_bits __attribute__((vector_size(4 * LANES)));

#define SEARCH_TINY 0x1p-100f
#define SEARCH_TINY_TABLE 1e-15f /* ggml's; a part without a larger magnitude counts as 0 */

static inline lanes lanes_set(float value)
{
    return value - (lanes){0};
}
static inline lanes lanes_load(const float *from)
{
    lanes a;
    memcpy(&a, from, sizeof a);
    return a;
}
static inline void lanes_store(float *to, lanes a)
{
    memcpy(to, &a, sizeof a);
}
static inline lanes lanes_if(lanes_bits mask, lanes yes, lanes no)
{
    return (lanes)(((lanes_bits)yes & mask) | ((lanes_bits)no & ~mask));
}
static inline lanes lanes_min(lanes a, lanes b)
{
    return lanes_if(a < b, a, b);
}
static inline lanes lanes_max(lanes a, lanes b)
{
    return lanes_if(a > b, a, b);
}
static inline lanes lanes_magnitude(lanes a)
{
    return (lanes)((lanes_bits)a & 0x7fffffff);
}
/* To the nearest whole number, of two the even one; magnitudes below 2^22. */
static inline lanes lanes_round(lanes a)
{
    return (a + 0x1.8p23f) - 0x1.8p23f;
}
static inline lanes lanes_clamp(lanes a, float low, float high)
{
    return lanes_min(lanes_max(a, lanes_set(low)), lanes_set(high));
}
/* 1 / a, and 0 where a is nearly 0. */
static inline lanes lanes_inverse(lanes a)
{
    return lanes_if(lanes_magnitude(a) > SEARCH_TINY, 1 / a, lanes_set(0));
}

static void search_gather(const float *values, int len, float share, struct search_group *group)
{
    float squares[SEARCH_PARTS] = {0};
    group->len = len;
    for (int i = 0; i < len; i++)
        for (int part = 0; part < SEARCH_PARTS; part++)
            group->values[i][part] = values[part * len + i];
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        lanes sum = lanes_set(0);
        for (int i = 0; i < len; i++) {
            const lanes x = lanes_load(group->values[i] + at);
            sum += x * x;
        }
        lanes_store(squares + at, sum);
    }
    for (int part = 0; part < SEARCH_PARTS; part++)
        squares[part] = share * sqrtf(squares[part] / (float)len);
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes mean = lanes_load(squares + at);
        for (int i = 0; i < len; i++)
            lanes_store(group->weights[i] + at,
                        mean + lanes_magnitude(lanes_load(group->values[i] + at)));
    }
}

/* What with_min's tries share: of values above the least one, their range and sums. */
struct search_sums {
    lanes least, span, w, wx, wxx;
};

static inline struct search_sums search_sums_of(const struct search_group *g, int at)
{
    lanes least = lanes_set(0), most = lanes_load(g->values[0] + at);
    for (int i = 0; i < g->len; i++) {
        const lanes x = lanes_load(g->values[i] + at);
        least = lanes_min(least, x);
        most = lanes_max(most, x);
    }
    struct search_sums s = {least, most - least, lanes_set(0), lanes_set(0), lanes_set(0)};
    for (int i = 0; i < g->len; i++) {
        const lanes w = lanes_load(g->weights[i] + at);
        const lanes x = lanes_load(g->values[i] + at) - least, wx = w * x;
        s.w += w;
        s.wx += wx;
        s.wxx += wx * x;
    }
    return s;
}

/*
 * With elements q of one try, scale and minimum are those of least squares: of x, the values above
 * the least one, the line scale * q + offset; or that through zero, where the minimum were to be
 * above it. Their error follows from the sums.
 */
static void search_with_min(const struct search_group *g, struct search_range range, float *scale,
                            float *min)
{
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const struct search_sums s = search_sums_of(g, at);
        const lanes inverse_span = lanes_inverse(s.span);
        /* what stays where all values above 0 are alike */
        lanes best_scale = s.span / (float)range.high, best_min = -s.least;
        lanes best = lanes_set(INFINITY);
        for (int k = 0; k < range.tries; k++) {
            const float width = (float)range.high + range.first + range.step * (float)k;
            const lanes inverse = width * inverse_span;
            lanes wq = lanes_set(0), wqq = wq, wxq = wq;
            for (int i = 0; i < g->len; i++) {
                const lanes w = lanes_load(g->weights[i] + at);
                const lanes x = lanes_load(g->values[i] + at) - s.least;
                const lanes q = lanes_min(lanes_round(x * inverse), lanes_set((float)range.high));
                const lanes weighted = w * q;
                wq += weighted;
                wqq += weighted * q;
                wxq += weighted * x;
            }
            const lanes determinant = s.w * wqq - wq * wq;
            const lanes inverse_determinant = lanes_inverse(lanes_max(determinant, lanes_set(0)));
            lanes a = (s.w * wxq - s.wx * wq) * inverse_determinant;
            lanes b = (wqq * s.wx - wq * wxq) * inverse_determinant;
            const lanes_bits is_above = b > -s.least;
            a = lanes_if(is_above, (wxq + s.least * wq) * lanes_inverse(wqq), a);
            b = lanes_if(is_above, -s.least, b);
            const lanes error =
                s.wxx + a * (a * wqq - 2 * wxq) + b * (2 * a * wq - 2 * s.wx + b * s.w);
            const lanes_bits is_better = (error < best) & (determinant > 0) & (a > 0);
            best = lanes_if(is_better, error, best);
            best_scale = lanes_if(is_better, a, best_scale);
            best_min = lanes_if(is_better, -(b + s.least), best_min);
        }
        lanes_store(scale + at, best_scale);
        lanes_store(min + at, lanes_max(best_min, lanes_set(0)));
    }
}

/* The value of largest magnitude of each part; the first of two. */
static inline lanes search_largest(const struct search_group *g, int at)
{
    lanes magnitude = lanes_set(0), largest = magnitude;
    for (int i = 0; i < g->len; i++) {
        const lanes x = lanes_load(g->values[i] + at);
        const lanes_bits is_larger = lanes_magnitude(x) > magnitude;
        magnitude = lanes_if(is_larger, lanes_magnitude(x), magnitude);
        largest = lanes_if(is_larger, x, largest);
    }
    return largest;
}

/* The value of largest magnitude of each part comes near an end of the elements' range; the scale
 * of least squares follows, and the error is smallest where products^2 / squares is largest. */
static void search_symmetric(const struct search_group *g, struct search_range range, float *scale)
{
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes inverse_largest = lanes_inverse(search_largest(g, at));
        lanes best = lanes_set(0), best_scale = best;
        for (int k = 0; k < range.tries; k++) {
            const float width = (float)range.low - range.first - range.step * (float)k;
            const lanes inverse = width * inverse_largest;
            lanes products = lanes_set(0), squares = products;
            for (int i = 0; i < g->len; i++) {
                const lanes x = lanes_load(g->values[i] + at);
                const lanes q =
                    lanes_clamp(lanes_round(x * inverse), (float)range.low, (float)range.high);
                const lanes weighted = lanes_load(g->weights[i] + at) * q;
                products += weighted * x;
                squares += weighted * q;
            }
            const lanes a = products * lanes_inverse(squares), gain = a * products;
            const lanes_bits is_better = gain > best;
            best = lanes_if(is_better, gain, best);
            best_scale = lanes_if(is_better, a, best_scale);
        }
        lanes_store(scale + at, best_scale);
    }
}

static inline lanes search_rounded(lanes x, lanes min, lanes inverse, struct search_range range)
{
    return lanes_clamp(lanes_round((x + min) * inverse), (float)range.low, (float)range.high);
}

static void search_errors(const struct search_group *g, struct search_range range,
                          const float *scale, const float *min, float *errors)
{
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes a = lanes_load(scale + at), b = lanes_load(min + at);
        const lanes inverse = lanes_inverse(a);
        lanes sum = lanes_set(0);
        for (int i = 0; i < g->len; i++) {
            const lanes x = lanes_load(g->values[i] + at);
            const lanes error = a * search_rounded(x, b, inverse, range) - b - x;
            sum += lanes_load(g->weights[i] + at) * (error * error);
        }
        lanes_store(errors + at, sum);
    }
}

static void search_elements(const struct search_group *g, struct search_range range,
                            const float *scale, const float *min, uint8_t *elements)
{
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes b = lanes_load(min + at), inverse = lanes_inverse(lanes_load(scale + at));
        for (int i = 0; i < g->len; i++) {
            const lanes x = lanes_load(g->values[i] + at);
            float q[LANES];
            lanes_store(q, search_rounded(x, b, inverse, range) - (float)range.low);
            for (int k = 0; k < LANES; k++)
                elements[(at + k) * g->len + i] = (uint8_t)(int)q[k];
        }
    }
}

/* Twice what lies halfway between a value of the table and the next: whole numbers. */
static inline float search_middle(int k)
{
    return (float)(bits_iq4[k] + bits_iq4[k + 1]);
}

/* The nearest value of the table; halfway the greater one. */
static inline lanes search_nearest(lanes x)
{
    lanes_bits nearest = (lanes_bits){0} + bits_iq4[0];
    for (int k = 0; k < 15; k++)
        nearest += (x + x >= search_middle(k)) & (bits_iq4[k + 1] - bits_iq4[k]);
    return __builtin_convertvector(nearest, lanes);
}

/* The scale of least squares of elements that come with a step, and how much it is worth. */
static inline void search_table_try(const struct search_group *g, int at, lanes inverse,
                                    lanes *scale, lanes *products, lanes *squares)
{
    *products = *squares = lanes_set(0);
    for (int i = 0; i < g->len; i++) {
        const lanes x = lanes_load(g->values[i] + at), element = search_nearest(x * inverse);
        const lanes weighted = lanes_load(g->weights[i] + at) * element;
        *products += weighted * x;
        *squares += weighted * element;
    }
    *scale = lanes_if(*squares > 0, *products / *squares, lanes_set(0));
}

/* The value of largest magnitude comes near the least value of the table, or, in the first try,
 * near the greatest. */
static void search_table(const struct search_group *g, struct search_range range, float *scale)
{
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes largest = search_largest(g, at);
        const lanes_bits is_none = lanes_magnitude(largest) < SEARCH_TINY_TABLE;
        const lanes safe = lanes_if(is_none, lanes_set(1), largest);
        lanes a, products, squares;
        search_table_try(g, at, 1 / (-safe / bits_iq4[0]), &a, &products, &squares);
        lanes best_scale = a, best = a * products;
        for (int k = 0; k < range.tries; k++) {
            const float end = bits_iq4[0] + range.first + range.step * (float)k;
            search_table_try(g, at, end / safe, &a, &products, &squares);
            const lanes_bits is_better = (squares > 0) & (products * products > best * squares);
            best_scale = lanes_if(is_better, a, best_scale);
            best = lanes_if(is_better, a * products, best);
        }
        lanes_store(scale + at, lanes_if(is_none, lanes_set(0), best_scale));
    }
}

static void search_table_errors(const struct search_group *g, struct search_range range,
                                const float *scale, const float *min, float *errors)
{
    (void)range;
    (void)min;
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes a = lanes_load(scale + at), inverse = lanes_inverse(a);
        lanes sum = lanes_set(0);
        for (int i = 0; i < g->len; i++) {
            const lanes x = lanes_load(g->values[i] + at);
            const lanes error = a * search_nearest(x * inverse) - x;
            sum += lanes_load(g->weights[i] + at) * (error * error);
        }
        lanes_store(errors + at, sum);
    }
}

static void search_table_elements(const struct search_group *g, struct search_range range,
                                  const float *scale, const float *min, uint8_t *elements)
{
    (void)range;
    (void)min;
    for (int at = 0; at < SEARCH_PARTS; at += LANES) {
        const lanes inverse = lanes_inverse(lanes_load(scale + at));
        for (int i = 0; i < g->len; i++) {
            const lanes x = lanes_load(g->values[i] + at) * inverse;
            lanes_bits place = {0};
            for (int k = 0; k < 15; k++)
                place -= x + x >= search_middle(k);
            int32_t q[LANES];
            memcpy(q, &place, sizeof q);
            for (int k = 0; k < LANES; k++)
                elements[(at + k) * g->len + i] = (uint8_t)q[k];
        }
    }
}

/* Vectors that are compared with a number while it is at hand. */
#define SEARCH_AHEAD (32 / LANES)

static void search_places(const float *values, int n, float factor, const float middles[15],
                          uint8_t *places)
{
    for (int at = 0; at < n; at += 32) {
        lanes x[SEARCH_AHEAD];
        lanes_bits place[SEARCH_AHEAD];
        int32_t whole[32];
        for (int k = 0; k < SEARCH_AHEAD; k++) {
            x[k] = lanes_load(values + at + k * LANES) * factor;
            place[k] = (lanes_bits){0};
        }
        for (int middle = 0; middle < 15; middle++)
            for (int k = 0; k < SEARCH_AHEAD; k++)
                place[k] -= x[k] > middles[middle];
        memcpy(whole, place, sizeof whole);
        for (int i = 0; i < 32; i++)
            places[at + i] = (uint8_t)whole[i];
    }
}

const struct block_search SEARCH_TABLE = {
    .gather = search_gather,
    .with_min = search_with_min,
    .places = search_places,
    .linear = {search_symmetric, search_errors, search_elements},
    .table = {search_table, search_table_errors, search_table_elements}};
