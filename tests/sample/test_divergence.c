/* Base rows and divergences against sums in double precision; what is exact; what is refused. */
#include "sample/divergence.h"
#include "sample/sampler.h"
#include "unit.h"

#include <math.h>

#define N 1237 /* no multiple of any vector */

static float base_logits[N], other_logits[N];

static void fill(float *logits, uint64_t seed, double spread)
{
    for (size_t i = 0; i < N; i++)
        logits[i] = (float)(spread * (sw_uniform(seed, i) + sw_uniform(seed, i + N) - 1));
}

static double log_sum(const float *logits)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < N; i++)
        most = logits[i] > (float)most ? (double)logits[i] : most;
    for (size_t i = 0; i < N; i++)
        sum += exp((double)logits[i] - most);
    return most + log(sum);
}

static double exact_kl(const float *a, const float *b)
{
    const double sum_a = log_sum(a), sum_b = log_sum(b);
    double kl = 0;
    for (size_t i = 0; i < N; i++) {
        const double p = (double)a[i] - sum_a, q = (double)b[i] - sum_b;
        if (p > -16)
            kl += exp(p) * (p - q);
    }
    return kl;
}

static struct sw_divergence compare(enum sw_isa isa, int32_t next)
{
    struct sw_divergence out = {0};
    struct sw_divergence_buffers *buffers;
    struct sw_base_row *base = malloc(sw_base_row_bytes(N));
    CU_ASSERT_EQUAL_FATAL(sw_divergence_open(N, isa, &buffers), SW_OK);
    CU_ASSERT_EQUAL(sw_base_row_make(buffers, base_logits, N, next, base), SW_OK);
    CU_ASSERT_EQUAL(sw_divergence_of(buffers, base, other_logits, N, next, &out), SW_OK);
    free(base);
    sw_divergence_close(buffers);
    return out;
}

static void as_in_double(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill(base_logits, seed, 1 + 2 * (double)seed); /* from flat rows to steep ones */
        fill(other_logits, seed, 1 + 2 * (double)seed);
        for (size_t i = 0; i < N; i++)
            other_logits[i] += (float)(sw_uniform(seed + 99, i) - 0.5);
        const int32_t next = (int32_t)(seed * 61 % N);
        const struct sw_divergence d = compare(sw_cpu_isa(), next);
        const double a = log_sum(base_logits) - (double)base_logits[next];
        const double b = log_sum(other_logits) - (double)other_logits[next];
        CU_ASSERT_DOUBLE_EQUAL((double)d.base_nll, a, 1e-5 * (1 + a));
        CU_ASSERT_DOUBLE_EQUAL((double)d.nll, b, 1e-5 * (1 + b));
        CU_ASSERT_DOUBLE_EQUAL((double)d.probability_gap, exp(-b) - exp(-a), 1e-6);
        CU_ASSERT_DOUBLE_EQUAL((double)d.kl, exact_kl(base_logits, other_logits), 2e-4);
    }
}

/* Threads, machines and loops change no bit. */
static void same_bits(void)
{
    fill(base_logits, 5, 9);
    fill(other_logits, 6, 9);
    const struct sw_divergence a = compare(SW_ISA_PORTABLE, 7), b = compare(sw_cpu_isa(), 7);
    CU_ASSERT(a.kl == b.kl && a.nll == b.nll && a.base_nll == b.base_nll);
    CU_ASSERT(a.probability_gap == b.probability_gap && a.same_top == b.same_top);
}

/* With itself: what is exact is, and the 16 bits make no more than their step. */
static void itself(void)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill(base_logits, seed, 40);
        memcpy(other_logits, base_logits, sizeof other_logits);
        const struct sw_divergence d = compare(sw_cpu_isa(), 3);
        CU_ASSERT(d.same_top && d.nll == d.base_nll && d.probability_gap == 0);
        CU_ASSERT_DOUBLE_EQUAL((double)d.kl, 0, 16.0 / 65535);
    }
}

static void tops(void)
{
    fill(base_logits, 1, 2);
    fill(other_logits, 2, 2);
    base_logits[130] = base_logits[700] = other_logits[130] = 9;
    CU_ASSERT(compare(sw_cpu_isa(), 0).same_top); /* the first of equals */
    other_logits[N - 1] = 10;
    CU_ASSERT_FALSE(compare(sw_cpu_isa(), 0).same_top);
    base_logits[N - 1] = 11;
    CU_ASSERT(compare(sw_cpu_isa(), 0).same_top);
}

/* -inf has no probability; all the same, or NaN and +inf, as in sampling. */
static void strange_rows(void)
{
    struct sw_divergence out;
    struct sw_divergence_buffers *buffers;
    struct sw_base_row *base = malloc(sw_base_row_bytes(N));
    for (size_t i = 0; i < N; i++)
        base_logits[i] = other_logits[i] = 4;
    const struct sw_divergence flat = compare(sw_cpu_isa(), 5);
    CU_ASSERT_DOUBLE_EQUAL((double)flat.nll, log(N), 1e-5);
    CU_ASSERT_DOUBLE_EQUAL((double)flat.kl, 0, 1e-5);
    for (size_t i = 1; i < N; i++)
        base_logits[i] = other_logits[i] = -INFINITY;
    const struct sw_divergence one = compare(sw_cpu_isa(), 0);
    CU_ASSERT(one.nll == 0 && one.same_top);
    CU_ASSERT_EQUAL_FATAL(sw_divergence_open(N, sw_cpu_isa(), &buffers), SW_OK);
    CU_ASSERT_EQUAL(sw_base_row_make(buffers, base_logits, N, 0, base), SW_OK);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        other_logits[0] = bad[i]; /* the last: every logit is -inf */
        CU_ASSERT_EQUAL(sw_divergence_of(buffers, base, other_logits, N, 0, &out), SW_EDEVICE);
        CU_ASSERT_EQUAL(sw_base_row_make(buffers, other_logits, N, 0, base), SW_EDEVICE);
    }
    free(base);
    sw_divergence_close(buffers);
}

SW_UNIT_TESTS({"as in double", as_in_double}, {"same bits", same_bits}, {"itself", itself},
              {"tops", tops}, {"strange rows", strange_rows})
