/* Brings a conversation into one form before a template is rendered, whatever a client wrote. */
#ifndef SW_TEXT_CHAT_MESSAGES_H
#define SW_TEXT_CHAT_MESSAGES_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

/* The forms that a template needs, found by jinja/jinja_uses.h. */
struct sw_chat_wants {
    bool parts;          /* the template iterates over the parts of a content that is a list */
    bool arguments_text; /* the template prints a call's arguments unchanged: as JSON text */
};

/*
 * Makes a new list *out, which the caller frees with json_decref. As in transformers, except for
 * contents:
 * - members that are null are left out;
 * - a content that is a list of texts becomes one text, joined by newlines, unless the template
 *   iterates over parts; any other kind of part (an image) is refused;
 * - arguments of a tool call that are a JSON text become its value;
 * - a model's reasoning is set under each of the names that templates read.
 * SW_EINPUT names the message and what is wrong with it.
 */
enum sw_status sw_chat_messages(const json_t *messages, const struct sw_chat_wants *wants,
                                json_t **out);

#endif
