/*
 * What input lines and results of jobs have in common: an id, and one of two forms. The key of a
 * line is its id as JSON text: "a" (quoted, with one way to escape) or 12 (unchanged).
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
    bool has_id;     /* the key was filled */
    bool is_result;  /* the line has members that only results have */
    bool failed;     /* the line is an error record */
};

/*
 * Scans a line's object without building it. SW_EINPUT: it is not a JSON object, or its id is
 * neither text nor number. `key` is emptied first; the caller frees it. Characters inside strings
 * are not checked.
 */
enum sw_status sw_record_scan(const char *line, size_t n, struct sw_strbuf *key,
                              struct sw_record *out);
/* The key of a line without an id: "line-12". */
void sw_record_line_key(int64_t number, struct sw_strbuf *key);
/* Appends text[0..n), valid UTF-8, as a JSON string. */
void sw_json_quote(struct sw_strbuf *out, const char *text, size_t n);
/* The name of the value's type for messages: "a list"; "absent" for NULL. */
const char *sw_json_type(const json_t *value);
/* Whether the value is NULL or JSON null. */
bool sw_json_absent(const json_t *value);
/* Appends the error record, with its newline, of an input line that has no answer. In the batch
 * form its status code is 400 when the line is at fault (SW_EINPUT, SW_EUSAGE) and 500 otherwise,
 * and `param` (may be NULL) is the member at fault. */
void sw_record_error(const struct sw_strbuf *key, bool batch_form, enum sw_status fault,
                     const char *message, const char *param, struct sw_strbuf *out);
/*
 * Appends {"id": …, "custom_id": KEY, "response": {"status_code": …, "request_id": …, "body": BODY
 * },"error": null} and a newline; body[0..n) is JSON text.
 */
void sw_record_wrap(const struct sw_strbuf *key, int status_code, const char *body, size_t n,
                    struct sw_strbuf *out);
/* 24 hexadecimal digits that follow from the key, the same in every run. Returns `out`. */
const char *sw_record_digits(const struct sw_strbuf *key, char out[33]);

#endif
