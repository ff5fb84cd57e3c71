/*
 * Which ids may be drawn, against a full sort: exactly by the definition in selection.h, and by
 * doubles of the C library as near as the exponentials are. The same bits on any instruction set
 * and number of threads.
 */
#include "sample/sampler.h"
#include "sample/selection.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX 151936
static const size_t sizes[] = {1,    2,    63,   64,    65,    200,   1023,   1024,
                               1025, 3000, 4097, 16383, 32000, 50257, 151936, 151936};
#define SIZES (sizeof sizes / sizeof *sizes)

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

static double next_normal(void)
{
    return sqrt(-2 * log(next_uniform() + 1e-300)) * cos(6.283185 * next_uniform());
}

enum kind { FLAT, TIED, FEW, HOLES, DENORMAL, HUGE_ONES, COARSE, PEAKED, RISING, FALLING, HIDDEN };
enum { KINDS = HIDDEN + 1 };

static float logit_of(enum kind kind, double spread, size_t i, size_t n)
{
    const double normal = next_normal() * spread, way = (double)i / (double)n;
    switch (kind) {
    case TIED:
        return 0;
    case FEW:
        return (float)(next_number() % 5) - 2.0f * (float)(next_number() % 2);
    case HOLES:
        return next_number() % 3 ? (float)normal : -INFINITY;
    case DENORMAL:
        return (float)(normal * 1e-38);
    case HUGE_ONES:
        return (float)fmax(fmin(normal * 1e37, 3e38), -3e38);
    case COARSE:
        return (float)(floor(normal * 8) / 8) * (next_number() % 2 ? 1.0f : -1.0f);
    case PEAKED:
        return (float)(normal + (next_number() % n < 3 ? 15 : 0));
    case RISING:
        return (float)(way * spread * 10);
    case FALLING:
        return (float)-(way * spread * 10);
    case HIDDEN: /* where samples are taken there is little */
        return (float)(normal - (i % SW_MASS_BLOCK < SW_LOGIT_BLOCK ? 10 * spread : 0));
    default:
        return (float)normal;
    }
}

static void fill(float *logits, size_t n)
{
    const enum kind kind = (enum kind)(next_number() % KINDS);
    const double spread = exp(next_uniform() * 5 - 2);
    for (size_t i = 0; i < n; i++)
        logits[i] = logit_of(kind, spread, i, n);
    logits[next_number() % n] = 0.5f; /* so that not all are -inf */
}

static struct sw_sampling any_sampling(size_t n)
{
    static const float top_p[] = {1, 0.95f, 0.9f, 0.5f, 0.01f, 0.999f, 0.9999999f};
    const int32_t top_k[] = {0, 0, 0, 1, 5, 40, 1000, (int32_t)(n / 2)};
    struct sw_sampling s = sw_sampling_default();
    s.temperature = next_number() % 3 ? (float)(0.01 + next_uniform() * 2) : 1.0f;
    if (next_number() % 20 == 0)
        s.temperature = next_number() % 2 ? 100 : 1e-40f;
    s.top_k = top_k[next_number() % 8];
    s.top_p = top_p[next_number() % 7];
    if (next_number() % 3 == 0)
        s.min_p = (float)next_uniform() * 0.1f;
    if (next_number() % 3 == 0)
        s.repetition_penalty = (float)(0.5 + next_uniform());
    s.seed = next_number();
    s.logprobs = (int32_t)(next_number() % 34) - 1;
    return s;
}

/* The plain way. */

static struct {
    float logits[IDS_MAX], exps[IDS_MAX];
    double exact[IDS_MAX]; /* exponentials as the C library has them */
    int32_t order[IDS_MAX];
    bool kept[IDS_MAX];
    size_t n;
} plain;

static int by_logit(const void *a, const void *b)
{
    const int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    const float x = plain.logits[i], y = plain.logits[k];
    return x > y ? -1 : x < y ? 1 : (i > k) - (i < k);
}

