/* Owns the thread that reads lines. */
#include "cmd/chat_input.h"

#include "base/thread_fail.h"
#include "base/thread_start.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 50
#define LINE_LIMIT (16u << 20)

struct sw_chat_input {
    const volatile sig_atomic_t *interrupted;
    void (*wake)(void *context);
    void *context;
    struct sw_line_edit *edit; /* NULL: lines as they come */
    bool is_typed;
    pthread_t thread;
    /* lines as they come */
    struct sw_strbuf rest;
    bool is_over;
    /* below: under the lock */
    pthread_mutex_t lock;
    pthread_cond_t asked;
    const char *prompt; /* NULL: nothing is asked */
    bool is_there, is_closing;
    enum sw_line kind;
    struct sw_strbuf line; /* of the thread while something is asked */
};

static bool input_is_closing(struct sw_chat_input *input)
{
    pthread_mutex_lock(&input->lock);
    const bool is = input->is_closing;
    pthread_mutex_unlock(&input->lock);
    return is;
}

/* Takes the first line of what was read; at the end, also one without a newline. */
static bool input_cut(struct sw_chat_input *input)
{
    struct sw_strbuf *rest = &input->rest;
    const char *end = rest->length ? memchr(rest->text, '\n', rest->length) : NULL;
    if (!end && !(input->is_over && rest->length))
        return false;
    const size_t n = end ? (size_t)(end - rest->text) : rest->length;
    const size_t used = end ? n + 1 : n;
    sw_strbuf_append(&input->line, rest->text, n);
    memmove(rest->text, rest->text + used, rest->length - used + 1);
    rest->length -= used;
    return true;
}

static enum sw_line input_read_plain(struct sw_chat_input *input, const char *prompt)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char bytes[4096];
    if (input->is_typed) {
        fputs(prompt, stdout);
        fflush(stdout);
    }
    while (!input_cut(input)) {
        if (input->is_over)
            return SW_LINE_END;
        if (input_is_closing(input))
            return SW_LINE_INTERRUPTED;
        if (input->rest.failed || input->rest.length > LINE_LIMIT) {
            errno = input->rest.failed ? ENOMEM : EMSGSIZE;
            return SW_LINE_FAILED;
        }
        const int ready = poll(&in, 1, LOOK_MS);
        const ssize_t got = ready > 0 ? read(STDIN_FILENO, bytes, sizeof bytes) : -1;
        if ((ready < 0 || (ready > 0 && got < 0)) && errno != EINTR)
            return SW_LINE_FAILED;
        if (got > 0)
            sw_strbuf_append(&input->rest, bytes, (size_t)got);
        input->is_over = got == 0;
    }
    return input->line.failed ? SW_LINE_FAILED : SW_LINE_READ;
}

static void input_empty_line(struct sw_chat_input *input)
{
    if (input->line.text)
        input->line.text[0] = '\0';
    input->line.length = 0;
}

static void *input_run(void *context)
{
    struct sw_chat_input *input = context;
    pthread_mutex_lock(&input->lock);
    while (!input->is_closing) {
        if (!input->prompt || input->is_there) {
            pthread_cond_wait(&input->asked, &input->lock);
            continue;
        }
        const char *prompt = input->prompt;
        pthread_mutex_unlock(&input->lock);
        input_empty_line(input);
        const enum sw_line kind = input->edit ? sw_line_edit_read(input->edit, prompt, &input->line)
                                              : input_read_plain(input, prompt);
        pthread_mutex_lock(&input->lock);
        input->kind = kind;
        input->is_there = true;
        pthread_mutex_unlock(&input->lock);
        input->wake(input->context);
        pthread_mutex_lock(&input->lock);
    }
    pthread_mutex_unlock(&input->lock);
    return NULL;
}

/* Signals are the main thread's. */
static enum sw_status input_start(struct sw_chat_input *input)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = sw_thread_start(&input->thread, NULL, input_run, input);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? sw_thread_fail("the thread that reads what is typed", error, "") : SW_OK;
}

enum sw_status sw_chat_input_open(const volatile sig_atomic_t *interrupted,
                                  void (*wake)(void *context), void *context,
                                  struct sw_chat_input **out)
{
    struct sw_chat_input *input = calloc(1, sizeof *input);
    *out = NULL;
    if (!input)
        return sw_fail(SW_ENOMEM, "no memory for the input");
    input->interrupted = interrupted;
    input->wake = wake;
    input->context = context;
    pthread_mutex_init(&input->lock, NULL);
    pthread_cond_init(&input->asked, NULL);
    input->edit = sw_line_edit_open(interrupted);
    /* Under mpirun a terminal's lines come through a pipe; launch/spillway-mpirun tells. */
    input->is_typed = isatty(STDIN_FILENO) || getenv("SPILLWAY_TYPED");
    const enum sw_status status = input_start(input);
    if (status == SW_OK) {
        *out = input;
        return SW_OK;
    }
    sw_line_edit_close(input->edit);
    free(input);
    return status;
}

void sw_chat_input_ask(struct sw_chat_input *input, const char *prompt)
{
    pthread_mutex_lock(&input->lock);
    input->prompt = prompt;
    input->is_there = false;
    pthread_cond_signal(&input->asked);
    pthread_mutex_unlock(&input->lock);
}

bool sw_chat_input_take(struct sw_chat_input *input, enum sw_line *kind, struct sw_strbuf **line)
{
    pthread_mutex_lock(&input->lock);
    const bool is_there = input->is_there && input->prompt;
    if (is_there) {
        input->prompt = NULL;
        *kind = input->kind;
        *line = &input->line;
    }
    pthread_mutex_unlock(&input->lock);
    return is_there;
}

bool sw_chat_input_is_typed(const struct sw_chat_input *input)
{
    return input->is_typed;
}

void sw_chat_input_close(struct sw_chat_input *input)
{
    if (!input)
        return;
    pthread_mutex_lock(&input->lock);
    input->is_closing = true;
    pthread_cond_signal(&input->asked);
    pthread_mutex_unlock(&input->lock);
    pthread_join(input->thread, NULL);
    sw_line_edit_close(input->edit);
    sw_strbuf_free(&input->rest);
    sw_strbuf_free(&input->line);
    pthread_cond_destroy(&input->asked);
    pthread_mutex_destroy(&input->lock);
    free(input);
}
