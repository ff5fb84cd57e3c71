/*
 * Stop strings in text that comes in parts. The output ends before the stop string that is complete
 * first; text that could still become a stop string is held back. The result does not depend on how
 * the text is split into parts.
 */
#ifndef SW_TEXT_STOP_STRINGS_H
#define SW_TEXT_STOP_STRINGS_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

#define SW_STOP_STRINGS_MAX 16
#define SW_STOP_LENGTH_MAX 1024 /* bytes of one stop string */

struct sw_stop;

/*
 * Copies n strings; n may be 0: then all text is output. SW_EINPUT: an empty or too long string, or
 * too many. The caller frees *out.
 */
enum sw_status sw_stop_create(const char *const *strings, size_t n, struct sw_stop **out);
void sw_stop_free(struct sw_stop *stop);
/*
 * Appends to *out what cannot become a stop string any more. Returns true when a stop string was
 * found, now or before; text after it is dropped.
 */
bool sw_stop_push(struct sw_stop *stop, const char *text, size_t n, struct sw_strbuf *out);
/* At the end of the text: appends what was held back (nothing after a stop string). */
void sw_stop_finish(struct sw_stop *stop, struct sw_strbuf *out);
/* Index of the stop string that was found; -1: none. */
int sw_stop_which(const struct sw_stop *stop);
/* Starts another text with the same strings. */
void sw_stop_reset(struct sw_stop *stop);

#endif
