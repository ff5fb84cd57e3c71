/*
 * Stop strings over streamed text. The output ends right before the stop string that is complete
 * first; what could still become one is held back. The result does not depend on how the text was
 * cut into pushes.
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
 * n may be 0: everything passes. SW_EINPUT names an empty or too long string, or too many of them.
 * The strings are copied. The caller frees *out.
 */
enum sw_status sw_stop_create(const char *const *strings, size_t n, struct sw_stop **out);
void sw_stop_free(struct sw_stop *stop);
/*
 * Appends what became certain to *out. Returns true when a stop string was met, now or before: what
 * follows is swallowed.
 */
bool sw_stop_push(struct sw_stop *stop, const char *text, size_t n, struct sw_strbuf *out);
/* The text is over: appends what was held back (nothing after a stop string). */
void sw_stop_finish(struct sw_stop *stop, struct sw_strbuf *out);
/* Index of the stop string that was met, -1 when none. */
int sw_stop_which(const struct sw_stop *stop);
/* Ready for another text with the same strings. */
void sw_stop_reset(struct sw_stop *stop);

#endif