/* Sorts; the `n` greatest of the order are what top-k leaves. */
static size_t plain_top_k(const float *logits, size_t n, int32_t k)
{
    plain.n = n;
    memcpy(plain.logits, logits, n * sizeof *logits);
    for (size_t i = 0; i < n; i++)
        plain.order[i] = (int32_t)i;
    qsort(plain.order, n, sizeof *plain.order, by_logit);
    if (k <= 0 || (size_t)k >= n)
        return n;
    const float last = plain.logits[plain.order[k - 1]];
    size_t left = (size_t)k;
    while (left < n && plain.logits[plain.order[left]] == last)
        left++;
    return left;
}

static void plain_exps(float temperature)
{
    const float best = plain.logits[plain.order[0]], inverse = fminf(1 / temperature, FLT_MAX);
    sw_softmax_portable.exponentials(plain.logits, plain.n, (struct sw_scale){best, inverse},
                                     plain.exps);
    for (size_t i = 0; i < plain.n; i++)
        plain.exact[i] = exp(((double)plain.logits[i] - (double)best) / (double)temperature);
}

/* How many of the first n of the order have p of their mass. */
static size_t plain_top_p(size_t n, float p)
{
    uint64_t all = 0, sum = 0;
    size_t i = 0;
    for (size_t k = 0; k < n; k++)
        all += sw_mass_of(plain.exps[plain.order[k]]);
    const double wanted = fmin(ceil((double)p * (double)all), (double)all);
    while (p < 1 && i < n && (i == 0 || (double)sum < wanted))
        sum += sw_mass_of(plain.exps[plain.order[i++]]);
    return p < 1 ? i : n;
}

static size_t exact_top_p(size_t n, float p, double *all)
{
    double sum = 0;
    size_t i = 0;
    *all = 0;
    for (size_t k = 0; k < n; k++)
        *all += plain.exact[plain.order[k]];
    while (p < 1 && i < n && (i == 0 || sum < (double)p * *all))
        sum += plain.exact[plain.order[i++]];
    return p < 1 ? i : n;
}

/* The share of mass between two cuts of the order, which doubles and ours make. */
static double mass_between(size_t a, size_t b, double all)
{
    double sum = 0;
    for (size_t i = a < b ? a : b; i + 1 < (a < b ? b : a); i++)
        sum += plain.exact[plain.order[i]];
    return sum / all;
}

static int32_t plain_draw(double uniform)
{
    uint64_t all = 0, sum = 0;
    for (size_t i = 0; i < plain.n; i++)
        all += plain.kept[i] ? sw_mass_of(plain.exps[i]) : 0;
    const uint64_t at = (uint64_t)(uniform * (double)all);
    size_t i = 0;
    for (;; i++) {
        sum += plain.kept[i] ? sw_mass_of(plain.exps[i]) : 0;
        if (sum > (at < all ? at : all - 1))
            return (int32_t)i;
    }
}

static size_t differing; /* sets that doubles make otherwise */

/* One row with one setting: the set and the draw. */
static void compare(struct sw_selection *s, const struct sw_sampling *with, const float *logits,
                    size_t n)
{
    static bool kept[IDS_MAX];
    double all;
    const size_t left = plain_top_k(logits, n, with->top_k);
    plain_exps(with->temperature);
    const size_t cut = plain_top_p(left, with->top_p);
    const size_t exact = exact_top_p(left, with->top_p, &all);
    memset(plain.kept, 0, sizeof plain.kept);
    memset(kept, 0, sizeof kept);
    for (size_t i = 0; i < cut; i++)
        plain.kept[plain.order[i]] = plain.exps[plain.order[i]] >= with->min_p;
    CU_ASSERT(sw_selection_row(s, logits, n));
    CU_ASSERT_EQUAL((int32_t)sw_selection_best(s), plain.order[0]);
    sw_selection_scale(s, with->temperature);
    sw_selection_top_k(s, with->top_k);
    sw_selection_top_p(s, with->top_p);
    sw_selection_min_p(s, with->min_p);
    for (size_t i = 0; i < s->n; i++) {
        const int32_t id = s->ids ? s->ids[i] : (int32_t)i;
        const float x = s->logits[i];
        kept[id] =
            (x > s->bound || (x == s->bound && i < s->n_equals)) && plain.exps[id] >= with->min_p;
    }
    CU_ASSERT(memcmp(kept, plain.kept, n * sizeof *kept) == 0);
    const double uniform = next_uniform();
    CU_ASSERT_EQUAL(sw_selection_draw(s, uniform), plain_draw(uniform));
    /* Beyond what has any mass both ways are right. */
    if (exact != cut) {
        differing++;
        CU_ASSERT(mass_between(exact, cut, all) < 2e-6);
    }
}

