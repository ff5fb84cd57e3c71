/* Owns the status table and the calling thread's error slot. */
#include "base/status.h"

#include "base/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[SW_ERROR_MAX];
static _Thread_local char where[64];

static const struct row {
    enum sw_status status;
    int exit_code;
    const char *name, *text;
} rows[] = {
#define X(name, value, exit_code, text) {name, exit_code, #name, text},
    SW_STATUS_MAP(X)
#undef X
};

static const struct row *status_row(enum sw_status status)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].status == status)
            return &rows[i];
    return NULL;
}

const char *sw_status_name(enum sw_status status)
{
    const struct row *row = status_row(status);
    return row ? row->name : "SW_?";
}

const char *sw_status_text(enum sw_status status)
{
    const struct row *row = status_row(status);
    return row ? row->text : "unknown status";
}

int sw_status_exit_code(enum sw_status status)
{
    const struct row *row = status_row(status);
    return row ? row->exit_code : 5;
}

void sw_fail_at(const char *file, int line, const char *format, ...)
{
    const char *slash = strrchr(file, '/');
    snprintf(where, sizeof where, "%s:%d", slash ? slash + 1 : file, line);
    char raw[SW_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    sw_printable(raw, strlen(raw), message, sizeof message);
}

void sw_error_context(const char *format, ...)
{
    char raw[512], context[512], old[SW_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    sw_printable(raw, strlen(raw), context, sizeof context);
    memcpy(old, message, sizeof old);
    const int used = snprintf(message, sizeof message, "%s: ", context);
    if (used >= 0 && (size_t)used < sizeof message)
        snprintf(message + used, sizeof message - (size_t)used, "%s", old);
}

const char *sw_error_message(void)
{
    return message;
}

const char *sw_error_where(void)
{
    return where;
}

void sw_error_clear(void)
{
    message[0] = where[0] = '\0';
}
