/*
 * Owns sampling. Candidates are narrowed by selection over the bits of their scores (a histogram
 * at a time), never by a full sort, and first by a bound that vector code finds, so that a
 * vocabulary of 250 000 costs a few passes over it and the rest is about the few that can matter.
 * Sums that decide are made in the order of ids.
 */
#include "text/sampler.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define BUCKET_BITS 11
#define BUCKETS (1 << BUCKET_BITS)
#define BLOCK 64 /* logits whose greatest is looked at first */

struct sw_sampler {
    size_t max_vocab;
    float *scores;   /* (max_vocab) of the candidates, in the order of ids */
    int32_t *ids;    /* (max_vocab) of the candidates */
    float *weights;  /* (max_vocab) exp(score) of each candidate */
    uint32_t *among; /* (max_vocab) candidates that a selection has come down to */
    uint64_t *seen;  /* (max_vocab / 64 + 1) bits: ids of the history */
    double mass[BUCKETS];
};

struct sw_sampling sw_sampling_default(void)
{
    return (struct sw_sampling){.top_p = 1, .repetition_penalty = 1, .logprobs = -1};
}

enum sw_status sw_sampling_check(const struct sw_sampling *sampling)
{
    /* Written so that a NaN fails every row. */
    const struct {
        const char *name, *range;
        double value;
        bool good;
    } rows[] = {
        {"temperature", "0 to 100", (double)sampling->temperature,
         sampling->temperature >= 0 && sampling->temperature <= 100},
        {"top_k", "0 (off) or more", sampling->top_k, sampling->top_k >= 0},
        {"top_p", "above 0, up to 1 (off)", (double)sampling->top_p,
         sampling->top_p > 0 && sampling->top_p <= 1},
        {"min_p", "0 (off) to 1", (double)sampling->min_p,
         sampling->min_p >= 0 && sampling->min_p <= 1},
        {"repetition_penalty", "0.01 to 100, 1 is off", (double)sampling->repetition_penalty,
         sampling->repetition_penalty >= 0.01f && sampling->repetition_penalty <= 100},
        {"logprobs", "-1 (off) to 32", sampling->logprobs,
         sampling->logprobs >= -1 && sampling->logprobs <= SW_TOP_LOGPROBS_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!rows[i].good)
            return sw_fail(SW_EUSAGE, "%s is %g; it may be %s", rows[i].name, rows[i].value,
                           rows[i].range);
    return SW_OK;
}

enum sw_status sw_sampler_create(size_t max_vocab, struct sw_sampler **out)
{
    struct sw_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler && max_vocab > 0 && max_vocab < (size_t)1 << 30) {
        sampler->max_vocab = max_vocab;
        sampler->scores = malloc(max_vocab * sizeof *sampler->scores);
        sampler->ids = malloc(max_vocab * sizeof *sampler->ids);
        sampler->among = malloc(max_vocab * sizeof *sampler->among);
        sampler->weights = calloc(max_vocab, sizeof *sampler->weights);
        sampler->seen = calloc(max_vocab / 64 + 1, sizeof *sampler->seen);
        if (sampler->scores && sampler->ids && sampler->among && sampler->weights &&
            sampler->seen) {
            *out = sampler;
            return SW_OK;
        }
    }
    sw_sampler_free(sampler);
    return sw_fail(SW_ENOMEM, "no memory to sample from a vocabulary of %zu ids", max_vocab);
}

void sw_sampler_free(struct sw_sampler *sampler)
{
    if (!sampler)
        return;
    free(sampler->scores);
    free(sampler->ids);
    free(sampler->among);
    free(sampler->weights);
    free(sampler->seen);
    free(sampler);
}

