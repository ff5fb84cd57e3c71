/* One form of a conversation, whatever a client wrote, before a template sees it. */
#ifndef SW_TEXT_CHAT_MESSAGES_H
#define SW_TEXT_CHAT_MESSAGES_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

/* What a template wants, as jinja/jinja_uses.h finds it. */
struct sw_chat_wants {
    bool parts;          /* it walks over the parts of a content that is a list */
    bool arguments_text; /* it prints a call's arguments as they are, so they must be JSON text */
};

/*
 * A new list for *out (the caller's to json_decref), like transformers' but for contents:
 * - members that are null are left out;
 * - a content that is a list of texts becomes one text, joined by newlines, unless the template
 *   walks over parts; any other kind of part (an image) is refused by its name;
 * - arguments of a tool call that are JSON as a text become what they say;
 * - what a model thought is there under each of the names that templates read.
 * SW_EINPUT names the message and what is wrong with it.
 */
enum sw_status sw_chat_messages(const json_t *messages, const struct sw_chat_wants *wants,
                                json_t **out);

#endif
