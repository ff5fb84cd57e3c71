/* An output that is opened again: what is found, cut off, refused. */
#include "jobs/manifest.h"
#include "jobs/result_writer.h"
#include "jobs/results.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/sw-results-XXXXXX";
static char path[64];

static void begin_test(void)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "%s/out.jsonl", folder);
}

static void end_test(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
}

static json_t *manifest_of(const char *verb, double temperature, const char *input)
{
    return json_pack("{s:s, s:{s:s, s:i, s:s}, s:{s:s, s:s}, s:{s:f}}", "verb", verb, "input",
                     "path", "in.jsonl", "bytes", 10, "digest", input, "model", "name", "m",
                     "digest", "d", "options", "--temperature", temperature);
}

static enum sw_status open_as(const char *verb, double temperature, const char *input,
                              enum sw_results_mode mode, struct sw_results **r)
{
    struct sw_input_scan scan = {.lines = 10};
    json_t *manifest = manifest_of(verb, temperature, input);
    snprintf(scan.begin, sizeof scan.begin, "%s", input);
    enum sw_status status = sw_results_open(path, r);
    if (status == SW_OK)
        status = sw_results_begin(*r, manifest, &scan, mode);
    json_decref(manifest);
    return status;
}

static void append(struct sw_results *r, const char *text)
{
    struct sw_strbuf line = {0};
    sw_strbuf_puts(&line, text);
    CU_ASSERT_EQUAL(sw_results_append(r, &line, false), SW_OK);
    sw_strbuf_free(&line);
}

static void add_bytes(const char *bytes, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    CU_ASSERT_EQUAL(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

static int64_t size(void)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static bool has(struct sw_results *r, const char *key)
{
    unsigned before;
    CU_ASSERT_EQUAL(sw_id_set_mark(sw_results_ids(r), key, strlen(key), 0, &before), SW_OK);
    return before & SW_ID_DONE;
}

static void resumes(void)
{
    static const char *const torn[] = {"{\"id\":\"c\",\"te", "{", "{\"id\":\"c\",\"text\":\"\"}"};
    struct sw_results *r;
    begin_test();
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    append(r, "{\"id\":\"a\",\"text\":\"\"}\n");
    append(r, "{\"id\":2,\"error\":\"no\"}\n");
    CU_ASSERT_EQUAL(sw_results_flush(r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).safe, 2);
    sw_results_close(r);
    const int64_t whole = size();
    for (size_t i = 0; i < sizeof torn / sizeof torn[0]; i++) {
        add_bytes(torn[i], strlen(torn[i]));
        CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
        const struct sw_results_count n = sw_results_count(r);
        CU_ASSERT(n.found == 2 && n.found_failed == 1 && n.written == 0);
        CU_ASSERT(has(r, "\"a\"") && has(r, "2") && !has(r, "\"2\"") && !has(r, "\"c\""));
        CU_ASSERT_EQUAL(size(), whole);
        sw_results_close(r);
    }
    end_test();
}

/* A file that says whose output it is, but cannot be read, stands in the way of no remedy. */
static void broken_manifests(void)
{
    struct sw_results *r;
    char command[128];
    begin_test();
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    append(r, "{\"id\":1,\"text\":\"\"}\n");
    sw_results_close(r);
    snprintf(command, sizeof command, "echo garbage >%s.job", path);
    CU_ASSERT_EQUAL(system(command), 0);
    CU_ASSERT_EQUAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "garbage"));
    sw_results_close(r);
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_FORCE, &r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).found, 1);
    sw_results_close(r);
    CU_ASSERT_EQUAL(system(command), 0);
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_FRESH, &r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).found, 0);
    sw_results_close(r);
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    sw_results_close(r);
    end_test();
}

/* Blocks that a dying machine never wrote are zeros, and whole lines may follow them. */
static void zeros(void)
{
    struct sw_results *r;
    char block[4096] = {0};
    begin_test();
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    append(r, "{\"id\":1,\"text\":\"\"}\n");
    sw_results_close(r);
    const int64_t whole = size();
    add_bytes(block, sizeof block);
    add_bytes("\"}\n{\"id\":2,\"text\":\"\"}\n", 23);
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).found, 1);
    CU_ASSERT_EQUAL(size(), whole);
    append(r, "{\"id\":2,\"text\":\"\"}\n");
    sw_results_close(r);
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).found, 2);
    sw_results_close(r);
    end_test();
}

