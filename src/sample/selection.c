/*
 * Owns selection from one row. Nothing is sorted: a bound leaves some logits, and of these the
 * masses are tallied by score; only in the bucket where the share is reached the bits of logits are
 * compared. Passes over the whole row cost most, above all reading it: for peaks, for masses, and
 * for what a bound leaves. They alternate in direction, so that each begins in what the cache
 * holds.
 */
#include "sample/selection.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define SHARED_MIN 16384 /* logits from which on waking threads pays */

enum sw_status sw_selection_open(struct sw_selection *s, size_t max_ids, enum sw_isa isa)
{
    s->code = sw_softmax_for(isa);
    s->max_ids = max_ids;
    s->peaks = malloc((max_ids / SW_LOGIT_BLOCK + 1) * sizeof *s->peaks);
    s->masses = malloc((max_ids / SW_MASS_BLOCK + 1) * sizeof *s->masses);
    s->own = malloc(max_ids * sizeof *s->own);
    s->picked = malloc(max_ids * sizeof *s->picked);
    s->picked_ids = malloc(max_ids * sizeof *s->picked_ids);
    s->exps = malloc(max_ids * sizeof *s->exps);
    s->among = malloc(max_ids * sizeof *s->among);
    if (!s->peaks || !s->masses || !s->own || !s->picked || !s->picked_ids || !s->exps || !s->among)
        return sw_fail(SW_ENOMEM, "no memory to sample from a vocabulary of %zu ids", max_ids);
    return SW_OK;
}

uint64_t sw_selection_bytes(size_t max_ids)
{
    const struct sw_selection *s = NULL;
    return (max_ids / SW_LOGIT_BLOCK + 1) * sizeof *s->peaks +
           (max_ids / SW_MASS_BLOCK + 1) * sizeof *s->masses +
           max_ids * (sizeof *s->own + sizeof *s->picked + sizeof *s->picked_ids + sizeof *s->exps +
                      sizeof *s->among);
}

void sw_selection_close(struct sw_selection *s)
{
    free(s->peaks);
    free(s->masses);
    free(s->own);
    free(s->picked);
    free(s->picked_ids);
    free(s->exps);
    free(s->among);
}

static int share_count(const struct sw_selection *s)
{
    const int threads = s->n < SHARED_MIN ? 1 : sw_pool_threads(s->pool);
    return threads < SW_SHARES ? threads : SW_SHARES;
}

static void run_shares(struct sw_selection *s, sw_pool_fn *fn)
{
    sw_pool_run(s->pool, fn, s, share_count(s));
}

/* The indices of a share: whole blocks. */
struct range {
    size_t begin, end;
};

static struct range range_of(const struct sw_selection *s, int64_t share)
{
    const size_t blocks = (s->n + SW_MASS_BLOCK - 1) / SW_MASS_BLOCK;
    const size_t shares = (size_t)share_count(s), at = (size_t)share;
    const struct range r = {blocks * at / shares * SW_MASS_BLOCK,
                            blocks * (at + 1) / shares * SW_MASS_BLOCK};
    return (struct range){r.begin, r.end < s->n ? r.end : s->n};
}

static size_t end_of_block(size_t begin, size_t block, size_t end)
{
    return end - begin < block ? end : begin + block;
}

static void peaks_of_share(void *context, int64_t share, int worker)
{
    struct sw_selection *s = context;
    const struct range r = range_of(s, share);
    (void)worker;
    s->bad[share] =
        s->code->peaks(s->logits + r.begin, r.end - r.begin, s->peaks + r.begin / SW_LOGIT_BLOCK);
}

bool sw_selection_row(struct sw_selection *s, const float *logits, size_t n)
{
    float best = -INFINITY;
    bool bad = false;
    s->logits = logits;
    s->ids = NULL;
    s->n = n;
    s->bound = -INFINITY;
    s->n_equals = n;
    s->least = 0;
    run_shares(s, peaks_of_share);
    for (int i = 0; i < share_count(s); i++)
        bad |= s->bad[i];
    for (size_t i = 0; i < (n + SW_LOGIT_BLOCK - 1) / SW_LOGIT_BLOCK; i++)
        best = s->peaks[i] > best ? s->peaks[i] : best;
    s->scale = (struct sw_scale){best, 1};
    return !bad && best > -INFINITY;
}