double sw_uniform(uint64_t seed, uint64_t position)
{
    uint32_t c[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                                  (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        memcpy(c, next, sizeof c);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const uint64_t bits = (uint64_t)c[0] << 32 | c[1];
    return (double)(bits >> 11) * 0x1p-53;
}

/*
 * exp(x) for x <= 0, within 2 units in the last place, without a branch so that loops over it
 * become vector code: 2^k times a polynomial on [-ln 2 / 2, ln 2 / 2].
 */
static inline float exp_negative(float x)
{
    x = x < -87.0f ? -87.0f : x;
    const float k = (float)(int32_t)(x * 1.44269504f - 0.5f);
    const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = ((int32_t)k + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* The greatest of x[0..n), -inf of none; NaNs are passed over. */
static float greatest(const float *x, size_t n)
{
    const size_t whole = n / LANES * LANES;
    float lanes[LANES], most = -INFINITY;
    for (size_t lane = 0; lane < LANES; lane++)
        lanes[lane] = -INFINITY;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    for (size_t lane = 0; lane < n - whole; lane++)
        most = x[whole + lane] > most ? x[whole + lane] : most;
    for (size_t lane = 0; lane < LANES; lane++)
        most = lanes[lane] > most ? lanes[lane] : most;
    return most;
}

/* Whether one of x[0..n) is NaN or +inf. */
static bool has_bad(const float *x, size_t n)
{
    int32_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= x[i] < INFINITY ? 0 : 1;
    return bad;
}

/* Where `value` is first; it is one of x[0..n). */
static size_t first_of(const float *x, size_t n, float value)
{
    size_t i = 0;
    while (i < n && x[i] != value)
        i++;
    return i;
}

/* The greatest logit, the lowest id among equals. -1 when one is NaN or +inf, or all are -inf. */
static int32_t best_of(const float *logits, size_t n)
{
    const float best = greatest(logits, n);
    if (!(best > -INFINITY) || has_bad(logits, n))
        return -1;
    return (int32_t)first_of(logits, n, best);
}

/* log(sum(exp(logits))), summed in a fixed number of lanes: the same on every machine. */
static double log_sum(const float *logits, size_t n, float best)
{
    float lanes[LANES] = {0};
    double sum = 0;
    for (size_t i = 0; i < n;) {
        /* Single-precision lanes for a short stretch, then into the double. */
        const size_t stretch = n - i < 1024 ? n - i : 1024;
        const size_t whole = stretch / LANES * LANES;
        for (size_t k = 0; k < whole; k += LANES)
            for (size_t lane = 0; lane < LANES; lane++)
                lanes[lane] += exp_negative(logits[i + k + lane] - best);
        for (size_t k = whole; k < stretch; k++)
            lanes[k % LANES] += exp_negative(logits[i + k] - best);
        for (size_t lane = 0; lane < LANES; lane++) {
            sum += (double)lanes[lane];
            lanes[lane] = 0;
        }
        i += stretch;
    }
    return (double)best + log(sum);
}

enum sw_status sw_logits_undefined(void)
{
    return sw_fail(SW_EDEVICE,
                   "the logits hold NaN or infinity, or nothing else than -infinity: a layer "
                   "overflowed or its weights are damaged; try --weights with a wider format");
}

enum sw_status sw_logprob_of(const float *logits, size_t limit, int32_t id, float *logprob,
                             bool *greedy)
{
    const int32_t best = best_of(logits, limit);
    if (best < 0)
        return sw_logits_undefined();
    if (id < 0 || (size_t)id >= limit)
        return sw_fail(SW_EINPUT, "id %d is outside the %zu logits", id, limit);
    *logprob = (float)((double)logits[id] - log_sum(logits, limit, logits[best]));
    *greedy = id == best;
    return SW_OK;
}

/* The `wanted` greatest logits, greatest first, the lowest id first among equals. */
static int32_t top_of(const float *logits, size_t n, int32_t wanted, double log_total,
                      struct sw_alternative *top)
{
    int32_t have = 0;
    for (size_t i = 0; wanted > 0 && i < n; i++) {
        /* Blocks without one that would count are passed at once. */
        for (; have == wanted && i % BLOCK == 0 && i + BLOCK <= n; i += BLOCK)
            if (greatest(logits + i, BLOCK) > top[have - 1].logprob)
                break;
        if (i == n)
            break;
        if (logits[i] == -INFINITY || (have == wanted && logits[i] <= top[have - 1].logprob))
            continue;
        int32_t at = have < wanted ? have++ : have - 1;
        for (; at > 0 && top[at - 1].logprob < logits[i]; at--)
            top[at] = top[at - 1];
        top[at] = (struct sw_alternative){(int32_t)i, logits[i]};
    }
    for (int32_t i = 0; i < have; i++)
        top[i].logprob = (float)((double)top[i].logprob - log_total);
    return have;
}

/* An integer that orders as the float does. */
static uint32_t key_of(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The bucket at which the sum from the last one down, begun with *above, first reaches `wanted`;
 * *above becomes the sum before it. */
static uint32_t bucket_of(const double *mass, uint32_t last, double wanted, double *above)
{
    uint32_t lowest = last;
    double sum = *above;
    for (uint32_t bucket = last + 1; bucket-- > 0;) {
        if (!(mass[bucket] > 0))
            continue;
        *above = sum;
        if (sum + mass[bucket] >= wanted)
            return bucket;
        sum += mass[bucket];
        lowest = bucket;
    }
    *above = sum - mass[lowest]; /* rounding left it just short: the last one that has any */
    return lowest;
}

/*
 * The key at which the candidates' weights, summed from the greatest score down, first reach
 * `wanted`; *above is the sum over greater keys. Histograms of 11, 11 and 10 bits of the key.
 * Without weights each candidate counts 1. All keys when the whole sum is less.
 */
static uint32_t select_key(struct sw_sampler *sampler, size_t n, const float *weights,
                           double wanted, double *above)
{
    static const unsigned shifts[] = {21, 10, 0};
    const float *scores = sampler->scores;
    uint32_t prefix = 0, known = 0; /* the key's upper bits found so far, and their mask */
    *above = 0;
    for (size_t round = 0; round < 3; round++) {
        const unsigned shift = shifts[round];
        const uint32_t mask = round == 2 ? 0x3FF : BUCKETS - 1;
        memset(sampler->mass, 0, sizeof sampler->mass);
        for (size_t i = 0; i < n; i++) {
            const size_t at = round == 0 ? i : sampler->among[i];
            sampler->mass[key_of(scores[at]) >> shift & mask] +=
                weights ? (double)weights[at] : 1.0;
        }
        prefix |= bucket_of(sampler->mass, mask, wanted, above) << shift;
        known |= mask << shift;
        size_t count = 0; /* those whose key goes on like that; without a branch to guess */
        for (size_t i = 0; round < 2 && i < n; i++) {
            const size_t at = round == 0 ? i : sampler->among[i];
            sampler->among[count] = (uint32_t)at;
            count += (key_of(scores[at]) & known) == prefix;
        }
        n = count;
    }
    return prefix;
}

/* Moves a candidate to a place before it or its own, where it stays if it is `wanted`; is 1 then.
 */
static size_t move(struct sw_sampler *sampler, size_t from, size_t to, bool wanted)
{
    sampler->scores[to] = sampler->scores[from];
    sampler->weights[to] = sampler->weights[from];
    sampler->ids[to] = sampler->ids[from];
    return wanted;
}

/* Keeps the candidates of at least this score, with their weights; order stays. */
static size_t keep_from(struct sw_sampler *sampler, size_t n, float score)
{
    size_t kept = 0;
    for (size_t i = 0, end; i < n; i = end) {
        end = i + BLOCK < n ? i + BLOCK : n;
        if (!(greatest(sampler->scores + i, end - i) >= score))
            continue;
        for (; i < end; i++)
            kept += move(sampler, i, kept, sampler->scores[i] >= score);
    }
    return kept;
}

/* The score whose key it is; the other way round than key_of. */
static float score_of(uint32_t key)
{
    const uint32_t bits = key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/*
 * A score that at least k candidates have: of the blocks' greatest ones the k-th. What lies below
 * is not among the k greatest. Uses `weights` for the blocks'.
 */
static float bound_of_top_k(struct sw_sampler *sampler, size_t n, int32_t k)
{
    size_t blocks = 0;
    double above;
    if (n / BLOCK < 2 * (size_t)k)
        return -INFINITY;
    float *scores = sampler->scores;
    for (size_t i = 0; i + BLOCK <= n; i += BLOCK)
        sampler->weights[blocks++] = greatest(scores + i, BLOCK);
    sampler->scores = sampler->weights;
    const float bound = score_of(select_key(sampler, blocks, NULL, k, &above));
    sampler->scores = scores;
    return bound;
}

static size_t keep_top_k(struct sw_sampler *sampler, size_t n, int32_t k)
{
    double above;
    if (k <= 0 || (size_t)k >= n)
        return n;
    n = keep_from(sampler, n, bound_of_top_k(sampler, n, k));
    const uint32_t key = select_key(sampler, n, NULL, k, &above);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        kept += move(sampler, i, kept, key_of(sampler->scores[i]) >= key);
    return kept;
}

/* Scores are relative to the best one, which weighs 1. Returns the sum of the weights. */
static double weigh(struct sw_sampler *sampler, size_t n)
{
    const float *scores = sampler->scores;
    float *weights = sampler->weights;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        weights[i] = exp_negative(scores[i]);
    for (size_t i = 0; i < n; i++)
        sum += (double)weights[i];
    return sum;
}

/*
 * A score so low that all candidates below together weigh less than half of what top-p leaves out,
 * so the share is reached above it; where a bucket of select_key's first histogram begins, so that
 * those above hold what they would hold with all.
 */
static float bound_of_top_p(double sum, size_t n, float p)
{
    const double rest = (1 - (double)p) * sum / 2 / (double)n;
    if (!(rest > 1e-30))
        return -INFINITY;
    return score_of(key_of((float)log(rest) - 1.0f) & ~((1u << 21) - 1));
}

/* The fewest candidates, likeliest first, whose share reaches p; at least one. */
static size_t keep_top_p(struct sw_sampler *sampler, size_t n, float p)
{
    double above;
    if (!(p < 1) || n < 2)
        return n;
    const double sum = weigh(sampler, n), wanted = (double)p * sum;
    n = keep_from(sampler, n, bound_of_top_p(sum, n, p));
    const uint32_t key = select_key(sampler, n, sampler->weights, wanted, &above);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t mine = key_of(sampler->scores[i]);
        const bool equal = mine == key && above < wanted;
        if (equal) /* of equals the lowest ids, until the share is reached */
            above += (double)sampler->weights[i];
        kept += move(sampler, i, kept, mine > key || equal);
    }
    return kept;
}

static size_t keep_min_p(struct sw_sampler *sampler, size_t n, float min_p)
{
    return min_p > 0 ? keep_from(sampler, n, logf(min_p)) : n;
}

/* Divides positive logits of the ids in the history, multiplies negative ones; each id once. */
static void penalise(struct sw_sampler *sampler, float penalty, const int32_t *history,
                     size_t n_history, size_t limit)
{
    for (size_t i = 0; i < n_history; i++) {
        const int32_t id = history[i];
        if (id < 0 || (size_t)id >= limit || (sampler->seen[id / 64] >> (id % 64) & 1))
            continue;
        sampler->seen[id / 64] |= (uint64_t)1 << (id % 64);
        float *score = &sampler->scores[id];
        const float changed = *score < 0 ? *score * penalty : *score / penalty;
        *score = changed > FLT_MAX ? FLT_MAX : changed;
    }
    for (size_t i = 0; i < n_history; i++)
        if (history[i] >= 0 && (size_t)history[i] < limit)
            sampler->seen[history[i] / 64] = 0;
}

static int32_t draw(struct sw_sampler *sampler, size_t n, double uniform)
{
    double left = uniform * weigh(sampler, n);
    int32_t id = sampler->ids[0];
    for (size_t i = 0; i < n; i++) {
        if (!(sampler->weights[i] > 0))
            continue;
        id = sampler->ids[i];
        left -= (double)sampler->weights[i];
        if (left < 0)
            break;
    }
    return id;
}

/* Scores relative to the best one, so that no temperature makes them overflow upwards, of those
 * that are possible at all. */
static size_t relate(struct sw_sampler *sampler, size_t n, float best, float temperature)
{
    float *scores = sampler->scores;
    for (size_t i = 0; i < n; i++) {
        const float score = (scores[i] - best) / temperature;
        scores[i] = scores[i] < best ? score : 0;
    }
    for (size_t i = 0; i < n; i++)
        sampler->ids[i] = (int32_t)i;
    return keep_from(sampler, n, -FLT_MAX);
}

static int32_t pick(struct sw_sampler *sampler, const struct sw_sampling *sampling,
                    const float *logits, size_t limit, const int32_t *history, size_t n_history,
                    uint64_t position, int32_t best_id)
{
    const bool penalised = sampling->repetition_penalty != 1.0f && n_history > 0;
    if (sampling->temperature <= 0 && !penalised)
        return best_id;
    memcpy(sampler->scores, logits, limit * sizeof *logits);
    if (penalised)
        penalise(sampler, sampling->repetition_penalty, history, n_history, limit);
    const float best = greatest(sampler->scores, limit);
    if (sampling->temperature <= 0)
        return (int32_t)first_of(sampler->scores, limit, best);
    size_t n = relate(sampler, limit, best, sampling->temperature);
    n = keep_top_k(sampler, n, sampling->top_k);
    n = keep_top_p(sampler, n, sampling->top_p);
    n = keep_min_p(sampler, n, sampling->min_p);
    return draw(sampler, n, sw_uniform(sampling->seed, position));
}

enum sw_status sw_sampler_pick(struct sw_sampler *sampler, const struct sw_sampling *sampling,
                               const float *logits, size_t n_vocab, size_t limit,
                               const int32_t *history, size_t n_history, uint64_t position,
                               struct sw_sampled *out)
{
    if (limit == 0 || limit > n_vocab || limit > sampler->max_vocab)
        return sw_fail(SW_EINPUT, "%zu ids of %zu logits, with room for %zu", limit, n_vocab,
                       sampler->max_vocab);
    const int32_t best = best_of(logits, limit);
    if (best < 0)
        return sw_logits_undefined();
    *out = (struct sw_sampled){
        .id = pick(sampler, sampling, logits, limit, history, n_history, position, best)};
    if (sampling->logprobs < 0)
        return SW_OK;
    const double log_total = log_sum(logits, limit, logits[best]);
    out->logprob = (float)((double)logits[out->id] - log_total);
    out->n_top =
        top_of(logits, limit,
               sampling->logprobs < SW_TOP_LOGPROBS_MAX ? sampling->logprobs : SW_TOP_LOGPROBS_MAX,
               log_total, out->top);
    return SW_OK;
}
