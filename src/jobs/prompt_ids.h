/* The ids of a prompt: a text, or a list of ids. */
#ifndef SW_JOBS_PROMPT_IDS_H
#define SW_JOBS_PROMPT_IDS_H

#include "text/ids.h"
#include "text/json_scan.h"
#include "text/tokenizer.h"

#include <jansson.h>

/*
 * Appends the ids of `prompt`, a text or a list. list: the text of the list, in place of it, where
 * it was not built (struct sw_line_json.ids); else bytes NULL. SW_EINPUT: an item is no id below
 * `vocab`, or the prompt is a text and tokenizer NULL.
 */
enum sw_status sw_prompt_ids(const json_t *prompt, struct sw_json_range list,
                             struct sw_tokenizer *tokenizer, int vocab, struct sw_ids *ids);

#endif
