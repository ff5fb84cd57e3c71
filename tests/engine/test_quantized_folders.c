/*
 * Whole models in the forms in which quantized ones are published (tests/models/quantized): the
 * logits that transformers has of the dequantized weights, and the same bits on any ranks, threads
 * and chunks.
 */
#include "pipeline_job.h"
#include "unit.h"

#include <math.h>

static const char *const names[] = {
    "nf4",        "nf4_plain", "nf4_odd",     "fp4",       "int8",    "fp8_tile",  "fp8_row",
    "fp8_tensor", "gptq",      "gptq_order",  "gptq_3bit", "gptq_v2", "autoround", "awq",
    "awq_gemv",   "ct_asym",   "ct_order",    "ct_8bit",   "ct_int8", "mla_fp8",   "mla_gptq",
    "mla_awq",    "mla_nf4",   "mla_nf4_odd", "mla_int8"};
#define N_NAMES (sizeof names / sizeof names[0])
#define MOST_IDS 64

struct reference {
    char dir[2048];
    int32_t ids[MOST_IDS];
    int n_ids;
    float *logits; /* (n_ids, vocab) */
    int64_t n_logits;
};

static struct reference reference_of(const char *name)
{
    struct reference r;
    char expected[2100];
    int64_t n_ids = 0;
    snprintf(r.dir, sizeof r.dir, "%s/tests/models/quantized/%s", SW_SOURCE_DIR, name);
    snprintf(expected, sizeof expected, "%s/expected.safetensors", r.dir);
    int64_t *ids = job_read(expected, "input_ids", SW_I64, &n_ids);
    r.logits = job_read(expected, "logits", SW_F32, &r.n_logits);
    CU_ASSERT_FATAL(ids && r.logits && n_ids <= MOST_IDS);
    for (int64_t i = 0; i < n_ids; i++)
        r.ids[i] = (int32_t)ids[i];
    r.n_ids = (int)n_ids;
    free(ids);
    return r;
}

/* Largest |a - b| over the largest |b|. */
static double error_of(const float *a, const float *b, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / largest;
}

/* Runs the ids; the caller frees job.logits by job_free. */
static struct job run(const struct reference *r, enum sw_format_id weights, bool as_stored,
                      int ranks, int threads, int chunk)
{
    struct job job = {.dir = r->dir,
                      .weights = weights,
                      .as_stored = as_stored,
                      .kv = SW_F32,
                      .ranks = ranks,
                      .threads = threads,
                      .chunk = chunk,
                      .context = MOST_IDS,
                      .ids = r->ids,
                      .n_ids = r->n_ids};
    const enum sw_status status = job_run(&job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK)
        printf("    %s: %s\n", r->dir, job.error);
    CU_ASSERT_FATAL(job.logits != NULL);
    return job;
}

static void logits_are_those_of_transformers(void)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        struct reference r = reference_of(names[i]);
        struct job exact = run(&r, SW_FORMAT_F32, false, 1, 2, 64);
        struct job kept = run(&r, SW_FORMAT_F16, true, 1, 2, 64);
        const double error = error_of(exact.logits, r.logits, r.n_logits);
        const double of_kept = error_of(kept.logits, r.logits, r.n_logits);
        printf("    %-12s decoded %.1e, as stored %.1e\n", names[i], error, of_kept);
        CU_ASSERT_EQUAL(r.n_logits, r.n_ids * exact.vocab);
        CU_ASSERT(error <= 1e-4);
        /* Scores of latents, and routers, magnify what rounding activations costs. */
        CU_ASSERT(of_kept <= (strncmp(names[i], "mla_", 4) == 0 ? 5e-2 : 2e-2));
        job_free(&exact);
        job_free(&kept);
        free(r.logits);
    }
}

static void same_bits_anywhere(void)
{
    static const struct {
        int ranks, threads, chunk;
    } cases[] = {{2, 1, 64}, {1, 2, 7}, {2, 2, 1}};
    for (size_t i = 0; i < N_NAMES; i++) {
        struct reference r = reference_of(names[i]);
        struct job first = run(&r, SW_FORMAT_F16, true, 1, 1, 64);
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            struct job job =
                run(&r, SW_FORMAT_F16, true, cases[k].ranks, cases[k].threads, cases[k].chunk);
            CU_ASSERT_EQUAL(memcmp(job.logits, first.logits, (size_t)r.n_logits * sizeof(float)),
                            0);
            job_free(&job);
        }
        job_free(&first);
        free(r.logits);
    }
}

SW_UNIT_TESTS({"logits are those of transformers", logits_are_those_of_transformers},
              {"same bits anywhere", same_bits_anywhere})
