/*
 * Logits and greedy ids of checkpoints of every family against references computed by other
 * programs (Hugging Face transformers for tests/models/tiny; see the READMEs beside them).
 */
#include "pipeline_job.h"
#include "unit.h"

#include <dirent.h>
#include <math.h>
#include <unistd.h>

/* Largest |a - b| over the largest |b|. */
static double error_of(const float *a, const float *b, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= worst))
            worst = difference;
        if (fabs((double)b[i]) > largest)
            largest = fabs((double)b[i]);
    }
    return worst / largest;
}

/* Compares one checkpoint folder with DIR/expected.safetensors. Returns whether it was there. */
static bool compare(const char *dir, const char *expected)
{
    int64_t n_ids = 0, n_logits = 0, n_greedy = 0;
    int64_t *ids64 = job_read(expected, "input_ids", SW_I64, &n_ids);
    float *logits = job_read(expected, "logits", SW_F32, &n_logits);
    int64_t *greedy = job_read(expected, "greedy_ids", SW_I64, &n_greedy);
    if (!ids64 || !logits || !greedy) {
        printf("    %s: %s\n", expected, sw_error_message());
        free(ids64);
        free(logits);
        free(greedy);
        return false;
    }
    int32_t *ids = malloc((size_t)n_ids * sizeof *ids), *target = NULL;
    int64_t n_target = 0;
    for (int64_t i = 0; i < n_ids; i++)
        ids[i] = (int32_t)ids64[i];
    /* Of an encoder-decoder these are the source. */
    int64_t *target64 = job_read(expected, "decoder_input_ids", SW_I64, &n_target);
    if (target64)
        target = malloc((size_t)n_target * sizeof *target);
    for (int64_t i = 0; i < n_target; i++)
        target[i] = (int32_t)target64[i];
    /* Some references keep the prompt in front of what was continued. */
    const bool with_prompt = n_greedy > n_ids && memcmp(greedy, ids64, (size_t)n_ids * 8) == 0;
    const int64_t *follow = with_prompt ? greedy + n_ids : greedy;
    const int64_t n_follow = with_prompt ? n_greedy - n_ids : n_greedy;
    struct job job = {.dir = dir,
                      .weights = SW_FORMAT_F32,
                      .kv = SW_F32,
                      .ranks = 1,
                      .threads = 2,
                      .chunk = 512,
                      .context = (int)(n_ids + n_target + n_follow),
                      .ids = target ? target : ids,
                      .n_ids = (int)(target ? n_target : n_ids),
                      .source = target ? ids : NULL,
                      .n_source = (int)(target ? n_ids : 0),
                      .n_new = (int)n_follow};
    const enum sw_status status = job_run(&job);
    CU_ASSERT_EQUAL(status, SW_OK);
    if (status != SW_OK) {
        printf("    %s: %s\n", dir, job.error);
    } else {
        const double error = error_of(job.logits, logits, n_logits);
        int64_t same = 0;
        while (same < n_follow && job.new_ids[same] == follow[same])
            same++;
        printf("    %-60s error %.1e, %lld of %lld greedy ids\n", strstr(dir, "models/"), error,
               (long long)same, (long long)n_follow);
        CU_ASSERT_EQUAL(n_logits, job.n_ids * job.vocab);
        CU_ASSERT_TRUE(error <= 1e-4);
        CU_ASSERT_EQUAL(same, n_follow);
    }
    job_free(&job);
    free(ids);
    free(ids64);
    free(target);
    free(target64);
    free(logits);
    free(greedy);
    return true;
}

/* file: of the folder, or "" for the folder itself */
static int compare_all(const char *root, const char *file)
{
    DIR *folder = opendir(root);
    int n = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char dir[4096], expected[4200];
        snprintf(expected, sizeof expected, "%s/%s/expected.safetensors", root, entry->d_name);
        snprintf(dir, sizeof dir, "%s/%s%s", root, entry->d_name, file);
        if (entry->d_name[0] == '.' || access(expected, R_OK) != 0)
            continue;
        n += compare(dir, expected);
    }
    if (folder)
        closedir(folder);
    return n;
}