/* What is no result of ours was put there by somebody: refused, wherever it is, and left. */
static void strangers(void)
{
    static const char *const lines[] = {
        "what is this?\n",
        "{\"id\":3,\"text\":nothing}\n",
        "{\"id\":3,\"text\":\"\\x\"}\n",
        "{\"id\":3,\"text\":\"\xff\"}\n",
        "{\"id\":3,\"text\":\"\",}\n",
        "{\"id\":3,\"prompt\":\"a request\"}\n",
        "{\"custom_id\":\"a\",\"url\":\"/v1/completions\",\"body\":{}}\n",
        "{\"text\":\"nobody's\"}\n",
        "[1]\n",
    };
    static const char good[] = "{\"id\":2,\"text\":\"\"}\n";
    struct sw_results *r;
    begin_test();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_FRESH, &r), SW_OK);
        append(r, "{\"id\":1,\"text\":\"\"}\n");
        sw_results_close(r);
        add_bytes(lines[i], strlen(lines[i]));
        add_bytes(good, sizeof good - 1);
        const int64_t whole = size();
        CU_ASSERT_EQUAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_EINPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "line 2 is not a result"));
        sw_results_close(r);
        CU_ASSERT_EQUAL(size(), whole);
    }
    end_test();
}

/* The file goes away while a job writes it: said, and nothing is called safe. */
static void lost(void)
{
    static const struct {
        const char *command, *words[2];
    } rows[] = {
        {"rm out.jsonl", {"was removed while the job ran", "starts over"}},
        {"mv out.jsonl moved", {"was moved or replaced", "/moved. Move it back"}},
        {"mv out.jsonl moved; echo x >out.jsonl", {"was moved or replaced", "/moved. "}},
        {"truncate -s 5 out.jsonl",
         {"was truncated while the job ran: it has 5 bytes, 19 were", "computes what is missing"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int later = 0; later < 2; later++) {
            struct sw_results *r;
            char command[256];
            begin_test();
            CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
            append(r, "{\"id\":1,\"text\":\"\"}\n");
            CU_ASSERT_EQUAL(sw_results_flush(r), SW_OK);
            CU_ASSERT_EQUAL(sw_results_check(r), SW_OK);
            snprintf(command, sizeof command, "cd %s; %s", folder, rows[i].command);
            CU_ASSERT_EQUAL(system(command), 0);
            if (later) { /* and by the next sync */
                append(r, "{\"id\":2,\"text\":\"\"}\n");
                CU_ASSERT_EQUAL(sw_results_flush(r), SW_EIO);
                CU_ASSERT_EQUAL(sw_results_count(r).safe, 1);
            }
            sw_error_clear();
            CU_ASSERT_EQUAL(sw_results_check(r), SW_EIO);
            for (int k = 0; k < 2 && !(later && i == 3); k++)
                CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].words[k]));
            sw_results_close(r);
            end_test();
        }
}

/* Damage that no dying run can have left is not cut off. */
static void damage(void)
{
    struct sw_results *r;
    begin_test();
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    append(r, "{\"id\":1,\"text\":\"\"}\n");
    sw_results_close(r);
    add_bytes("what is this?\n", 14);
    char *much = malloc(SW_UNSAFE_BYTES);
    memset(much, ' ', SW_UNSAFE_BYTES);
    memcpy(much, "{\"id\":3}", 8);
    much[SW_UNSAFE_BYTES - 1] = '\n';
    add_bytes(much, SW_UNSAFE_BYTES);
    free(much);
    const int64_t before = size();
    CU_ASSERT_EQUAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "line 2"));
    sw_results_close(r);
    CU_ASSERT_EQUAL(size(), before);
    end_test();
}

static void refuses(enum sw_status expected, const char *word, const char *verb, double temperature,
                    const char *input)
{
    struct sw_results *r;
    CU_ASSERT_EQUAL(open_as(verb, temperature, input, SW_RESULTS_RESUME, &r), expected);
    if (word && !strstr(sw_error_message(), word))
        CU_FAIL(sw_error_message());
    sw_results_close(r);
}

static void other_jobs(void)
{
    struct sw_results *r;
    begin_test();
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0.5, "x", SW_RESULTS_RESUME, &r), SW_OK);
    append(r, "{\"id\":1,\"text\":\"\"}\n");
    sw_results_close(r);
    refuses(SW_OK, NULL, "batch", 0.5, "x");
    refuses(SW_EINPUT, "another input", "batch", 0.5, "y");
    refuses(SW_EINPUT, "--temperature is 1.0, was 0.5", "batch", 1, "x");
    refuses(SW_EINPUT, "made by 'batch'", "score", 0.5, "x");
    CU_ASSERT_EQUAL(open_as("batch", 1, "y", SW_RESULTS_FORCE, &r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).found, 1);
    sw_results_close(r);
    refuses(SW_EINPUT, "--temperature", "batch", 0.5, "y");
    CU_ASSERT_EQUAL(open_as("batch", 0, "z", SW_RESULTS_FRESH, &r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).found, 0);
    CU_ASSERT_EQUAL(size(), 0);
    sw_results_close(r);
    end_test();
}

