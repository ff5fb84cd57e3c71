/* Finding weight files in a directory: order, shards, and what is refused how. */
#include "checkpoint/safetensors.h"
#include "checkpoint/weight_index.h"
#include "helpers.h"

#include <time.h>

#define SHARD_1 "model_00001-of-00002.safetensors"
#define SHARD_2 "model_00002-of-00002.safetensors"

static void expect_open_failure(const char *dir, enum sw_status expected, const char *part)
{
    struct sw_tensors t;
    expect_failure(sw_checkpoint_open(dir, &t), expected, part);
    CU_ASSERT_EQUAL(t.count, 0);
    CU_ASSERT_PTR_NULL(t.items);
}

static bool has_checkpoint(const char *dir)
{
    bool there = false;
    CU_ASSERT_EQUAL(sw_checkpoint_find(dir, &there), SW_OK);
    return there;
}

static void copy_sharded(const char *dir)
{
    copy_file(FIXTURES "sharded/" SHARD_1, dir, SHARD_1);
    copy_file(FIXTURES "sharded/" SHARD_2, dir, SHARD_2);
    copy_file(FIXTURES "sharded/model.safetensors.index.json", dir, "model.safetensors.index.json");
}

static void looks_in_order(void)
{
    char dir[64];
    struct sw_tensors t;
    new_folder(dir);
    CU_ASSERT_FALSE(has_checkpoint(dir));
    expect_open_failure(dir, SW_EINPUT, "looked for model.safetensors, model.safetensors.index");
    put_text(dir, "model-q4.gguf", "GGUF");
    expect_open_failure(dir, SW_EINPUT, "model-q4.gguf is a model by itself: give its path");
    CU_ASSERT_FALSE(has_checkpoint(dir));
    char file[128];
    snprintf(file, sizeof file, "%s/model-q4.gguf", dir);
    expect_open_failure(file, SW_EINPUT, "model-q4.gguf: does not begin as GGUF files do");

    copy_file(FIXTURES "torch/mixed_zip.bin", dir, "pytorch_model.bin");
    CU_ASSERT(has_checkpoint(dir));
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &t), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(sw_tensors_find(&t, "plain"));
    sw_tensors_free(&t);

    copy_sharded(dir);
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &t), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(sw_tensors_find(&t, "x.weight"));
    sw_tensors_free(&t);

    copy_file(FIXTURES "torch/expected.safetensors", dir, "model.safetensors");
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &t), SW_OK);
    CU_ASSERT_EQUAL(t.n_files, 1);
    CU_ASSERT_PTR_NOT_NULL(sw_tensors_find(&t, "plain"));
    sw_tensors_free(&t);
    remove_folder(dir);
    expect_open_failure(dir, SW_EINPUT, "No such file or directory");
}

static void merges_shards(void)
{
    struct sw_tensors t;
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_open(FIXTURES "sharded", &t), SW_OK);
    CU_ASSERT_EQUAL(t.count, 4);
    CU_ASSERT_EQUAL(t.n_files, 2);
    CU_ASSERT_EQUAL(sw_tensors_find(&t, "tied")->file, 0); /* as the index says */
    CU_ASSERT_EQUAL(sw_tensors_find(&t, "unlisted")->file, 1);
    unsigned short *y = read_tensor(&t, sw_tensors_find(&t, "y.weight"));
    CU_ASSERT(y && y[0] == 0 && y[1] == 0x3c00 && y[2] == 0x4000);
    free(y);
    sw_tensors_free(&t);
}

