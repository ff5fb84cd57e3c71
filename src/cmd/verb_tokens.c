/* Owns the verb `tokens`: text to ids and back, with the model's own tokenizer and template. */
#include "base/file.h"
#include "base/json.h"
#include "checkpoint/open_model.h"
#include "cmd/options.h"
#include "cmd/output.h"
#include "jobs/input_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sw_status sw_parse_ids(const char *text, int limit, struct sw_ids *ids)
{
    const char *at = text;
    while (*at) {
        char *end;
        errno = 0;
        const long id = strtol(at, &end, 10);
        const bool ends = !*end || *end == ',' || isspace((unsigned char)*end);
        if (end == at || !ends || errno || id < 0 || id >= limit)
            return sw_fail(SW_EINPUT, "'%.*s': not a token id from 0 to %d",
                           (int)strcspn(at, ", \t\r\n"), at, limit - 1);
        SW_TRY(sw_ids_push(ids, (int32_t)id));
        at = end + strspn(end, " \t\r\n");
        at += *at == ',';
        at += strspn(at, " \t\r\n");
    }
    return SW_OK;
}

static unsigned tokens_flags(const struct sw_options *o)
{
    return o->special ? SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL : SW_ENCODE_PARSE_SPECIAL;
}

static void tokens_print_ids(const struct sw_ids *ids)
{
    for (size_t i = 0; i < ids->count; i++)
        printf(i ? " %d" : "%d", ids->items[i]);
    printf("\n");
}

static enum sw_status tokens_encode(struct sw_tokenizer *tok, const char *text, size_t n,
                                    const struct sw_options *o)
{
    struct sw_ids ids = {0};
    const enum sw_status status = sw_tokenizer_encode(tok, text, n, tokens_flags(o), &ids);
    if (status == SW_OK)
        tokens_print_ids(&ids);
    sw_ids_free(&ids);
    return status;
}

static enum sw_status tokens_decode(struct sw_tokenizer *tok, const char *text,
                                    const struct sw_options *o)
{
    struct sw_ids ids = {0};
    struct sw_strbuf out = {0};
    enum sw_status status = sw_parse_ids(text, (int)sw_tokenizer_size(tok), &ids);
    if (status == SW_OK)
        status = sw_tokenizer_decode(tok, ids.items, ids.count, !o->special, &out);
    if (status == SW_OK && out.failed)
        status = sw_fail(SW_ENOMEM, "no memory for the text");
    if (status == SW_OK && out.length > 0)
        fwrite(out.text, 1, out.length, stdout);
    sw_ids_free(&ids);
    sw_strbuf_free(&out);
    return status;
}

/* {"text"} → {"ids"}, or with --decode {"ids"} → {"text"}. */
static enum sw_status tokens_convert_line(struct sw_tokenizer *tok, const json_t *line,
                                          const struct sw_options *o, json_t **answer)
{
    struct sw_ids ids = {0};
    struct sw_strbuf out = {0};
    enum sw_status status = SW_OK;
    const json_t *text = json_object_get(line, "text"), *list = json_object_get(line, "ids");
    if (o->decode ? !json_is_array(list) : !json_is_string(text))
        return sw_fail(SW_EINPUT, "a line must be an object with \"%s\"",
                       o->decode ? "ids" : "text");
    if (o->decode) {
        size_t i;
        json_t *item;
        json_array_foreach((json_t *)(uintptr_t)list, i, item)
        {
            const json_int_t id = json_integer_value(item);
            if (!json_is_integer(item) || id < 0 || id >= (json_int_t)sw_tokenizer_size(tok))
                status = sw_fail(SW_EINPUT, "ids[%zu] is not a token id", i);
            if (status == SW_OK)
                status = sw_ids_push(&ids, (int32_t)id);
        }
        if (status == SW_OK)
            status = sw_tokenizer_decode(tok, ids.items, ids.count, !o->special, &out);
        *answer = json_pack("{s:s%}", "text", out.text ? out.text : "", out.length);
    } else {
        status = sw_tokenizer_encode(tok, json_string_value(text), json_string_length(text),
                                     tokens_flags(o), &ids);
        json_t *array = json_array();
        for (size_t i = 0; i < ids.count; i++)
            json_array_append_new(array, json_integer(ids.items[i]));
        *answer = json_pack("{s:o}", "ids", array);
    }
    sw_ids_free(&ids);
    sw_strbuf_free(&out);
    if (status == SW_OK && !*answer)
        status = sw_fail(SW_ENOMEM, "no memory for a line");
    return status;
}

static enum sw_status tokens_convert_lines(struct sw_tokenizer *tok, const struct sw_options *o)
{
    char *line = NULL;
    size_t capacity = 0, number = 0, n;
    enum sw_status status = SW_OK;
    while (status == SW_OK) {
        json_t *root = NULL, *answer = NULL;
        number++;
        status = sw_file_line(stdin, SW_LINE_MAX, &line, &capacity, &n);
        if (status == SW_OK && n == 0)
            break;
        if (status == SW_OK)
            status = sw_json_read(line, n, SW_JSON_INPUT | SW_JSON_ONE_LINE, &root);
        if (status == SW_OK)
            status = tokens_convert_line(tok, root, o, &answer);
        if (status == SW_OK) {
            json_dumpf(answer, stdout, JSON_COMPACT);
            printf("\n");
        } else {
            sw_error_context("standard input, line %zu", number);
        }
        json_decref(root);
        json_decref(answer);
    }
    free(line);
    return status == SW_OK ? sw_input_check() : status;
}

