/* Owns the growing text. */
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool strbuf_reserve(struct sw_strbuf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more >= (size_t)-1 / 2 - buf->length) {
        buf->failed = true;
        return false;
    }
    const size_t need = buf->length + more + 1;
    if (need <= buf->capacity)
        return true;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    char *text = realloc(buf->text, capacity);
    if (!text) {
        buf->failed = true;
        return false;
    }
    buf->text = text;
    buf->capacity = capacity;
    return true;
}

void sw_strbuf_append(struct sw_strbuf *buf, const char *bytes, size_t n)
{
    if (!strbuf_reserve(buf, n))
        return;
    if (n > 0)
        memcpy(buf->text + buf->length, bytes, n);
    buf->length += n;
    buf->text[buf->length] = '\0';
}

void sw_strbuf_puts(struct sw_strbuf *buf, const char *text)
{
    sw_strbuf_append(buf, text, strlen(text));
}

void sw_strbuf_printf(struct sw_strbuf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && strbuf_reserve(buf, (size_t)n)) {
        vsnprintf(buf->text + buf->length, (size_t)n + 1, format, again);
        buf->length += (size_t)n;
    }
    va_end(again);
}

void sw_strbuf_put_quoted(struct sw_strbuf *buf, const char *text)
{
    sw_strbuf_puts(buf, "'");
    for (const char *c = text; *c; c++)
        if (*c == '\'')
            sw_strbuf_puts(buf, "'\\''");
        else
            sw_strbuf_append(buf, c, 1);
    sw_strbuf_puts(buf, "'");
}

void sw_strbuf_free(struct sw_strbuf *buf)
{
    free(buf->text);
    *buf = (struct sw_strbuf){0};
}
