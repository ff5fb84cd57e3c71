/*
 * The loops of softmax.h, for the instruction set that the including file is compiled for; it names
 * the table: SOFTMAX_TABLE. Plain C that compilers turn into vectors: what is summed are whole
 * numbers, and everything else is done for each logit alone, so no width changes a bit.
 */
#include "sample/softmax.h"

#include <math.h>
#include <string.h>

#define LANES 8
#define TALLY_STRETCH 256 /* logits whose buckets and masses are made before they are added */

static inline float score_of(float x, struct sw_scale scale)
{
    const float score = (x - scale.best) * scale.inverse;
    return score > SW_SCORE_MIN ? score : SW_SCORE_MIN;
}

/*
 * exp(x) for SW_SCORE_MIN <= x <= 0, without a branch so that loops over it become vector code:
 * 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2].
 */
static inline float exp_score(float x)
{
    const int32_t whole = (int32_t)(x * 1.44269504f - 0.5f);
    const float k = (float)whole;
    const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (whole + 127) * (1 << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline int32_t bucket_of(float x, struct sw_scale scale)
{
    return (int32_t)(score_of(x, scale) * (float)-SW_TALLY_STEPS);
}

/* The greatest of x[0..n); adds to *bad where one is NaN or +inf. */
static inline float peak_of(const float *x, size_t n, int32_t *bad)
{
    float lanes[4 * LANES], most = -INFINITY;
    int32_t bads = 0;
    for (size_t lane = 0; lane < 4 * LANES; lane++)
        lanes[lane] = -INFINITY;
    for (size_t i = 0; i < n / (4 * LANES) * (4 * LANES); i += 4 * LANES)
        for (size_t lane = 0; lane < 4 * LANES; lane++) {
            lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
            bads |= x[i + lane] < INFINITY ? 0 : 1;
        }
    for (size_t i = n / (4 * LANES) * (4 * LANES); i < n; i++) {
        most = x[i] > most ? x[i] : most;
        bads |= x[i] < INFINITY ? 0 : 1;
    }
    for (size_t lane = 0; lane < 4 * LANES; lane++)
        most = lanes[lane] > most ? lanes[lane] : most;
    *bad |= bads;
    return most;
}

static bool logit_peaks(const float *x, size_t n, float *greatest)
{
    int32_t bad = 0;
    size_t i = 0;
    for (; i + SW_LOGIT_BLOCK <= n; i += SW_LOGIT_BLOCK)
        *greatest++ = peak_of(x + i, SW_LOGIT_BLOCK, &bad);
    if (i < n)
        *greatest = peak_of(x + i, n - i, &bad);
    return bad;
}

static uint64_t logit_exponentials(const float *x, size_t n, struct sw_scale scale, float *exps)
{
    uint64_t sum = 0;
    /* In loops of their own, because the bound in one with exp made gcc branch on it. */
    for (size_t i = 0; i < n; i++)
        exps[i] = score_of(x[i], scale);
    for (size_t i = 0; i < n; i++)
        exps[i] = exp_score(exps[i]);
    for (size_t i = 0; i < n; i++)
        sum += sw_mass_of(exps[i]);
    return sum;
}

static void tally_logits(const float *x, const float *exps, size_t n, struct sw_scale scale,
                         uint64_t *sums)
{
    uint64_t masses[TALLY_STRETCH];
    int32_t buckets[TALLY_STRETCH];
    for (size_t done = 0; done < n; done += TALLY_STRETCH) {
        const size_t m = n - done < TALLY_STRETCH ? n - done : TALLY_STRETCH;
        for (size_t i = 0; i < m; i++)
            buckets[i] = bucket_of(x[done + i], scale);
        for (size_t i = 0; i < m; i++)
            masses[i] = sw_mass_of(exps[done + i]);
        for (size_t i = 0; i < m; i++)
            sums[buckets[i]] += masses[i];
    }
}

static size_t find_in_bucket(const float *x, size_t n, struct sw_scale scale, uint32_t bucket,
                             uint32_t base, uint32_t *where)
{
    const int32_t wanted = (int32_t)bucket;
    size_t count = 0;
    for (size_t i = 0; i < n; i += SW_LOGIT_BLOCK) {
        const size_t end = n - i < SW_LOGIT_BLOCK ? n : i + SW_LOGIT_BLOCK;
        int32_t any = 0;
        for (size_t k = i; k < end; k++)
            any |= bucket_of(x[k], scale) == wanted;
        for (size_t k = i; any && k < end; k++) {
            where[count] = base + (uint32_t)k;
            count += bucket_of(x[k], scale) == wanted;
        }
    }
    return count;
}

static uint64_t mass_of_logits(const float *x, const float *exps, size_t n, float bound,
                               float least)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += sw_mass_of(((x[i] >= bound) & (exps[i] >= least)) ? exps[i] : 0.0f);
    return sum;
}

const struct sw_softmax_code SOFTMAX_TABLE = {
    .peaks = logit_peaks,
    .exponentials = logit_exponentials,
    .tally = tally_logits,
    .find = find_in_bucket,
    .mass = mass_of_logits,
};
