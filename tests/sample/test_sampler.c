/* The sampler: which ids remain, how often each is drawn, and that draws repeat. */
#include "sample/sampler.h"
#include "unit.h"

#include <math.h>
#include <time.h>

#define N 8
static const float logits[N] = {1.0f, 3.0f, 2.0f, -1.0f, 3.0f, 0.5f, -4.0f, 2.5f};

static struct sw_sampler *sampler_of(size_t n)
{
    struct sw_sampler *sampler = NULL;
    CU_ASSERT_EQUAL_FATAL(sw_sampler_create(n, sw_cpu_isa(), &sampler), SW_OK);
    return sampler;
}

static int32_t pick_one(struct sw_sampler *sampler, const struct sw_sampling *sampling,
                        const float *scores, size_t n, uint64_t position)
{
    struct sw_sampled out;
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, sampling, scores, n, n, NULL, 0, position, &out),
                    SW_OK);
    return out.id;
}

/*
 * The plain way, with a full sort: probabilities after penalty, temperature, top-k, top-p, min-p.
 */
static void reference(const struct sw_sampling *s, const float *scores, size_t n,
                      const int32_t *history, size_t n_history, double *p)
{
    double x[64], total = 0;
    size_t order[64];
    bool keep[64], seen[64] = {false};
    for (size_t i = 0; i < n; i++)
        x[i] = (double)scores[i];
    for (size_t i = 0; i < n_history; i++)
        if (!seen[history[i]]) {
            const double penalty = (double)s->repetition_penalty;
            x[history[i]] = x[history[i]] < 0 ? x[history[i]] * penalty : x[history[i]] / penalty;
            seen[history[i]] = true;
        }
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        x[i] /= (double)s->temperature;
        for (; at > 0 && x[order[at - 1]] < x[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < n; i++)
        keep[i] = s->top_k <= 0 || (size_t)s->top_k >= n || x[i] >= x[order[s->top_k - 1]];
    for (size_t i = 0; i < n; i++)
        total += keep[i] ? exp(x[i] - x[order[0]]) : 0;
    double above = 0;
    for (size_t i = 0; i < n; i++) {
        const bool here = keep[order[i]];
        const double mass = here ? exp(x[order[i]] - x[order[0]]) / total : 0;
        keep[order[i]] = here && (above < (double)s->top_p || s->top_p >= 1);
        above += mass;
    }
    total = 0;
    for (size_t i = 0; i < n; i++) {
        p[i] = exp(x[i] - x[order[0]]);
        if (!keep[i] || p[i] < (double)s->min_p)
            p[i] = 0;
        total += p[i];
    }
    for (size_t i = 0; i < n; i++)
        p[i] /= total;
}

/* Draws often and compares the counts: chi-squared, and nothing that has no probability. */
static void check_distribution(struct sw_sampling sampling, const float *scores, size_t n,
                               const int32_t *history, size_t n_history)
{
    enum { DRAWS = 40000 };
    double p[64], chi = 0;
    int counts[64] = {0}, freedom = -1;
    struct sw_sampler *sampler = sampler_of(n);
    reference(&sampling, scores, n, history, n_history, p);
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct sw_sampled out;
        CU_ASSERT_EQUAL(
            sw_sampler_pick(sampler, &sampling, scores, n, n, history, n_history, i, &out), SW_OK);
        counts[out.id]++;
    }
    for (size_t i = 0; i < n; i++) {
        const double expected = p[i] * DRAWS;
        if (p[i] <= 0) {
            CU_ASSERT_EQUAL(counts[i], 0);
            continue;
        }
        CU_ASSERT(counts[i] > 0 || expected < 10);
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
        freedom++;
    }
    /* Five standard deviations of the chi-squared distribution above its mean. */
    CU_ASSERT(chi <= freedom + 5 * sqrt(2.0 * freedom) + 1e-9);
    sw_sampler_free(sampler);
}

