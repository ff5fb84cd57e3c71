/* Log lines on stderr, one write each, so that lines of different ranks do not mix. */
#ifndef SW_BASE_LOG_H
#define SW_BASE_LOG_H

enum sw_log_level { SW_LOG_ERROR, SW_LOG_WARN, SW_LOG_INFO, SW_LOG_DEBUG };

/* Lines above `level` are dropped from now on. Before any thread runs. */
void sw_log_setup(enum sw_log_level level);
/* From now on lines begin with the rank and its host. */
void sw_log_label(int rank, const char *host);
/* Flushes standard output, then writes "spillway: " or "spillway [rank 3 on h2]: ", the text and a
 * newline. */
void sw_log(enum sw_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As sw_log without flushing standard output, for a thread that must not wait. */
void sw_log_urgent(enum sw_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