size_t sw_selection_best(const struct sw_selection *s)
{
    size_t i = 0;
    while (s->peaks[i / SW_LOGIT_BLOCK] < s->scale.best)
        i += SW_LOGIT_BLOCK;
    while (s->logits[i] < s->scale.best)
        i++;
    return i;
}

/* The bound from index n_equals on. */
static float bound_beyond(const struct sw_selection *s)
{
    return s->n_equals < s->n ? nextafterf(s->bound, INFINITY) : s->bound;
}

/* The mass of what may be drawn of logits [begin, end). */
static uint64_t mass_of_block(struct sw_selection *s, size_t begin, size_t end, uint64_t *tally)
{
    const size_t n = end - begin, equals = s->n_equals > begin ? s->n_equals - begin : 0;
    const size_t middle = equals < n ? equals : n; /* before it, equals may be drawn */
    const float *x = s->logits + begin;
    float w[SW_MASS_BLOCK];
    const uint64_t all = s->code->exponentials(x, n, s->scale, w);
    if (s->samples)
        s->code->tally(x, w, n < SW_LOGIT_BLOCK ? n : SW_LOGIT_BLOCK, s->scale, tally);
    if (s->bound == -INFINITY && s->least <= 0)
        return all;
    return s->code->mass(x, w, middle, s->bound, s->least) +
           s->code->mass(x + middle, w + middle, n - middle, bound_beyond(s), s->least);
}

static void sum_share(void *context, int64_t share, int worker)
{
    struct sw_selection *s = context;
    const struct range r = range_of(s, share);
    (void)worker;
    if (s->samples)
        memset(s->tally[share], 0, sizeof s->tally[share]);
    for (size_t i = (r.end + SW_MASS_BLOCK - 1) / SW_MASS_BLOCK; i-- > r.begin / SW_MASS_BLOCK;)
        s->masses[i] =
            mass_of_block(s, i * SW_MASS_BLOCK,
                          end_of_block(i * SW_MASS_BLOCK, SW_MASS_BLOCK, r.end), s->tally[share]);
}

uint64_t sw_selection_mass(struct sw_selection *s)
{
    uint64_t sum = 0;
    run_shares(s, sum_share);
    for (size_t i = 0; i < (s->n + SW_MASS_BLOCK - 1) / SW_MASS_BLOCK; i++)
        sum += s->masses[i];
    return sum;
}

void sw_selection_scale(struct sw_selection *s, float temperature)
{
    const float inverse = 1 / temperature;
    s->scale.inverse = inverse < FLT_MAX ? inverse : FLT_MAX; /* 0 times it is 0 */
}

