/*
 * A tokenizer file's pattern, which is written for Oniguruma, run by PCRE2 with the same matches:
 * \s and \w are spelled out (PCRE2's differ), nested classes become unions.
 */
#ifndef SW_TEXT_REGEX_H
#define SW_TEXT_REGEX_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

struct sw_regex;

/* SW_EMODEL quotes the pattern and says what in it is not understood. The caller frees *out. */
enum sw_status sw_regex_compile(const char *pattern, size_t n, struct sw_regex **out);
void sw_regex_free(struct sw_regex *regex);
/*
 * The next match at or after `from` in text[0..n), which must be valid UTF-8. Not for two threads
 * at once. SW_EINPUT when matching takes more steps than any sensible pattern does.
 */
enum sw_status sw_regex_next(struct sw_regex *regex, const char *text, size_t n, size_t from,
                             bool *found, size_t *start, size_t *end);
/* The pattern as PCRE2 is given it; for tests. */
enum sw_status sw_regex_translate(const char *pattern, size_t n, struct sw_strbuf *out);

#endif
