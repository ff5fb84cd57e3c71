/*
 * Whole verbs, each of whose allocations fails once, the first, the second, the third …: session,
 * probe, plan, transport and engine end with a status, leave nothing behind (ASan looks on) and do
 * not hang. The failures are those of the main thread in our own code and in jansson's.
 */
#include "cmd/options.h"
#include "failing.h"
#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL SW_SOURCE_DIR "/tests/models/tiny/llama"
#define EACH 150 /* so many allocations fail one by one, later ones in steps of STEP */
#define STEP 7

static enum sw_status run_verb(const char *const *words)
{
    char *argv[16];
    int argc = 0;
    struct sw_call call = {0};
    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    const struct sw_verb *verb = sw_verb_find(argv[0]);
    enum sw_status status = sw_options_parse(verb, argc - 1, argv + 1, &call);
    if (status == SW_OK) {
        sw_call_find_models(verb, &call, true);
        status = verb->run(&call);
    }
    sw_call_free_models(&call);
    return status;
}

/* Standard output goes nowhere, and messages into a file, whose size tells whether there was one.
 */
static off_t message_bytes(void)
{
    struct stat st;
    return fstat(STDERR_FILENO, &st) == 0 ? st.st_size : 0;
}

/* At most `most` of a hundred failures may be of no consequence: advice is left out, a speed is the
 * usual one, a limit is warned of, a plan is made again. */
static void fail_each(const char *const *words, long most)
{
    char path[] = "/tmp/spillway-oom-XXXXXX";
    const int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    const int null = open("/dev/null", O_WRONLY), messages = mkstemp(path);
    long n = 0, tries = 0, unseen = 0, silent = 0;
    enum sw_status status;
    unlink(path);
    fflush(stdout);
    dup2(null, STDOUT_FILENO);
    dup2(messages, STDERR_FILENO);
    for (;; n += n < EACH ? 1 : STEP, tries++) {
        alarm(400); /* ends the test should a verb wait for ever */
        const off_t before = message_bytes();
        failing_done = 0;
        sw_error_clear();
        failing_left = n;
        status = run_verb(words);
        failing_left = -1;
        fflush(stdout);
        if (failing_done == 0)
            break;
        unseen += status == SW_OK;
        silent += status != SW_OK && !*sw_error_message() && message_bytes() == before;
    }
    alarm(0);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    const int fds[] = {out, err, null, messages};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        close(fds[i]);
    printf("    %s: %ld allocations, %ld failed, %ld of no consequence, %ld without a message\n",
           words[0], n, tries, unseen, silent);
    CU_ASSERT_EQUAL(status, SW_OK);
    CU_ASSERT_EQUAL(silent, 0);
    CU_ASSERT(n > 30);
    CU_ASSERT(unseen * 100 <= tries * most);
}

static void runs(void)
{
    static const char *const words[] = {"run", MODEL,     "--tokens",  "1,2,3", "-n",
                                        "2",   "--quiet", "--threads", "2",     NULL};
    fail_each(words, 10);
}

static void traces(void)
{
    static const char *const words[] = {"trace",  MODEL,       "--tokens", "1,2", "--hidden",
                                        "--dump", "/dev/null", "--quiet",  NULL};
    fail_each(words, 10);
}

static void plans(void)
{
    static const char *const words[] = {"plan",   MODEL,     "--cluster", "2x(gpu:2x1G host:2G)",
                                        "--json", "--quiet", NULL};
    fail_each(words, 10);
}

static void probes(void)
{
    static const char *const words[] = {"probe", "--quiet", "--json", NULL};
    fail_each(words, 15);
}

/* jansson's allocator before anything is built. */
static void take_over(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
}

SW_UNIT_TESTS({"take over", take_over}, {"run", runs}, {"trace", traces}, {"plan", plans},
              {"probe", probes})
