/* Owns reading the request of a line: a table of members, and a reader for each kind of member. */
#include "jobs/request.h"

#include "base/json.h"
#include "jobs/record.h"
#include "jobs/request_impl.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct sw_line_request, name)

enum {
    PLAIN = 1 << SW_FORM_PLAIN,
    COMPLETION = 1 << SW_FORM_COMPLETION,
    CHAT = 1 << SW_FORM_CHAT,
    API = COMPLETION | CHAT,
    ALL = PLAIN | API
};

enum kind {
    /* members that are read */
    COUNT,
    SEED,
    NUMBER,
    FLAG,
    LATER, /* has a function of its own, called after all others */
    /* a member that does not affect the answer: any value */
    ANY,
    /* members for which one value only is accepted */
    ONE,    /* the number `low` */
    FALSE,  /* false */
    TRUE,   /* true */
    EMPTY,  /* an empty list, object or text; or false */
    UNUSED, /* "none" or "auto": choices of tools, of which there are none */
    TEXTS,  /* ["text"] */
    SKIP,   /* skip_special_tokens: the opposite of --special */
    NEVER   /* no value */
};

/*
 * JSON null counts as absent. `forms`: the forms that know the member. `ours`: the forms in which a
 * value that is not accepted is an error; in other forms the member then counts as unknown, so that
 * plain lines may have columns with names of another program's members.
 */
static const struct member {
    const char *name;
    enum kind kind;
    unsigned forms, ours;
    double low, high;
    size_t offset;
} members[] = {
    {"max_tokens", COUNT, ALL, ALL, 1, INT_MAX, FIELD(max_tokens)},
    {"max_completion_tokens", LATER, ALL, ALL, 1, INT_MAX, FIELD(max_tokens)},
    {"temperature", NUMBER, ALL, ALL, 0, 100, FIELD(sampling.temperature)},
    {"top_p", NUMBER, ALL, ALL, 0, 1, FIELD(sampling.top_p)},
    {"min_p", NUMBER, ALL, ALL, 0, 1, FIELD(sampling.min_p)},
    {"top_k", COUNT, ALL, ALL, -1, INT_MAX, FIELD(sampling.top_k)},
    {"repetition_penalty", NUMBER, ALL, ALL, 0.01, 100, FIELD(sampling.repetition_penalty)},
    {"seed", SEED, ALL, ALL, 0, 0, FIELD(sampling.seed)},
    {"ignore_end", FLAG, ALL, ALL, 0, 0, FIELD(ignore_end)},
    {"ignore_eos", FLAG, ALL, ALL, 0, 0, FIELD(ignore_end)},
    {"stop", LATER, ALL, ALL, 0, 0, 0},
    {"logit_bias", LATER, ALL, ALL, 0, 0, 0},
    {"logprobs", LATER, ALL, ALL, 0, 0, 0},
    {"top_logprobs", LATER, PLAIN | CHAT, ALL, 0, 0, 0},
    {"prompt", LATER, PLAIN | COMPLETION, ALL, 0, 0, 0},
    {"messages", LATER, PLAIN | CHAT, ALL, 0, 0, 0},
    {"chat_template_kwargs", LATER, PLAIN | CHAT, ALL, 0, 0, 0},
    {"id", ANY, PLAIN, ALL, 0, 0, 0},
    /* of the OpenAI API, without effect on the answer */
    {"model", ANY, ALL, ALL, 0, 0, 0},
    {"user", ANY, ALL, ALL, 0, 0, 0},
    {"metadata", ANY, ALL, ALL, 0, 0, 0},
    {"store", ANY, ALL, ALL, 0, 0, 0},
    {"service_tier", ANY, ALL, ALL, 0, 0, 0},
    {"safety_identifier", ANY, ALL, ALL, 0, 0, 0},
    {"prompt_cache_key", ANY, ALL, ALL, 0, 0, 0},
    {"prompt_cache_retention", ANY, ALL, ALL, 0, 0, 0},
    {"stream_options", ANY, ALL, ALL, 0, 0, 0},      /* nothing streams */
    {"parallel_tool_calls", ANY, ALL, ALL, 0, 0, 0}, /* there are no tools */
    /* of the OpenAI API, with effect on the answer */
    {"n", ONE, ALL, ALL, 1, 0, 0},
    {"best_of", ONE, ALL, ALL, 1, 0, 0},
    {"presence_penalty", ONE, ALL, ALL, 0, 0, 0},
    {"frequency_penalty", ONE, ALL, ALL, 0, 0, 0},
    {"stream", FALSE, ALL, ALL, 0, 0, 0},
    {"echo", FALSE, ALL, ALL, 0, 0, 0},
    {"suffix", EMPTY, ALL, ALL, 0, 0, 0},
    {"tools", EMPTY, ALL, ALL, 0, 0, 0},
    {"functions", EMPTY, ALL, ALL, 0, 0, 0},
    {"response_format", LATER, ALL, ALL, 0, 0, 0},
    {"grammar", LATER, API, API, 0, 0, 0},
    {"audio", NEVER, ALL, ALL, 0, 0, 0},
    {"tool_choice", UNUSED, ALL, API, 0, 0, 0},
    {"function_call", UNUSED, ALL, API, 0, 0, 0},
    {"modalities", TEXTS, ALL, API, 0, 0, 0},
    /* of other programs, whose clients write their defaults into every request */
    {"priority", ANY, ALL, API, 0, 0, 0},
    {"request_id", ANY, ALL, API, 0, 0, 0},
    {"cache_salt", ANY, ALL, API, 0, 0, 0},
    {"skip_special_tokens", SKIP, ALL, API, 0, 0, 0},
    {"spaces_between_special_tokens", TRUE, ALL, API, 0, 0, 0},
    {"add_generation_prompt", TRUE, ALL, API, 0, 0, 0},
    {"continue_final_message", FALSE, ALL, API, 0, 0, 0},
    {"use_beam_search", FALSE, ALL, API, 0, 0, 0},
    {"early_stopping", FALSE, ALL, API, 0, 0, 0},
    {"include_stop_str_in_output", FALSE, ALL, API, 0, 0, 0},
    {"return_token_ids", FALSE, ALL, API, 0, 0, 0},
    {"return_tokens_as_token_ids", FALSE, ALL, API, 0, 0, 0},
    {"min_tokens", ONE, ALL, API, 0, 0, 0},
    {"length_penalty", ONE, ALL, API, 1, 0, 0},
    {"stop_token_ids", EMPTY, ALL, API, 0, 0, 0},
    {"bad_words", EMPTY, ALL, API, 0, 0, 0},
    {"documents", EMPTY, ALL, API, 0, 0, 0},
};
#define N_MEMBERS (sizeof members / sizeof members[0])

