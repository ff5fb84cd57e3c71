/*
 * A line as JSON in bounded memory: only members that somebody looks at are built, a prompt of
 * token ids stays text.
 */
#ifndef SW_JOBS_LINE_JSON_H
#define SW_JOBS_LINE_JSON_H

#include "base/status.h"
#include "text/json_scan.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define SW_LINE_VALUES_MAX (1u << 20) /* in all members that are built */

struct sw_line_json {
    json_t *root; /* the caller's to json_decref */
    /* The list that "prompt" is, when it begins with a number; borrows from the line. In the root
     * it is [0] then. bytes NULL: "prompt" is none. */
    struct sw_json_range ids;
};

/*
 * Members of the object, and of "body" within it, whose names `known` has are what they are; others
 * are checked (as Python reads JSON), but null stays null, a text is "", a list is [] and anything
 * else is true. SW_EINPUT: not JSON, a member twice, more than SW_LINE_VALUES_MAX values. What is
 * taken is at most some 5 times the line, and 250 MB where it has that many values.
 */
enum sw_status sw_line_json_read(const char *bytes, size_t n, bool (*known)(const char *name),
                                 struct sw_line_json *out);

#endif
