/* Private to json.c and json_read.c: numbers that jansson cannot hold. */
#ifndef SW_BASE_JSON_NUMBER_H
#define SW_BASE_JSON_NUMBER_H

#include <jansson.h>

/* A value that keeps the number text[0..n), as Python spells it. NULL: no memory. The caller frees.
 */
json_t *sw_json_spelled_new(const char *text, size_t n);

#endif