static void sets_are_those_of_a_full_sort(void)
{
    static float logits[IDS_MAX];
    size_t rows = 0;
    for (enum sw_isa isa = SW_ISA_PORTABLE; isa <= sw_cpu_isa() && isa <= SW_ISA_AVX2; isa++) {
        static struct sw_selection s;
        CU_ASSERT_EQUAL_FATAL(sw_selection_open(&s, IDS_MAX, isa), SW_OK);
        for (size_t run = 0; run < 1500; run++) {
            const size_t most = run % 25 ? 11 : SIZES;
            const size_t n = run % 3 ? sizes[next_number() % most] : 1 + next_number() % 5000;
            fill(logits, n);
            const struct sw_sampling with = any_sampling(n);
            compare(&s, &with, logits, n);
            rows++;
        }
        sw_selection_close(&s);
        memset(&s, 0, sizeof s);
    }
    printf("    %zu rows; the doubles' set is another in %zu, by less than 2e-6\n", rows,
           differing);
}

static bool same_answer(const struct sw_sampled *a, const struct sw_sampled *b)
{
    return a->id == b->id && memcmp(&a->logprob, &b->logprob, sizeof a->logprob) == 0 &&
           a->n_top == b->n_top && memcmp(a->top, b->top, (size_t)a->n_top * sizeof *a->top) == 0;
}

/* The portable code in one thread against the fastest one in 1 to 3 threads. */
static void threads_and_instruction_sets_change_no_bit(void)
{
    static float logits[IDS_MAX], other[IDS_MAX];
    int32_t history[300];
    struct sw_sampler *alone, *shared;
    struct sw_pool *pools[4] = {NULL};
    CU_ASSERT_EQUAL_FATAL(sw_sampler_create(IDS_MAX, SW_ISA_PORTABLE, &alone), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_sampler_create(IDS_MAX, sw_cpu_isa(), &shared), SW_OK);
    for (int threads = 1; threads <= 3; threads++)
        CU_ASSERT_EQUAL_FATAL(sw_pool_create(threads, NULL, 0, &pools[threads]), SW_OK);
    for (uint64_t run = 0; run < 120; run++) {
        const size_t n = sizes[SIZES - 1 - run % 6], n_history = next_number() % 300;
        const struct sw_sampling with = any_sampling(n);
        struct sw_sampled expected, answer;
        fill(logits, n);
        fill(other, n);
        for (size_t i = 0; i < n_history; i++)
            history[i] = (int32_t)(next_number() % (n + 5)) - 2;
        CU_ASSERT_EQUAL(
            sw_sampler_pick(alone, &with, logits, n, n, history, n_history, run, &expected), SW_OK);
        for (int threads = 0; threads <= 3; threads++) {
            float logprobs[2];
            bool greedy[2];
            sw_sampler_share(shared, pools[threads]);
            /* Nothing of the row before may be left over. */
            CU_ASSERT_EQUAL(
                sw_sampler_pick(shared, &with, other, n, n, history, n_history, run, &answer),
                SW_OK);
            CU_ASSERT_EQUAL(
                sw_sampler_pick(shared, &with, logits, n, n, history, n_history, run, &answer),
                SW_OK);
            CU_ASSERT(same_answer(&expected, &answer));
            CU_ASSERT_EQUAL(sw_logprob_of(alone, logits, n, answer.id, &logprobs[0], &greedy[0]),
                            SW_OK);
            CU_ASSERT_EQUAL(sw_logprob_of(shared, logits, n, answer.id, &logprobs[1], &greedy[1]),
                            SW_OK);
            CU_ASSERT(memcmp(&logprobs[0], &logprobs[1], sizeof *logprobs) == 0);
            CU_ASSERT_EQUAL(greedy[0], greedy[1]);
        }
    }
    sw_sampler_free(alone);
    sw_sampler_free(shared);
    for (int threads = 1; threads <= 3; threads++)
        sw_pool_free(pools[threads]);
}

