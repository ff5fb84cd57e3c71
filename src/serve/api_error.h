/* The body of an answer that is an error, as the OpenAI API has it. */
#ifndef SW_SERVE_API_ERROR_H
#define SW_SERVE_API_ERROR_H

#include "base/status.h"
#include "base/strbuf.h"
#include "serve/exchange.h"

/* Appends {"error": {"message", "type", "param", "code"}}. param: the member at fault; may be NULL.
 * The type and the code follow from the status of HTTP. */
void sw_api_error_write(int http_status, const char *message, const char *param,
                        struct sw_strbuf *out);
/* Answers with an error. */
void sw_api_error_reply(struct sw_exchange *x, int http_status, const char *message,
                        const char *param);
/* The status of HTTP for a failure: 400 where the request is at fault. */
int sw_api_error_status(enum sw_status status);

#endif