static void refuses_shards(void)
{
    char dir[64], path[128];
    size_t n;
    new_folder(dir);
    copy_sharded(dir);
    char *bytes = get_file(FIXTURES "sharded/" SHARD_2, &n);
    put_file(dir, SHARD_2, bytes, n - 1);
    expect_open_failure(dir, SW_EMODEL,
                        SHARD_2 ": tensor 'unlisted': ends at byte 15 after the "
                                "header, but the file has 14 there");
    put_file(dir, SHARD_2, bytes, 5);
    expect_open_failure(dir, SW_EMODEL, SHARD_2);
    put_file(dir, SHARD_2, bytes, 0);
    expect_open_failure(dir, SW_EMODEL, SHARD_2 ": is empty");
    put_text(dir, SHARD_2, "version https://git-lfs.github.com/spec/v1\n");
    expect_open_failure(dir, SW_EMODEL, "Git LFS pointer");
    put_text(dir, SHARD_2, "GGUF and more than that");
    expect_open_failure(dir, SW_EMODEL, "is a GGUF file, which is a model by itself");
    put_text(dir, SHARD_2, "<!DOCTYPE html><html>");
    expect_open_failure(dir, SW_EMODEL, "begins with 3c 21 44 4f");
    snprintf(path, sizeof path, "%s/" SHARD_2, dir);
    remove(path);
    expect_open_failure(dir, SW_EMODEL, SHARD_2 ": is missing");
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "names 2 files and 1 of them"));
    copy_file(FIXTURES "sharded/" SHARD_1, dir, SHARD_2);
    expect_open_failure(dir, SW_EMODEL, SHARD_2 ": does not hold tensor 'y.weight'");
    free(bytes);
    remove_folder(dir);
}

static void refuses_indexes(void)
{
    static const struct {
        const char *json, *message;
    } rows[] = {{"", "not JSON"},
                {"[]", "weight_map"},
                {"{}", "weight_map"},
                {"{\"weight_map\":{}}", "weight_map"},
                {"{\"weight_map\":{\"a\":1}}", "tensor 'a': its file is not a text"},
                {"{\"weight_map\":{\"a\":\"\"}}", "plain name"},
                {"{\"weight_map\":{\"a\":\"..\"}}", "leaves the directory"},
                {"{\"weight_map\":{\"a\":\"../../etc/passwd\"}}", "leaves the directory"},
                {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "leaves the directory"},
                {"{\"weight_map\":{\"a\":\"x\",\"a\":\"y\"}}", "duplicate"}};
    char dir[64];
    new_folder(dir);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_text(dir, "pytorch_model.bin.index.json", rows[i].json);
        expect_open_failure(dir, SW_EMODEL, rows[i].message);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "pytorch_model.bin.index.json: "));
    }
    remove_folder(dir);
}

static void write_shard(const char *dir, int i, const char *name)
{
    struct sw_safetensors_spec specs[18];
    struct sw_safetensors_writer *writer;
    char names[18][80], path[256], zeros[18 * 32] = "";
    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (int k = 0; k < 18; k++) {
        snprintf(names[k], sizeof names[k], "model.layers.%d.self_attn.projection_%d.weight", i, k);
        specs[k] = (struct sw_safetensors_spec){names[k], SW_BF16, 2, {4, 4}};
    }
    if (sw_safetensors_writer_open(path, specs, 18, &writer) != SW_OK ||
        sw_safetensors_writer_write(writer, zeros, sizeof zeros) != SW_OK)
        abort();
    sw_safetensors_writer_abort(NULL);
    if (sw_safetensors_writer_close(writer) != SW_OK)
        abort();
}

/* As many shards as the largest checkpoints have; headers alone are read, so it is quick. */
static void opens_many_shards(void)
{
    char dir[64], path[128], name[64];
    new_folder(dir);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    FILE *index = fopen(path, "w");
    if (!index)
        abort();
    fprintf(index, "{\"weight_map\":{");
    for (int i = 0; i < 191; i++) {
        snprintf(name, sizeof name, "model-%05d-of-00191.safetensors", i + 1);
        write_shard(dir, i, name);
        for (int k = 0; k < 18; k++)
            fprintf(index, "%s\"model.layers.%d.self_attn.projection_%d.weight\":\"%s\"",
                    i + k ? "," : "", i, k, name);
    }
    fprintf(index, "}}");
    fclose(index);
    struct sw_tensors t;
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &t), SW_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    const double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
    printf("    191 shards, %zu tensors: %.1f ms of CPU time\n", t.count, ms);
    CU_ASSERT_EQUAL(t.count, 191 * 18);
    CU_ASSERT(ms < 2000);
    sw_tensors_free(&t);
    remove_folder(dir);
}

