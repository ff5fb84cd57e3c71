/* What the readers of a request share. */
#ifndef SW_JOBS_REQUEST_IMPL_H
#define SW_JOBS_REQUEST_IMPL_H

#include "jobs/request.h"

/* False, or an array, object or text without anything in it. */
bool sw_request_is_empty(const json_t *value);
bool sw_request_is_text(const json_t *value, const char *text);

/* "response_format" and "grammar", of which one at most; sw_line_request_grammar converts them.
 * SW_EINPUT, which names the member; out->wrong is it, too. */
enum sw_status sw_request_read_structure(const json_t *body, struct sw_line_request *out);
/* "logit_bias": an object of ids and numbers; sw_line_request_biases gives them. SW_EINPUT. */
enum sw_status sw_request_read_biases(const json_t *value, struct sw_line_request *out);

#endif