static enum sw_status tokens_read_all(struct sw_strbuf *text)
{
    char buffer[65536];
    size_t n;
    while (!text->failed && (n = fread(buffer, 1, sizeof buffer, stdin)) > 0)
        sw_strbuf_append(text, buffer, n);
    return text->failed ? sw_fail(SW_ENOMEM, "no memory for the text") : sw_input_check();
}

static enum sw_status tokens_convert_all(struct sw_tokenizer *tok, const struct sw_options *o)
{
    struct sw_strbuf text = {0};
    enum sw_status status = tokens_read_all(&text);
    if (status != SW_OK)
        sw_error_context("standard input");
    else if (o->decode)
        status = tokens_decode(tok, text.text ? text.text : "", o);
    else
        status = tokens_encode(tok, text.text ? text.text : "", text.length, o);
    sw_strbuf_free(&text);
    return status;
}

/*
 * A conversation is a list of messages, or an object with "messages", "tools" and
 * "chat_template_kwargs" as servers accept it. add_generation_prompt is true unless the object sets
 * it.
 */
static enum sw_status tokens_chat_request(const json_t *root, struct sw_chat_request *request)
{
    const json_t *prompt = json_object_get(root, "add_generation_prompt");
    *request = (struct sw_chat_request){
        .messages = json_is_array(root) ? root : json_object_get(root, "messages"),
        .tools = json_object_get(root, "tools"),
        .variables = json_object_get(root, "chat_template_kwargs"),
        .add_generation_prompt = !prompt || json_is_true(prompt)};
    return request->messages ? SW_OK
                             : sw_fail(SW_EINPUT, "standard input: expected a list of messages, or "
                                                  "an object with \"messages\"");
}

static enum sw_status tokens_render(const struct sw_chat *chat,
                                    const struct sw_chat_request *request)
{
    struct sw_strbuf text = {0};
    const enum sw_status status = sw_chat_render(chat, request, &text);
    if (status == SW_OK && text.length > 0)
        fwrite(text.text, 1, text.length, stdout);
    sw_strbuf_free(&text);
    return status;
}

static enum sw_status tokens_encode_chat(const struct sw_chat *chat, const char *model,
                                         const struct sw_chat_request *request)
{
    struct sw_tokenizer *tok;
    struct sw_ids ids = {0};
    SW_TRY(sw_open_tokenizer(model, &tok));
    const enum sw_status status = sw_chat_encode(chat, tok, request, &ids);
    if (status == SW_OK)
        tokens_print_ids(&ids);
    sw_ids_free(&ids);
    sw_tokenizer_close(tok);
    return status;
}

/* --chat and --render: messages on standard input. */
static enum sw_status chat(const struct sw_call *call)
{
    struct sw_chat *chat;
    struct sw_chat_request request;
    struct sw_strbuf text = {0};
    json_t *root = NULL;
    SW_TRY(sw_open_chat(call->models[0], &chat));
    enum sw_status status = tokens_read_all(&text);
    if (status == SW_OK)
        status = sw_json_read(text.text ? text.text : "", text.length, SW_JSON_INPUT, &root);
    if (status != SW_OK)
        sw_error_context("standard input");
    else
        status = tokens_chat_request(root, &request);
    if (status == SW_OK)
        status = call->options.render ? tokens_render(chat, &request)
                                      : tokens_encode_chat(chat, call->models[0], &request);
    json_decref(root);
    sw_strbuf_free(&text);
    sw_chat_free(chat);
    return status;
}

static enum sw_status tokens(struct sw_call *call)
{
    struct sw_tokenizer *tok;
    const struct sw_options *o = &call->options;
    if ((o->chat || o->render) && (o->decode || o->jsonl))
        return sw_fail(SW_EUSAGE,
                       "tokens: --chat and --render cannot be combined with --decode or --jsonl");
    if (o->chat || o->render)
        return chat(call);
    SW_TRY(sw_open_tokenizer(call->models[0], &tok));
    const enum sw_status status = call->options.jsonl ? tokens_convert_lines(tok, &call->options)
                                                      : tokens_convert_all(tok, &call->options);
    sw_tokenizer_close(tok);
    return status;
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"decode", 'd', NULL, "ids to text instead", FIELD(decode), sw_parse_flag},
    {"jsonl", 0, NULL, "one JSON object per line: {\"text\"} to {\"ids\"}, or back with --decode",
     FIELD(jsonl), sw_parse_flag},
    {"chat", 0, NULL, "read messages as JSON, print their ids in the model's chat template",
     FIELD(chat), sw_parse_flag},
    {"render", 0, NULL, "as --chat, but print the template's text", FIELD(render), sw_parse_flag},
    {"special", 0, NULL, "add BOS/EOS as the model does; with --decode, print special tokens",
     FIELD(special), sw_parse_flag},
    {0}};

const struct sw_verb sw_verb_tokens = {
    .name = "tokens",
    .alone = true,
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "turn text on standard input into token ids, or back",
    .description = "A directory with only tokenizer files is enough. The ids come on one line.\n\n"
                   "  echo -n \"Hello world\" | spillway tokens gpt-j-6b\n"
                   "  echo 15496 995 | spillway tokens gpt-j-6b --decode\n"
                   "  echo '[{\"role\": \"user\", \"content\": \"Hi\"}]' | spillway tokens llama "
                   "--render",
    .own = {own},
    .run = tokens,
};
