/* Which model a job is done with: what makes it another one, what does not, what ends in an error;
 * and manifests of the first version. */
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "jobs/identity.h"
#include "jobs/manifest.h"
#include "jobs/results.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BIG (4 << 20)
#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char folder[] = "/tmp/sw-identity-XXXXXX";

static void run(const char *command)
{
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

/* model/: 16 MiB in four tensors, and a small one between them. */
static void set_up(void)
{
    const struct sw_safetensors_spec specs[] = {{"a", SW_U8, 1, {BIG}},
                                                {"b", SW_U8, 1, {BIG}},
                                                {"small", SW_U8, 1, {8192}},
                                                {"c", SW_U8, 1, {BIG}},
                                                {"d", SW_U8, 1, {BIG}}};
    struct sw_safetensors_writer *writer;
    char *data = malloc(BIG);
    if (!data || !mkdtemp(folder) || chdir(folder) != 0 || mkdir("model", 0777) != 0)
        abort();
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open("model/model.safetensors", specs, 5, &writer),
                          SW_OK);
    for (int i = 0; i < 5; i++) {
        memset(data, i + 1, BIG);
        CU_ASSERT_EQUAL(sw_safetensors_writer_write(writer, data, i == 2 ? 8192 : BIG), SW_OK);
    }
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_close(writer), SW_OK);
    free(data);
    write_text("model/config.json", "{}");
    write_text("model/special_tokens_map.json", "{}");
}

static void tear_down(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT_EQUAL(chdir("/"), 0);
    run(command);
}

static enum sw_status make(const char *model, struct sw_identity *out)
{
    char path[256];
    struct sw_tensors t = {0};
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    enum sw_status status = sw_checkpoint_add_file(path, &t);
    if (status == SW_OK)
        status = sw_identity_make(model, &t, out);
    sw_tensors_free(&t);
    return status;
}

static struct sw_identity identity_of(const char *model)
{
    struct sw_identity out = {0};
    CU_ASSERT_EQUAL(make(model, &out), SW_OK);
    return out;
}

/* n bytes of `byte` at the offset of the weights of other/. */
static void damage(long offset, int byte, size_t n)
{
    FILE *f = fopen("other/model.safetensors", "r+");
    if (!f || fseek(f, offset, SEEK_SET) != 0)
        abort();
    for (size_t i = 0; i < n; i++)
        fputc(byte, f);
    if (fclose(f) != 0)
        abort();
}

static void other_models(void)
{
    const struct sw_identity mine = identity_of("model");
    static const struct {
        long offset;
        size_t n;
    } changes[] = {
        {BIG + 4096, BIG},        /* about one tensor in the middle */
        {2L * BIG + 1000, 8192},  /* the small one */
        {0x10000 + BIG, 1 << 20}, /* a part of one */
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        run("rm -rf other; cp -r model other");
        CU_ASSERT_STRING_EQUAL(identity_of("other").digest, mine.digest);
        damage(changes[i].offset, 9, changes[i].n);
        CU_ASSERT_STRING_NOT_EQUAL(identity_of("other").digest, mine.digest);
    }
    static const char *const texts[] = {
        "config.json",        "special_tokens_map.json", "added_tokens.json", "tokenizer.json",
        "chat_template.json", "generation_config.json",  "spiece.model"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char path[64];
        run("rm -rf other; cp -r model other");
        snprintf(path, sizeof path, "other/%s", texts[i]);
        write_text(path, "{ }");
        CU_ASSERT_STRING_NOT_EQUAL(identity_of("other").digest, mine.digest);
    }
}

static void same_model(void)
{
    const struct sw_identity mine = identity_of("model");
    run("rm -rf other; cp -r model other; touch -d 2001-01-01 other/*; chmod 600 other/*");
    CU_ASSERT_STRING_EQUAL(identity_of("other").digest, mine.digest);
    CU_ASSERT_STRING_EQUAL(mine.hashes, "");
}