/* The two forms in which the same checkpoint lies there hold the same. */
static void both_forms(const char *name)
{
    char folder[256], dir[4096], path[8192];
    snprintf(folder, sizeof folder, "%s/config.json", name);
    const char *config = sw_unit_shared(folder);
    if (!config)
        return;
    snprintf(dir, sizeof dir, "%.*s", (int)(strlen(config) - strlen("/config.json")), config);
    struct sw_tensors a, b = {0};
    CU_ASSERT_EQUAL(sw_checkpoint_open(dir, &a), SW_OK);
    snprintf(path, sizeof path, "%s/pytorch_model.bin", dir);
    if (access(path, R_OK) == 0) {
        const enum sw_status status = sw_checkpoint_add_file(path, &b);
        CU_ASSERT_EQUAL(status, SW_OK);
        if (status != SW_OK)
            printf("    %s\n", sw_error_message());
        CU_ASSERT(a.count > 0 && a.count <= b.count);
        CU_ASSERT_EQUAL(count_equal(&a, &b), a.count);
    } else {
        for (size_t i = 0; i < a.count; i++) {
            void *data = read_tensor(&a, &a.items[i]);
            CU_ASSERT_PTR_NOT_NULL(data);
            free(data);
        }
    }
    sw_tensors_free(&a);
    sw_tensors_free(&b);
}

static void tiny_models(void)
{
    static const char *const names[] = {
        "bloom",       "gpt_neox", "gpt_neox_sequential", "gptj", "llama",
        "llama3_rope", "mixtral",  "mistral_swa",         "opt",  "opt_350m_style",
        "qwen2",       "qwen3",    "qwen3_moe",           "t5",   "t5_v1_1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "tiny-models/%s", names[i]);
        both_forms(name);
    }
    both_forms("stories260K/hf");
}

/* bf16 shards, f16 torch shards (one zip, one legacy) and the f32 file are one model. */
static void stories_forms(void)
{
    static const char *const forms[] = {"hf-sharded-bf16", "hf-sharded-bin-f16"};
    static const char *const head = "/stories260K/";
    const char *whole = sw_unit_shared("stories260K/hf/model.safetensors");
    if (!whole)
        return;
    struct sw_tensors a = {0}, b;
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(whole, &a), SW_OK);
    char root[4096], dir[8192];
    snprintf(root, sizeof root, "%.*s", (int)(strstr(whole, head) - whole + (long)strlen(head)),
             whole);
    for (size_t f = 0; f < 2; f++) {
        snprintf(dir, sizeof dir, "%s%s", root, forms[f]);
        CU_ASSERT_EQUAL_FATAL(sw_checkpoint_open(dir, &b), SW_OK);
        CU_ASSERT_EQUAL(b.count, a.count);
        for (size_t i = 0; i < b.count; i++) {
            const struct sw_tensor *y = &b.items[i], *x = sw_tensors_find(&a, y->name);
            CU_ASSERT_FATAL(x && x->bytes == 2 * y->bytes);
            float *p = read_tensor(&a, x);
            void *raw = read_tensor(&b, y);
            const int64_t n = sw_tensor_elements(x);
            float *q = malloc((size_t)n * sizeof *q);
            CU_ASSERT_FATAL(p && q && raw);
            sw_dtype_to_f32(y->dtype, raw, n, q);
            int64_t far = 0;
            for (int64_t k = 0; k < n; k++)
                far += !(q[k] - p[k] <= 0.004f * (p[k] < 0 ? -p[k] : p[k]) + 1e-6f &&
                         p[k] - q[k] <= 0.004f * (p[k] < 0 ? -p[k] : p[k]) + 1e-6f);
            CU_ASSERT_EQUAL(far, 0);
            free(p);
            free(q);
            free(raw);
        }
        sw_tensors_free(&b);
    }
    sw_tensors_free(&a);
}

SW_UNIT_TESTS({"looks in order", looks_in_order}, {"merges shards", merges_shards},
              {"refuses shards", refuses_shards}, {"refuses indexes", refuses_indexes},
              {"opens 191 shards", opens_many_shards}, {"tiny models, both forms", tiny_models},
              {"stories, three forms", stories_forms})