/* The same checkpoint from its torch file, which lies beside the safetensors one: a folder with
 * links to the config and to that file alone. */
static void compare_torch_form(const char *dir, const char *expected)
{
    static const char *const names[] = {"config.json", "pytorch_model.bin"};
    char folder[] = "/tmp/spillway-test-XXXXXX", from[4200], to[4200];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s", dir, names[i]);
        snprintf(to, sizeof to, "%s/%s", folder, names[i]);
        CU_ASSERT_EQUAL(symlink(from, to), 0);
    }
    CU_ASSERT_TRUE(compare(folder, expected));
    for (size_t i = 0; i < 2; i++) {
        snprintf(to, sizeof to, "%s/%s", folder, names[i]);
        unlink(to);
    }
    rmdir(folder);
}

static void independent_ones_agree_in_torch_form(void)
{
    static const char *const names[] = {"bloom", "gpt_neox", "gpt_neox_sequential",
                                        "gptj",  "opt",      "opt_350m_style",
                                        "t5",    "t5_v1_1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char dir[2048], expected[2100];
        const char *shared = sw_unit_shared("tiny-models/gptj/pytorch_model.bin");
        if (!shared)
            return;
        snprintf(dir, sizeof dir, "%.*s%s",
                 (int)(strlen(shared) - strlen("gptj/pytorch_model.bin")), shared, names[i]);
        snprintf(expected, sizeof expected, "%s/expected.safetensors", dir);
        compare_torch_form(dir, expected);
    }
}

/* What keeping weights, activations of products and KV in fewer bits costs, as docs/design.md
 * states it: the largest error of a logit as a share of the largest logit, against the f32
 * reference. */
static void fewer_bits_cost_what_is_stated(void)
{
    static const struct {
        const char *dir;
        enum sw_format_id format;
        double stated;
    } cases[] = {{"tests/models/shakespeare", SW_FORMAT_BF16, 0.03},
                 {"tests/models/shakespeare", SW_FORMAT_F16, 0.002},
                 {"tests/models/tiny/llama", SW_FORMAT_BF16, 0.03},
                 {"tests/models/tiny/qwen2", SW_FORMAT_F16, 0.002},
                 {"tests/models/tiny/bloom", SW_FORMAT_BF16, 0.03},
                 {"tests/models/tiny/opt", SW_FORMAT_F16, 0.002},
                 {"tests/models/shakespeare", SW_FORMAT_INT8, 0.03},
                 {"tests/models/shakespeare", SW_FORMAT_Q8_0, 0.01},
                 {"tests/models/shakespeare", SW_FORMAT_Q6_K, 0.03},
                 {"tests/models/shakespeare", SW_FORMAT_Q5_K, 0.06},
                 {"tests/models/shakespeare", SW_FORMAT_Q4_K, 0.1},
                 {"tests/models/shakespeare", SW_FORMAT_IQ4_XS, 0.1},
                 {"tests/models/shakespeare", SW_FORMAT_Q3_K, 0.2},
                 {"tests/models/shakespeare", SW_FORMAT_Q2_K, 0.4},
                 {"tests/models/shakespeare", SW_FORMAT_NF4, 0.12},
                 {"tests/models/shakespeare", SW_FORMAT_FP4, 0.15},
                 {"tests/models/shakespeare", SW_FORMAT_NF4_NESTED, 0.12},
                 {"tests/models/shakespeare", SW_FORMAT_FP4_NESTED, 0.15},
                 {"tests/models/shakespeare", SW_FORMAT_INT3_G32, 0.2},
                 {"tests/models/shakespeare", SW_FORMAT_INT2_G32, 0.4},
                 {"tests/models/shakespeare", SW_FORMAT_FP8, 0.03},
                 /* Random ones, which magnify every rounding. */
                 {"tests/models/tiny/llama", SW_FORMAT_Q8_0, 0.1},
                 {"tests/models/tiny/qwen2", SW_FORMAT_Q8_0, 0.1},
                 /* Random ones, in which rounding to bf16 makes a router choose another expert. */
                 {"tests/models/tiny/mixtral", SW_FORMAT_BF16, 0.2},
                 {"tests/models/tiny/qwen3_moe", SW_FORMAT_BF16, 0.2},
                 {"tests/models/tiny/mixtral", SW_FORMAT_F16, 0.002},
                 {"tests/models/tiny/qwen3_moe", SW_FORMAT_F16, 0.002}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char dir[2048], expected[2100];
        int64_t n_ids = 0, n_logits = 0;
        snprintf(dir, sizeof dir, "%s/%s", SW_SOURCE_DIR, cases[i].dir);
        snprintf(expected, sizeof expected, "%s/expected.safetensors", dir);
        int64_t *ids64 = job_read(expected, "input_ids", SW_I64, &n_ids);
        float *logits = job_read(expected, "logits", SW_F32, &n_logits);
        CU_ASSERT_TRUE_FATAL(ids64 && logits && n_ids <= 64);
        int32_t ids[64];
        for (int64_t k = 0; k < n_ids; k++)
            ids[k] = (int32_t)ids64[k];
        struct job job = {.dir = dir,
                          .weights = cases[i].format,
                          .kv = sw_format_kv(cases[i].format, SW_F16),
                          .ranks = 1,
                          .threads = 1,
                          .chunk = 64,
                          .context = 64,
                          .ids = ids,
                          .n_ids = (int)n_ids};
        CU_ASSERT_EQUAL(job_run(&job), SW_OK);
        const double error = job.logits ? error_of(job.logits, logits, n_logits) : 1;
        printf("    %-45s %-5s error %.1e\n", cases[i].dir, sw_format_of(cases[i].format)->name,
               error);
        CU_ASSERT_TRUE(error <= cases[i].stated);
        job_free(&job);
        free(ids64);
        free(logits);
    }
}

