/* Texts of others (names in files, what a model says) on their way to a terminal or a message. */
#ifndef SW_BASE_PRINTABLE_H
#define SW_BASE_PRINTABLE_H

#include <stddef.h>

/*
 * Writes text[0..n) to out[0..cap), control bytes as \x1b and the like, so that nothing can move a
 * cursor or change colours; newlines and tabs stay, and so does what is not ASCII, but for the
 * control characters U+0080 to U+009F. What has no room is left out; a NUL follows. Returns the
 * length. 4 * n + 1 bytes always have room.
 */
size_t sw_printable(const char *text, size_t n, char *out, size_t cap);

#endif