/* As a hub's cache has files, and downloads into a folder. */
static void hub_hashes(void)
{
    const struct sw_identity mine = identity_of("model");
    char hash[65];
    run("rm -rf hub; mkdir -p hub/blobs hub/snapshots/1; cp model/*.json hub/snapshots/1;"
        "cp model/model.safetensors hub/blobs/" SHA_A ";"
        "ln -s ../../blobs/" SHA_A " hub/snapshots/1/model.safetensors");
    const struct sw_identity a = identity_of("hub/snapshots/1");
    CU_ASSERT_STRING_EQUAL(a.digest, mine.digest);
    CU_ASSERT_EQUAL(strlen(a.hashes), 32);
    run("mv hub/blobs/" SHA_A " hub/blobs/" SHA_B ";"
        "ln -sf ../../blobs/" SHA_B " hub/snapshots/1/model.safetensors");
    const struct sw_identity b = identity_of("hub/snapshots/1");
    CU_ASSERT_STRING_EQUAL(b.digest, mine.digest);
    CU_ASSERT_STRING_NOT_EQUAL(b.hashes, a.hashes);

    run("rm -rf other; cp -r model other; mkdir -p other/.cache/huggingface/download;"
        "printf 'c0ffee\\n%s\\n%s.5\\n' " SHA_A " $(date +%s) >"
        "other/.cache/huggingface/download/model.safetensors.metadata");
    CU_ASSERT_STRING_EQUAL(identity_of("other").hashes, a.hashes);
    run("touch -d 2101-01-01 other/model.safetensors"); /* written since */
    CU_ASSERT_STRING_EQUAL(identity_of("other").hashes, "");
    CU_ASSERT_STRING_EQUAL(identity_of("other").digest, mine.digest);
    run("rm -rf other; cp -r model other; mkdir -p other/.huggingface/download;"
        "printf 'c0ffee\\n\"%s\"\\n%s\\n' " SHA_B " $(date +%s) >"
        "other/.huggingface/download/model.safetensors.metadata");
    CU_ASSERT_STRING_EQUAL(identity_of("other").hashes, b.hashes);
    run("printf 'c0ffee\\n%s\\n%s\\n' 1234567890123456789012345678901234567890 $(date +%s) >"
        "other/.huggingface/download/model.safetensors.metadata"); /* no LFS */
    CU_ASSERT_EQUAL(sw_identity_hub_hash("other/model.safetensors", hash), SW_OK);
    CU_ASSERT_STRING_EQUAL(hash, "");
}

/* Bytes that this process has read so far. */
static long long bytes_read(void)
{
    long long n = -1;
    FILE *f = fopen("/proc/self/io", "r");
    if (!f || fscanf(f, "rchar: %lld", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

/* A model that is one file: its header counts whole, its weights by samples; most is not read. */
static void one_file(void)
{
    struct sw_tensors t = {0};
    struct sw_identity mine, other;
    run("rm -rf other; cp -r model other; mv other/model.safetensors other.st");
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file("other.st", &t), SW_OK);
    const long long before = bytes_read();
    CU_ASSERT_EQUAL(sw_identity_make("other.st", &t, &mine), SW_OK);
    CU_ASSERT(before < 0 || bytes_read() - before < 8 << 20); /* of 16 MiB */
    CU_ASSERT_EQUAL(mine.version, SW_IDENTITY_VERSION_FILE);
    CU_ASSERT_EQUAL(identity_of("model").version, SW_IDENTITY_VERSION);
    static const char *const changes[] = {
        "printf x | dd of=other.st bs=1 seek=9 conv=notrunc status=none",
        "dd if=/dev/zero of=other.st bs=1M seek=9 count=1 conv=notrunc status=none",
        "printf x >>other.st"};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        run("cp model/model.safetensors other.st");
        CU_ASSERT_EQUAL(sw_identity_make("other.st", &t, &other), SW_OK);
        CU_ASSERT_STRING_EQUAL(other.digest, mine.digest);
        run(changes[i]);
        CU_ASSERT_EQUAL(sw_identity_make("other.st", &t, &other), SW_OK);
        CU_ASSERT_STRING_NOT_EQUAL(other.digest, mine.digest);
    }
    sw_tensors_free(&t);
}

/* Never another digest, but an error that names the file. */
static void errors(void)
{
    static const struct {
        const char *command, *file;
    } rows[] = {{"mkfifo other/tokenizer.json", "other/tokenizer.json"},
                {"ln -s nowhere other/merges.txt", "other/merges.txt"},
                {"mkdir other/generation_config.json", "other/generation_config.json"},
                {"mkdir -p other/.cache/huggingface/download/model.safetensors.metadata",
                 "model.safetensors.metadata"}};
    const struct sw_identity mine = identity_of("model");
    struct sw_identity out;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        run("rm -rf other; cp -r model other");
        run(rows[i].command);
        CU_ASSERT_NOT_EQUAL(make("other", &out), SW_OK);
        CU_ASSERT(strstr(sw_error_message(), rows[i].file) != NULL);
    }
    /* Without a descriptor at any of the opens. */
    char path[] = "model/model.safetensors";
    struct sw_tensors t = {0};
    struct rlimit before, limit;
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(path, &t), SW_OK);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    const int next = dup(0);
    close(next);
    limit.rlim_cur = (rlim_t)next;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const enum sw_status status = sw_identity_make("model", &t, &out);
    setrlimit(RLIMIT_NOFILE, &before);
    CU_ASSERT_EQUAL(status, SW_EIO);
    CU_ASSERT(strstr(sw_error_message(), "model/config.json") != NULL);
    CU_ASSERT_EQUAL(sw_identity_make("model", &t, &out), SW_OK);
    CU_ASSERT_STRING_EQUAL(out.digest, mine.digest);
    sw_tensors_free(&t);
}