/*
 * Int8 weights against transformers with bitsandbytes, computed one token at a time (make_int8.py).
 * Random models have sharp attention and magnify every rounding, so what int8 costs them is held
 * against what it costs there. Differences left: bitsandbytes rounds activations and outliers to
 * f16.
 */
static void int8_agrees_with_bitsandbytes(void)
{
    static const char *const names[] = {"shakespeare", "tiny/gpt_neox", "tiny/llama", "tiny/opt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char dir[2048], expected[2100], exact[2100];
        int64_t n_ids = 0, n_logits = 0;
        const char *slash = strrchr(names[i], '/');
        snprintf(dir, sizeof dir, "%s/tests/models/%s", SW_SOURCE_DIR, names[i]);
        snprintf(expected, sizeof expected, "%s/tests/models/int8/%s.safetensors", SW_SOURCE_DIR,
                 slash ? slash + 1 : names[i]);
        snprintf(exact, sizeof exact, "%s/expected.safetensors", dir);
        int64_t *ids64 = job_read(expected, "input_ids", SW_I64, &n_ids);
        float *theirs = job_read(expected, "logits", SW_F32, &n_logits);
        float *f32 = job_read(exact, "logits", SW_F32, &n_logits);
        CU_ASSERT_TRUE_FATAL(ids64 && theirs && f32 && n_ids <= 64);
        int32_t ids[64];
        for (int64_t k = 0; k < n_ids; k++)
            ids[k] = (int32_t)ids64[k];
        struct job job = {.dir = dir,
                          .weights = SW_FORMAT_INT8,
                          .kv = SW_F32,
                          .ranks = 2,
                          .threads = 1,
                          .chunk = 7,
                          .context = 64,
                          .ids = ids,
                          .n_ids = (int)n_ids};
        CU_ASSERT_EQUAL(job_run(&job), SW_OK);
        const double error = job.logits ? error_of(job.logits, theirs, n_logits) : 1;
        const double cost = job.logits ? error_of(job.logits, f32, n_logits) : 1;
        const double their_cost = error_of(theirs, f32, n_logits);
        printf("    %-20s differs by %.1e; from f32 by %.1e, theirs by %.1e\n", names[i], error,
               cost, their_cost);
        CU_ASSERT_TRUE(error <= their_cost);
        CU_ASSERT_TRUE(cost <= 1.25 * their_cost);
        job_free(&job);
        free(ids64);
        free(theirs);
        free(f32);
    }
}