/* Of `serve`, before those above. */
static const struct member served[] = {
    {"max_tokens", COUNT, COMPLETION, COMPLETION, 0, INT_MAX, FIELD(max_tokens)},
    {"n", COUNT, API, API, 1, SW_CHOICES_MAX, FIELD(n)},
    {"best_of", LATER, COMPLETION, COMPLETION, 1, SW_CHOICES_MAX, 0},
    {"stream", FLAG, API, API, 0, 0, FIELD(stream)},
    {"stream_options", LATER, API, API, 0, 0, 0},
    {"echo", FLAG, COMPLETION, COMPLETION, 0, 0, FIELD(echo)},
    {"tools", LATER, CHAT, CHAT, 0, 0, 0},
    {"add_generation_prompt", FLAG, CHAT, CHAT, 0, 0, FIELD(generation_prompt)},
    {"continue_final_message", FLAG, CHAT, CHAT, 0, 0, FIELD(continue_final)},
};
#define N_SERVED (sizeof served / sizeof served[0])

static enum sw_status request_read_flag(const struct member *m, const json_t *value,
                                        struct sw_line_request *out)
{
    if (!json_is_boolean(value))
        return sw_fail(SW_EINPUT, "\"%s\" must be true or false, not %s", m->name,
                       sw_json_type(value));
    *(bool *)((char *)out + m->offset) = json_is_true(value);
    return SW_OK;
}

