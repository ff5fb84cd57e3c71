/*
 * The sampler's selections against the way that goes over all candidates at each step: the same
 * ids, log-probabilities and alternatives, bit for bit.
 */
#include "text/sampler.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything as it was when each step went over all candidates, for its bits. */
#define LANES 8
#define BUCKETS (1 << 11)
#define IDS_MAX 20000

struct candidate {
    float score;
    int32_t id;
};

static struct {
    struct candidate candidates[IDS_MAX];
    float weights[IDS_MAX];
    bool seen[IDS_MAX];
    double mass[BUCKETS];
} plain;

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

/* The greatest logit, the lowest id among equals. -1 when one is NaN or +inf, or all are -inf. */
static int32_t best_of(const float *logits, size_t n)
{
    float best = -INFINITY;
    int32_t id = -1;
    bool bad = false;
    for (size_t i = 0; i < n; i++) {
        bad |= !(logits[i] < INFINITY);
        if (logits[i] > best) {
            best = logits[i];
            id = (int32_t)i;
        }
    }
    return bad ? -1 : id;
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

/* The `wanted` greatest logits, greatest first, the lowest id first among equals. */
static int32_t top_of(const float *logits, size_t n, int32_t wanted, double log_total,
                      struct sw_alternative *top)
{
    int32_t have = 0;
    for (size_t i = 0; wanted > 0 && i < n; i++) {
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

/*
 * The key at which the candidates' weights, summed from the greatest score down, first reach
 * `wanted`; *above is the sum over greater keys. Histograms of 11, 11 and 10 bits of the key.
 * Without weights each candidate counts 1. All keys when the whole sum is less.
 */
static uint32_t select_key(size_t n, const float *weights, double wanted, double *above)
{
    static const unsigned shifts[] = {21, 10, 0};
    uint32_t prefix = 0, known = 0; /* the key's upper bits found so far, and their mask */
    *above = 0;
    for (size_t round = 0; round < 3; round++) {
        const unsigned shift = shifts[round];
        const uint32_t mask = round == 2 ? 0x3FF : BUCKETS - 1;
        memset(plain.mass, 0, sizeof plain.mass);
        for (size_t i = 0; i < n; i++) {
            const uint32_t key = key_of(plain.candidates[i].score);
            if ((key & known) == prefix)
                plain.mass[key >> shift & mask] += weights ? (double)weights[i] : 1.0;
        }
        uint32_t bucket = mask, lowest = mask;
        double sum = *above;
        for (;; bucket--) {
            if (plain.mass[bucket] > 0) {
                lowest = bucket;
                if (sum + plain.mass[bucket] >= wanted)
                    break;
                sum += plain.mass[bucket];
            }
            if (bucket == 0) { /* rounding left it just short: the last one that has any */
                bucket = lowest;
                sum -= plain.mass[lowest];
                break;
            }
        }
        *above = sum;
        prefix |= bucket << shift;
        known |= mask << shift;
    }
    return prefix;
}

/* Keeps the candidates that `weights` and a boundary leave; order stays. */
static size_t keep_from(size_t n, uint32_t key)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (key_of(plain.candidates[i].score) >= key)
            plain.candidates[kept++] = plain.candidates[i];
    return kept;
}

static size_t keep_top_k(size_t n, int32_t k)
{
    double above;
    if (k <= 0 || (size_t)k >= n)
        return n;
    return keep_from(n, select_key(n, NULL, k, &above));
}

/* Scores are relative to the best one, which weighs 1. Returns the sum of the weights. */
static double weigh(size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        plain.weights[i] = exp_negative(plain.candidates[i].score);
    for (size_t i = 0; i < n; i++)
        sum += (double)plain.weights[i];
    return sum;
}

/* The fewest candidates, likeliest first, whose share reaches p; at least one. */
static size_t keep_top_p(size_t n, float p)
{
    double above;
    if (!(p < 1) || n < 2)
        return n;
    const double wanted = (double)p * weigh(n);
    const uint32_t key = select_key(n, plain.weights, wanted, &above);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t mine = key_of(plain.candidates[i].score);
        if (mine < key || (mine == key && above >= wanted))
            continue;
        if (mine == key) /* of equals the lowest ids, until the share is reached */
            above += (double)plain.weights[i];
        plain.candidates[kept++] = plain.candidates[i];
    }
    return kept;
}

static size_t keep_min_p(size_t n, float min_p)
{
    size_t kept = 0;
    if (!(min_p > 0))
        return n;
    const float floor_score = logf(min_p);
    for (size_t i = 0; i < n; i++)
        if (plain.candidates[i].score >= floor_score)
            plain.candidates[kept++] = plain.candidates[i];
    return kept;
}

static void penalise(float penalty, const int32_t *history, size_t n_history, size_t limit)
{
    memset(plain.seen, 0, sizeof plain.seen);
    for (size_t i = 0; i < n_history; i++) {
        const int32_t id = history[i];
        if (id < 0 || (size_t)id >= limit || plain.seen[id])
            continue;
        plain.seen[id] = true;
        float *score = &plain.candidates[id].score;
        const float changed = *score < 0 ? *score * penalty : *score / penalty;
        *score = changed > FLT_MAX ? FLT_MAX : changed;
    }
}

static size_t best_candidate(const size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (plain.candidates[i].score > plain.candidates[best].score)
            best = i;
    return best;
}

static int32_t draw(size_t n, double uniform)
{
    double left = uniform * weigh(n);
    int32_t id = plain.candidates[0].id;
    for (size_t i = 0; i < n; i++) {
        if (!(plain.weights[i] > 0))
            continue;
        id = plain.candidates[i].id;
        left -= (double)plain.weights[i];
        if (left < 0)
            break;
    }
    return id;
}

static int32_t pick(const struct sw_sampling *sampling, const float *logits, size_t limit,
                    const int32_t *history, size_t n_history, uint64_t position, int32_t best_id)
{
    const bool penalised = sampling->repetition_penalty != 1.0f && n_history > 0;
    if (sampling->temperature <= 0 && !penalised)
        return best_id;
    for (size_t i = 0; i < limit; i++)
        plain.candidates[i] = (struct candidate){logits[i], (int32_t)i};
    if (penalised)
        penalise(sampling->repetition_penalty, history, n_history, limit);
    if (sampling->temperature <= 0)
        return plain.candidates[best_candidate(limit)].id;
    /* Relative to the best one, so that no temperature makes them overflow upwards. */
    const float best = plain.candidates[best_candidate(limit)].score;
    size_t n = 0;
    for (size_t i = 0; i < limit; i++) {
        const struct candidate *from = &plain.candidates[i];
        const float score = from->score < best ? (from->score - best) / sampling->temperature : 0;
        if (score > -INFINITY)
            plain.candidates[n++] = (struct candidate){score, from->id};
    }
    n = keep_top_k(n, sampling->top_k);
    n = keep_top_p(n, sampling->top_p);
    n = keep_min_p(n, sampling->min_p);
    return draw(n, sw_uniform(sampling->seed, position));
}

static uint64_t state = 88172645463325252u;

static uint64_t next_number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double next_uniform(void)
{
    return (double)(next_number() >> 11) * 0x1p-53;
}

/* One logit of a kind: equal, few values, some impossible, denormal, huge, coarse, plain ones. */
static float logit_of(uint64_t kind, double spread)
{
    const double normal =
        sqrt(-2 * log(next_uniform() + 1e-300)) * cos(6.283185 * next_uniform()) * spread;
    switch (kind) {
    case 0:
        return 0;
    case 1:
        return (float)(next_number() % 5);
    case 2:
        return next_number() % 3 ? (float)normal : -INFINITY;
    case 3:
        return (float)(normal * 1e-38);
    case 4:
        return (float)(normal * 1e4);
    case 5:
        return -1e-44f * (float)(next_number() % 4);
    case 6:
        return (float)(floor(normal * 8) / 8);
    default:
        return (float)normal;
    }
}

static void fill(float *logits, size_t n)
{
    const uint64_t kind = next_number() % 9;
    const double spread = exp(next_uniform() * 6 - 3);
    for (size_t i = 0; i < n; i++)
        logits[i] = logit_of(kind, spread);
    if (next_number() % 50 == 0)
        logits[next_number() % n] = NAN;
    if (next_number() % 50 == 0)
        logits[next_number() % n] = INFINITY;
    for (size_t i = 0; next_number() % 50 == 0 && i < n; i++)
        logits[i] = -INFINITY;
}

static struct sw_sampling any_sampling(void)
{
    static const float top_p[] = {1, 0.95f, 0.9f, 0.5f, 0.01f, 0.999f, 0.9999999f};
    static const int32_t top_k[] = {0, 0, 1, 5, 40, 1000};
    struct sw_sampling s = sw_sampling_default();
    if (next_number() % 6)
        s.temperature = (float)(next_uniform() * (next_number() % 9 ? 2 : 100));
    s.top_k = top_k[next_number() % 6];
    s.top_p = top_p[next_number() % 7];
    if (next_number() % 3 == 0)
        s.min_p = (float)next_uniform() * 0.1f;
    if (next_number() % 3 == 0)
        s.repetition_penalty = (float)(0.5 + next_uniform());
    s.seed = next_number();
    s.logprobs = (int32_t)(next_number() % 34) - 1;
    return s;
}

/* False: NaN, +inf, or nothing that is possible. */
static bool plain_pick(const struct sw_sampling *s, const float *logits, size_t limit,
                       const int32_t *history, size_t n_history, uint64_t position,
                       struct sw_sampled *out)
{
    const int32_t best = best_of(logits, limit);
    if (best < 0)
        return false;
    out->id = pick(s, logits, limit, history, n_history, position, best);
    if (s->logprobs < 0)
        return true;
    const double total = log_sum(logits, limit, logits[best]);
    out->logprob = (float)((double)logits[out->id] - total);
    out->n_top = top_of(logits, limit, s->logprobs, total, out->top);
    return true;
}

static bool same_answer(const struct sw_sampled *a, const struct sw_sampled *b)
{
    return a->id == b->id && a->logprob == b->logprob && a->n_top == b->n_top &&
           memcmp(a->top, b->top, (size_t)a->n_top * sizeof *a->top) == 0;
}

static void selections_change_no_bit(void)
{
    static float logits[IDS_MAX];
    int32_t history[300];
    struct sw_sampler *sampler = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_sampler_create(IDS_MAX, &sampler), SW_OK);
    for (uint64_t run = 0; run < 4000; run++) {
        const size_t n = 1 + next_number() % (run % 20 ? 3000 : IDS_MAX);
        const size_t n_history = next_number() % 300;
        const struct sw_sampling s = any_sampling();
        struct sw_sampled ours = {0}, theirs = {0};
        fill(logits, n);
        for (size_t i = 0; i < n_history; i++)
            history[i] = (int32_t)(next_number() % (n + 5)) - 2;
        const enum sw_status status =
            sw_sampler_pick(sampler, &s, logits, n, n, history, n_history, run, &ours);
        const bool good = plain_pick(&s, logits, n, history, n_history, run, &theirs);
        CU_ASSERT_EQUAL(status, good ? SW_OK : SW_EDEVICE);
        const bool same = !good || same_answer(&ours, &theirs);
        CU_ASSERT(same);
        if (!same)
            printf("    run %d of %zu ids: %d, expected %d\n", (int)run, n, ours.id, theirs.id);
        const int32_t id = (int32_t)(next_number() % n);
        float logprob;
        bool greedy;
        if (good && sw_logprob_of(logits, n, id, &logprob, &greedy) == SW_OK) {
            const int32_t best = best_of(logits, n);
            CU_ASSERT(logprob == (float)((double)logits[id] - log_sum(logits, n, logits[best])));
            CU_ASSERT_EQUAL(greedy, id == best);
        }
    }
    sw_sampler_free(sampler);
}

SW_UNIT_TESTS({"selections change no bit", selections_change_no_bit})
