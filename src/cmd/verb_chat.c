/* Owns the verb `chat`: a conversation in a terminal, or over a pipe, with a model that stays
 * loaded. */
#include "base/file.h"
#include "base/file_write.h"
#include "base/log.h"
#include "base/utf8.h"
#include "checkpoint/open_model.h"
#include "cmd/call_form.h"
#include "cmd/call_session.h"
#include "cmd/chat_input.h"
#include "cmd/output.h"
#include "engine/scheduler.h"
#include "grammar/guide.h"
#include "sample/sampler.h"
#include "session/completion.h"
#include "session/token_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct talk {
    const struct sw_call *call;
    struct sw_session *s;
    struct sw_chat *chat;
    struct sw_scheduler *scheduler;
    struct sw_chat_input *input;
    json_t *messages; /* [{"role", "content"}, …] */
    char *saved;      /* the file of the last /save; NULL: none */
    bool is_over;
    struct sw_strbuf grammar, tokens; /* that answers follow, and the tokens' bytes; empty: none */
    /* the answer under way */
    struct sw_completion completion;
    size_t printed; /* bytes of its text */
    bool is_done;
    enum sw_finish finish;
};

/* A Ctrl-C, which stops an answer and gives up a line; the scheduler that it wakes. */
static volatile sig_atomic_t interrupted;
static struct sw_scheduler *volatile woken;

static void chat_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
    if (woken)
        sw_scheduler_wake(woken);
}

static void chat_wake(void *context)
{
    sw_scheduler_wake(context);
}

/* ---- answers ---- */

static enum sw_status chat_print_new(struct talk *t)
{
    const struct sw_strbuf *text = &t->completion.text;
    if (text->length == t->printed)
        return SW_OK;
    sw_output_text(text->text + t->printed, text->length - t->printed);
    t->printed = text->length;
    return sw_output_flush();
}

static enum sw_status chat_take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct talk *t = owner;
    SW_TRY(sw_completion_push(&t->completion, token, stop));
    return chat_print_new(t);
}

static enum sw_status chat_take_end(void *owner, enum sw_finish finish)
{
    struct talk *t = owner;
    t->is_done = true;
    t->finish = finish;
    return finish == SW_FINISH_UNDEFINED ? sw_logits_undefined() : SW_OK;
}

/* Says why an answer did not end by itself. */
static void chat_log_end(const struct talk *t)
{
    if (t->finish == SW_FINISH_CANCELLED) {
        sw_log(SW_LOG_INFO, "chat: stopped");
    } else if (t->finish == SW_FINISH_CONTEXT) {
        sw_log(SW_LOG_INFO, "chat: the context of %d positions is full; /reset begins anew",
               t->s->params.context);
    } else if (t->finish == SW_FINISH_LENGTH) {
        sw_log(SW_LOG_INFO, "chat: cut after %zu tokens (-n)", t->completion.ids.count);
    } else if (t->finish == SW_FINISH_STUCK) {
        (void)sw_guide_stuck();
        sw_log(SW_LOG_WARN, "chat: %s", sw_error_message());
        sw_error_clear();
    }
}

/* Runs a request that was submitted until it ends, or is interrupted. */
static enum sw_status chat_finish(struct talk *t, uint64_t handle)
{
    while (!t->is_done || !sw_scheduler_idle(t->scheduler)) {
        if (interrupted && !t->is_done)
            sw_scheduler_cancel(t->scheduler, handle);
        SW_TRY(sw_scheduler_step(t->scheduler));
    }
    SW_TRY(sw_completion_finish(&t->completion));
    SW_TRY(chat_print_new(t));
    printf("\n");
    SW_TRY(sw_output_flush());
    chat_log_end(t);
    return SW_OK;
}