static void greedy_takes_the_lowest_of_equals(void)
{
    struct sw_sampler *sampler = sampler_of(N);
    struct sw_sampling greedy = sw_sampling_default();
    CU_ASSERT_EQUAL(pick_one(sampler, &greedy, logits, N, 0), 1);
    const float flat[N] = {0};
    CU_ASSERT_EQUAL(pick_one(sampler, &greedy, flat, N, 0), 0);
    greedy.temperature = 0.7f;
    greedy.top_k = 1; /* both 3.0 remain: equal to the first */
    for (uint64_t i = 0; i < 50; i++) {
        const int32_t id = pick_one(sampler, &greedy, logits, N, i);
        CU_ASSERT(id == 1 || id == 4);
    }
    sw_sampler_free(sampler);
}

static void draws_follow_the_distribution(void)
{
    struct sw_sampling s = sw_sampling_default();
    s.temperature = 1;
    s.seed = 42;
    check_distribution(s, logits, N, NULL, 0);
    s.temperature = 2.5f;
    check_distribution(s, logits, N, NULL, 0);
    s.top_k = 3;
    check_distribution(s, logits, N, NULL, 0);
    s.top_k = 0;
    s.top_p = 0.6f;
    check_distribution(s, logits, N, NULL, 0);
    s.top_p = 0.01f; /* the likeliest alone: the lower of two equals */
    check_distribution(s, (const float[]){0, 5, 4, 1}, 4, NULL, 0);
    s.top_p = 1;
    s.min_p = 0.5f;
    check_distribution(s, logits, N, NULL, 0);
    s = (struct sw_sampling){.temperature = 0.8f,
                             .top_k = 5,
                             .top_p = 0.9f,
                             .min_p = 0.05f,
                             .repetition_penalty = 1.7f,
                             .seed = 7,
                             .logprobs = -1};
    const int32_t history[] = {1, 1, 3, 6, 4, 1};
    check_distribution(s, logits, N, history, 6);
    float many[64];
    for (size_t i = 0; i < 64; i++)
        many[i] = (float)(i * 37 % 64) / 9.0f - 3.0f;
    check_distribution(s, many, 64, history, 6);
}

static void top_p_parts_equals_by_id(void)
{
    /* Four equal: half of the mass is the two lowest ids. */
    struct sw_sampling s = sw_sampling_default();
    struct sw_sampler *sampler = sampler_of(4);
    const float flat[4] = {2, 2, 2, 2};
    bool seen[4] = {false};
    s.temperature = 1;
    s.top_p = 0.5f;
    for (uint64_t i = 0; i < 200; i++)
        seen[pick_one(sampler, &s, flat, 4, i)] = true;
    CU_ASSERT(seen[0] && seen[1] && !seen[2] && !seen[3]);
    const float zeros[2] = {-0.0f, 0.0f}; /* equal, too */
    for (uint64_t i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(pick_one(sampler, &s, zeros, 2, i), 0);
    sw_sampler_free(sampler);
}

static void repetition_is_penalised_once(void)
{
    struct sw_sampler *sampler = sampler_of(N);
    struct sw_sampling s = sw_sampling_default();
    struct sw_sampled out;
    const int32_t history[] = {1, 1, 1, 4, -1, 100};
    s.repetition_penalty = 1.15f; /* 3 / 1.15 = 2.61, still above 2.5; twice would be below */
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, logits, N, N, history, 6, 0, &out), SW_OK);
    CU_ASSERT_EQUAL(out.id, 1);
    s.repetition_penalty = 1.3f;
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, logits, N, N, history, 6, 0, &out), SW_OK);
    CU_ASSERT_EQUAL(out.id, 7);
    const float negative[2] = {-1.0f, -1.5f};
    const int32_t zero[] = {0};
    s.repetition_penalty = 2;
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, negative, 2, 2, zero, 1, 0, &out), SW_OK);
    CU_ASSERT_EQUAL(out.id, 1);
    /* What the penalty would make -inf stays possible. */
    const float lowest[2] = {-3e38f, -2e38f};
    const int32_t both[] = {0, 1};
    int draws_of_0 = 0;
    s.temperature = 1;
    for (uint64_t i = 0; i < 50; i++) {
        CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, lowest, 2, 2, both, 2, i, &out), SW_OK);
        draws_of_0 += out.id == 0;
    }
    CU_ASSERT(draws_of_0 > 0 && draws_of_0 < 50);
    sw_sampler_free(sampler);
}

