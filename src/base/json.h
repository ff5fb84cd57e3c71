/*
 * Reads JSON as Python's json module does, because that writes and reads the files of models and
 * the lines of jobs: integers of any size, NaN and Infinity, reals beyond a double's range,
 * duplicate members, a byte order mark. Values are jansson's. A number that jansson cannot hold is
 * kept as its spelling: it is an error only where it is used and out of range. Read numbers with
 * the functions here, which also accept such numbers.
 */
#ifndef SW_BASE_JSON_H
#define SW_BASE_JSON_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rules: what Python accepts and we refuse, and whose text it is. */
#define SW_JSON_UNIQUE 1u   /* a duplicate member is an error; without it the last one counts */
#define SW_JSON_NO_NUL 2u   /* a text with a NUL is an error */
#define SW_JSON_ONE_LINE 4u /* messages give the column only: the caller names the line */
#define SW_JSON_USERS 8u    /* failures are SW_EINPUT; without it SW_EMODEL */
#define SW_JSON_PAIRED 16u  /* half a surrogate pair is an error; without it it becomes U+FFFD */

#define SW_JSON_MODEL 0u                                 /* config.json and similar files */
#define SW_JSON_HEADER (SW_JSON_UNIQUE | SW_JSON_NO_NUL) /* a tensor directory */
#define SW_JSON_INPUT (SW_JSON_USERS | SW_JSON_PAIRED)   /* a file of the user */
#define SW_JSON_LINE (SW_JSON_INPUT | SW_JSON_UNIQUE | SW_JSON_ONE_LINE) /* a line of a job */

#define SW_JSON_DEPTH_MAX 1000

/*
 * Reads one value of any type, as Python's json.loads does; the caller frees *out with json_decref.
 * SW_EMODEL or SW_EINPUT: "not JSON: line 3, column 7: expected ',' or '}', found "x"" (the caller
 * adds the file's name). Memory: at most about 150 times the text, for a list of empty objects.
 */
enum sw_status sw_json_read(const char *bytes, size_t n, unsigned rules, json_t **out);

/*
 * Reads the file dir/name of at most `limit` bytes as sw_json_read does; *out is NULL when there is
 * no such file. Fails as sw_file_read or sw_json_read does, with the path.
 */
enum sw_status sw_json_read_file_in(const char *dir, const char *name, size_t limit, unsigned rules,
                                    json_t **out);

/*
 * Reads an object member by member. `take` gets each name and value; the value is freed before the
 * next one is read, so that memory is needed for the largest member only. Duplicates are passed to
 * `take`, too. The first failure of `take` is returned; *took is then true.
 */
typedef enum sw_status sw_json_member(void *context, const char *name, const json_t *value);
enum sw_status sw_json_each(const char *bytes, size_t n, unsigned rules, sw_json_member *take,
                            void *context, bool *took);

/* Whether the value is a number; false for NULL. */
bool sw_json_is_number(const json_t *value);
/* Whether the value is a number without point and exponent; false for NULL. */
bool sw_json_is_integer(const json_t *value);
/* False: not a number. *out may be NaN or infinite. */
bool sw_json_number(const json_t *value, double *out);
/* False: not an integer, or not in low … high. */
bool sw_json_integer(const json_t *value, int64_t low, int64_t high, int64_t *out);
/* False: not an integer from 0 to 2^64 - 1. */
bool sw_json_uint64(const json_t *value, uint64_t *out);
/* The spelling of a number that jansson cannot hold; NULL for any other value. */
const char *sw_json_spelling(const json_t *value);

/* The value as JSON for messages, cut after n - 1 bytes. Returns `out`. */
#define SW_JSON_SHORT 64
const char *sw_json_show(const json_t *value, char *out, size_t n);

/*
 * Decodes a text and appends it to `out`. *at is after the opening quote and moves past the closing
 * one. Returns NULL, or what was expected at *at. Does not check that the bytes are UTF-8.
 */
const char *sw_json_decode_text(const char **at, const char *end, unsigned rules,
                                struct sw_strbuf *out);

#endif
