/* Shared by json_schema.c and json_pattern.c. Internal to src/grammar/. */
#ifndef SW_GRAMMAR_JSON_SCHEMA_IMPL_H
#define SW_GRAMMAR_JSON_SCHEMA_IMPL_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stddef.h>

/* A character of a JSON text that is written as it is, and one that is not. */
#define SW_JSON_PLAIN "[^\"\\\\\\x00-\\x1f\\x7f]"
#define SW_JSON_CHAR                                                                               \
    "(" SW_JSON_PLAIN " | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cefA-CEF] [0-9a-fA-F]{3} | "     \
    "[dD] [0-7] [0-9a-fA-F]{2})))"

/* Appends what a text between quotation marks must be to match the pattern. SW_EINPUT. */
enum sw_status sw_json_pattern(const char *pattern, size_t n, struct sw_strbuf *out);
/* Appends a character as GBNF, inside of a text. */
void sw_gbnf_put_char(struct sw_strbuf *out, unsigned char c);

#endif
