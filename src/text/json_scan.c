/* Owns the pull scanner; jansson parses what it passes over. */
#include "text/json_scan.h"

#include "text/utf8.h"

#include <string.h>

#define DEPTH_MAX 64

static enum sw_status wrong(const struct sw_json_scan *scan, const char *expected)
{
    const size_t left = (size_t)(scan->end - scan->at);
    if (left == 0)
        return sw_fail(SW_EMODEL, "JSON: the text ends at byte %zu, expected %s; is it cut short?",
                       (size_t)(scan->at - scan->begin), expected);
    return sw_fail(SW_EMODEL, "JSON: byte %zu: expected %s, found \"%.*s\"",
                   (size_t)(scan->at - scan->begin), expected, (int)(left < 16 ? left : 16),
                   scan->at);
}

void sw_json_scan_begin(struct sw_json_scan *scan, const char *bytes, size_t n)
{
    *scan = (struct sw_json_scan){.begin = bytes, .at = bytes, .end = bytes + n};
}

void sw_json_scan_free(struct sw_json_scan *scan)
{
    sw_strbuf_free(&scan->text[0]);
    sw_strbuf_free(&scan->text[1]);
}

char sw_json_scan_peek(struct sw_json_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
    return scan->at < scan->end ? *scan->at : '\0';
}

static enum sw_status expect(struct sw_json_scan *scan, char c, const char *what)
{
    if (sw_json_scan_peek(scan) != c)
        return wrong(scan, what);
    scan->at++;
    return SW_OK;
}

enum sw_status sw_json_scan_enter(struct sw_json_scan *scan, char open)
{
    SW_TRY(expect(scan, open, open == '{' ? "an object" : "an array"));
    scan->first = true;
    return SW_OK;
}

enum sw_status sw_json_scan_next(struct sw_json_scan *scan, char open, bool *more)
{
    const char close = open == '{' ? '}' : ']';
    const char c = sw_json_scan_peek(scan);
    *more = c != close;
    if (c == close)
        scan->at++;
    else if (!scan->first)
        SW_TRY(expect(scan, ',', open == '{' ? "',' or '}'" : "',' or ']'"));
    scan->first = false;
    return SW_OK;
}

static int hex4(const char *text, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return 0;
        *value = *value << 4 | (uint32_t)digit;
    }
    return 1;
}

/* \uXXXX, or two of them that form one character; at[0] is the first digit. */
static enum sw_status unicode_escape(struct sw_json_scan *scan, struct sw_strbuf *out)
{
    uint32_t c, low;
    char bytes[4];
    if (scan->end - scan->at < 4 || !hex4(scan->at, &c))
        return wrong(scan, "four hexadecimal digits");
    scan->at += 4;
    if (c >= 0xDC00 && c <= 0xDFFF)
        return wrong(scan, "no lone low surrogate before this");
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (scan->end - scan->at < 6 || scan->at[0] != '\\' || scan->at[1] != 'u' ||
            !hex4(scan->at + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return wrong(scan, "the low surrogate of a pair");
        scan->at += 6;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    sw_strbuf_append(out, bytes, (size_t)sw_utf8_encode(c, bytes));
    return SW_OK;
}

static enum sw_status escape(struct sw_json_scan *scan, struct sw_strbuf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (scan->at == scan->end)
        return wrong(scan, "the rest of an escape");
    const char c = *scan->at;
    if (c == 'u') {
        scan->at++;
        return unicode_escape(scan, out);
    }
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return wrong(scan, "an escape of JSON");
    scan->at++;
    sw_strbuf_append(out, &to[known - from], 1);
    return SW_OK;
}

enum sw_status sw_json_scan_string(struct sw_json_scan *scan, const char **text, size_t *n)
{
    struct sw_strbuf *out = &scan->text[scan->turn++ & 1];
    SW_TRY(expect(scan, '"', "a string"));
    out->length = 0;
    sw_strbuf_append(out, "", 0);
    for (;;) {
        const char *plain = scan->at;
        while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' &&
               (unsigned char)*scan->at >= 0x20)
            scan->at++;
        sw_strbuf_append(out, plain, (size_t)(scan->at - plain));
        if (scan->at == scan->end || (unsigned char)*scan->at < 0x20)
            return wrong(scan, "the end of a string");
        if (*scan->at++ == '"')
            break;
        SW_TRY(escape(scan, out));
    }
    if (out->failed)
        return sw_fail(SW_ENOMEM, "JSON: no memory for a string");
    if (!sw_utf8_valid(out->text, out->length))
        return wrong(scan, "the string before this to be UTF-8");
    *text = out->text;
    *n = out->length;
    return SW_OK;
}

enum sw_status sw_json_scan_key(struct sw_json_scan *scan, const char **text, size_t *n)
{
    SW_TRY(sw_json_scan_string(scan, text, n));
    return expect(scan, ':', "':'");
}

enum sw_status sw_json_scan_integer(struct sw_json_scan *scan, int64_t *value)
{
    const bool negative = sw_json_scan_peek(scan) == '-';
    if (negative)
        scan->at++;
    if (scan->at == scan->end || *scan->at < '0' || *scan->at > '9')
        return wrong(scan, "an integer");
    int64_t sum = 0;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        if (sum > INT64_MAX / 10 - 10)
            return wrong(scan, "a smaller integer");
        sum = sum * 10 + (*scan->at++ - '0');
    }
    if (scan->at < scan->end && (*scan->at == '.' || *scan->at == 'e' || *scan->at == 'E'))
        return wrong(scan, "an integer");
    *value = negative ? -sum : sum;
    return SW_OK;
}

