/* Owns what is done to the messages of a conversation before a template is rendered. */
#include "text/chat_messages.h"

#include "base/json.h"
#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

static enum sw_status messages_out_of_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory for a conversation");
}

static json_t *as_mutable(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

/* The text of one part of a content, NULL when it is no text: then *kind is its name. */
static const json_t *text_of_part(const json_t *part, const char **kind)
{
    static const char *const kinds[] = {"text", "input_text", "output_text"};
    const json_t *text = json_is_string(part) ? part : json_object_get(part, "text");
    *kind = json_string_value(json_object_get(part, "type"));
    bool known = !json_object_get(part, "type");
    for (size_t i = 0; *kind && i < sizeof kinds / sizeof kinds[0]; i++)
        known |= strcmp(*kind, kinds[i]) == 0;
    return known && json_is_string(text) ? text : NULL;
}

static enum sw_status check_parts(const json_t *parts, size_t message)
{
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const char *kind;
        if (text_of_part(json_array_get(parts, i), &kind))
            continue;
        if (kind && strcmp(kind, "text") != 0)
            return sw_fail(SW_EINPUT,
                           "messages[%zu].content[%zu] is of the type \"%.40s\"; only parts of the "
                           "type \"text\" can be read",
                           message, i, kind);
        return sw_fail(SW_EINPUT,
                       "messages[%zu].content[%zu] must be {\"type\": \"text\", \"text\": …}",
                       message, i);
    }
    return SW_OK;
}

static enum sw_status join_parts(json_t *message, const json_t *parts)
{
    struct sw_strbuf text = {0};
    const char *kind;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = text_of_part(json_array_get(parts, i), &kind);
        if (i > 0)
            sw_strbuf_puts(&text, "\n");
        sw_strbuf_append(&text, json_string_value(part), json_string_length(part));
    }
    json_t *joined = text.failed ? NULL : json_stringn(text.text ? text.text : "", text.length);
    sw_strbuf_free(&text);
    return json_object_set_new(message, "content", joined) == 0 ? SW_OK : messages_out_of_memory();
}

static enum sw_status normalize_content(json_t *message, size_t index,
                                        const struct sw_chat_wants *wants)
{
    const json_t *content = json_object_get(message, "content");
    if (!json_is_array(content))
        return SW_OK;
    SW_TRY(check_parts(content, index));
    return wants->parts ? SW_OK : join_parts(message, content);
}

/* {"arguments": "{\"city\": \"Oslo\"}"}, as the API has it, to {"arguments": {"city": "Oslo"}}. */
static enum sw_status parse_arguments(json_t *function, const char *where)
{
    json_t *parsed = NULL, *text = json_object_get(function, "arguments");
    if (!json_is_string(text))
        return SW_OK;
    const size_t n = json_string_length(text);
    const bool empty = strspn(json_string_value(text), " \t\r\n") == n;
    enum sw_status status =
        empty ? SW_OK : sw_json_read(json_string_value(text), n, SW_JSON_INPUT, &parsed);
    if (status != SW_OK) {
        sw_error_context("%s.arguments", where);
        return status;
    }
    if (!empty && !json_is_object(parsed)) {
        json_decref(parsed);
        return sw_fail(SW_EINPUT, "%s.arguments must be a JSON object, or one as a text", where);
    }
    return json_object_set_new(function, "arguments", empty ? json_object() : parsed) == 0
               ? SW_OK
               : messages_out_of_memory();
}

static enum sw_status parse_calls(json_t *message, size_t index)
{
    char where[96];
    json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *call = json_array_get(calls, i), *function = json_object_get(call, "function");
        snprintf(where, sizeof where, "messages[%zu].tool_calls[%zu]%s", index, i,
                 function ? ".function" : "");
        SW_TRY(parse_arguments(function ? function : call, where));
    }
    snprintf(where, sizeof where, "messages[%zu].function_call", index);
    return parse_arguments(json_object_get(message, "function_call"), where);
}

static int drop_nulls(json_t *message)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(message, next, name, value)
    {
        if (json_is_null(value) && json_object_del(message, name))
            return -1;
    }
    return 0;
}

/*
 * A model's reasoning has three names; templates read one of them. Like transformers: the
 * first of these that a message has becomes its reasoning_content and, unless set, its thinking.
 */
static int set_reasoning(json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    json_t *reasoning = NULL;
    for (size_t i = 0; i < 3 && !reasoning; i++)
        reasoning = json_object_get(message, names[i]);
    if (!reasoning)
        return 0;
    json_incref(reasoning);
    int failed = json_object_set(message, "reasoning_content", reasoning);
    if (!json_object_get(message, "thinking"))
        failed |= json_object_set(message, "thinking", reasoning);
    json_decref(reasoning);
    return failed;
}

static enum sw_status normalize_message(json_t *message, size_t index,
                                        const struct sw_chat_wants *wants)
{
    if (drop_nulls(message))
        return messages_out_of_memory();
    SW_TRY(normalize_content(message, index, wants));
    if (!wants->arguments_text)
        SW_TRY(parse_calls(message, index));
    return set_reasoning(message) ? messages_out_of_memory() : SW_OK;
}

static enum sw_status check_messages(const json_t *messages)
{
    if (!json_is_array(messages))
        return sw_fail(SW_EINPUT, "messages must be a list of {\"role\": …, \"content\": …}");
    if (json_array_size(messages) == 0)
        return sw_fail(SW_EINPUT, "messages is an empty list; a conversation has at least one "
                                  "{\"role\": …, \"content\": …}");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!json_is_string(json_object_get(json_array_get(messages, i), "role")))
            return sw_fail(SW_EINPUT, "messages[%zu] must be an object with a text \"role\"", i);
    return SW_OK;
}

enum sw_status sw_chat_messages(const json_t *messages, const struct sw_chat_wants *wants,
                                json_t **out)
{
    SW_TRY(check_messages(messages));
    json_t *made = json_deep_copy(as_mutable(messages));
    enum sw_status status = made ? SW_OK : messages_out_of_memory();
    for (size_t i = 0; status == SW_OK && i < json_array_size(made); i++)
        status = normalize_message(json_array_get(made, i), i, wants);
    if (status == SW_OK)
        *out = made;
    else
        json_decref(made);
    return status;
}
