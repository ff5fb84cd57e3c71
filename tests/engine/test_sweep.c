/*
 * Each tiny checkpoint under hundreds of other configs (tests/models/sweep, by make_sweep.py): a
 * key taken away, null, another family's. Logits are transformers'. What it cannot run is refused,
 * or is as without the key where that is null, or what the checkpoint gives anyway.
 */
#include "base/json.h"
#include "pipeline_job.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#define MODELS SW_SOURCE_DIR "/tests/models"
#define SAMPLES 16
#define TOLERANCE 1e-4 /* of the largest logit of the row */

struct sweep {
    char folder[64]; /* with the checkpoint's weights; its config.json changes */
    json_t *config;
    int32_t ids[64];
    int n_ids;
    float base[SAMPLES]; /* of the last row */
    double largest;
    json_t *dropped; /* lines by the key that they drop */
    int same, other, refused, as_ever, wrong;
};

static json_t *read_json(const char *path)
{
    char *bytes;
    size_t n;
    json_t *value = NULL;
    if (sw_file_read(path, 64u << 20, &bytes, &n) != SW_OK)
        return NULL;
    if (sw_json_read(bytes, n, SW_JSON_MODEL, &value) != SW_OK)
        printf("    %s: %s\n", path, sw_error_message());
    free(bytes);
    return value;
}

static double largest_of(const float *row, int64_t n)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fabs((double)row[i]) > largest ? fabs((double)row[i]) : largest;
    return largest;
}

static void sample(const float *row, int64_t vocab, float out[SAMPLES])
{
    for (int64_t i = 0; i < SAMPLES; i++)
        out[i] = row[i * vocab / SAMPLES];
}

/* A folder with links to the checkpoint's files, and what it gives with its own config. */
static bool sweep_begin(struct sweep *s, const char *name)
{
    char dir[2048], path[4096], to[512];
    int64_t n = 0, n_logits = 0;
    *s = (struct sweep){.folder = "/tmp/spillway-sweep-XXXXXX", .dropped = json_object()};
    snprintf(dir, sizeof dir, MODELS "/tiny/%s", name);
    snprintf(path, sizeof path, "%s/config.json", dir);
    s->config = read_json(path);
    snprintf(path, sizeof path, "%s/expected.safetensors", dir);
    int64_t *ids = job_read(path, "input_ids", SW_I64, &n);
    float *logits = job_read(path, "logits", SW_F32, &n_logits);
    const bool good = s->config && ids && logits && n > 0 && n <= 64 && mkdtemp(s->folder);
    DIR *files = good ? opendir(dir) : NULL;
    for (struct dirent *e; files && (e = readdir(files));) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "config.json") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        snprintf(to, sizeof to, "%s/%.256s", s->folder, e->d_name);
        CU_ASSERT_EQUAL(symlink(path, to), 0);
    }
    if (files)
        closedir(files);
    for (int64_t i = 0; good && i < n; i++)
        s->ids[i] = (int32_t)ids[i];
    if (good) {
        s->n_ids = (int)n;
        const int64_t vocab = n_logits / n;
        sample(logits + (n - 1) * vocab, vocab, s->base);
        s->largest = largest_of(logits + (n - 1) * vocab, vocab);
    }
    free(ids);
    free(logits);
    return good;
}

static void sweep_end(struct sweep *s)
{
    char path[512];
    DIR *files = opendir(s->folder);
    for (struct dirent *e; files && (e = readdir(files));) {
        snprintf(path, sizeof path, "%s/%.256s", s->folder, e->d_name);
        unlink(path);
    }
    if (files)
        closedir(files);
    rmdir(s->folder);
    json_decref(s->config);
    json_decref(s->dropped);
}

static void write_config(const struct sweep *s, const json_t *line)
{
    char path[128];
    json_t *config = json_copy(s->config);
    const char *drop = json_string_value(json_object_get(line, "drop"));
    if (drop)
        json_object_del(config, drop);
    else
        json_object_update(config, json_object_get(line, "set"));
    snprintf(path, sizeof path, "%s/config.json", s->folder);
    CU_ASSERT_EQUAL(json_dump_file(config, path, 0), 0);
    json_decref(config);
}

/* Largest difference of the samples, as a share of the largest logit. */
static double difference(const float a[SAMPLES], const float b[SAMPLES], double largest)
{
    double worst = 0;
    for (int i = 0; i < SAMPLES; i++) {
        const double d = fabs((double)a[i] - (double)b[i]) / largest;
        worst = d <= worst ? worst : d;
    }
    return worst;
}

