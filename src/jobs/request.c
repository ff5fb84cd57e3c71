/* Owns reading what a line asks for: tables of members, checked one by one. */
#include "jobs/request.h"

#include "jobs/record.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FIELD(name) offsetof(struct sw_asked, name)

enum kind { COUNT, SEED, NUMBER, FLAG };

/* A member with a value of its own; JSON null is as good as absent. */
static const struct member {
    const char *name;
    enum kind kind;
    double low, high;
    size_t offset;
} members[] = {
    {"max_tokens", COUNT, 1, INT_MAX, FIELD(max_tokens)},
    {"temperature", NUMBER, 0, 100, FIELD(sampling.temperature)},
    {"top_p", NUMBER, 0, 1, FIELD(sampling.top_p)},
    {"min_p", NUMBER, 0, 1, FIELD(sampling.min_p)},
    {"top_k", COUNT, -1, INT_MAX, FIELD(sampling.top_k)},
    {"repetition_penalty", NUMBER, 0.01, 100, FIELD(sampling.repetition_penalty)},
    {"seed", SEED, 0, 0, FIELD(sampling.seed)},
    {"ignore_end", FLAG, 0, 0, FIELD(ignore_end)},
    {"ignore_eos", FLAG, 0, 0, FIELD(ignore_end)},
};

static enum sw_status read_member(const struct member *m, const json_t *value, struct sw_asked *out)
{
    void *field = (char *)out + m->offset;
    const double number = json_number_value(value);
    const bool whole = json_is_integer(value);
    if (m->kind == FLAG) {
        if (!json_is_boolean(value))
            return sw_fail(SW_EINPUT, "\"%s\" must be true or false, not %s", m->name,
                           sw_json_type(value));
        *(bool *)field = json_is_true(value);
        return SW_OK;
    }
    if (m->kind == SEED) {
        if (!whole)
            return sw_fail(SW_EINPUT, "\"%s\" must be a whole number, not %s", m->name,
                           sw_json_type(value));
        *(uint64_t *)field = (uint64_t)json_integer_value(value);
        out->seeded = true;
        return SW_OK;
    }
    if (m->kind == NUMBER ? !json_is_number(value) : !whole)
        return sw_fail(SW_EINPUT, "\"%s\" must be %s, not %s", m->name,
                       m->kind == NUMBER ? "a number" : "a whole number", sw_json_type(value));
    if (m->high == INT_MAX && number < m->low)
        return sw_fail(SW_EINPUT, "\"%s\" is %.15g; it must be at least %g", m->name, number,
                       m->low);
    if (!(number >= m->low && number <= m->high))
        return sw_fail(SW_EINPUT, "\"%s\" is %.15g; %g to %.10g are possible", m->name, number,
                       m->low, m->high);
    if (m->kind == NUMBER)
        *(float *)field = (float)number;
    else
        *(int *)field = (int)json_integer_value(value);
    return SW_OK;
}

static enum sw_status take_stop(const json_t *value, struct sw_asked *out)
{
    const char *text = json_string_value(value);
    if (!text)
        return sw_fail(SW_EINPUT, "\"stop\" must be a text or a list of texts, not %s",
                       sw_json_type(value));
    const size_t n = json_string_length(value);
    if (n == 0 || n > SW_STOP_LENGTH_MAX || strlen(text) != n)
        return sw_fail(SW_EINPUT, "\"stop\": a text of %zu bytes%s; 1 to %d are possible", n,
                       strlen(text) != n ? " with a NUL" : "", SW_STOP_LENGTH_MAX);
    if (out->n_stop == SW_STOP_STRINGS_MAX)
        return sw_fail(SW_EINPUT, "\"stop\": more than %d texts", SW_STOP_STRINGS_MAX);
    out->stop[out->n_stop++] = text;
    return SW_OK;
}

static enum sw_status read_stop(const json_t *value, struct sw_asked *out)
{
    size_t i;
    json_t *text;
    if (sw_json_absent(value))
        return SW_OK;
    out->n_stop = 0;
    if (!json_is_array(value))
        return take_stop(value, out);
    json_array_foreach((json_t *)(uintptr_t)value, i, text) SW_TRY(take_stop(text, out));
    return SW_OK;
}

/* A number of alternatives; in chats a flag, with the number in "top_logprobs". */
static enum sw_status read_logprobs(const json_t *body, struct sw_asked *out)
{
    const json_t *value = json_object_get(body, "logprobs");
    const char *name = "logprobs";
    if (json_is_boolean(value)) {
        out->sampling.logprobs = -1;
        if (json_is_false(value))
            return SW_OK;
        name = "top_logprobs";
        value = json_object_get(body, name);
        out->sampling.logprobs = 0;
    } else if (out->form == SW_FORM_CHAT && !sw_json_absent(value)) {
        return sw_fail(SW_EINPUT, "\"logprobs\" of a chat must be true or false, not %s",
                       sw_json_type(value));
    }
    if (sw_json_absent(value))
        return SW_OK;
    const json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || n > SW_TOP_LOGPROBS_MAX)
        return sw_fail(SW_EINPUT, "\"%s\" must be a whole number from 0 to %d", name,
                       SW_TOP_LOGPROBS_MAX);
    out->sampling.logprobs = (int32_t)n;
    return SW_OK;
}

