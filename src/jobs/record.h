/*
 * What lines of jobs, going in and coming out, have in common: an id, and one of two forms. The key
 * of a line is its id as JSON text: "a" (quoted, escaped in one way only) or 12 (as it stands).
 */
#ifndef SW_JOBS_RECORD_H
#define SW_JOBS_RECORD_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_ID_MAX 4096 /* bytes of a key */

struct sw_record {
    bool batch_form; /* a line of the OpenAI Batch API: "custom_id", or "url" and "body" */
    bool has_id;     /* key was filled */
    bool is_result;  /* it has what a result has, and a request has not */
    bool failed;     /* a result that says what was wrong */
};

/*
 * Walks over an object once, without building it. SW_EINPUT: it is no JSON object, or its id is
 * neither text nor number. key is emptied first; the caller frees it. Text inside strings is not
 * checked.
 */
enum sw_status sw_record_scan(const char *line, size_t n, struct sw_strbuf *key,
                              struct sw_record *out);
/* The key of a line without an id: "line-12". */
void sw_record_line_key(int64_t number, struct sw_strbuf *key);
/* Appends text[0..n), valid UTF-8, as a JSON string. */
void sw_json_quote(struct sw_strbuf *out, const char *text, size_t n);
/* What a message calls the value: "a list", …; NULL is "absent". */
const char *sw_json_type(const json_t *value);
/* JSON null is as good as absent. */
bool sw_json_absent(const json_t *value);
/* The line, with its newline, that says why an input line has no answer; whose fault it is tells
 * the status code of the batch form: 400 the line's (SW_EINPUT, SW_EUSAGE), 500 ours; `param` is
 * the member at fault there, or NULL. */
void sw_record_error(const struct sw_strbuf *key, bool batch_form, enum sw_status fault,
                     const char *message, const char *param, struct sw_strbuf *out);
/*
 * Appends {"id": …, "custom_id": KEY, "response": {"status_code": …, "request_id": …, "body": BODY
 * },"error": null} and a newline; body is JSON text.
 */
void sw_record_wrap(const struct sw_strbuf *key, int status_code, const char *body, size_t n,
                    struct sw_strbuf *out);
/* 24 hexadecimal digits that belong to a key, the same in every run. */
const char *sw_record_digits(const struct sw_strbuf *key, char out[33]);

#endif
