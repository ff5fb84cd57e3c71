/* Log lines on stderr, one write each, so that ranks do not cut each other's lines. */
#ifndef SW_BASE_LOG_H
#define SW_BASE_LOG_H

enum sw_log_level { SW_LOG_ERROR, SW_LOG_WARN, SW_LOG_INFO, SW_LOG_DEBUG };

/* Lines above `level` are dropped. `rank` < 0: no prefix (one rank, or before MPI is up). */
void sw_log_setup(enum sw_log_level level, int rank, const char *host);
/* "spillway: " or "spillway [rank 3 on h2]: ", the text, a newline. */
void sw_log(enum sw_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a thread that must not wait: what standard output still holds may come later. */
void sw_log_urgent(enum sw_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