/* Past the closing quote; at[0] is the first byte after the opening one. */
static enum sw_status skip_string(struct sw_json_scan *scan)
{
    for (;;) {
        const char *quote = memchr(scan->at, '"', (size_t)(scan->end - scan->at));
        if (!quote) {
            scan->at = scan->end;
            return wrong(scan, "the end of a string");
        }
        const char *back = quote;
        while (back > scan->at && back[-1] == '\\')
            back--;
        scan->at = quote + 1;
        if (((quote - back) & 1) == 0)
            return SW_OK;
    }
}

enum sw_status sw_json_scan_skip(struct sw_json_scan *scan, struct sw_json_range *range)
{
    char open[DEPTH_MAX];
    int depth = 0;
    if (sw_json_scan_peek(scan) == '\0')
        return wrong(scan, "a value");
    range->bytes = scan->at;
    do {
        const char c = sw_json_scan_peek(scan);
        if (c == '\0' && scan->at == scan->end)
            return wrong(scan, "the end of an object or array");
        if ((c == '}' || c == ']') && (depth == 0 || open[--depth] != (c == '}' ? '{' : '[')))
            return wrong(scan, "a value");
        if (depth == 0 && (c == ',' || c == ':'))
            return wrong(scan, "a value");
        scan->at++;
        if (c == '"') {
            SW_TRY(skip_string(scan));
        } else if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX)
                return wrong(scan, "nesting of at most 64 levels");
            open[depth++] = c;
        } else if (depth == 0 && c != '}' && c != ']') {
            while (scan->at < scan->end && !strchr(",]} \t\r\n:", *scan->at))
                scan->at++;
        }
    } while (depth > 0);
    range->length = (size_t)(scan->at - range->bytes);
    return SW_OK;
}

enum sw_status sw_json_scan_end(struct sw_json_scan *scan)
{
    sw_json_scan_peek(scan);
    return scan->at == scan->end ? SW_OK : wrong(scan, "the end of the file");
}

enum sw_status sw_json_parse(const struct sw_json_range *range, const char *name, json_t **out)
{
    json_error_t error;
    *out = NULL;
    if (!range->bytes)
        return SW_OK;
    *out = json_loadb(range->bytes, range->length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!*out)
        return sw_fail(SW_EMODEL, "\"%s\": line %d: %s", name, error.line, error.text);
    return SW_OK;
}