/* A real trained model: logits of its first 64 positions, from weights as they are and rounded. */
static void stories_agree_in_every_form(void)
{
    static const struct {
        const char *dir;
        double tolerance; /* what rounding the weights costs, seen from f32 */
    } forms[] = {{"stories260K/hf", 1e-4},
                 {"stories260K/hf-sharded-bin-f16", 4e-3},
                 {"stories260K/hf-sharded-bf16", 4e-2}};
    char expected[4096];
    const char *shared = sw_unit_shared("stories260K/expected.safetensors");
    if (!shared)
        return;
    snprintf(expected, sizeof expected, "%s", shared);
    int64_t n_ids = 0, n_logits = 0;
    int64_t *ids64 = job_read(expected, "greedy_ids", SW_I64, &n_ids);
    float *logits = job_read(expected, "logits_first64", SW_F32, &n_logits);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ids64);
    CU_ASSERT_PTR_NOT_NULL_FATAL(logits);
    int32_t ids[64];
    for (int i = 0; i < 64; i++)
        ids[i] = (int32_t)ids64[i];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/../shared/data/%s", SW_SOURCE_DIR, forms[i].dir);
        if (access(dir, X_OK) != 0)
            continue;
        struct job job = {.dir = dir,
                          .weights = SW_FORMAT_F32,
                          .kv = SW_F32,
                          .ranks = 2,
                          .threads = 1,
                          .chunk = 512,
                          .context = 64,
                          .ids = ids,
                          .n_ids = 64};
        CU_ASSERT_EQUAL(job_run(&job), SW_OK);
        const double error = job.logits ? error_of(job.logits, logits, n_logits) : 1;
        printf("    %-60s error %.1e\n", forms[i].dir, error);
        CU_ASSERT_EQUAL(n_logits, (int64_t)64 * job.vocab);
        CU_ASSERT_TRUE(error <= forms[i].tolerance);
        job_free(&job);
    }
    free(ids64);
    free(logits);
}

static void our_own_agree_with_transformers(void)
{
    CU_ASSERT_TRUE(compare_all(SW_SOURCE_DIR "/tests/models/tiny", "") >= 12);
    CU_ASSERT_EQUAL(compare_all(SW_SOURCE_DIR "/tests/models/t5", ""), 3);
    CU_ASSERT_TRUE(compare(SW_SOURCE_DIR "/tests/models/shakespeare",
                           SW_SOURCE_DIR "/tests/models/shakespeare/expected.safetensors"));
}

/* Files that llama.cpp's converter made of such checkpoints. */
static void gguf_files_agree(void)
{
    CU_ASSERT_EQUAL(compare_all(SW_SOURCE_DIR "/tests/models/gguf", "/model.gguf"), 34);
}

static void independent_ones_agree(void)
{
    if (!sw_unit_shared("README.md"))
        return;
    CU_ASSERT_TRUE(compare_all(SW_SOURCE_DIR "/../shared/data/tiny-models", "") >= 14);
}

SW_UNIT_TESTS({"our own agree with transformers", our_own_agree_with_transformers},
              {"GGUF files agree", gguf_files_agree},
              {"independent ones agree", independent_ones_agree},
              {"independent ones agree in torch form", independent_ones_agree_in_torch_form},
              {"fewer bits cost what is stated", fewer_bits_cost_what_is_stated},
              {"int8 agrees with bitsandbytes", int8_agrees_with_bitsandbytes},
              {"stories agree in every form", stories_agree_in_every_form})
