/* Checks whether bytes are JSON, without building values. */
#ifndef SW_JOBS_JSON_CHECK_H
#define SW_JOBS_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#define SW_JSON_CHECK_DEPTH 64

/* Whether text[0..n) is one JSON value (RFC 8259, UTF-8) with at most white space around it, nested
 * at most SW_JSON_CHECK_DEPTH deep. `python`: NaN, Infinity and -Infinity are numbers, too. */
bool sw_json_check(const char *text, size_t n, bool python);

#endif