/* An integer that orders as the float does; 0 and -0 are equal. */
static uint32_t key_of(float logit)
{
    const float value = logit + 0.0f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The logit whose key it is. */
static float logit_of(uint32_t key)
{
    const uint32_t bits = key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
    float logit;
    memcpy(&logit, &bits, sizeof logit);
    return logit;
}

/*
 * Of the values at among[0..*n) the one at which the masses of their exponentials, begun with
 * *above and summed from the greatest value down, reach `wanted`, which all of them do; without
 * exponentials each counts 1. *above becomes the sum of greater values, among[0..*n) where equal
 * ones are, in order.
 */
static float select_value(struct sw_selection *s, const float *values, const float *exps, size_t *n,
                          uint64_t wanted, uint64_t *above)
{
    static const unsigned shifts[] = {21, 10, 0};
    uint32_t *among = s->among, prefix = 0, known = 0; /* the key's upper bits, and their mask */
    for (size_t round = 0; round < 3; round++) {
        const unsigned shift = shifts[round];
        const uint32_t mask = round == 2 ? SW_KEY_BUCKETS / 2 - 1 : SW_KEY_BUCKETS - 1;
        memset(s->counts, 0, sizeof s->counts);
        for (size_t i = 0; i < *n; i++)
            s->counts[key_of(values[among[i]]) >> shift & mask] +=
                exps ? sw_mass_of(exps[among[i]]) : 1;
        uint32_t bucket = mask;
        for (; bucket > 0 && *above + s->counts[bucket] < wanted; bucket--)
            *above += s->counts[bucket];
        prefix |= bucket << shift;
        known |= mask << shift;
        size_t count = 0; /* those whose key goes on like that; without a branch to guess */
        for (size_t i = 0; i < *n; i++) {
            const uint32_t at = among[i];
            among[count] = at;
            count += (key_of(values[at]) & known) == prefix;
        }
        *n = count;
    }
    return logit_of(prefix);
}

static void gather_share(void *context, int64_t share, int worker)
{
    struct sw_selection *s = context;
    const struct range r = range_of(s, share);
    uint32_t *among = s->among + r.begin;
    size_t count = 0;
    (void)worker;
    for (size_t i = r.begin, end; i < r.end; i = end) {
        end = end_of_block(i, SW_LOGIT_BLOCK, r.end);
        if (s->peaks[i / SW_LOGIT_BLOCK] < s->bound)
            continue;
        for (size_t k = i; k < end; k++) { /* without a branch to guess */
            among[count] = (uint32_t)k;
            count += s->logits[k] >= s->bound;
        }
    }
    s->found[share] = count;
}

/* Writes to `among` where logits of at least `bound` are, and returns how many. */
static size_t gather_logits(struct sw_selection *s, float bound)
{
    size_t n = 0;
    s->bound = bound;
    run_shares(s, gather_share);
    s->bound = -INFINITY;
    for (int i = 0; i < share_count(s); i++) {
        memmove(s->among + n, s->among + range_of(s, i).begin, s->found[i] * sizeof *s->among);
        n += s->found[i];
    }
    return n;
}

/* Makes logits of at least `bound` the row. */
static void narrow_row(struct sw_selection *s, float bound)
{
    const size_t n = gather_logits(s, bound);
    const float inverse = s->scale.inverse;
    for (size_t i = 0; i < n; i++) {
        s->picked[i] = s->logits[s->among[i]];
        s->picked_ids[i] = (int32_t)s->among[i];
    }
    sw_selection_row(s, s->picked, n);
    s->ids = s->picked_ids;
    s->scale.inverse = inverse;
}

/* A value that at least k logits have: of the blocks' peaks the k-th, if there are enough. */
static float bound_of_top_k(struct sw_selection *s, size_t k)
{
    size_t n = (s->n + SW_LOGIT_BLOCK - 1) / SW_LOGIT_BLOCK;
    uint64_t above = 0;
    if (n < 2 * k)
        return -INFINITY;
    for (size_t i = 0; i < n; i++)
        s->among[i] = (uint32_t)i;
    return select_value(s, s->peaks, NULL, &n, k, &above);
}

void sw_selection_top_k(struct sw_selection *s, int32_t k)
{
    if (k <= 0 || (size_t)k >= s->n)
        return;
    size_t n = gather_logits(s, bound_of_top_k(s, (size_t)k));
    uint64_t above = 0;
    narrow_row(s, select_value(s, s->logits, NULL, &n, (uint64_t)k, &above));
}

/* The logit of a score, near enough for a bound that need not be exact. */
static float logit_at(const struct sw_selection *s, float score)
{
    return s->scale.best + score / s->scale.inverse;
}

/*
 * A logit so low that everything below it has no more than half of what top-p leaves out of a row
 * of this mass, whatever the row is like.
 */
static float sure_bound(const struct sw_selection *s, float p, uint64_t mass)
{
    const double exponential =
        (1 - (double)p) / 2 / (double)s->n * (double)mass / (double)SW_MASS_ONE;
    const float score =
        exponential > 1e-12 ? (float)sw_natural_log(exponential) - 0.02f : SW_SCORE_MIN;
    return score > SW_SCORE_MIN ? logit_at(s, score) : -INFINITY;
}

/* A greater one for which the same is likely, by the samples that were tallied. */
static float likely_bound(const struct sw_selection *s, float p, uint64_t mass)
{
    const double spare = (1 - (double)p) * (double)mass * 0.75;
    double below = 0;
    for (int bucket = SW_TALLY - 1; bucket > 0; bucket--) {
        for (int share = 0; share < share_count(s); share++)
            below += (double)s->tally[share][bucket] * (SW_MASS_BLOCK / SW_LOGIT_BLOCK);
        if (below > spare)
            return logit_at(s, -(float)(bucket + 1) / SW_TALLY_STEPS);
    }
    return logit_at(s, -1.0f / SW_TALLY_STEPS);
}

/* Computes the exponentials of the row and tallies their masses. Returns their sum. */
static uint64_t tally_row(struct sw_selection *s)
{
    uint64_t mass = 0;
    memset(s->tally[0], 0, sizeof s->tally[0]);
    for (size_t i = 0, end; i < s->n; i = end) {
        end = end_of_block(i, SW_MASS_BLOCK, s->n);
        mass += s->code->exponentials(s->logits + i, end - i, s->scale, s->exps + i);
        s->code->tally(s->logits + i, s->exps + i, end - i, s->scale, s->tally[0]);
    }
    return mass;
}

/*
 * Tallies a row that holds the greatest logits up to a mass of at least `wanted`. First a bound is
 * tried for which that is likely; what is found out below is exact, so it changes no answer.
 */
static void tally_enough(struct sw_selection *s, float p, uint64_t mass, uint64_t wanted)
{
    const float *logits = s->logits;
    const size_t n = s->n;
    const float likely = likely_bound(s, p, mass), sure = sure_bound(s, p, mass);
    narrow_row(s, likely > sure ? likely : sure);
    if (tally_row(s) >= wanted)
        return;
    const float inverse = s->scale.inverse;
    sw_selection_row(s, logits, n);
    s->scale.inverse = inverse;
    narrow_row(s, sure);
    tally_row(s);
}

/* The bucket in which the masses, from the best score down, reach `wanted`; *above: before it. */
static uint32_t bucket_of_top_p(const struct sw_selection *s, uint64_t wanted, uint64_t *above)
{
    uint32_t bucket = 0;
    for (; *above + s->tally[0][bucket] < wanted; bucket++)
        *above += s->tally[0][bucket];
    return bucket;
}

void sw_selection_top_p(struct sw_selection *s, float p)
{
    if (!(p < 1))
        return;
    s->samples = !s->ids;
    const uint64_t mass = sw_selection_mass(s), least = (uint64_t)ceil((double)p * (double)mass);
    const uint64_t wanted = least < mass ? least : mass;
    s->samples = false;
    if (s->ids) /* few as it is */
        tally_row(s);
    else
        tally_enough(s, p, mass, wanted);
    uint64_t above = 0;
    const uint32_t bucket = bucket_of_top_p(s, wanted, &above);
    size_t n = s->code->find(s->logits, s->n, s->scale, bucket, 0, s->among);
    s->bound = select_value(s, s->logits, s->exps, &n, wanted, &above);
    for (size_t i = 0; i < n && above < wanted; i++) { /* of equals the first ones */
        above += sw_mass_of(s->exps[s->among[i]]);
        s->n_equals = s->among[i] + 1;
    }
}

void sw_selection_min_p(struct sw_selection *s, float min_p)
{
    s->least = min_p;
}

static bool may_draw(const struct sw_selection *s, size_t at, float exponential)
{
    const float logit = s->logits[at];
    return (logit > s->bound || (logit == s->bound && at < s->n_equals)) && exponential >= s->least;
}

int32_t sw_selection_draw(struct sw_selection *s, double uniform)
{
    const uint64_t mass = sw_selection_mass(s), at = (uint64_t)(uniform * (double)mass);
    uint64_t left = at < mass ? at : mass - 1; /* the mass before the one that is drawn */
    size_t begin = 0;
    for (; s->masses[begin / SW_MASS_BLOCK] <= left; begin += SW_MASS_BLOCK)
        left -= s->masses[begin / SW_MASS_BLOCK];
    float w[SW_MASS_BLOCK];
    s->code->exponentials(s->logits + begin, end_of_block(begin, SW_MASS_BLOCK, s->n) - begin,
                          s->scale, w);
    size_t i = 0;
    for (;; i++) {
        const uint64_t more = may_draw(s, begin + i, w[i]) ? sw_mass_of(w[i]) : 0;
        if (more > left)
            break;
        left -= more;
    }
    return s->ids ? s->ids[begin + i] : (int32_t)(begin + i);
}
