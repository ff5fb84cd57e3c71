/*
 * What a person types, or a pipe gives, line by line: a thread of its own waits for it, so that the
 * caller can wait for that and for the ranks at once. One line at a time is asked for.
 */
#ifndef SW_CMD_CHAT_INPUT_H
#define SW_CMD_CHAT_INPUT_H

#include "cmd/line_edit.h"

#include "base/status.h"

#include <signal.h>
#include <stdbool.h>

struct sw_chat_input;

/* `interrupted`: not 0 gives up a line on a terminal. `wake` is called from the thread when what
 * was asked for is there. The caller frees by sw_chat_input_close. SW_ENOMEM, SW_EDEVICE. */
enum sw_status sw_chat_input_open(const volatile sig_atomic_t *interrupted,
                                  void (*wake)(void *context), void *context,
                                  struct sw_chat_input **out);
/* Asks for a line, with a prompt where a person types; `prompt` is a literal. */
void sw_chat_input_ask(struct sw_chat_input *input, const char *prompt);
/* Whether what was asked for is there; *line (valid until the next ask) is then the line. */
bool sw_chat_input_take(struct sw_chat_input *input, enum sw_line *kind, struct sw_strbuf **line);
/* Whether a person types, as far as can be known. */
bool sw_chat_input_is_typed(const struct sw_chat_input *input);
/* After *interrupted was set, which ends a line that is being typed. NULL is fine. */
void sw_chat_input_close(struct sw_chat_input *input);

#endif
