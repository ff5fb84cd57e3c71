/*
 * Owns a model's chat template: finding it among the model's files, and its variables, which are
 * those of transformers.
 */
#include "text/chat.h"
#include "base/file.h"
#include "base/json.h"
#include "jinja/jinja.h"
#include "jinja/jinja_uses.h"
#include "text/chat_messages.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX (64u << 20)

struct sw_chat {
    struct sw_jinja *plain, *tools; /* tools: for requests with tools; NULL: plain does both */
    struct sw_chat_wants plain_wants, tools_wants;
    json_t *specials; /* {"bos_token": "<s>", …} */
    char *name;       /* of the file the template is from */
};

static enum sw_status parse_template(const json_t *source, const char *name, struct sw_jinja **out)
{
    if (!json_is_string(source))
        return sw_fail(SW_EMODEL, "%s: the chat template must be a text", name);
    const enum sw_status status =
        sw_jinja_parse(json_string_value(source), json_string_length(source), out);
    if (status != SW_OK)
        sw_error_context("%s: chat template", name);
    return status;
}

/* A file that is a template; *out NULL: there is none. */
static enum sw_status read_template_file(const char *dir, const char *name, struct sw_jinja **out)
{
    char *bytes;
    size_t n;
    SW_TRY(sw_file_read_in(dir, name, SW_JINJA_SOURCE_MAX, &bytes, &n));
    const enum sw_status status = bytes ? sw_jinja_parse(bytes, n, out) : SW_OK;
    if (status != SW_OK)
        sw_error_context("%s/%s", dir, name);
    free(bytes);
    return status;
}

/* [{"name": "default", "template": "…"}, {"name": "tool_use", …}] */
static enum sw_status read_template_list(struct sw_chat *chat, const json_t *list, const char *name)
{
    const json_t *found = NULL, *with_tools = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *own = json_string_value(json_object_get(row, "name"));
        const json_t *template = json_object_get(row, "template");
        if (own && strcmp(own, "default") == 0)
            found = template;
        else if (own && strcmp(own, "tool_use") == 0)
            with_tools = template;
        else if (json_array_size(list) == 1)
            found = template;
    }
    if (!found)
        return sw_fail(SW_EMODEL, "%s: none of the %zu chat templates is named \"default\"", name,
                       json_array_size(list));
    if (with_tools)
        SW_TRY(parse_template(with_tools, name, &chat->tools));
    return parse_template(found, name, &chat->plain);
}

/* "chat_template" in a JSON file: a text or a list. */
static enum sw_status read_template_member(struct sw_chat *chat, const json_t *file,
                                           const char *name)
{
    const json_t *template = json_object_get(file, "chat_template");
    if (!template || json_is_null(template))
        return SW_OK;
    return json_is_array(template) ? read_template_list(chat, template, name)
                                   : parse_template(template, name, &chat->plain);
}

static enum sw_status add_special(struct sw_chat *chat, const char *name, const json_t *token)
{
    const json_t *content = json_is_object(token) ? json_object_get(token, "content") : token;
    if (!json_is_string(content) || json_object_get(chat->specials, name))
        return SW_OK;
    json_t *copy = json_stringn(json_string_value(content), json_string_length(content));
    return json_object_set_new(chat->specials, name, copy) == 0
               ? SW_OK
               : sw_fail(SW_ENOMEM, "no memory for a chat template");
}

/* bos_token, eos_token and every other member that ends in _token and is a text or has one. */
static enum sw_status add_specials(struct sw_chat *chat, json_t *file)
{
    static const char ending[] = "_token";
    const char *name;
    json_t *token;
    json_object_foreach(file, name, token)
    {
        const size_t n = strlen(name);
        if (n > strlen(ending) && strcmp(name + n - strlen(ending), ending) == 0)
            SW_TRY(add_special(chat, name, token));
    }
    json_object_foreach(json_object_get(file, "extra_special_tokens"), name, token)
        SW_TRY(add_special(chat, name, token));
    return SW_OK;
}