/* The digest of the first version, as that program made it. */
static void former_digest(void)
{
    char digest[33];
    struct sw_tensor_file files[] = {{(char[]){"former/w"}, 100000}};
    const struct sw_tensors t = {.files = files, .n_files = 1};
    run("mkdir former; printf 'a b\\n' >former/merges.txt");
    write_text("former/config.json", "{}");
    FILE *f = fopen("former/w", "w");
    for (int i = 0; f && i < 100000; i++)
        fputc(i * 7919 % 251, f);
    if (!f || fclose(f) != 0)
        abort();
    CU_ASSERT_EQUAL(sw_identity_former("former", &t, digest), SW_OK);
    CU_ASSERT_STRING_EQUAL(digest, "49edf9c047eb239f7f8afe0342bc6b37");
}

static json_t *manifest_of(const char *model)
{
    return json_pack("{s:s, s:{s:s, s:i, s:s}, s:o, s:{}}", "verb", "batch", "input", "path", "in",
                     "bytes", 10, "digest", "x", "model", json_loads(model, 0, NULL), "options");
}

/* Opens out as the job of `model`; what its manifest says of the model then, or NULL. */
static json_t *open_as(const char *model)
{
    const struct sw_input_scan scan = {.lines = 10, .begin = "x"};
    struct sw_results *r = NULL;
    json_t *manifest = manifest_of(model), *now = NULL;
    enum sw_status status = sw_results_open("out", &r);
    if (status == SW_OK)
        status = sw_results_begin(r, manifest, &scan, SW_RESULTS_RESUME);
    sw_results_close(r);
    json_decref(manifest);
    if (status != SW_OK)
        return NULL;
    CU_ASSERT_EQUAL_FATAL(sw_manifest_read("out", &manifest), SW_OK);
    now = json_incref(json_object_get(manifest, "model"));
    json_decref(manifest);
    return now;
}

#define NAME "{\"name\":\"m\","
#define V2 NAME "\"version\":2,"

static void manifests(void)
{
    static const struct {
        const char *past, *mine, *then; /* then NULL: refused, with */
        const char *words;
    } rows[] = {
        {V2 "\"digest\":\"d\",\"hashes\":\"\"}", V2 "\"digest\":\"d\",\"hashes\":\"\"}",
         V2 "\"digest\":\"d\",\"hashes\":\"\"}", NULL},
        {V2 "\"digest\":\"d\",\"hashes\":\"\"}", V2 "\"digest\":\"e\",\"hashes\":\"\"}", NULL,
         "another model"},
        {V2 "\"digest\":\"d\",\"hashes\":\"h\"}", V2 "\"digest\":\"d\",\"hashes\":\"i\"}", NULL,
         "another model"},
        {V2 "\"digest\":\"d\",\"hashes\":\"h\"}", V2 "\"digest\":\"d\",\"hashes\":\"\"}",
         V2 "\"digest\":\"d\",\"hashes\":\"h\"}", NULL},
        {V2 "\"digest\":\"d\",\"hashes\":\"\"}", V2 "\"digest\":\"d\",\"hashes\":\"h\"}",
         V2 "\"digest\":\"d\",\"hashes\":\"h\"}", NULL},
        {V2 "\"digest\":\"d\",\"hashes\":\"h\"}", V2 "\"digest\":\"e\",\"hashes\":\"h\"}", NULL,
         "another model"},
        {NAME "\"digest\":\"old\"}", V2 "\"digest\":\"d\",\"hashes\":\"\",\"former\":\"old\"}",
         V2 "\"digest\":\"d\",\"hashes\":\"\"}", NULL},
        {NAME "\"digest\":\"old\"}", V2 "\"digest\":\"d\",\"hashes\":\"\",\"former\":\"new\"}",
         NULL, "another model"},
        {NAME "\"version\":3,\"digest\":\"d\"}", V2 "\"digest\":\"d\",\"hashes\":\"\"}", NULL,
         "another version of spillway"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *past = manifest_of(rows[i].past);
        write_text("out", "{\"id\":1,\"text\":\"\"}\n");
        CU_ASSERT_EQUAL_FATAL(sw_manifest_write("out", past), SW_OK);
        sw_error_clear();
        json_t *now = open_as(rows[i].mine);
        json_t *expected = rows[i].then ? json_loads(rows[i].then, 0, NULL) : NULL;
        CU_ASSERT(expected ? json_equal(now, expected) : !now);
        if (rows[i].words)
            CU_ASSERT(strstr(sw_error_message(), rows[i].words) != NULL);
        json_decref(now);
        json_decref(expected);
        json_decref(past);
    }
}

SW_UNIT_TESTS({"set up", set_up}, {"other models", other_models}, {"the same model", same_model},
              {"hashes of a hub", hub_hashes}, {"one file", one_file}, {"errors", errors},
              {"the former digest", former_digest}, {"manifests", manifests},
              {"tear down", tear_down})