static void draws_depend_on_seed_and_position_only(void)
{
    struct sw_sampler *a = sampler_of(N), *b = sampler_of(1000);
    struct sw_sampling s = sw_sampling_default(), other;
    s.temperature = 1.5f;
    s.seed = 123;
    other = s;
    other.seed = 124;
    int same = 0;
    for (uint64_t i = 0; i < 200; i++) {
        const int32_t id = pick_one(a, &s, logits, N, i);
        CU_ASSERT_EQUAL(pick_one(b, &s, logits, N, i), id);
        same += pick_one(b, &other, logits, N, i) == id;
    }
    CU_ASSERT(same < 150);
    /* Known answers of Philox4x32-10 (Random123's kat_vectors): counter and key all zero. */
    CU_ASSERT_DOUBLE_EQUAL(sw_uniform(0, 0), 0x6627e8d5p-32 + 0xe169c58dp-64, 1e-15);
    double sum = 0;
    for (uint64_t i = 0; i < 10000; i++)
        sum += sw_uniform(5, i);
    CU_ASSERT_DOUBLE_EQUAL(sum / 10000, 0.5, 0.015);
    sw_sampler_free(a);
    sw_sampler_free(b);
}

static void logprobs_are_of_the_plain_distribution(void)
{
    struct sw_sampler *sampler = sampler_of(N);
    struct sw_sampling s = sw_sampling_default();
    struct sw_sampled out;
    double total = 0;
    const int32_t history[] = {1};
    s.temperature = 0.3f;
    s.repetition_penalty = 5;
    s.logprobs = 3;
    for (size_t i = 0; i < N; i++)
        total += exp((double)logits[i]);
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, logits, N, N, history, 1, 9, &out), SW_OK);
    CU_ASSERT_DOUBLE_EQUAL((double)out.logprob, (double)logits[out.id] - log(total), 1e-5);
    CU_ASSERT_EQUAL(out.n_top, 3);
    CU_ASSERT(out.top[0].id == 1 && out.top[1].id == 4 && out.top[2].id == 7);
    CU_ASSERT_DOUBLE_EQUAL((double)out.top[2].logprob, 2.5 - log(total), 1e-5);
    float logprob;
    bool greedy;
    CU_ASSERT_EQUAL(sw_logprob_of(sampler, logits, N, 4, &logprob, &greedy), SW_OK);
    CU_ASSERT_DOUBLE_EQUAL((double)logprob, 3 - log(total), 1e-5);
    CU_ASSERT(!greedy);
    CU_ASSERT_EQUAL(sw_logprob_of(sampler, logits, N, 1, &logprob, &greedy), SW_OK);
    CU_ASSERT(greedy);
    CU_ASSERT_EQUAL(sw_logprob_of(sampler, logits, N, 8, &logprob, &greedy), SW_EINPUT);
    s.logprobs = SW_TOP_LOGPROBS_MAX; /* more than there are */
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, logits, N, N, NULL, 0, 9, &out), SW_OK);
    CU_ASSERT_EQUAL(out.n_top, N);
    sw_sampler_free(sampler);
}

