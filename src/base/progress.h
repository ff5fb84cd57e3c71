/* Progress on stderr: on a terminal a bar that is redrawn, elsewhere a log line every 5 seconds. */
#ifndef SW_BASE_PROGRESS_H
#define SW_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sw_progress {
    const char *what;      /* "loading" */
    uint64_t total;        /* bytes */
    double started, drawn; /* times of the start and of the last drawing */
    bool terminal, shown, quiet;
};

void sw_progress_begin(struct sw_progress *p, const char *what, uint64_t total, bool quiet);
/* `note` ("rank 2 has 40% left", or "") is added at the end of the line. Cheap to call often. */
void sw_progress_update(struct sw_progress *p, uint64_t done, const char *note);
/* Clears the bar; logs bytes, time and rate if it took over a second. */
void sw_progress_end(struct sw_progress *p, uint64_t done);

#endif
