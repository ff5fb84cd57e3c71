/*
 * The request of a line of `batch`. Three forms:
 *   plain       {"id", "prompt" | "messages", "max_tokens", "temperature", "top_p", "top_k",
 *                "min_p", "repetition_penalty", "seed", "stop", "logprobs", "ignore_end"}
 *   completion  {"custom_id", "method": "POST", "url": "/v1/completions", "body": {"prompt", …}}
 *   chat        the same with "/v1/chat/completions" and {"messages", …}
 * The last two are those of the OpenAI Batch API. A table in request.c lists every known member:
 * it is read; or ignored, because it does not affect the answer ("user") or because its value is
 * what happens anyway ("n": 1, "tools": []); any other value is refused with the member's name. A
 * member that is not in the table is refused in a body of the API; in a plain line it is ignored
 * and counted. A second table has the members that `serve` reads as well or otherwise: n, echo,
 * stream, tools and the like.
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

#define SW_CHOICES_MAX 128 /* most continuations of one prompt, "n" */

/* The request of one line, or the defaults for all lines. Texts are borrowed. */
struct sw_line_request {
    enum sw_form form;
    bool served; /* set in the defaults of `serve`: its table counts, too */
    /* a text or a list of ids; of `serve` also a list of either; NULL: there are messages */
    const json_t *prompt;
    const json_t *messages;  /* a conversation; NULL: there is a prompt */
    const json_t *variables; /* chat_template_kwargs; may be NULL */
    const char *model;       /* the name that the line gives; NULL: none */
    const char *wrong;       /* the member at fault when the line was refused, or NULL */
    int max_tokens;
    bool special;                /* special tokens are part of the text; a line cannot change it */
    bool ignore_end;             /* continue past end tokens */
    bool seeded;                 /* the line gives a seed */
    struct sw_sampling sampling; /* .logprobs: number of alternatives, -1: no log-probabilities */
    const char *stop[SW_STOP_STRINGS_MAX];
    int n_stop;
    const json_t *logit_bias;  /* {"id": bias}, checked; NULL: none */
    const json_t *grammar;     /* GBNF, a text; NULL: none */
    const json_t *format;      /* a response_format of more than text; NULL: none */
    const char *usual_grammar; /* GBNF, checked, of requests that name no form; NULL: none */
    /* of `serve` only */
    int n;                  /* continuations of each prompt */
    bool echo;              /* the prompt is part of the answer, with its log-probabilities */
    bool stream;            /* the answer comes as events */
    bool include_usage;     /* the last event counts tokens */
    bool generation_prompt; /* a chat's text ends with the beginning of an answer */
    bool continue_final;    /* a chat's answer goes on from the last message */
    const json_t *tools;    /* for the template; NULL: none */
};

/* Whether the value of a member of this name is read, in a line or in a body. */
bool sw_line_request_knows(const char *name);
/*
 * Reads a line that sw_record_scan accepted. *out starts as a copy of `defaults` and borrows from
 * `root`. SW_EINPUT names the member, what it must be and what it is. Unknown members that are
 * ignored are counted in `unknown` (may be NULL).
 */
enum sw_status sw_line_request_read(const json_t *root, bool batch_form,
                                    const struct sw_line_request *defaults,
                                    struct sw_unknown *unknown, struct sw_line_request *out);
/*
 * Appends the grammar that the answer must follow, checked; nothing when there is none. SW_EINPUT
 * names what is wrong with it; request->wrong is then the member.
 */
enum sw_status sw_line_request_grammar(struct sw_line_request *request, struct sw_strbuf *out);
/*
 * Writes the biases of a request in the order of their ids; returns their number.
 * bias: (SW_BIAS_MAX)
 */
int sw_line_request_biases(const struct sw_line_request *request, struct sw_bias *bias);
/* Reads a body that was sent to the API itself; out->form is `form`. Else as above. */
enum sw_status sw_line_request_read_body(const json_t *body, enum sw_form form,
                                         const struct sw_line_request *defaults,
                                         struct sw_line_request *out);

#endif