/* Members of the API that would change the answer and are not there, with the value that is no
 * harm. */
static enum sw_status refuse_unknown(const json_t *body)
{
    static const struct {
        const char *name;
        double harmless;
    } numbers[] = {{"n", 1}, {"best_of", 1}, {"presence_penalty", 0}, {"frequency_penalty", 0}};
    static const char *const others[] = {"stream",          "echo",  "suffix",    "logit_bias",
                                         "response_format", "tools", "functions", "audio"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const json_t *value = json_object_get(body, numbers[i].name);
        if (!sw_json_absent(value) &&
            (!json_is_number(value) || json_number_value(value) != numbers[i].harmless))
            return sw_fail(SW_EINPUT, "\"%s\" can only be %g here", numbers[i].name,
                           numbers[i].harmless);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const json_t *value = json_object_get(body, others[i]);
        const char *type = json_string_value(json_object_get(value, "type"));
        if (sw_json_absent(value) || json_is_false(value) || (type && strcmp(type, "text") == 0) ||
            (json_is_array(value) && json_array_size(value) == 0) ||
            (json_is_object(value) && json_object_size(value) == 0) ||
            (json_is_string(value) && json_string_length(value) == 0))
            continue;
        return sw_fail(SW_EINPUT, "\"%s\" is not supported", others[i]);
    }
    return SW_OK;
}

static bool is_ids(const json_t *value)
{
    return json_is_array(value) && json_array_size(value) > 0 &&
           json_is_integer(json_array_get(value, 0));
}

static enum sw_status read_prompt(const json_t *body, struct sw_asked *out)
{
    const json_t *prompt = json_object_get(body, "prompt");
    const json_t *messages = json_object_get(body, "messages");
    if (out->form == SW_FORM_PLAIN && !sw_json_absent(prompt) && !sw_json_absent(messages))
        return sw_fail(SW_EINPUT, "has both \"prompt\" and \"messages\"");
    if (out->form == SW_FORM_CHAT || (out->form == SW_FORM_PLAIN && sw_json_absent(prompt))) {
        if (!json_is_array(messages) || json_array_size(messages) == 0)
            return out->form == SW_FORM_PLAIN && sw_json_absent(messages)
                       ? sw_fail(SW_EINPUT, "has neither \"prompt\" nor \"messages\"")
                       : sw_fail(SW_EINPUT, "\"messages\" must be a list of messages, not %s",
                                 sw_json_type(messages));
        out->messages = messages;
        out->variables = json_object_get(body, "chat_template_kwargs");
        if (sw_json_absent(out->variables))
            out->variables = NULL;
        return SW_OK;
    }
    /* The API takes several prompts at once: here one, bare or alone in its list. */
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

static enum sw_status read_body(const json_t *body, struct sw_asked *out)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json_t *value = json_object_get(body, members[i].name);
        if (!sw_json_absent(value))
            SW_TRY(read_member(&members[i], value, out));
    }
    const json_t *newer = json_object_get(body, "max_completion_tokens");
    const struct member tokens = {"max_completion_tokens", COUNT, 1, INT_MAX, FIELD(max_tokens)};
    if (!sw_json_absent(newer))
        SW_TRY(read_member(&tokens, newer, out));
    if (out->sampling.top_k < 0) /* some write -1 for off */
        out->sampling.top_k = 0;
    SW_TRY(read_stop(json_object_get(body, "stop"), out));
    SW_TRY(read_logprobs(body, out));
    SW_TRY(read_prompt(body, out));
    return sw_sampling_check(&out->sampling) == SW_OK ? SW_OK : SW_EINPUT;
}

/* The envelope of the Batch API. */
static enum sw_status open_envelope(const json_t *root, const json_t **body, enum sw_form *form)
{
    const char *url = json_string_value(json_object_get(root, "url"));
    const json_t *method = json_object_get(root, "method");
    *body = json_object_get(root, "body");
    if (!sw_json_absent(method) &&
        (!json_is_string(method) || strcmp(json_string_value(method), "POST") != 0))
        return sw_fail(SW_EINPUT, "\"method\" must be \"POST\"");
    if (url && strcmp(url, "/v1/completions") == 0)
        *form = SW_FORM_COMPLETION;
    else if (url && strcmp(url, "/v1/chat/completions") == 0)
        *form = SW_FORM_CHAT;
    else
        return sw_fail(
            SW_EINPUT,
            "\"url\" is \"%.60s\"; /v1/completions and /v1/chat/completions are possible",
            url ? url : "");
    if (!json_is_object(*body))
        return sw_fail(SW_EINPUT, "\"body\" must be an object, not %s", sw_json_type(*body));
    return SW_OK;
}

enum sw_status sw_asked_read(const json_t *root, bool batch_form, const struct sw_asked *defaults,
                             struct sw_asked *out)
{
    const json_t *body = root;
    *out = *defaults;
    out->form = SW_FORM_PLAIN;
    if (batch_form) {
        SW_TRY(open_envelope(root, &body, &out->form));
        out->model = json_string_value(json_object_get(body, "model"));
    }
    SW_TRY(refuse_unknown(body));
    return read_body(body, out);
}