static enum sw_status request_read_seed(const struct member *m, const json_t *value,
                                        struct sw_line_request *out)
{
    uint64_t *seed = (void *)((char *)out + m->offset);
    char text[SW_JSON_SHORT];
    int64_t negative;
    if (!sw_json_is_integer(value))
        return sw_fail(SW_EINPUT, "\"%s\" must be a whole number, not %s", m->name,
                       sw_json_type(value));
    if (sw_json_integer(value, INT64_MIN, -1, &negative))
        *seed = (uint64_t)negative; /* as two's complement */
    else if (!sw_json_uint64(value, seed))
        return sw_fail(SW_EINPUT, "\"%s\" is %s; it must be from -2^63 to 2^64 - 1", m->name,
                       sw_json_show(value, text, sizeof text));
    out->seeded = true;
    return SW_OK;
}

static enum sw_status request_read_number(const struct member *m, const json_t *value,
                                          struct sw_line_request *out)
{
    void *field = (char *)out + m->offset;
    double number;
    const bool any = sw_json_number(value, &number), real = m->kind == NUMBER;
    if (real ? !any : !sw_json_is_integer(value))
        return sw_fail(SW_EINPUT, "\"%s\" must be %s, not %s", m->name,
                       real ? "a number" : "a whole number", sw_json_type(value));
    if (m->high == INT_MAX && number < m->low)
        return sw_fail(SW_EINPUT, "\"%s\" is %.15g; it must be at least %g", m->name, number,
                       m->low);
    if (!(number >= m->low && number <= m->high))
        return sw_fail(SW_EINPUT, "\"%s\" is %.15g; it must be from %g to %.10g", m->name, number,
                       m->low, m->high);
    if (real)
        *(float *)field = (float)number;
    else
        *(int *)field = (int)json_integer_value(value);
    return SW_OK;
}

static bool is_one(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)out;
    double number;
    return sw_json_number(value, &number) && number == m->low;
}

static bool is_false(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)m;
    (void)out;
    return json_is_false(value);
}

static bool is_true(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)m;
    (void)out;
    return json_is_true(value);
}

static bool is_skip(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)m;
    return out->special ? json_is_false(value) : json_is_true(value);
}

static bool is_empty(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)m;
    (void)out;
    return sw_request_is_empty(value);
}

static bool is_unused(const struct member *m, const json_t *value,
                      const struct sw_line_request *out)
{
    (void)m;
    (void)out;
    return sw_request_is_text(value, "none") || sw_request_is_text(value, "auto");
}

static bool is_texts(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)m;
    (void)out;
    return json_array_size(value) == 1 && sw_request_is_text(json_array_get(value, 0), "text");
}

static bool is_never(const struct member *m, const json_t *value, const struct sw_line_request *out)
{
    (void)m;
    (void)value;
    (void)out;
    return false;
}

/* `read` stores the value; `harmless` accepts a value that changes nothing. Both NULL: ignored. */
static const struct {
    enum sw_status (*read)(const struct member *m, const json_t *value,
                           struct sw_line_request *out);
    bool (*harmless)(const struct member *m, const json_t *value,
                     const struct sw_line_request *out);
} kinds[] = {
    [COUNT] = {request_read_number, NULL},
    [SEED] = {request_read_seed, NULL},
    [NUMBER] = {request_read_number, NULL},
    [FLAG] = {request_read_flag, NULL},
    [LATER] = {NULL, NULL},
    [ANY] = {NULL, NULL},
    [ONE] = {NULL, is_one},
    [FALSE] = {NULL, is_false},
    [TRUE] = {NULL, is_true},
    [EMPTY] = {NULL, is_empty},
    [UNUSED] = {NULL, is_unused},
    [TEXTS] = {NULL, is_texts},
    [SKIP] = {NULL, is_skip},
    [NEVER] = {NULL, is_never},
};

