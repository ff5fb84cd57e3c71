/*
 * JSON texts as Python's json module reads them, which is what writes and reads the files of models
 * and the lines of jobs: integers of any size, NaN and Infinity, reals beyond a double's range,
 * members that are there twice, a byte order mark. Values are jansson's. Numbers that jansson
 * cannot hold are kept as they are spelled, so a value that nobody uses never is an error, and one
 * that is used is one only when it is out of the range of its key: read numbers with the functions
 * here, to which a spelled number is a number as any other.
 */
#ifndef SW_BASE_JSON_H
#define SW_BASE_JSON_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What Python takes and we do not, and whose text it is. */
#define SW_JSON_UNIQUE 1u   /* a member that is there twice is an error; else the last counts */
#define SW_JSON_NO_NUL 2u   /* texts with a NUL are an error */
#define SW_JSON_ONE_LINE 4u /* for messages: the text is a line, which the caller names */
#define SW_JSON_USERS 8u    /* failures are SW_EINPUT, else SW_EMODEL */
#define SW_JSON_PAIRED 16u  /* half a surrogate pair is an error, else it becomes U+FFFD */

#define SW_JSON_MODEL 0u                                 /* config.json and its like */
#define SW_JSON_HEADER (SW_JSON_UNIQUE | SW_JSON_NO_NUL) /* what says where tensors are */
#define SW_JSON_INPUT (SW_JSON_USERS | SW_JSON_PAIRED)   /* a file of the user's */
#define SW_JSON_LINE (SW_JSON_INPUT | SW_JSON_UNIQUE | SW_JSON_ONE_LINE)

#define SW_JSON_DEPTH_MAX 1000

/*
 * Any value, as Python's json.loads does; *out is the caller's to json_decref. SW_EMODEL or
 * SW_EINPUT: "not JSON: line 3, column 7: expected ',' or '}', found "x"" (the caller adds the
 * file's name); SW_ENOMEM. What is taken is at most about 150 times the text, for lists of
 * nothing but empty objects.
 */
enum sw_status sw_json_read(const char *bytes, size_t n, unsigned rules, json_t **out);

/*
 * Reads an object member by member: `take` gets each with its value, which is freed before the next
 * one is read, so that what is taken is not more than the largest member needs. Which names are
 * there twice is the caller's business. The first failure of `take` ends it; *took is then true.
 */
typedef enum sw_status sw_json_member(void *context, const char *name, const json_t *value);
enum sw_status sw_json_each(const char *bytes, size_t n, unsigned rules, sw_json_member *take,
                            void *context, bool *took);

/* Whether it is a number, and one without point and exponent; false for NULL. */
bool sw_json_is_number(const json_t *value);
bool sw_json_is_integer(const json_t *value);
/* False: not a number. NaN and infinities are possible. */
bool sw_json_number(const json_t *value, double *out);
/* False: not an integer, or not in low … high. */
bool sw_json_integer(const json_t *value, int64_t low, int64_t high, int64_t *out);
bool sw_json_uint64(const json_t *value, uint64_t *out);
/* The text of a number that is kept as it is spelled; NULL: any other value. */
const char *sw_json_spelling(const json_t *value);

/* The value as JSON, cut after n - 1 bytes; for messages. Returns out. */
#define SW_JSON_SHORT 64
const char *sw_json_show(const json_t *value, char *out, size_t n);

/*
 * Appends a text from behind its opening quote to the closing one, decoded, and moves *at past
 * that. NULL, or what was expected at *at. Its bytes are not looked at for UTF-8.
 */
const char *sw_json_decode_text(const char **at, const char *end, unsigned rules,
                                struct sw_strbuf *out);

#endif
