/* Owns the progress bar. */
#include "base/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"

#include <stdio.h>
#include <unistd.h>

#define WIDTH 24
#define SECONDS_BETWEEN 0.1
#define SECONDS_BETWEEN_LINES 5 /* without a terminal: under mpirun, in a job's log */

void sw_progress_begin(struct sw_progress *p, const char *what, uint64_t total, bool quiet)
{
    *p = (struct sw_progress){.what = what,
                              .total = total,
                              .started = sw_clock(),
                              .terminal = isatty(STDERR_FILENO),
                              .quiet = quiet};
}

static void draw_bar(const struct sw_progress *p, const char *text, double share)
{
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < (int)(share * WIDTH) ? '#' : '.';
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %s\033[K", p->what, bar, text);
    fflush(stderr);
}

void sw_progress_update(struct sw_progress *p, uint64_t done, const char *note)
{
    const double now = sw_clock(), seconds = now - p->started;
    const double between = p->terminal ? SECONDS_BETWEEN : SECONDS_BETWEEN_LINES;
    char text[160], size[16], total[16];
    if (p->quiet || now - p->drawn < between || seconds < between)
        return;
    p->drawn = now;
    snprintf(text, sizeof text, "%s of %s, %.2f GB/s%s%s", sw_size_format(done, size, sizeof size),
             sw_size_format(p->total, total, sizeof total), (double)done / seconds / 1e9,
             *note ? ", " : "", note);
    if (!p->terminal) {
        sw_log(SW_LOG_INFO, "%s: %s", p->what, text);
        return;
    }
    p->shown = true;
    draw_bar(p, text, p->total ? (double)done / (double)p->total : 0);
}

void sw_progress_end(struct sw_progress *p, uint64_t done)
{
    const double seconds = sw_clock() - p->started;
    char size[16], time[16];
    if (p->shown)
        fprintf(stderr, "\r\033[K");
    if (p->quiet || seconds < 1)
        return;
    sw_log(SW_LOG_INFO, "%s: %s in %s (%.2f GB/s)", p->what,
           sw_size_format(done, size, sizeof size), sw_seconds_format(seconds, time, sizeof time),
           (double)done / seconds / 1e9);
}
