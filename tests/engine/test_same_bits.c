/*
 * One answer wherever it runs: the same checkpoint on 1, 2, 3 and 5 ranks, with 1 and 2 threads,
 * with the prompt computed whole, in chunks or token by token, gives the same bits.
 */
#include "base/cpu_info.h"
#include "pipeline_job.h"
#include "unit.h"

#define N_IDS 21
#define N_NEW 12

struct cut {
    int ranks, threads, chunk;
};

/* What threads share is alike for most formats, and for one thread a rank a part of what it is for
 * two; ThreadSanitizer makes all of this 20 times as slow. AddressSanitizer makes it five times: it
 * needs each shape of a micro-batch, not each on so many ranks, and each format by itself is in
 * backend.cpu_blocks. */
#if defined(__SANITIZE_THREAD__)
#define FORMAT_STEP 4
static const struct cut cuts[] = {{3, 2, 512}, {5, 2, 7}, {2, 2, 4}, {1, 2, 1}};
#elif defined(__SANITIZE_ADDRESS__)
#define FORMAT_STEP 2
static const struct cut cuts[] = {{1, 1, 512}, {3, 2, 512}, {5, 2, 7}, {1, 2, 1}, {2, 1, 20}};
#else
#define FORMAT_STEP 1
static const struct cut cuts[] = {{1, 1, 512}, {2, 1, 512}, {3, 2, 512}, {5, 1, 512}, {1, 2, 7},
                                  {2, 2, 4},   {3, 1, 1},   {5, 2, 7},   {1, 2, 1},   {2, 1, 20}};
#endif

static const int32_t ids[N_IDS] = {3,  14, 15, 92, 65, 35, 89, 79, 32, 38, 46,
                                   26, 43, 38, 32, 79, 50, 28, 84, 19, 71};

static void same_bits(const char *name, enum sw_format_id weights, const char *isa)
{
    char dir[4096];
    struct job first = {0};
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", SW_SOURCE_DIR, name);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct job job = {.dir = dir,
                          .weights = weights,
                          .kv = sw_format_kv(weights, SW_F16),
                          .isa = isa,
                          .ranks = cuts[i].ranks,
                          .threads = cuts[i].threads,
                          .chunk = cuts[i].chunk,
                          .context = N_IDS + N_NEW,
                          .ids = ids,
                          .n_ids = N_IDS,
                          .n_new = N_NEW};
        const enum sw_status status = job_run(&job);
        CU_ASSERT_EQUAL(status, SW_OK);
        if (status != SW_OK) {
            printf("    %s: %s\n", name, job.error);
            job_free(&job);
            break;
        }
        if (i == 0) {
            first = job;
            continue;
        }
        const bool same = memcmp(job.logits, first.logits,
                                 (size_t)N_IDS * (size_t)job.vocab * sizeof(float)) == 0 &&
                          memcmp(job.new_ids, first.new_ids, N_NEW * sizeof *job.new_ids) == 0;
        if (!same)
            printf("    %s in %s: %d ranks, %d threads, chunks of %d give other bits\n", name,
                   sw_format_of(weights)->name, job.ranks, job.threads, job.chunk);
        CU_ASSERT_TRUE(same);
        job_free(&job);
    }
    job_free(&first);
}

static void every_family(void)
{
    static const char *const names[] = {
        "bloom",           "gpt2",          "gpt_neox",    "gptj",
        "llama31",         "mistral",       "mixtral",     "opt",
        "opt_350m",        "qwen2",         "qwen3",       "qwen3_moe",
        "gemma2",          "gemma3",        "olmo2",       "cohere2",
        "granite",         "glm4",          "ministral3",  "hunyuan",
        "gpt_oss",         "glm4_moe",      "qwen2_moe",   "falcon",
        "falcon_40b",      "falcon_rw",     "deepseek_v2", "deepseek_v2_lite",
        "deepseek_v3",     "glm4_moe_lite", "mistral4",    "youtu",
        "qwen3_next",      "qwen3_5",       "qwen3_5_moe", "llama4",
        "llama4_maverick", "cohere_plus",   "gemma4",      "gemma4_moe",
        "gemma4_e"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        same_bits(names[i], SW_FORMAT_F32, NULL);
}

static void every_weight_format(void)
{
    for (int i = 0; i < SW_FORMAT_COUNT; i += FORMAT_STEP) {
        same_bits("llama31", (enum sw_format_id)i, NULL);
        same_bits("mixtral", (enum sw_format_id)i, NULL);
        same_bits("bloom", (enum sw_format_id)i, NULL);
        same_bits("deepseek_v3", (enum sw_format_id)i, NULL);
    }
}

static void every_instruction_set(void)
{
    for (int isa = 0; isa <= (int)sw_cpu_isa(); isa++)
        for (int i = 0; i < SW_FORMAT_COUNT; i += FORMAT_STEP)
            same_bits("gpt_neox", (enum sw_format_id)i, sw_isa_name((enum sw_isa)isa));
    for (int isa = 0; isa <= (int)sw_cpu_isa(); isa++)
        for (int i = SW_FORMAT_F32; i <= SW_FORMAT_BF16; i++)
            same_bits("glm4_moe_lite", (enum sw_format_id)i, sw_isa_name((enum sw_isa)isa));
}

SW_UNIT_TESTS({"every family", every_family}, {"every weight format", every_weight_format},
              {"every instruction set", every_instruction_set})
