/* Owns the log's level, its prefix and stderr. */
#include "base/log.h"

#include "base/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Set once at start, before any thread runs. */
static enum sw_log_level max_level = SW_LOG_INFO;
static char prefix[96] = "spillway: ";

void sw_log_setup(enum sw_log_level level)
{
    max_level = level;
}

void sw_log_label(int rank, const char *host)
{
    snprintf(prefix, sizeof prefix, "spillway [rank %d on %.60s]: ", rank, host);
}

static void log_put(const char *format, va_list args)
{
    char text[4096], line[4096];
    size_t n = (size_t)snprintf(line, sizeof line, "%s", prefix);
    if (vsnprintf(text, sizeof text, format, args) > 0)
        n += sw_printable(text, strlen(text), line + n, sizeof line - n - 1);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return; /* stderr failed: there is no other place to report it */
}

void sw_log(enum sw_log_level level, const char *format, ...)
{
    va_list args;
    if (level > max_level)
        return;
    fflush(stdout);
    va_start(args, format);
    log_put(format, args);
    va_end(args);
}

void sw_log_urgent(enum sw_log_level level, const char *format, ...)
{
    va_list args;
    if (level > max_level)
        return;
    va_start(args, format);
    log_put(format, args);
    va_end(args);
}
