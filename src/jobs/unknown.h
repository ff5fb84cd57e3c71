/*
 * Members of lines that nobody here knows: columns of the user's own, or what another program takes
 * and we do not. Each name is said once, with the number of lines that have it.
 */
#ifndef SW_JOBS_UNKNOWN_H
#define SW_JOBS_UNKNOWN_H

#include <stdint.h>

#define SW_UNKNOWN_NAMES 20 /* further ones are counted together */

struct sw_unknown {
    struct sw_unknown_name {
        char *name;
        int64_t lines;
    } names[SW_UNKNOWN_NAMES];
    int n;
    int64_t others; /* members under further names */
};

/* A line has such a member; `unknown` may be NULL. Without memory it is one of the others. */
void sw_unknown_note(struct sw_unknown *unknown, const char *name);
/* `12 lines have "min_tokens", which batch does not know`: a warning for each, and forgets them. */
void sw_unknown_say(struct sw_unknown *unknown, const char *verb);

#endif
