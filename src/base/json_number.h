/* Between the two halves of base/json.h: how a number that jansson cannot hold is kept. */
#ifndef SW_BASE_JSON_NUMBER_H
#define SW_BASE_JSON_NUMBER_H

#include <jansson.h>

/* `text` is a number as Python writes them. NULL: no memory. */
json_t *sw_json_spelled_new(const char *text, size_t n);

#endif
