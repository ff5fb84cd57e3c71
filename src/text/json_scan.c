/* Owns the pull scanner; jansson parses what it passes over. */
#include "text/json_scan.h"

#include "base/json.h"
#include "base/utf8.h"

#include <string.h>

#define DEPTH_MAX 64

static enum sw_status json_scan_wrong(const struct sw_json_scan *scan, const char *expected)
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
        return json_scan_wrong(scan, what);
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

enum sw_status sw_json_scan_string(struct sw_json_scan *scan, const char **text, size_t *n)
{
    struct sw_strbuf *out = &scan->text[scan->turn++ & 1];
    SW_TRY(expect(scan, '"', "a string"));
    out->length = 0;
    const char *expected = sw_json_decode_text(&scan->at, scan->end, SW_JSON_PAIRED, out);
    if (expected)
        return json_scan_wrong(scan, expected);
    if (out->failed)
        return sw_fail(SW_ENOMEM, "JSON: no memory for a string");
    if (!sw_utf8_valid(out->text, out->length))
        return json_scan_wrong(scan, "the string before this to be UTF-8");
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
        return json_scan_wrong(scan, "an integer");
    int64_t sum = 0;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        if (sum > INT64_MAX / 10 - 10)
            return json_scan_wrong(scan, "a smaller integer");
        sum = sum * 10 + (*scan->at++ - '0');
    }
    if (scan->at < scan->end && (*scan->at == '.' || *scan->at == 'e' || *scan->at == 'E'))
        return json_scan_wrong(scan, "an integer");
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
            return json_scan_wrong(scan, "the end of a string");
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
        return json_scan_wrong(scan, "a value");
    range->bytes = scan->at;
    do {
        const char c = sw_json_scan_peek(scan);
        if (c == '\0' && scan->at == scan->end)
            return json_scan_wrong(scan, "the end of an object or array");
        if ((c == '}' || c == ']') && (depth == 0 || open[--depth] != (c == '}' ? '{' : '[')))
            return json_scan_wrong(scan, "a value");
        if (depth == 0 && (c == ',' || c == ':'))
            return json_scan_wrong(scan, "a value");
        scan->at++;
        if (c == '"') {
            SW_TRY(skip_string(scan));
        } else if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX)
                return json_scan_wrong(scan, "nesting of at most 64 levels");
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
    return scan->at == scan->end ? SW_OK : json_scan_wrong(scan, "the end of the file");
}

enum sw_status sw_json_parse(const struct sw_json_range *range, const char *name, json_t **out)
{
    *out = NULL;
    if (!range->bytes)
        return SW_OK;
    const enum sw_status status = sw_json_read(range->bytes, range->length, SW_JSON_MODEL, out);
    if (status != SW_OK)
        sw_error_context("\"%s\"", name);
    return status;
}
