/*
 * A growing, always NUL-terminated text. Appending returns no error: when memory runs out `failed`
 * is set and later calls do nothing; check `failed` once before the text is used.
 */
#ifndef SW_BASE_STRBUF_H
#define SW_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

struct sw_strbuf {
    char *text; /* NULL until the first append */
    size_t length, capacity;
    bool failed;
};

void sw_strbuf_append(struct sw_strbuf *buf, const char *bytes, size_t n);
void sw_strbuf_puts(struct sw_strbuf *buf, const char *text);
void sw_strbuf_printf(struct sw_strbuf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text as one word of a shell's command line. */
void sw_strbuf_put_quoted(struct sw_strbuf *buf, const char *text);
void sw_strbuf_free(struct sw_strbuf *buf);

#endif
