/* Owns the log's level, its prefix and stderr. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* Set once at start, before any thread runs. */
static enum sw_log_level max_level = SW_LOG_INFO;
static char prefix[96] = "spillway: ";

void sw_log_setup(enum sw_log_level level, int rank, const char *host)
{
    max_level = level;
    if (rank >= 0)
        snprintf(prefix, sizeof prefix, "spillway [rank %d on %.60s]: ", rank, host);
    else
        snprintf(prefix, sizeof prefix, "spillway: ");
}

void sw_log(enum sw_log_level level, const char *format, ...)
{
    if (level > max_level)
        return;
    char line[4096];
    int n = snprintf(line, sizeof line, "%s", prefix);
    va_list args;
    va_start(args, format);
    const int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    if (m > 0)
        n += m < (int)sizeof line - n - 2 ? m : (int)sizeof line - n - 2;
    line[n++] = '\n';
    fflush(stdout);
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nowhere left to say so */
}