/* The row of a member of this name, of the table for `serve` first where that is asked for. */
static const struct member *request_find_member(const char *name, bool is_served, unsigned form)
{
    for (size_t i = 0; i < N_SERVED && is_served; i++)
        if ((served[i].forms & form) && strcmp(served[i].name, name) == 0)
            return &served[i];
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

bool sw_line_request_knows(const char *name)
{
    const struct member *m = request_find_member(name, true, ALL);
    return (m && m->kind != ANY) || strcmp(name, "model") == 0 || strcmp(name, "method") == 0 ||
           strcmp(name, "url") == 0;
}

static enum sw_status request_read_member(const char *name, const json_t *value,
                                          struct sw_unknown *unknown, struct sw_line_request *out)
{
    const unsigned form = 1u << out->form;
    const struct member *m = request_find_member(name, out->served, form);
    bool known = m && (m->forms & form);
    if (known && kinds[m->kind].read)
        return kinds[m->kind].read(m, value, out);
    if (known && (!kinds[m->kind].harmless || kinds[m->kind].harmless(m, value, out)))
        return SW_OK;
    known = known && (m->ours & form);
    if (known && m->kind == ONE)
        return sw_fail(SW_EINPUT, "\"%s\" must be %g here", name, m->low);
    if (known && m->kind == SKIP)
        return sw_fail(SW_EINPUT, "\"%s\" must be %s here%s", name, out->special ? "false" : "true",
                       out->special ? ", with --special" : "");
    if (known || (form & API))
        return sw_fail(SW_EINPUT, "\"%.200s\" is not supported%s", name,
                       m && (m->forms & form) ? " with this value" : "");
    sw_unknown_note(unknown, name);
    return SW_OK;
}

static enum sw_status request_add_stop(const json_t *value, struct sw_line_request *out)
{
    const char *text = json_string_value(value);
    if (!text)
        return sw_fail(SW_EINPUT, "\"stop\" must be a text or a list of texts, not %s",
                       sw_json_type(value));
    const size_t n = json_string_length(value);
    if (n == 0 || n > SW_STOP_LENGTH_MAX || strlen(text) != n)
        return sw_fail(SW_EINPUT,
                       "\"stop\": a text of %zu bytes%s; it must have 1 to %d, and no NUL", n,
                       strlen(text) != n ? " with a NUL" : "", SW_STOP_LENGTH_MAX);
    if (out->n_stop == SW_STOP_STRINGS_MAX)
        return sw_fail(SW_EINPUT, "\"stop\": more than %d texts", SW_STOP_STRINGS_MAX);
    out->stop[out->n_stop++] = text;
    return SW_OK;
}

static enum sw_status request_read_stop(const json_t *value, struct sw_line_request *out)
{
    size_t i;
    json_t *text;
    if (sw_json_absent(value))
        return SW_OK;
    out->n_stop = 0;
    if (!json_is_array(value))
        return request_add_stop(value, out);
    json_array_foreach((json_t *)(uintptr_t)value, i, text) SW_TRY(request_add_stop(text, out));
    return SW_OK;
}

static enum sw_status request_read_alternatives(const char *name, const json_t *value, int32_t *out)
{
    int64_t n;
    if (!sw_json_integer(value, 0, SW_TOP_LOGPROBS_MAX, &n))
        return sw_fail(SW_EINPUT, "\"%s\" must be a whole number from 0 to %d", name,
                       SW_TOP_LOGPROBS_MAX);
    *out = (int32_t)n;
    return SW_OK;
}

/* A number of alternatives; in chats a flag, with the number in "top_logprobs". */
static enum sw_status request_read_logprobs(const json_t *body, struct sw_line_request *out)
{
    const json_t *value = json_object_get(body, "logprobs");
    const json_t *top = json_object_get(body, "top_logprobs");
    int32_t n = 0;
    out->wrong = "logprobs";
    if (json_is_boolean(value))
        out->sampling.logprobs = json_is_true(value) ? 0 : -1;
    else if (out->form == SW_FORM_CHAT && !sw_json_absent(value))
        return sw_fail(SW_EINPUT, "\"logprobs\" of a chat must be true or false, not %s",
                       sw_json_type(value));
    else if (!sw_json_absent(value))
        SW_TRY(request_read_alternatives("logprobs", value, &out->sampling.logprobs));
    if (sw_json_absent(top))
        return SW_OK;
    out->wrong = "top_logprobs";
    SW_TRY(request_read_alternatives("top_logprobs", top, &n));
    if (json_is_true(value))
        out->sampling.logprobs = n;
    else if (n > 0)
        return sw_fail(SW_EINPUT, "\"top_logprobs\" is %d, but \"logprobs\" is not true", (int)n);
    return SW_OK;
}

static bool is_ids(const json_t *value)
{
    return json_is_array(value) && json_array_size(value) > 0 &&
           json_is_integer(json_array_get(value, 0));
}

static enum sw_status request_read_messages(const json_t *body, const json_t *messages,
                                            struct sw_line_request *out)
{
    out->wrong = "messages";
    if (!json_is_array(messages))
        return sw_fail(SW_EINPUT, "\"messages\" must be a list of messages, not %s",
                       sw_json_type(messages));
    if (json_array_size(messages) == 0)
        return sw_fail(SW_EINPUT,
                       "\"messages\" is an empty list; it must have at least one message");
    out->messages = messages;
    out->variables = json_object_get(body, "chat_template_kwargs");
    if (sw_json_absent(out->variables))
        out->variables = NULL;
    out->wrong = "chat_template_kwargs";
    if (out->variables && (!json_is_object(out->variables) || sw_json_spelling(out->variables)))
        return sw_fail(SW_EINPUT, "\"chat_template_kwargs\" must be an object, not %s",
                       sw_json_type(out->variables));
    return SW_OK;
}

static enum sw_status request_read_prompt(const json_t *body, struct sw_line_request *out)
{
    const json_t *prompt = json_object_get(body, "prompt");
    const json_t *messages = json_object_get(body, "messages");
    const bool plain = out->form == SW_FORM_PLAIN;
    if (plain && !sw_json_absent(prompt) && !sw_json_absent(messages))
        return sw_fail(SW_EINPUT, "has both \"prompt\" and \"messages\"");
    if (plain && sw_json_absent(prompt) && sw_json_absent(messages))
        return sw_fail(SW_EINPUT, "has neither \"prompt\" nor \"messages\"");
    if (out->form == SW_FORM_CHAT || (plain && sw_json_absent(prompt)))
        return request_read_messages(body, messages, out);
    out->wrong = "prompt";
    if (out->served && (json_is_string(prompt) || json_array_size(prompt) > 0)) {
        out->prompt = prompt;
        return SW_OK;
    }
    /* The API accepts a list of prompts; here it must have one. */
    if (json_is_array(prompt) && json_array_size(prompt) == 1 && !is_ids(prompt))
        prompt = json_array_get(prompt, 0);
    else if (json_is_array(prompt) && json_array_size(prompt) > 1 && !is_ids(prompt))
        return sw_fail(SW_EINPUT, "\"prompt\" has %zu prompts; write a line for each",
                       json_array_size(prompt));
    if (!json_is_string(prompt) && !is_ids(prompt))
        return sw_fail(SW_EINPUT, "\"prompt\" must be a text or a list of token ids, not %s",
                       json_is_array(prompt) ? "an empty or mixed list" : sw_json_type(prompt));
    out->prompt = prompt;
    return SW_OK;
}

/* Members of `serve` that have more than a value. */
static enum sw_status request_read_served(const json_t *body, struct sw_line_request *out)
{
    const json_t *options = json_object_get(body, "stream_options");
    const json_t *best_of = json_object_get(body, "best_of");
    const json_t *tools = json_object_get(body, "tools");
    const json_t *choice = json_object_get(body, "tool_choice");
    int64_t best;
    out->wrong = "best_of";
    if (!sw_json_absent(best_of) &&
        (!sw_json_integer(best_of, 1, SW_CHOICES_MAX, &best) || best != out->n))
        return sw_fail(SW_EINPUT, "\"best_of\" must be as many as \"n\", %d", out->n);
    out->wrong = "stream_options";
    if (!sw_json_absent(options) && (!json_is_object(options) || sw_json_spelling(options)))
        return sw_fail(SW_EINPUT, "\"stream_options\" must be an object, not %s",
                       sw_json_type(options));
    out->include_usage = json_is_true(json_object_get(options, "include_usage"));
    out->wrong = "tools";
    if (out->form == SW_FORM_CHAT && !sw_json_absent(tools)) {
        if (!json_is_array(tools))
            return sw_fail(SW_EINPUT, "\"tools\" must be a list, not %s", sw_json_type(tools));
        out->tools =
            json_array_size(tools) > 0 && !sw_request_is_text(choice, "none") ? tools : NULL;
    }
    out->wrong = "continue_final_message";
    if (out->continue_final && out->generation_prompt &&
        json_is_true(json_object_get(body, "add_generation_prompt")))
        return sw_fail(SW_EINPUT,
                       "\"continue_final_message\" and \"add_generation_prompt\" exclude "
                       "each other");
    return SW_OK;
}

static enum sw_status request_read_body(const json_t *body, struct sw_unknown *unknown,
                                        struct sw_line_request *out)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        out->wrong = name;
        if (!json_is_null(value))
            SW_TRY(request_read_member(name, value, unknown, out));
    }
    out->wrong = "max_completion_tokens";
    const json_t *newer = json_object_get(body, out->wrong);
    if (!sw_json_absent(newer))
        SW_TRY(request_read_number(request_find_member(out->wrong, false, ALL), newer, out));
    if (out->sampling.top_k < 0) /* some clients write -1 for off */
        out->sampling.top_k = 0;
    out->wrong = "stop";
    SW_TRY(request_read_stop(json_object_get(body, "stop"), out));
    SW_TRY(sw_request_read_structure(body, out));
    out->wrong = "logit_bias";
    SW_TRY(sw_request_read_biases(json_object_get(body, "logit_bias"), out));
    SW_TRY(request_read_logprobs(body, out));
    if (out->served)
        SW_TRY(request_read_served(body, out));
    out->wrong = NULL;
    SW_TRY(request_read_prompt(body, out));
    out->wrong = NULL;
    return sw_sampling_check(&out->sampling) == SW_OK ? SW_OK : SW_EINPUT;
}