/* Generates what follows the prompt. */
static enum sw_status chat_generate(struct talk *t, const struct sw_ids *prompt)
{
    const struct sw_options *o = &t->call->options;
    const int room = t->s->params.context - (int)prompt->count;
    const struct sw_completion_options options = {
        .tokenizer = t->s->tokenizer, .stop = o->stop, .n_stop = (size_t)o->n_stop};
    struct sw_request request = {
        .max_new = o->answer > 0 ? o->answer : t->s->params.context,
        .sampling = sw_call_sampling(o),
        .steering = {.grammar = t->grammar.text, .n_grammar = t->grammar.length},
        .token = chat_take_token,
        .done = chat_take_end,
        .owner = t};
    struct sw_scheduler_stats before, after;
    uint64_t handle;
    if (room < 1)
        return sw_fail(SW_EINPUT,
                       "the conversation has %zu tokens, and there is room for %d; /reset begins "
                       "anew",
                       prompt->count, t->s->params.context);
    t->printed = 0;
    t->is_done = false;
    SW_TRY(sw_completion_begin(&t->completion, &options, prompt->items, prompt->count));
    sw_request_prompt(&request, sw_scheduler_start(t->scheduler), prompt->items,
                      (int)prompt->count);
    sw_scheduler_stats(t->scheduler, &before);
    SW_TRY(sw_scheduler_submit(t->scheduler, &request, &handle));
    const enum sw_status status = chat_finish(t, handle);
    sw_scheduler_stats(t->scheduler, &after);
    if (status == SW_OK)
        sw_log(SW_LOG_DEBUG, "chat: %zu tokens of the prompt, %lld of them kept; generated %zu",
               prompt->count, (long long)(after.prefix_hits - before.prefix_hits),
               t->completion.ids.count);
    return status;
}

static enum sw_status chat_append(json_t *messages, const char *role, const char *text, size_t n)
{
    return json_array_append_new(messages, json_pack("{s:s, s:s%}", "role", role, "content",
                                                     text ? text : "", n)) == 0
               ? SW_OK
               : sw_fail(SW_ENOMEM, "no memory for the conversation");
}

/* Whether the job can go on after it: what was typed is at fault. */
static bool chat_can_go_on(enum sw_status status)
{
    return status == SW_EINPUT || status == SW_EUSAGE;
}

/* A message that cannot be answered is not part of the conversation. */
static enum sw_status chat_answer(struct talk *t, const char *text, size_t n)
{
    const size_t before = json_array_size(t->messages);
    struct sw_ids prompt = {0};
    const struct sw_chat_request request = {.messages = t->messages, .add_generation_prompt = true};
    interrupted = 0;
    enum sw_status status = chat_append(t->messages, "user", text, n);
    if (status == SW_OK)
        status = sw_chat_encode(t->chat, t->s->tokenizer, &request, &prompt);
    if (status == SW_OK)
        status = chat_generate(t, &prompt);
    const struct sw_strbuf *answer = &t->completion.text;
    if (status == SW_OK && answer->length > 0)
        status = chat_append(t->messages, "assistant", answer->text, answer->length);
    else
        while (json_array_size(t->messages) > before)
            json_array_remove(t->messages, before);
    sw_completion_free(&t->completion);
    t->completion = (struct sw_completion){0};
    sw_ids_free(&prompt);
    interrupted = 0;
    return status;
}

/* ---- commands ---- */

static bool chat_has_system(const struct talk *t)
{
    const char *role = json_string_value(json_object_get(json_array_get(t->messages, 0), "role"));
    return role && strcmp(role, "system") == 0;
}

static enum sw_status chat_set_system(struct talk *t, const char *text)
{
    if (chat_has_system(t))
        json_array_remove(t->messages, 0);
    if (!*text)
        return SW_OK;
    return json_array_insert_new(t->messages, 0,
                                 json_pack("{s:s, s:s}", "role", "system", "content", text)) == 0
               ? SW_OK
               : sw_fail(SW_EINPUT, "the system message must be UTF-8");
}

static enum sw_status chat_reset(struct talk *t, const char *text)
{
    const size_t keep = chat_has_system(t) ? 1 : 0;
    (void)text;
    while (json_array_size(t->messages) > keep)
        json_array_remove(t->messages, keep);
    return SW_OK;
}

/* What is there stays, unless this conversation wrote it. */
static enum sw_status chat_save(struct talk *t, const char *path)
{
    enum sw_file_kind kind = SW_FILE_ABSENT;
    FILE *file;
    if (!*path)
        return sw_fail(SW_EUSAGE, "/save needs the name of a file");
    SW_TRY(sw_file_find(path, &kind));
    if (kind != SW_FILE_ABSENT && !(t->saved && strcmp(t->saved, path) == 0))
        return sw_fail(SW_EUSAGE, "%s is there already; choose another name", path);
    if (sw_file_write_stream(path, SW_WRITE_ANEW, &file) != SW_OK)
        return sw_fail(SW_EUSAGE, "%s", sw_error_message());
    const int failed = fprintf(file, "{\"messages\": ") < 0 ||
                       json_dumpf(t->messages, file, JSON_INDENT(1)) != 0 ||
                       fprintf(file, "}\n") < 0;
    if (fclose(file) != 0 || failed)
        return sw_fail(SW_EUSAGE, "%s: cannot be written; the conversation is not saved", path);
    char *saved = strdup(path);
    if (saved) {
        free(t->saved);
        t->saved = saved;
    }
    sw_log(SW_LOG_INFO, "chat: saved %zu messages to %s", json_array_size(t->messages), path);
    return SW_OK;
}

