/* The form that an answer must have, as a request or a command line asks for it. */
#ifndef SW_GRAMMAR_ANSWER_FORM_H
#define SW_GRAMMAR_ANSWER_FORM_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stddef.h>

/* The first of them that is there; none: any JSON object. Borrowed. */
struct sw_answer_form {
    const char *grammar; /* (n_grammar) GBNF */
    size_t n_grammar;
    const json_t *schema;
};

/* Appends the grammar of the form, checked: a text can be kept to it. SW_EINPUT says what is wrong,
 * SW_ENOMEM. */
enum sw_status sw_answer_form_grammar(const struct sw_answer_form *form, struct sw_strbuf *out);

#endif