/* The envelope of the Batch API. */
static enum sw_status request_open_envelope(const json_t *root, struct sw_unknown *unknown,
                                            const json_t **body, struct sw_line_request *out)
{
    static const char *const known[] = {"custom_id", "method", "url", "body"};
    const char *url = json_string_value(json_object_get(root, "url"));
    const json_t *method = json_object_get(root, "method");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(known[i], name) != 0)
            i++;
        if (i == sizeof known / sizeof known[0] && !json_is_null(value))
            sw_unknown_note(unknown, name);
    }
    *body = json_object_get(root, "body");
    out->wrong = "method";
    if (!sw_json_absent(method) &&
        (!json_is_string(method) || strcmp(json_string_value(method), "POST") != 0))
        return sw_fail(SW_EINPUT, "\"method\" must be \"POST\"");
    out->wrong = "url";
    if (url && strcmp(url, "/v1/completions") == 0)
        out->form = SW_FORM_COMPLETION;
    else if (url && strcmp(url, "/v1/chat/completions") == 0)
        out->form = SW_FORM_CHAT;
    else
        return sw_fail(SW_EINPUT,
                       "\"url\" is \"%.60s\"; it must be /v1/completions or /v1/chat/completions",
                       url ? url : "");
    out->wrong = "body";
    if (!json_is_object(*body))
        return sw_fail(SW_EINPUT, "\"body\" must be an object, not %s", sw_json_type(*body));
    return SW_OK;
}

enum sw_status sw_line_request_read(const json_t *root, bool batch_form,
                                    const struct sw_line_request *defaults,
                                    struct sw_unknown *unknown, struct sw_line_request *out)
{
    const json_t *body = root;
    *out = *defaults;
    out->form = SW_FORM_PLAIN;
    if (batch_form) {
        SW_TRY(request_open_envelope(root, unknown, &body, out));
        out->model = json_string_value(json_object_get(body, "model"));
    }
    return request_read_body(body, unknown, out);
}

enum sw_status sw_line_request_read_body(const json_t *body, enum sw_form form,
                                         const struct sw_line_request *defaults,
                                         struct sw_line_request *out)
{
    *out = *defaults;
    out->form = form;
    out->model = json_string_value(json_object_get(body, "model"));
    return request_read_body(body, NULL, out);
}
