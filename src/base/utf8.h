/* UTF-8 and the character classes that tokenizers use. */
#ifndef SW_BASE_UTF8_H
#define SW_BASE_UTF8_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/*
 * Length of the valid character at text[0..n), n > 0. 0: the bytes are an incomplete character.
 * -k: the first k bytes can never become a character (the maximal subpart of Unicode 3.9, which
 * becomes one U+FFFD).
 */
int sw_utf8_next(const unsigned char *text, size_t n);
/* Whether all of text[0..n) is valid. */
bool sw_utf8_valid(const char *text, size_t n);
/* Appends the text with one U+FFFD for each maximal invalid subpart. */
void sw_utf8_lossy(const char *text, size_t n, struct sw_strbuf *out);
/* The code point of the valid character at `text`; *length is its length in bytes. */
uint32_t sw_utf8_decode(const char *text, int *length);
/* Writes code point c (a scalar value) to out[0..4); returns its length in bytes. */
int sw_utf8_encode(uint32_t c, char *out);

/* Unicode White_Space: \s of the tokenizers. */
bool sw_utf8_is_space(uint32_t c);
/* Letters, marks, numbers, connector punctuation: \w of the tokenizers. */
bool sw_utf8_is_word(uint32_t c);
/* Categories Nd, Nl and No. */
bool sw_utf8_is_numeric(uint32_t c);
/* All Unicode punctuation and the ASCII symbols. */
bool sw_utf8_is_punctuation(uint32_t c);

#endif
