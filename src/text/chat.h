/*
 * Chat templates: a conversation becomes the text that its model was trained on, by the model's own
 * template. Templates are Jinja2 as transformers renders it (see jinja/jinja.h).
 *
 * Threads may share a sw_chat, but not a request.
 */
#ifndef SW_TEXT_CHAT_H
#define SW_TEXT_CHAT_H

#include "base/status.h"
#include "base/strbuf.h"
#include "text/ids.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct sw_chat;

/*
 * Reads the template of the model in `dir`: chat_template.jinja, chat_template.json, else
 * "chat_template" of tokenizer_config.json (a text, or a list of {"name", "template"}).
 * SW_EMODEL: there is none, or it does not parse (file, line, expected and found). The caller
 * frees *out.
 */
enum sw_status sw_chat_open(const char *dir, struct sw_chat **out);
/* The text of a template; NULL: there is none. */
struct sw_chat_source {
    const char *text;
    size_t length;
};

/*
 * From templates that lie elsewhere; tools: for requests with tools, may be empty. `name` is for
 * messages. The template's bos_token and eos_token are the tokenizer's. SW_EMODEL: one does not
 * parse. The caller frees *out.
 */
enum sw_status sw_chat_make(const struct sw_chat_source *plain, const struct sw_chat_source *tools,
                            const char *name, const struct sw_tokenizer *tok, struct sw_chat **out);
void sw_chat_free(struct sw_chat *chat);

struct sw_chat_request {
    const json_t *messages;     /* [{"role": "user", "content": "…"}, …]; see chat_messages.h */
    const json_t *tools;        /* list of tool descriptions; NULL: none */
    const json_t *variables;    /* {"enable_thinking": false, …} for the template; NULL: none */
    bool add_generation_prompt; /* whether the text ends with the beginning of an answer */
    bool continue_final;        /* whether it ends with the last message's content, to go on from */
};

/*
 * Appends the rendered text to *text. SW_EINPUT: messages, tools or variables have the wrong form,
 * or the template refuses the conversation (with the template's message), fails or exceeds its
 * limits (with its line). On failure *text keeps its old length.
 */
enum sw_status sw_chat_render(const struct sw_chat *chat, const struct sw_chat_request *request,
                              struct sw_strbuf *text);
/*
 * Appends the ids of the rendered text to *ids: special tokens are recognised and no BOS is
 * added, because the template prints its own. On failure *ids keeps its old count.
 */
enum sw_status sw_chat_encode(const struct sw_chat *chat, struct sw_tokenizer *tok,
                              const struct sw_chat_request *request, struct sw_ids *ids);

#endif