static enum sw_status read_chat_files(struct sw_chat *chat, const char *dir, json_t *files[3])
{
    static const char *const names[3] = {"tokenizer_config.json", "special_tokens_map.json",
                                         "chat_template.json"};
    for (int i = 0; i < 3; i++)
        SW_TRY(sw_json_read_file_in(dir, names[i], CONFIG_MAX, SW_JSON_MODEL, &files[i]));
    /* As for a tokenizer: where there is an added_tokens_decoder the older file does not count. */
    if (!json_is_object(json_object_get(files[0], "added_tokens_decoder")))
        SW_TRY(add_specials(chat, files[1]));
    SW_TRY(add_specials(chat, files[0]));
    chat->name = strdup("chat_template.jinja");
    SW_TRY(read_template_file(dir, chat->name, &chat->plain));
    SW_TRY(read_template_file(dir, "additional_chat_templates/tool_use.jinja", &chat->tools));
    for (int i = 2; !chat->plain && i >= 0; i -= 2) {
        free(chat->name);
        chat->name = strdup(names[i]);
        SW_TRY(read_template_member(chat, files[i], names[i]));
    }
    if (!chat->name)
        return sw_fail(SW_ENOMEM, "no memory for a chat template");
    if (chat->plain)
        return SW_OK;
    return sw_fail(SW_EMODEL,
                   "%s: the model has no chat template (expected chat_template.jinja, "
                   "chat_template.json, or \"chat_template\" in tokenizer_config.json); it may not "
                   "be a chat model: prompt it with plain text, or put the template of the model "
                   "it was tuned like there as chat_template.jinja",
                   dir);
}

static struct sw_chat_wants find_wants(const struct sw_jinja *template)
{
    struct sw_jinja_uses content, arguments;
    sw_jinja_find_uses(template, "content", &content);
    sw_jinja_find_uses(template, "arguments", &arguments);
    const bool as_text = arguments.printed && !arguments.serialized && !arguments.opened;
    return (struct sw_chat_wants){.parts = content.walked, .arguments_text = as_text};
}

static enum sw_status new_chat(struct sw_chat **out)
{
    struct sw_chat *chat = calloc(1, sizeof *chat);
    if (!chat || !(chat->specials = json_object())) {
        free(chat);
        return sw_fail(SW_ENOMEM, "no memory for a chat template");
    }
    *out = chat;
    return SW_OK;
}

/* Ends the opening: `status` is what the reading of the templates came to. */
static enum sw_status finish_chat(struct sw_chat *chat, enum sw_status status, struct sw_chat **out)
{
    if (status != SW_OK) {
        sw_chat_free(chat);
        return status;
    }
    chat->plain_wants = find_wants(chat->plain);
    if (chat->tools)
        chat->tools_wants = find_wants(chat->tools);
    *out = chat;
    return SW_OK;
}

enum sw_status sw_chat_open(const char *dir, struct sw_chat **out)
{
    json_t *files[3] = {0};
    struct sw_chat *chat;
    SW_TRY(new_chat(&chat));
    const enum sw_status status = read_chat_files(chat, dir, files);
    for (int i = 0; i < 3; i++)
        json_decref(files[i]);
    return finish_chat(chat, status, out);
}

static enum sw_status add_special_id(struct sw_chat *chat, const char *name,
                                     const struct sw_tokenizer *tok, int32_t id)
{
    size_t n;
    const char *piece = id < 0 ? NULL : sw_tokenizer_token(tok, id, &n);
    if (!piece)
        return SW_OK;
    return json_object_set_new(chat->specials, name, json_stringn(piece, n)) == 0
               ? SW_OK
               : sw_fail(SW_ENOMEM, "no memory for a chat template");
}

static enum sw_status parse_source(const struct sw_chat_source *source, const char *name,
                                   struct sw_jinja **out)
{
    const enum sw_status status =
        source->text ? sw_jinja_parse(source->text, source->length, out) : SW_OK;
    if (status != SW_OK)
        sw_error_context("%s: chat template", name);
    return status;
}

enum sw_status sw_chat_make(const struct sw_chat_source *plain, const struct sw_chat_source *tools,
                            const char *name, const struct sw_tokenizer *tok, struct sw_chat **out)
{
    struct sw_chat *chat;
    SW_TRY(new_chat(&chat));
    chat->name = strdup(name);
    enum sw_status status =
        chat->name ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a chat template");
    if (status == SW_OK)
        status = parse_source(plain, name, &chat->plain);
    if (status == SW_OK)
        status = parse_source(tools, name, &chat->tools);
    if (status == SW_OK)
        status = add_special_id(chat, "bos_token", tok, sw_tokenizer_bos(tok));
    if (status == SW_OK)
        status = add_special_id(chat, "eos_token", tok, sw_tokenizer_eos(tok));
    return finish_chat(chat, status, out);
}

