/* Progress on stderr: a bar redrawn in place on a terminal, a line now and then elsewhere. */
#ifndef SW_BASE_PROGRESS_H
#define SW_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sw_progress {
    const char *what; /* "loading" */
    uint64_t total;   /* bytes */
    double started, drawn;
    bool terminal, shown, quiet;
};

void sw_progress_begin(struct sw_progress *p, const char *what, uint64_t total, bool quiet);
/* `note` is put at the end of the line ("rank 2 has 40% left"); may be "". Cheap to call often. */
void sw_progress_update(struct sw_progress *p, uint64_t done, const char *note);
/* Clears the bar; says what was done, in what time and at what rate, if it took over a second. */
void sw_progress_end(struct sw_progress *p, uint64_t done);

#endif
