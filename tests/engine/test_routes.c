/*
 * Routes: the file that a run writes of which experts were chosen has each layer of each
 * micro-batch once, the same from one rank and from two, and ends with the counts that are learnt
 * from it; and lines that are no routes are refused.
 */
#include "base/file_write.h"
#include "model/popularity.h"
#include "tiers.h"

#include <math.h>
#include <unistd.h>

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    SW_TRY(sw_driver_routes(driver, job->drive_context));
    return job_drive(job, driver);
}

static int lines_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a file, sorted; the caller frees (*n) and their text. */
static char **sorted_lines(const char *path, int *n)
{
    char **lines = calloc(1000, sizeof *lines), *text = NULL;
    size_t capacity = 0;
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (*n = 0; *n < 1000 && getline(&text, &capacity, file) > 0; ++*n)
        lines[*n] = strdup(text);
    free(text);
    fclose(file);
    qsort(lines, (size_t)*n, sizeof *lines, lines_order);
    return lines;
}

static char **routes_of(const char *name, int ranks, const char *path, int *n)
{
    char dir[4096];
    path_of(name, dir, sizeof dir);
    struct job job = job_of(dir, SW_FORMAT_F32);
    job.ranks = ranks;
    job.chunk = 30;
    job.routes = true;
    job.drive = drive;
    job.drive_context = (void *)path;
    CU_ASSERT_EQUAL_FATAL(job_run(&job), SW_OK);
    job_free(&job);
    return sorted_lines(path, n);
}

static void free_lines(char **lines, int n)
{
    for (int i = 0; i < n; i++)
        free(lines[i]);
    free(lines);
}

/* Of qwen3_moe one layer of three has no experts, of which a token uses 3 of 7. */
static void one_file_from_any_ranks(void)
{
    char path[] = "/tmp/spillway-routes-XXXXXX", dir[4096];
    struct sw_model *model;
    struct sw_popularity popularity;
    uint64_t all = 0;
    int n, other_n;
    make_ids();
    CU_ASSERT(close(mkstemp(path)) == 0);
    char **lines = routes_of("qwen3_moe", 1, path, &n);
    /* a head, two layers of each micro-batch (prompts of 30, 30, 15; new ones), two of counts */
    CU_ASSERT_EQUAL(n % 2, 1);
    CU_ASSERT(n >= 1 + 2 * (3 + N_NEW - 1) + 2);
    for (int ranks = 2; ranks <= 3; ranks++) {
        char **others = routes_of("qwen3_moe", ranks, path, &other_n);
        CU_ASSERT_EQUAL_FATAL(n, other_n);
        for (int i = 0; i < n; i++)
            CU_ASSERT_STRING_EQUAL(lines[i], others[i]);
        free_lines(others, other_n);
    }
    path_of("qwen3_moe", dir, sizeof dir);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_popularity_read(path, model, &popularity), SW_OK);
    for (int e = 0; e < 3 * 7; e++)
        all += popularity.uses[e];
    for (int e = 0; e < 7; e++)
        CU_ASSERT_EQUAL(popularity.uses[7 + e], 0);
    CU_ASSERT(all >= 2 * 3 * (N_IDS + N_NEW - 1) && all % 6 == 0);
    sw_popularity_free(&popularity);
    sw_model_close(model);
    free_lines(lines, n);
    unlink(path);
}