/* A file of somebody else's is left as it is. */
static void not_ours(void)
{
    struct sw_results *r;
    begin_test();
    add_bytes("a letter to mother", 18);
    refuses(SW_EINPUT, "nothing shows", "batch", 0, "x");
    CU_ASSERT_EQUAL(open_as("batch", 0, "x", SW_RESULTS_FORCE, &r), SW_EINPUT);
    sw_results_close(r);
    CU_ASSERT_EQUAL(size(), 18);
    CU_ASSERT_EQUAL(sw_results_open(folder, &r), SW_EIO);
    sw_results_close(r);
    CU_ASSERT_EQUAL(sw_results_open("/dev/null", &r), SW_EUSAGE);
    sw_results_close(r);
    end_test();
}

static void two_writers(void)
{
    struct sw_results *mine, *other;
    char pid[32];
    begin_test();
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &mine), SW_OK);
    CU_ASSERT_EQUAL(sw_results_open(path, &other), SW_EINPUT);
    snprintf(pid, sizeof pid, "process %d on host ", (int)getpid());
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), pid));
    sw_results_close(other);
    sw_results_close(mine);
    CU_ASSERT_EQUAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &mine), SW_OK);
    sw_results_close(mine);
    end_test();
}

/* A file that may not grow: the line that does not fit leaves nothing behind. */
static void no_room(void)
{
    struct sw_results *r;
    struct rlimit before, small;
    struct sw_strbuf line = {0};
    begin_test();
    signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    append(r, "{\"id\":1,\"text\":\"0123456789012345678901234567890123456789\"}\n");
    sw_strbuf_puts(&line, "{\"id\":2,\"text\":\"0123456789012345678901234567890123456789\"}\n");
    CU_ASSERT_EQUAL(sw_results_append(r, &line, false), SW_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "File too large"));
    setrlimit(RLIMIT_FSIZE, &before);
    CU_ASSERT_EQUAL(size(), (int64_t)line.length);
    CU_ASSERT_EQUAL(sw_results_flush(r), SW_OK);
    CU_ASSERT_EQUAL(sw_results_count(r).safe, 1);
    sw_strbuf_free(&line);
    sw_results_close(r);
    end_test();
}

/* Killed while it writes as fast as it can: every whole line is found, none twice. */
static void killed(void)
{
    struct sw_results *r;
    int64_t found = 0;
    begin_test();
    for (int round = 0; round < 5; round++) {
        const int64_t before = size();
        const pid_t child = fork();
        if (child == 0) {
            char text[64];
            struct sw_strbuf line = {0};
            if (open_as("batch", 0, "x", SW_RESULTS_RESUME, &r) != SW_OK)
                _exit(1);
            for (int64_t i = sw_results_count(r).found;; i++) {
                line.length = 0;
                snprintf(text, sizeof text, "{\"id\":%lld,\"text\":\"", (long long)i);
                sw_strbuf_puts(&line, text);
                for (int k = 0; k < i % 100; k++)
                    sw_strbuf_puts(&line, "0123456789");
                sw_strbuf_puts(&line, "\"}\n");
                if (sw_results_append(r, &line, false) != SW_OK)
                    _exit(2);
            }
        }
        int status;
        for (int k = 0; k < 600 && (k == 0 || size() <= (before > 0 ? before : 0));
             k++) /* until it has begun */
            usleep(100000);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CU_ASSERT_EQUAL_FATAL(open_as("batch", 0, "x", SW_RESULTS_RESUME, &r), SW_OK);
        const int64_t now = sw_results_count(r).found;
        char key[32];
        CU_ASSERT(now >= found);
        for (int64_t i = 0; i < now; i++) {
            snprintf(key, sizeof key, "%lld", (long long)i);
            CU_ASSERT(has(r, key));
        }
        found = now;
        sw_results_close(r);
    }
    CU_ASSERT(found > 0);
    end_test();
}

SW_UNIT_TESTS({"resumes", resumes}, {"blocks never written", zeros}, {"damage", damage},
              {"strangers", strangers}, {"lost", lost}, {"broken manifests", broken_manifests},
              {"other jobs", other_jobs}, {"not ours", not_ours}, {"two writers", two_writers},
              {"no room", no_room}, {"killed", killed})