void sw_chat_free(struct sw_chat *chat)
{
    if (!chat)
        return;
    sw_jinja_free(chat->plain);
    sw_jinja_free(chat->tools);
    json_decref(chat->specials);
    free(chat->name);
    free(chat);
}

static enum sw_status check_request(const struct sw_chat_request *request)
{
    static const char *const own[] = {"messages", "tools", "add_generation_prompt"};
    if (request->tools && !json_is_array(request->tools) && !json_is_null(request->tools))
        return sw_fail(SW_EINPUT, "tools must be a list of tool descriptions");
    if (request->variables && !json_is_object(request->variables))
        return sw_fail(SW_EINPUT, "the template's variables must be an object");
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (json_object_get(request->variables, own[i]))
            return sw_fail(SW_EINPUT, "\"%s\" cannot be among the template's variables", own[i]);
    return SW_OK;
}

static json_t *as_mutable(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

/* The variables of one rendering, or NULL when memory is short; takes `messages` over. */
static json_t *make_variables(const struct sw_chat *chat, const struct sw_chat_request *request,
                              json_t *messages)
{
    json_t *all = json_deep_copy(chat->specials);
    int failed = json_object_set_new(all, "documents", json_null());
    if (request->variables)
        failed |= json_object_update(all, as_mutable(request->variables));
    failed |= json_object_set_new(all, "messages", messages);
    failed |= json_object_set_new(
        all, "tools", request->tools ? json_incref(as_mutable(request->tools)) : json_null());
    failed |= json_object_set_new(all, "add_generation_prompt",
                                  json_boolean(request->add_generation_prompt));
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}

/* Cuts the text behind the last message's content, as transformers does: a template may have
 * trimmed white space at its end. */
static enum sw_status chat_cut(const json_t *messages, size_t from, struct sw_strbuf *text)
{
    static const char white[] = " \t\r\n";
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *content = json_string_value(json_object_get(last, "content"));
    if (!content)
        return sw_fail(SW_EINPUT, "the last message has no text to go on from");
    content += strspn(content, white);
    const size_t n = strlen(content);
    size_t least = n;
    while (least > 0 && strchr(white, content[least - 1]))
        least--;
    for (size_t at = text->length - from >= least ? text->length - least + 1 : from; at-- > from;) {
        const char *found = text->text + at;
        if (memcmp(found, content, least) != 0)
            continue;
        const bool whole = text->length - at >= n && memcmp(found, content, n) == 0;
        text->length = at + (whole ? n : least);
        text->text[text->length] = '\0';
        return SW_OK;
    }
    return sw_fail(SW_EINPUT, "the template does not print the last message's content as it is, so "
                              "nothing can go on from it");
}

enum sw_status sw_chat_render(const struct sw_chat *chat, const struct sw_chat_request *request,
                              struct sw_strbuf *text)
{
    const struct sw_jinja_limits limits = sw_jinja_limits_default();
    const bool tools = json_is_array(request->tools) && chat->tools;
    const size_t from = text->length;
    json_t *messages;
    SW_TRY(check_request(request));
    SW_TRY(sw_chat_messages(request->messages, tools ? &chat->tools_wants : &chat->plain_wants,
                            &messages));
    json_t *variables = make_variables(chat, request, messages);
    if (!variables)
        return sw_fail(SW_ENOMEM, "no memory for a conversation");
    enum sw_status status =
        sw_jinja_render(tools ? chat->tools : chat->plain, variables, &limits, text);
    if (status == SW_OK && request->continue_final) {
        status = chat_cut(json_object_get(variables, "messages"), from, text);
        if (status != SW_OK)
            text->length = from;
    }
    if (status != SW_OK)
        sw_error_context("%s", chat->name);
    json_decref(variables);
    return status;
}

enum sw_status sw_chat_encode(const struct sw_chat *chat, struct sw_tokenizer *tok,
                              const struct sw_chat_request *request, struct sw_ids *ids)
{
    struct sw_strbuf text = {0};
    enum sw_status status = sw_chat_render(chat, request, &text);
    if (status == SW_OK)
        status = sw_tokenizer_encode(tok, text.text ? text.text : "", text.length,
                                     SW_ENCODE_PARSE_SPECIAL, ids);
    sw_strbuf_free(&text);
    return status;
}
