/*
 * Unknown members of lines: the user's own columns, or options of other programs. Each name is
 * reported once, with the number of lines that have it.
 */
#ifndef SW_JOBS_UNKNOWN_H
#define SW_JOBS_UNKNOWN_H

#include <stdint.h>

#define SW_UNKNOWN_NAMES 20 /* further names are counted together */

struct sw_unknown {
    struct sw_unknown_name {
        char *name;
        int64_t lines;
    } names[SW_UNKNOWN_NAMES];
    int n;
    int64_t others; /* members under further names */
};

/* Counts a member of a line. `unknown` may be NULL. Without memory for the name it is counted in
 * `others`. */
void sw_unknown_note(struct sw_unknown *unknown, const char *name);
/* Logs a warning for each name (`12 lines have "min_tokens", which batch does not know`), frees the
 * names and empties `unknown`. */
void sw_unknown_report(struct sw_unknown *unknown, const char *verb);

#endif
