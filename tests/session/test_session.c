/*
 * A session without a command line, as a server opens one: plain settings in, statuses out, nothing
 * on standard output, and the process goes on after a failure.
 */
#include "session/session.h"

#include "base/log.h"
#include "session/completion.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#define MODEL SW_SOURCE_DIR "/tests/models/shakespeare"

static struct sw_session_settings settings_of(const char *model)
{
    struct sw_session_settings settings = sw_session_settings_default(model);
    settings.threads = 1;
    settings.quiet = true;
    return settings;
}

static enum sw_status take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    return sw_completion_push(owner, token, stop);
}

/* Completes the prompt on a session that has started. */
static enum sw_status complete(struct sw_session *s, const char *prompt, struct sw_completion *c)
{
    const struct sw_completion_options text = {.tokenizer = s->tokenizer};
    const struct sw_scheduler_options options = {.driver = s->driver,
                                                 .slots = s->params.slots,
                                                 .context = s->params.context,
                                                 .max_batch_tokens = s->params.max_batch_tokens};
    struct sw_scheduler *scheduler;
    struct sw_ids ids = {0};
    SW_TRY(sw_tokenizer_encode(s->tokenizer, prompt, strlen(prompt), 0, &ids));
    SW_TRY(sw_completion_begin(c, &text, ids.items, ids.count));
    SW_TRY(sw_scheduler_open(&options, &scheduler));
    const struct sw_request request = {.ids = ids.items,
                                       .n_ids = (int)ids.count,
                                       .score_from = (int)ids.count,
                                       .max_new = 12,
                                       .sampling = sw_sampling_default(),
                                       .token = take_token,
                                       .owner = c};
    enum sw_status status = sw_scheduler_submit(scheduler, &request, NULL);
    while (status == SW_OK && !sw_scheduler_idle(scheduler))
        status = sw_scheduler_step(scheduler);
    sw_scheduler_close(scheduler);
    sw_ids_free(&ids);
    return status == SW_OK ? sw_completion_finish(c) : status;
}

/* Opens, completes, ends. `defaults` NULL: of latency, one slot. */
static enum sw_status run_once(const struct sw_session_settings *settings, struct sw_completion *c)
{
    const struct sw_session_defaults defaults = {.positions = 64, .new_tokens = 12};
    struct sw_session *s;
    enum sw_status status = sw_session_open(settings, &s);
    if (status == SW_OK)
        status = sw_session_tokenizer(s, true);
    if (status == SW_OK)
        status = sw_session_start(s, &defaults);
    if (status == SW_OK)
        status = complete(s, "To be, or not to", c);
    if (status == SW_OK)
        status = sw_session_stop(s);
    if (status == SW_OK) {
        json_t *ranks = sw_session_ranks(s), *predicted = sw_session_predicted(s);
        CU_ASSERT_EQUAL(json_array_size(ranks), 1);
        CU_ASSERT(json_real_value(json_object_get(predicted, "tokens_per_s")) > 0);
        CU_ASSERT(s->peaks[0].host > 0);
        json_decref(ranks);
        json_decref(predicted);
    }
    return sw_session_end(s, status);
}

/* Twice in one process, with the same text. */
static void a_session_needs_no_command_line(void)
{
    const struct sw_session_settings settings = settings_of(MODEL);
    struct sw_completion c[2];
    memset(c, 0, sizeof c);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(run_once(&settings, &c[i]), SW_OK);
        CU_ASSERT(c[i].ids.count == 12 && c[i].text.length > 12);
    }
    CU_ASSERT_STRING_EQUAL(c[0].text.text, c[1].text.text);
    sw_completion_free(&c[0]);
    sw_completion_free(&c[1]);
}

static void failures_are_statuses(void)
{
    struct sw_session_settings settings = settings_of("/nowhere");
    struct sw_completion c = {0};
    const int slices[] = {3, 3};
    CU_ASSERT_EQUAL(run_once(&settings, &c), SW_EINPUT);
    settings = settings_of(MODEL);
    settings.host_memory = 1 << 20;
    CU_ASSERT_EQUAL(run_once(&settings, &c), SW_ENOFIT);
    settings = settings_of(MODEL);
    settings.context = 100000;
    CU_ASSERT_EQUAL(run_once(&settings, &c), SW_EUSAGE);
    settings = settings_of(MODEL);
    settings.isa = "none";
    CU_ASSERT_EQUAL(run_once(&settings, &c), SW_EUSAGE);
    settings = settings_of(MODEL);
    settings.slices = slices;
    settings.n_slices = 2;
    CU_ASSERT_EQUAL(run_once(&settings, &c), SW_EUSAGE);
    settings = settings_of(MODEL);
    CU_ASSERT_EQUAL(run_once(&settings, &c), SW_OK); /* none of them is left over */
    sw_completion_free(&c);
}

/* All of the above with standard output in a file, which stays empty. */
static void standard_output_stays_empty(void)
{
    char path[] = "/tmp/spillway-session-XXXXXX";
    const int file = mkstemp(path), out = dup(STDOUT_FILENO);
    struct sw_completion c = {0};
    struct sw_session_settings settings = settings_of(MODEL);
    struct stat st;
    CU_ASSERT_FATAL(file >= 0 && out >= 0);
    unlink(path);
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    settings.quiet = false;
    const enum sw_status good = run_once(&settings, &c);
    settings.model = "/nowhere";
    const enum sw_status bad = run_once(&settings, &c);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    CU_ASSERT(good == SW_OK && bad == SW_EINPUT);
    CU_ASSERT(fstat(file, &st) == 0 && st.st_size == 0);
    sw_completion_free(&c);
    close(file);
    close(out);
}

SW_UNIT_TESTS({"a session needs no command line", a_session_needs_no_command_line},
              {"failures are statuses", failures_are_statuses},
              {"standard output stays empty", standard_output_stays_empty})