static void complain(struct sweep *s, const char *name, const json_t *line, const char *what,
                     const char *error)
{
    json_t *change = json_copy((json_t *)(uintptr_t)line);
    json_object_del(change, "row");
    char *text = json_dumps(change, JSON_COMPACT);
    if (s->wrong++ < 40)
        printf("    %s: %s: %s%s%s\n", name, text ? text : "", what, error[0] ? ": " : "", error);
    free(text);
    json_decref(change);
}

/* The line whose logits a line should have: where transformers fails over null, that without the
 * key. */
static const json_t *right_line(struct sweep *s, const json_t *line)
{
    const char *key, *drop = json_string_value(json_object_get(line, "drop"));
    json_t *value, *set = json_object_get(line, "set");
    const json_t *without = NULL;
    if (drop)
        json_object_set(s->dropped, drop, (json_t *)(uintptr_t)line);
    json_object_foreach(set, key, value) if (json_object_get(line, "error") && json_is_null(value))
        without = json_object_get(s->dropped, key);
    return without ? without : line;
}

static void check_line(struct sweep *s, const char *name, const json_t *line)
{
    struct job job = {.dir = s->folder,
                      .weights = SW_FORMAT_F32,
                      .kv = SW_F32,
                      .ranks = 1,
                      .threads = 1,
                      .chunk = 64,
                      .context = s->n_ids,
                      .ids = s->ids,
                      .n_ids = s->n_ids};
    write_config(s, line);
    const json_t *right = right_line(s, line), *row = json_object_get(right, "row");
    const bool runs = job_run(&job) == SW_OK;
    float here[SAMPLES], there[SAMPLES];
    if (runs)
        sample(job.logits + (int64_t)(s->n_ids - 1) * job.vocab, job.vocab, here);
    for (size_t i = 0; i < SAMPLES; i++)
        there[i] = row ? (float)json_number_value(json_array_get(row, i)) : s->base[i];
    const double largest = row ? json_number_value(json_object_get(right, "largest")) : s->largest;
    const double error = runs ? difference(here, there, largest) : 0;
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%.1e", error);
    if (json_is_true(json_object_get(line, "refused")) && runs)
        complain(s, name, line, "is not refused", "");
    else if (json_object_get(line, "error") && runs && error > TOLERANCE)
        complain(s, name, line, "runs with other logits", numbers);
    else if (!json_object_get(line, "error") && !json_object_get(line, "refused") && !runs)
        complain(s, name, line, "does not run", job.error);
    else if (!json_object_get(line, "error") && runs && error > TOLERANCE)
        complain(s, name, line, "differs", numbers);
    s->same += runs && !row && !json_object_get(line, "error");
    s->other += runs && row;
    s->refused += !runs;
    s->as_ever += runs && json_object_get(line, "error");
    job_free(&job);
}

/* A file of lines: one config each. */
static void check_file(const char *path, const char *name)
{
    struct sweep s;
    char *bytes = NULL;
    size_t n = 0;
    CU_ASSERT_TRUE_FATAL(sweep_begin(&s, name));
    CU_ASSERT_EQUAL(sw_file_read(path, 4u << 20, &bytes, &n), SW_OK);
    for (const char *at = bytes, *end = bytes + n; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        json_t *line = NULL;
        stop = stop ? stop : end;
        CU_ASSERT_EQUAL(sw_json_read(at, (size_t)(stop - at), SW_JSON_LINE, &line), SW_OK);
        if (line)
            check_line(&s, name, line);
        json_decref(line);
        at = stop + 1;
    }
    printf("    %-22s %d as the file's own, %d others, %d refused, %d that transformers refuses\n",
           name, s.same, s.other, s.refused, s.as_ever);
    CU_ASSERT_EQUAL(s.wrong, 0);
    CU_ASSERT_TRUE(s.same > 10 && s.refused >= 5);
    sweep_end(&s);
    free(bytes);
}

static void configs_mean_what_transformers_says(void)
{
    int n = 0;
    DIR *folder = opendir(MODELS "/sweep");
    /* what is refused is also logged */
    const int quiet = open("/dev/null", O_WRONLY);
    CU_ASSERT_TRUE(quiet >= 0 && dup2(quiet, STDERR_FILENO) >= 0);
    close(quiet);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        char path[4096], name[256];
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".jsonl") != 0)
            continue;
        snprintf(path, sizeof path, MODELS "/sweep/%s", e->d_name);
        snprintf(name, sizeof name, "%.*s", (int)(dot - e->d_name), e->d_name);
        check_file(path, name);
        n++;
    }
    if (folder)
        closedir(folder);
    CU_ASSERT_TRUE(n >= 20);
}

SW_UNIT_TESTS({"configs mean what transformers says", configs_mean_what_transformers_says})