static enum sw_status read_lines(const char *text, struct sw_popularity *p)
{
    char path[] = "/tmp/spillway-routes-XXXXXX", dir[4096];
    struct sw_model *model;
    const int fd = mkstemp(path);
    CU_ASSERT_FATAL(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    path_of("mixtral", dir, sizeof dir); /* 2 layers of 5 experts */
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    const enum sw_status status = sw_popularity_read(path, model, p);
    sw_model_close(model);
    unlink(path);
    return status;
}

#define HEAD "{\"routes\": 1, \"experts\": 5}\n"

static void rows_are_counted(void)
{
    struct sw_popularity p;
    static const uint64_t rows[10] = {0, 0, 0, 2, 1, 1, 0, 0, 0, 1};
    static const uint64_t counts[10] = {4, 0, 0, 4, 0, 1, 0, 0, 0, 1};
    CU_ASSERT_EQUAL_FATAL(read_lines(HEAD "{\"layer\": 0, \"experts\": [[3, 4], [3]], \"x\": 1}\n"
                                          "{\"layer\": 1, \"experts\": [[0, 4]]}\n"
                                          "{\"layer\": 1, \"experts\": [[0, 1, 2, 3, 4], [",
                                     &p),
                          SW_OK); /* the last line was torn off */
    CU_ASSERT_EQUAL(memcmp(p.uses, rows, sizeof rows), 0);
    double *shares = sw_popularity_shares(&p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(shares);
    CU_ASSERT_DOUBLE_EQUAL(shares[0], (2. / 3 + 1. / 2) / 2, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(shares[1], (1. / 3 + 1. / 2) / 2, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(shares[2], 0, 1e-12);
    free(shares);
    sw_popularity_free(&p);
    /* counts stand for all lines of the layer, which may be left out */
    CU_ASSERT_EQUAL_FATAL(read_lines(HEAD
                                     "{\"layer\": 0, \"experts\": [[3, 4], [3]]}\n"
                                     "{\"layer\": 1, \"experts\": [[0, 4]]}\n"
                                     "{\"layer\": 0, \"experts\": [], \"uses\": [4, 0, 0, 4, 0]}\n",
                                     &p),
                          SW_OK);
    CU_ASSERT_EQUAL(memcmp(p.uses, counts, sizeof counts), 0);
    sw_popularity_free(&p);
}

static void others_are_refused(void)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "no expert was chosen"},
        {HEAD, "no expert was chosen"},
        {"[]\n", "line 1: expected an object"},
        {"{\"routes\": 1, \"experts\": 8}\n", "line 1: routes of 8 experts"},
        {HEAD "{\"layer\": 0, \"experts\": [[5]]}\n", "line 2: expected experts from 0 to 4"},
        {HEAD "{\"layer\": 2, \"experts\": [[0]]}\n", "line 2: expected \"layer\" from 0"},
        {HEAD "{\"layer\": 0, \"experts\": [0]}\n", "for each row"},
        {HEAD "{\"layer\": 0}\n", "\"experts\""},
        {HEAD "{\"layer\": 0, \"experts\": [], \"uses\": [1]}\n", "uses of 5 experts"},
        {HEAD "{\"layer\": 0, \"experts\": [], \"uses\": [1, 1, 1, 1, -1]}\n", "expert 4"},
        {HEAD "{\"layer\": 0, \"experts\": [[0]\n", "line 2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_popularity p;
        sw_error_clear();
        CU_ASSERT_EQUAL(read_lines(cases[i].text, &p), SW_EINPUT);
        const bool found = strstr(sw_error_message(), cases[i].expected) != NULL;
        if (!found)
            printf("    %zu: %s\n", i, sw_error_message());
        CU_ASSERT(found);
        sw_popularity_free(&p);
    }
}

/* A line without an end does not take all memory. */
static void a_line_has_an_end(void)
{
    char *text = malloc(SW_ROUTES_LINE_MAX + 100);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    strcpy(text, HEAD);
    memset(text + strlen(HEAD), ' ', SW_ROUTES_LINE_MAX + 1);
    strcpy(text + strlen(HEAD) + SW_ROUTES_LINE_MAX + 1, "\n");
    struct sw_popularity p;
    CU_ASSERT_EQUAL(read_lines(text, &p), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "line 2: is longer than 16 MiB"));
    sw_popularity_free(&p);
    free(text);
}

SW_UNIT_TESTS({"a line has an end", a_line_has_an_end},
              {"one file from any ranks", one_file_from_any_ranks},
              {"rows are counted", rows_are_counted}, {"others are refused", others_are_refused})
