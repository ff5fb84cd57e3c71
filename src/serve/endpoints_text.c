/* Owns the paths that turn text into ids and back, as vLLM has them. */
#include "base/json.h"
#include "jobs/line_json.h"
#include "jobs/prompt_ids.h"
#include "jobs/record.h"
#include "serve/api_error.h"
#include "serve/server_impl.h"

#include <string.h>

typedef enum sw_status endpoint_text(const struct sw_server *s, const json_t *root,
                                     struct sw_strbuf *out);

static bool text_knows(const char *name)
{
    static const char *const known[] = {"prompt",
                                        "messages",
                                        "tools",
                                        "tokens",
                                        "add_special_tokens",
                                        "add_generation_prompt",
                                        "continue_final_message",
                                        "chat_template_kwargs"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i], name) == 0)
            return true;
    return false;
}

static void text_run(const struct sw_server *s, struct sw_exchange *x, endpoint_text *run)
{
    const struct sw_strbuf *body = &x->body;
    struct sw_line_json json = {0};
    struct sw_strbuf out = {0};
    enum sw_status status =
        s->rules.tokenizer ? SW_OK : sw_fail(SW_EINPUT, "the model has no tokenizer");
    if (status == SW_OK)
        status = sw_line_json_read(body->text ? body->text : "", body->length, text_knows, &json);
    if (status == SW_OK)
        status = run(s, json.root, &out);
    if (status == SW_OK) {
        sw_exchange_reply(x, 200, "application/json", &out);
    } else {
        sw_strbuf_free(&out);
        sw_api_error_reply(x, sw_api_error_status(status), sw_error_message(), NULL);
        sw_error_clear();
    }
    json_decref(json.root);
}

static enum sw_status text_chat_ids(const struct sw_server *s, const json_t *root,
                                    struct sw_ids *ids)
{
    const json_t *tools = json_object_get(root, "tools");
    const json_t *variables = json_object_get(root, "chat_template_kwargs");
    const bool goes_on = json_is_true(json_object_get(root, "continue_final_message"));
    const bool begins = !json_is_false(json_object_get(root, "add_generation_prompt"));
    const struct sw_chat_request chat = {.messages = json_object_get(root, "messages"),
                                         .tools = sw_json_absent(tools) ? NULL : tools,
                                         .variables = sw_json_absent(variables) ? NULL : variables,
                                         .add_generation_prompt = begins && !goes_on,
                                         .continue_final = goes_on};
    if (!s->rules.chat)
        return sw_fail(SW_EINPUT, "\"messages\": %s", s->rules.no_chat);
    return sw_chat_encode(s->rules.chat, s->rules.tokenizer, &chat, ids);
}

/* {"prompt": TEXT, "add_special_tokens"} or {"messages": […]} → {"tokens", "count", …} */
static enum sw_status text_tokenize(const struct sw_server *s, const json_t *root,
                                    struct sw_strbuf *out)
{
    const json_t *prompt = json_object_get(root, "prompt");
    const bool plain = json_is_false(json_object_get(root, "add_special_tokens"));
    struct sw_ids ids = {0};
    enum sw_status status;
    if (json_object_get(root, "messages"))
        status = text_chat_ids(s, root, &ids);
    else if (json_is_string(prompt))
        status = sw_tokenizer_encode(
            s->rules.tokenizer, json_string_value(prompt), json_string_length(prompt),
            (plain ? 0u : SW_ENCODE_ADD_SPECIAL) | SW_ENCODE_PARSE_SPECIAL, &ids);
    else
        status = sw_fail(SW_EINPUT, "\"prompt\" must be a text, not %s; or give \"messages\"",
                         sw_json_type(prompt));
    sw_strbuf_puts(out, "{\"tokens\":[");
    for (size_t i = 0; i < ids.count; i++)
        sw_strbuf_printf(out, i ? ",%d" : "%d", ids.items[i]);
    sw_strbuf_printf(out, "],\"count\":%zu,\"max_model_len\":%d}", ids.count, s->context);
    sw_ids_free(&ids);
    return status;
}

/* {"tokens": […]} → {"prompt": TEXT} */
static enum sw_status text_detokenize(const struct sw_server *s, const json_t *root,
                                      struct sw_strbuf *out)
{
    const json_t *tokens = json_object_get(root, "tokens");
    const struct sw_json_range none = {0};
    struct sw_ids ids = {0};
    struct sw_strbuf text = {0};
    if (!json_is_array(tokens))
        return sw_fail(SW_EINPUT, "\"tokens\" must be a list of token ids, not %s",
                       sw_json_type(tokens));
    enum sw_status status = sw_prompt_ids(tokens, none, s->rules.tokenizer,
                                          (int)sw_tokenizer_size(s->rules.tokenizer), &ids);
    if (status == SW_OK)
        status = sw_tokenizer_decode(s->rules.tokenizer, ids.items, ids.count, false, &text);
    sw_strbuf_puts(out, "{\"prompt\":");
    sw_json_quote(out, text.text ? text.text : "", text.length);
    sw_strbuf_puts(out, "}");
    out->failed = out->failed || text.failed;
    sw_strbuf_free(&text);
    sw_ids_free(&ids);
    return status;
}

void sw_endpoint_tokenize(void *context, struct sw_exchange *x)
{
    text_run(context, x, text_tokenize);
}

void sw_endpoint_detokenize(void *context, struct sw_exchange *x)
{
    text_run(context, x, text_detokenize);
}
