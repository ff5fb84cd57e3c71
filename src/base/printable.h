/* Makes foreign texts (names in files, a model's output) safe for a terminal or a message. */
#ifndef SW_BASE_PRINTABLE_H
#define SW_BASE_PRINTABLE_H

#include <stddef.h>

/*
 * Writes text[0..n) and a NUL to out[0..cap). Control characters, also U+0080 to U+009F, are
 * written like \x1b, so that nothing can move the cursor or change colours; newlines, tabs and all
 * other characters are unchanged. Text that does not fit is left out; cap = 4 * n + 1 is always
 * enough. Returns the length.
 */
size_t sw_printable(const char *text, size_t n, char *out, size_t cap);

#endif