static void padding_rows_and_bad_numbers(void)
{
    struct sw_sampler *sampler = sampler_of(N);
    struct sw_sampling s = sw_sampling_default();
    struct sw_sampled out;
    float bad[N];
    memcpy(bad, logits, sizeof bad);
    bad[7] = 99; /* beyond the tokenizer's size: no text */
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, bad, N, 7, NULL, 0, 0, &out), SW_OK);
    CU_ASSERT_EQUAL(out.id, 1);
    s.temperature = 1e-30f; /* as good as greedy, though both 3.0 remain */
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, bad, N, 7, NULL, 0, 0, &out), SW_OK);
    CU_ASSERT(out.id == 1 || out.id == 4);
    bad[2] = -INFINITY; /* may not be drawn */
    s.temperature = 100;
    for (uint64_t i = 0; i < 500; i++)
        CU_ASSERT_NOT_EQUAL(pick_one(sampler, &s, bad, 7, i), 2);
    bad[2] = NAN;
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, bad, N, 7, NULL, 0, 0, &out), SW_EDEVICE);
    bad[2] = INFINITY;
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, bad, N, 7, NULL, 0, 0, &out), SW_EDEVICE);
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, bad, N, 9, NULL, 0, 0, &out), SW_EINPUT);
    const float nothing[2] = {-INFINITY, -INFINITY};
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &s, nothing, 2, 2, NULL, 0, 0, &out), SW_EDEVICE);
    sw_sampler_free(sampler);
}

static void settings_out_of_range_are_named(void)
{
    struct sw_sampling s = sw_sampling_default();
    CU_ASSERT_EQUAL(sw_sampling_check(&s), SW_OK);
    s.temperature = NAN;
    CU_ASSERT_EQUAL(sw_sampling_check(&s), SW_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "temperature"));
    s = sw_sampling_default();
    s.top_p = 0;
    CU_ASSERT_EQUAL(sw_sampling_check(&s), SW_EUSAGE);
    s = sw_sampling_default();
    s.logprobs = 33;
    CU_ASSERT_EQUAL(sw_sampling_check(&s), SW_EUSAGE);
    s = sw_sampling_default();
    s.min_p = 1.5f;
    CU_ASSERT_EQUAL(sw_sampling_check(&s), SW_EUSAGE);
}

/* Random sizes and settings against the plain way: what may be drawn is drawn, nothing else. */
static void what_remains_is_right_for_random_settings(void)
{
    uint64_t at = 0;
    struct sw_sampler *sampler = sampler_of(64);
    for (int round = 0; round < 400; round++) {
        float scores[64];
        double p[64];
        const size_t n = 1 + (size_t)(sw_uniform(1, at++) * 64);
        for (size_t i = 0; i < n; i++) /* coarse, so that there are many equals */
            scores[i] = (float)floor(sw_uniform(1, at++) * 12) / 2 - 2;
        struct sw_sampling s = sw_sampling_default();
        s.temperature = 0.2f + (float)sw_uniform(1, at++) * 2;
        s.top_k = (int32_t)(sw_uniform(1, at++) * (double)n);
        s.top_p = 0.11f + 0.8899f * (float)sw_uniform(1, at++);
        s.min_p = (float)sw_uniform(1, at++) * 0.3f;
        s.seed = (uint64_t)round;
        reference(&s, scores, n, NULL, 0, p);
        for (uint64_t i = 0; i < 60; i++)
            CU_ASSERT(p[pick_one(sampler, &s, scores, n, i)] > 0);
    }
    sw_sampler_free(sampler);
}

static void a_large_vocabulary_takes_milliseconds(void)
{
    enum { VOCAB = 250000, TIMES = 20 };
    float *scores = malloc(VOCAB * sizeof *scores);
    struct sw_sampler *sampler = sampler_of(VOCAB);
    for (size_t i = 0; i < VOCAB; i++)
        scores[i] = (float)(sw_uniform(3, i) + sw_uniform(4, i) + sw_uniform(5, i)) * 6;
    const struct sw_sampling settings[] = {
        {.top_p = 1, .repetition_penalty = 1, .logprobs = -1},
        {.top_p = 1, .repetition_penalty = 1, .logprobs = 20},
        {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .repetition_penalty = 1, .logprobs = -1},
        {.temperature = 0.8f, .top_p = 0.9f, .repetition_penalty = 1, .logprobs = -1},
        {.temperature = 1, .top_p = 1, .min_p = 0.05f, .repetition_penalty = 1, .logprobs = -1},
    };
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        for (uint64_t i = 0; i < TIMES; i++)
            pick_one(sampler, &settings[k], scores, VOCAB, i);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        const double ms = (double)(end.tv_sec - begin.tv_sec) * 1e3 +
                          (double)(end.tv_nsec - begin.tv_nsec) * 1e-6;
        printf("    %.2f ms for setting %zu of 250 000 ids\n", ms / TIMES, k);
        CU_ASSERT(ms / TIMES < 200); /* with sanitizers, on a busy machine */
    }
    sw_sampler_free(sampler);
    free(scores);
}

