/*
 * Parses a line of JSON in bounded memory: only members that are read are built, and a prompt of
 * token ids stays text.
 */
#ifndef SW_JOBS_LINE_JSON_H
#define SW_JOBS_LINE_JSON_H

#include "base/status.h"
#include "text/json_scan.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SW_LINE_VALUES_MAX (1u << 20) /* values in all members that are built */

struct sw_line_json {
    json_t *root; /* the caller frees it with json_decref */
    /* The text of "prompt" when it is a list that begins with a number; it borrows from the line,
     * and root then has [0] in its place. bytes NULL: "prompt" is no such list. */
    struct sw_json_range ids;
};

/*
 * Parses a line. Members of the object, and of "body" in it, are built when `known` accepts their
 * names. Others are only checked (NaN and Infinity are numbers, as in Python); in root null stands
 * for null, "" for a text, [] for a list and true for anything else. SW_EINPUT: not JSON, a member
 * twice, more than SW_LINE_VALUES_MAX values. Memory: at most about 5 times the line, 250 MB for a
 * line with the most values.
 */
enum sw_status sw_line_json_read(const char *bytes, size_t n, bool (*known)(const char *name),
                                 struct sw_line_json *out);

#endif