static enum sw_status chat_quit(struct talk *t, const char *text)
{
    (void)text;
    t->is_over = true;
    return SW_OK;
}

static enum sw_status chat_help(struct talk *t, const char *text);

static const struct command {
    const char *name, *argument, *help;
    enum sw_status (*run)(struct talk *t, const char *text);
} commands[] = {
    {"help", "", "this list", chat_help},
    {"reset", "", "forget what was said; the system message stays", chat_reset},
    {"system", "TEXT", "another system message from here on; none without TEXT", chat_set_system},
    {"save", "FILE", "write the conversation as JSON, for tokens --chat and batch", chat_save},
    {"quit", "", "end (so does Ctrl-D)", chat_quit},
};

static enum sw_status chat_help(struct talk *t, const char *text)
{
    (void)t;
    (void)text;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        printf("  /%-7s%-6s%s\n", commands[i].name, commands[i].argument, commands[i].help);
    printf("  A line that ends with \\ goes on in the next one; // begins a message with /.\n"
           "  Ctrl-C stops an answer.\n");
    return sw_output_flush();
}

static enum sw_status chat_command(struct talk *t, const char *line)
{
    const size_t n = strcspn(line, " \t");
    const char *text = line + n + strspn(line + n, " \t");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strlen(commands[i].name) == n && strncmp(commands[i].name, line, n) == 0)
            return commands[i].run(t, text);
    return sw_fail(SW_EUSAGE, "there is no /%.*s; /help lists what there is", n < 40 ? (int)n : 40,
                   line);
}

/* ---- the conversation ---- */

/* Appends a line to *message; a line that ends with \ goes on. */
static enum sw_status chat_read(struct talk *t, struct sw_strbuf *message, enum sw_line *kind)
{
    const char *prompt = "> ";
    struct sw_strbuf *line;
    for (;;) {
        sw_chat_input_ask(t->input, prompt);
        while (!sw_chat_input_take(t->input, kind, &line)) {
            SW_TRY(sw_scheduler_wait(t->scheduler));
            if (!sw_chat_input_is_typed(t->input))
                interrupted = 0;
        }
        if (*kind == SW_LINE_FAILED)
            return sw_fail(SW_EIO, "standard input cannot be read");
        const bool goes_on =
            *kind == SW_LINE_READ && line->length > 0 && line->text[line->length - 1] == '\\';
        if (*kind == SW_LINE_READ && line->length > 0)
            sw_strbuf_append(message, line->text, line->length - goes_on);
        if (message->failed)
            return sw_fail(SW_ENOMEM, "no memory for the message");
        if (!goes_on)
            return SW_OK;
        sw_strbuf_puts(message, "\n");
        prompt = "… ";
    }
}

static enum sw_status chat_take_message(struct talk *t, const struct sw_strbuf *message)
{
    const char *text = message->text;
    const size_t n = message->length;
    if (n == 0)
        return SW_OK;
    if (!sw_utf8_valid(text, n) || memchr(text, '\0', n))
        return sw_fail(SW_EINPUT, "the message is not UTF-8");
    if (text[0] != '/')
        return chat_answer(t, text, n);
    return text[1] == '/' ? chat_answer(t, text + 1, n - 1) : chat_command(t, text + 1);
}

static enum sw_status chat_talk(struct talk *t)
{
    while (!t->is_over) {
        struct sw_strbuf message = {0};
        enum sw_line kind = SW_LINE_END;
        enum sw_status status = chat_read(t, &message, &kind);
        if (status == SW_OK && kind == SW_LINE_INTERRUPTED) {
            printf("\n");
            interrupted = 0;
        } else if (status == SW_OK) {
            status = chat_take_message(t, &message);
        }
        sw_strbuf_free(&message);
        if (chat_can_go_on(status)) {
            sw_log(SW_LOG_WARN, "chat: %s", sw_error_message());
            sw_error_clear();
        } else if (status != SW_OK) {
            return status;
        }
        if (kind == SW_LINE_END) {
            t->is_over = true;
            if (sw_chat_input_is_typed(t->input))
                printf("\n");
        }
    }
    return sw_output_flush();
}

