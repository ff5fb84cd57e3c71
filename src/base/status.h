/*
 * Status codes and the error slot.
 *
 * A function that can fail because of a user, a file or a machine returns enum sw_status. A failure
 * also fills the calling thread's error slot, one text: what went wrong, where, what was expected,
 * what was found, what to do next. Library code never exits; main.c turns the status into an exit
 * code.
 */
#ifndef SW_BASE_STATUS_H
#define SW_BASE_STATUS_H

/* name, value, exit code of the program, meaning in two words */
#define SW_STATUS_MAP(X)                                                                           \
    X(SW_OK, 0, 0, "done")                                                                         \
    X(SW_EUSAGE, -1, 2, "wrong usage")                                                             \
    X(SW_EMODEL, -2, 3, "bad model")                                                               \
    X(SW_EINPUT, -3, 3, "bad input")                                                               \
    X(SW_ENOFIT, -4, 4, "does not fit")                                                            \
    X(SW_EDEVICE, -5, 5, "device failed")                                                          \
    X(SW_ENOMEM, -6, 5, "out of memory")                                                           \
    X(SW_EIO, -7, 5, "input/output failed")                                                        \
    X(SW_EPEER, -8, 75, "peer lost")                                                               \
    X(SW_EINTERRUPTED, -9, 75, "interrupted")

enum sw_status {
#define X(name, value, exit_code, text) name = value,
    SW_STATUS_MAP(X)
#undef X
};

/* "SW_EMODEL" */
const char *sw_status_name(enum sw_status status);
/* "bad model" */
const char *sw_status_text(enum sw_status status);
/* The program's exit code for this status. */
int sw_status_exit_code(enum sw_status status);

/*
 * Fills the slot (at most SW_ERROR_MAX - 1 bytes) and evaluates to `status`, for
 * `return sw_fail(…)`; a macro, so that the compiler sees that it is not SW_OK.
 */
#define SW_ERROR_MAX 2048
#define sw_fail(status, ...) (sw_fail_at(__FILE__, __LINE__, __VA_ARGS__), (status))
void sw_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the message in the slot, for a caller that knows the file's name. */
void sw_error_context(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The slot's text; "" when nothing failed. */
const char *sw_error_message(void);
/* "file.c:123", where the slot was filled. */
const char *sw_error_where(void);
void sw_error_clear(void);

/* Returns the status of `expression` from the calling function when it is not SW_OK. */
#define SW_TRY(expression)                                                                         \
    do {                                                                                           \
        const enum sw_status sw_try_status = (expression);                                         \
        if (sw_try_status != SW_OK)                                                                \
            return sw_try_status;                                                                  \
    } while (0)

#endif