/* A bias adds to its ids, also where nothing is drawn; of what is not allowed nothing is drawn. */
static void steering_changes_what_is_drawn(void)
{
    const struct sw_bias bias[] = {{2, 1.5f}, {6, 100}, {7, -100}, {1000, 5}};
    const struct sw_bias ban[] = {{1, -100}, {4, -100}};
    const uint64_t allowed = 1u << 3 | 1u << 5, none = 0;
    struct sw_sampler *sampler = sampler_of(N);
    struct sw_sampling sampling = sw_sampling_default();
    struct sw_sampled out;
    sampling.logprobs = 0;
    sw_sampler_steer(sampler, bias, 1, NULL);
    CU_ASSERT_EQUAL(pick_one(sampler, &sampling, logits, N, 0), 2);
    sw_sampler_steer(sampler, bias, 4, NULL);
    CU_ASSERT_EQUAL(pick_one(sampler, &sampling, logits, N, 0), 6);
    sw_sampler_steer(sampler, ban, 2, NULL);
    CU_ASSERT_EQUAL(pick_one(sampler, &sampling, logits, N, 0), 7);
    sw_sampler_steer(sampler, NULL, 0, &allowed);
    CU_ASSERT_EQUAL(pick_one(sampler, &sampling, logits, N, 0), 5);
    sw_sampler_steer(sampler, bias, 2, &allowed); /* what is forbidden stays so */
    CU_ASSERT_EQUAL(pick_one(sampler, &sampling, logits, N, 0), 5);
    sampling.temperature = 5;
    for (uint64_t i = 0; i < 200; i++) {
        const int32_t id = pick_one(sampler, &sampling, logits, N, i);
        CU_ASSERT(id == 3 || id == 5);
    }
    float plain;
    bool greedy;
    sampling.temperature = 0;
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &sampling, logits, N, N, NULL, 0, 0, &out), SW_OK);
    CU_ASSERT_EQUAL(sw_logprob_of(sampler, logits, N, 5, &plain, &greedy), SW_OK);
    CU_ASSERT(out.logprob == plain && !greedy); /* the model's */
    sw_sampler_steer(sampler, NULL, 0, &none);
    CU_ASSERT_EQUAL(sw_sampler_pick(sampler, &sampling, logits, N, N, NULL, 0, 0, &out), SW_EINPUT);
    sw_sampler_steer(sampler, NULL, 0, NULL);
    CU_ASSERT_EQUAL(pick_one(sampler, &sampling, logits, N, 0), 1);
    sw_sampler_free(sampler);
}

SW_UNIT_TESTS({"greedy takes the lowest of equals", greedy_takes_the_lowest_of_equals},
              {"draws follow the distribution", draws_follow_the_distribution},
              {"top-p parts equals by id", top_p_parts_equals_by_id},
              {"repetition is penalised once", repetition_is_penalised_once},
              {"draws depend on seed and position only", draws_depend_on_seed_and_position_only},
              {"logprobs are of the plain distribution", logprobs_are_of_the_plain_distribution},
              {"padding rows and bad numbers", padding_rows_and_bad_numbers},
              {"steering changes what is drawn", steering_changes_what_is_drawn},
              {"settings out of range are named", settings_out_of_range_are_named},
              {"what remains is right for random settings",
               what_remains_is_right_for_random_settings},
              {"a large vocabulary takes milliseconds", a_large_vocabulary_takes_milliseconds})