static enum sw_status chat_open(struct talk *t)
{
    const struct sw_options *o = &t->call->options;
    const struct sw_sampling sampling = sw_call_sampling(o);
    const struct sw_session_defaults defaults = {.new_tokens = o->answer > 0 ? o->answer : 128};
    struct sw_stop *stop;
    if (o->json)
        return sw_fail(SW_EUSAGE, "chat: --json is for the other verbs; /save writes JSON");
    SW_TRY(sw_call_files(t->call, NULL, NULL));
    SW_TRY(sw_sampling_check(&sampling));
    SW_TRY(sw_stop_create(o->stop, (size_t)o->n_stop, &stop));
    sw_stop_free(stop);
    SW_TRY(sw_call_form(o, &t->grammar));
    SW_TRY(sw_session_tokenizer(t->s, true));
    SW_TRY(sw_open_chat(t->call->models[0], &t->chat));
    t->messages = json_array();
    if (!t->messages)
        return sw_fail(SW_ENOMEM, "no memory for a conversation");
    SW_TRY(chat_set_system(t, o->system ? o->system : ""));
    SW_TRY(sw_session_start(t->s, &defaults));
    if (t->grammar.length > 0)
        SW_TRY(sw_token_bytes(t->s->tokenizer, t->s->vocab_limit, &t->tokens));
    const struct sw_scheduler_options options = {.driver = t->s->driver,
                                                 .slots = t->s->params.slots,
                                                 .context = t->s->params.context,
                                                 .max_batch_tokens = t->s->params.max_batch_tokens,
                                                 .tokens = &t->tokens};
    return sw_scheduler_open(&options, &t->scheduler);
}

static enum sw_status chat_work(struct talk *t)
{
    const struct sigaction action = {.sa_handler = chat_interrupt};
    SW_TRY(chat_open(t));
    woken = t->scheduler;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    enum sw_status status = sw_chat_input_open(&interrupted, chat_wake, t->scheduler, &t->input);
    if (status == SW_OK && sw_chat_input_is_typed(t->input))
        sw_log(SW_LOG_INFO, "chat: %s, with room for %d tokens; /help lists commands",
               t->call->arguments[0], t->s->params.context);
    if (status == SW_OK)
        status = chat_talk(t);
    woken = NULL;
    interrupted = 1; /* a line that is being typed is given up */
    sw_chat_input_close(t->input);
    SW_TRY(status);
    return sw_session_stop(t->s);
}

static enum sw_status chat_drive(struct sw_call *call, struct sw_session *s)
{
    struct talk t = {.call = call, .s = s};
    const enum sw_status status = chat_work(&t);
    sw_scheduler_close(t.scheduler);
    sw_completion_free(&t.completion);
    sw_strbuf_free(&t.grammar);
    sw_strbuf_free(&t.tokens);
    json_decref(t.messages);
    sw_chat_free(t.chat);
    free(t.saved);
    return status;
}

static enum sw_status chat_run(struct sw_call *call)
{
    /* launch/spillway-mpirun turns Ctrl-C into USR2, which mpirun passes to all ranks. */
    signal(SIGUSR2, SIG_IGN);
    return sw_call_run(call, chat_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"system", 0, "TEXT", "the system message: what the model is told before the conversation",
     FIELD(system), sw_parse_text},
    {"n", 'n', "N", "most tokens of an answer (default: as the context has room)", FIELD(answer),
     sw_parse_count},
    {"stop", 0, "TEXT", "end an answer before this text; may be given up to 16 times", FIELD(stop),
     sw_parse_stop},
    {0}};

const struct sw_verb sw_verb_chat = {
    .name = "chat",
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "talk with a model in the terminal",
    .description =
        "Loads MODEL over the ranks, then answers each line that is typed, by the model's own "
        "chat\n"
        "template, until /quit or Ctrl-D. What was said before is not computed again. /help lists\n"
        "the commands. Ctrl-C stops an answer; under mpirun that needs launch/spillway-mpirun, as\n"
        "mpirun alone ends the job. Lines may come from a pipe, too.\n\n"
        "  spillway chat llama --temperature 0.7 --system \"You are brief.\"\n"
        "  launch/spillway-mpirun --hostfile hostfiles/lab build/spillway chat opt-66b",
    .own = {own},
    .takes = SW_TAKES_TEXT,
    .run = chat_run,
};
