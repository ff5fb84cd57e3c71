/*
 * Runs a tokenizer file's pattern, which is written for Oniguruma, by PCRE2 with the same matches:
 * \s and \w are spelled out, because PCRE2's differ, and nested classes become unions.
 */
#ifndef SW_TEXT_REGEX_H
#define SW_TEXT_REGEX_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

struct sw_regex;

/* Compiles a pattern of n bytes. SW_EMODEL names the pattern and what in it is not supported. The
 * caller frees *out. */
enum sw_status sw_regex_compile(const char *pattern, size_t n, struct sw_regex **out);
void sw_regex_free(struct sw_regex *regex);
/*
 * Finds the next match at or after `from` in text[0..n), which must be valid UTF-8. Only one thread
 * may use a regex at a time. SW_EINPUT when matching takes too many steps.
 */
enum sw_status sw_regex_next(struct sw_regex *regex, const char *text, size_t n, size_t from,
                             bool *found, size_t *start, size_t *end);
/* Appends the translated pattern that is passed to PCRE2; for tests. */
enum sw_status sw_regex_translate(const char *pattern, size_t n, struct sw_strbuf *out);

#endif