/* Of the f32 nearest to exp(score), in units of the last place; and of the logarithm. */
static void exponentials_are_within_two_units(void)
{
    static float scores[1 << 16], exps[2][1 << 16];
    const struct sw_scale scale = {0, 1};
    double worst = 0;
    for (size_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < 1 << 16; i++)
            scores[i] = (float)(-29 * next_uniform() * (round % 4 ? 1 : next_uniform() * 1e-3));
        sw_softmax_portable.exponentials(scores, 1 << 16, scale, exps[0]);
        if (sw_cpu_isa() >= SW_ISA_AVX2) {
            sw_softmax_for(SW_ISA_AVX2)->exponentials(scores, 1 << 16, scale, exps[1]);
            CU_ASSERT(memcmp(exps[0], exps[1], sizeof exps[0]) == 0);
        }
        for (size_t i = 0; i < 1 << 16; i++) {
            const double right = exp((double)scores[i]);
            const double unit = ldexp(1, ilogb(right) - 23);
            worst = fmax(worst, fabs((double)exps[0][i] - right) / unit);
        }
    }
    printf("    exp: at most %.2f units of the last place\n", worst);
    CU_ASSERT(worst <= 2);
    for (size_t i = 0; i < 100000; i++) {
        const double x = exp(next_uniform() * 30 - 10);
        CU_ASSERT_DOUBLE_EQUAL(sw_natural_log(x), log(x), 1e-15 * fmax(1, 4 * fabs(log(x))));
    }
}

/* exp(log-probability) before it is rounded to f32, and the log-probability after it. */
static void logprobs_are_those_of_doubles(void)
{
    static float logits[IDS_MAX];
    static struct sw_selection s;
    struct sw_sampler *sampler;
    double worst = 0;
    CU_ASSERT_EQUAL_FATAL(sw_selection_open(&s, IDS_MAX, sw_cpu_isa()), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_sampler_create(IDS_MAX, sw_cpu_isa(), &sampler), SW_OK);
    for (size_t run = 0; run < 300; run++) {
        const size_t n = sizes[next_number() % SIZES], id = next_number() % n;
        double best = -INFINITY, sum = 0;
        float logprob;
        bool greedy;
        fill(logits, n);
        for (size_t i = 0; i < n; i++)
            best = fmax(best, (double)logits[i]);
        for (size_t i = 0; i < n; i++)
            sum += exp((double)logits[i] - best);
        CU_ASSERT(sw_selection_row(&s, logits, n));
        const double ours = ldexp((double)sw_selection_mass(&s), -SW_MASS_BITS);
        worst = fmax(worst, fabs(ours / sum - 1));
        CU_ASSERT_EQUAL(sw_logprob_of(sampler, logits, n, (int32_t)id, &logprob, &greedy), SW_OK);
        CU_ASSERT(!greedy || (double)logits[id] == best);
        const double right = (double)logits[id] - best - log(sum);
        const bool near = right < -(double)FLT_MAX
                              ? logprob <= -FLT_MAX
                              : fabs((double)logprob - right) < 1e-5 + fabs(right) * 0x1p-24;
        CU_ASSERT(near);
    }
    printf("    probabilities: %.1e off at most\n", worst);
    CU_ASSERT(worst < 1e-5);
    sw_sampler_free(sampler);
    sw_selection_close(&s);
}

SW_UNIT_TESTS({"sets are those of a full sort", sets_are_those_of_a_full_sort},
              {"threads and instruction sets change no bit",
               threads_and_instruction_sets_change_no_bit},
              {"exponentials are within two units", exponentials_are_within_two_units},
              {"logprobs are those of doubles", logprobs_are_those_of_doubles})
