/*
 * What the last stage does per step beside the model: 64 rows of 151,936 logits on the threads of a
 * pool, or one row on all of them, as src/engine/last_stage.c shares them out. Prints one JSON
 * object. Built by sampling.sh.
 */
#include "base/clock.h"
#include "base/pool.h"
#include "sample/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { VOCAB = 151936, ROWS = 64, SETS = 16, SAMPLERS_MAX = 16, STEPS = 5 };

static struct step {
    struct sw_sampling sampling;
    struct sw_sampler *samplers[SAMPLERS_MAX];
    float *logits; /* (SETS, VOCAB): as many rows as are there at once */
    int n_samplers;
} step;

static void share(void *context, int64_t first, int worker)
{
    struct step *s = context;
    struct sw_sampled out;
    (void)worker;
    for (int row = (int)first; row < ROWS; row += s->n_samplers)
        if (sw_sampler_pick(s->samplers[first], &s->sampling,
                            s->logits + (size_t)(row % SETS) * VOCAB, VOCAB, VOCAB, NULL, 0,
                            (uint64_t)row, &out) != SW_OK)
            abort();
}

static double milliseconds(struct sw_pool *pool, struct sw_sampling sampling)
{
    double best = INFINITY;
    step.sampling = sampling;
    for (int i = 0; i < STEPS; i++) {
        const double start = sw_clock();
        sw_pool_run(pool, share, &step, step.n_samplers);
        const double took = 1e3 * (sw_clock() - start);
        best = took < best ? took : best;
    }
    return best;
}

/* One row of each set in turn, by all threads. */
static double milliseconds_of_one(struct sw_pool *pool, struct sw_sampling sampling)
{
    struct sw_sampled out;
    double best = INFINITY;
    sw_sampler_share(step.samplers[0], pool);
    for (uint64_t i = 0; i < (uint64_t)STEPS * SETS; i++) {
        const double start = sw_clock();
        if (sw_sampler_pick(step.samplers[0], &sampling, step.logits + i % SETS * VOCAB, VOCAB,
                            VOCAB, NULL, 0, i, &out) != SW_OK)
            abort();
        const double took = 1e3 * (sw_clock() - start);
        best = took < best ? took : best;
    }
    sw_sampler_share(step.samplers[0], NULL);
    return best;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    struct sw_pool *pool;
    step.n_samplers = threads < SAMPLERS_MAX ? threads : SAMPLERS_MAX;
    step.logits = malloc((size_t)SETS * VOCAB * sizeof *step.logits);
    if (!step.logits || sw_pool_create(threads, NULL, 0, &pool) != SW_OK)
        return 1;
    for (int i = 0; i < step.n_samplers; i++)
        if (sw_sampler_create(VOCAB, sw_cpu_isa(), &step.samplers[i]) != SW_OK)
            return 1;
    for (size_t i = 0; i < (size_t)SETS * VOCAB; i++) /* normal with a deviation of 3 */
        step.logits[i] =
            (float)(3 * sqrt(-2 * log(1 - sw_uniform(1, i))) * cos(6.283185307 * sw_uniform(2, i)));
    struct sw_sampling greedy = sw_sampling_default(), top_p = greedy, logprobs = greedy;
    top_p.temperature = 1;
    top_p.top_p = 0.95f;
    logprobs.logprobs = 5;
    printf("{\"threads\": %d, \"rows\": %d, \"vocabulary\": %d, \"greedy_ms\": %.2f, "
           "\"top_p_ms\": %.2f, \"logprobs_ms\": %.2f, \"one_row_top_p_ms\": %.3f}\n",
           threads, ROWS, VOCAB, milliseconds(pool, greedy), milliseconds(pool, top_p),
           milliseconds(pool, logprobs), milliseconds_of_one(pool, top_p));
    return 0;
}
