/* Whether bytes are JSON, without building anything. */
#ifndef SW_JOBS_JSON_CHECK_H
#define SW_JOBS_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#define SW_JSON_CHECK_DEPTH 64

/* One value in text[0..n) with nothing but white space around it, as RFC 8259 has it, in UTF-8;
 * `python`: NaN, Infinity and -Infinity are numbers, too. */
bool sw_json_check(const char *text, size_t n, bool python);

#endif
