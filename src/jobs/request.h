/*
 * What a line of `batch` asks for. Three forms:
 *   plain       {"id", "prompt" | "messages", "max_tokens", "temperature", "top_p", "top_k",
 *                "min_p", "repetition_penalty", "seed", "stop", "logprobs", "ignore_end"}
 *   completion  {"custom_id", "method": "POST", "url": "/v1/completions", "body": {"prompt", …}}
 *   chat        the same with "/v1/chat/completions" and {"messages", …}
 * the last two as the OpenAI Batch API has them. One table in request.c says of every member what
 * becomes of it: read; passed over, because it says nothing about the answer ("user"), or because
 * its value is what happens here anyway ("n": 1, "tools": []); else refused by name. What the table
 * does not have is refused in a body of the API, and passed over and counted in a plain line.
 */
#ifndef SW_JOBS_REQUEST_H
#define SW_JOBS_REQUEST_H

#include "base/status.h"
#include "jobs/unknown.h"
#include "sample/sampler.h"
#include "text/stop_strings.h"

#include <jansson.h>
#include <stdbool.h>

enum sw_form { SW_FORM_PLAIN, SW_FORM_COMPLETION, SW_FORM_CHAT };

/* What holds for lines that do not say, and what one line asks for. Texts are borrowed. */
struct sw_line_request {
    enum sw_form form;
    const json_t *prompt;    /* a text or a list of ids, or … */
    const json_t *messages;  /* … a conversation */
    const json_t *variables; /* chat_template_kwargs; may be NULL */
    const char *model;       /* as the line names it; NULL */
    const char *wrong;       /* when it was refused: the member at fault, or NULL */
    int max_tokens;
    bool special;            /* special tokens are part of the text; the line cannot change it */
    bool ignore_end, seeded; /* seeded: the line says a seed of its own */
    struct sw_sampling sampling; /* .logprobs: alternatives asked for, -1: no log-probabilities */
    const char *stop[SW_STOP_STRINGS_MAX];
    int n_stop;
};

/* Whether the value of such a member is looked at, in a line or in a body. */
bool sw_line_request_knows(const char *name);
/*
 * Reads a line that sw_record_scan took. *out begins as a copy of `defaults` and borrows from
 * `root`. SW_EINPUT names the member, what it must be and what it is. Members that nobody knows are
 * counted in `unknown` (may be NULL), whatever the line's form, where they are passed over.
 */
enum sw_status sw_line_request_read(const json_t *root, bool batch_form,
                                    const struct sw_line_request *defaults,
                                    struct sw_unknown *unknown, struct sw_line_request *out);

#endif
