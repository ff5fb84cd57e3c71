/* Owns numbers that jansson cannot hold, and decoding texts of JSON. */
#include "base/json.h"

#include "base/json_number.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A spelled number is an object with one member, whose name no text can have, since it is not
 * UTF-8. Nor is its value, \xff and the spelling, so jansson prints nothing that has one in it, and
 * neither NaN nor Infinity gets out.
 */
#define SPELLED "\xffnumber"

json_t *sw_json_spelled_new(const char *text, size_t n)
{
    json_t *value = json_object();
    char *marked = malloc(n + 1);
    if (marked) {
        marked[0] = '\xff';
        memcpy(marked + 1, text, n);
    }
    json_t *spelling = marked ? json_stringn_nocheck(marked, n + 1) : NULL;
    free(marked);
    if (json_object_set_new_nocheck(value, SPELLED, spelling) == 0)
        return value;
    json_decref(value);
    return NULL;
}

const char *sw_json_spelling(const json_t *value)
{
    const json_t *spelling = json_is_object(value) ? json_object_get(value, SPELLED) : NULL;
    return spelling ? json_string_value(spelling) + 1 : NULL;
}

bool sw_json_is_number(const json_t *value)
{
    return json_is_number(value) || sw_json_spelling(value);
}

bool sw_json_is_integer(const json_t *value)
{
    const char *spelling = sw_json_spelling(value);
    return spelling ? !strpbrk(spelling, ".eENI") : json_is_integer(value);
}

bool sw_json_number(const json_t *value, double *out)
{
    const char *spelling = sw_json_spelling(value);
    *out = spelling ? strtod(spelling, NULL) : json_number_value(value);
    return spelling || json_is_number(value);
}

bool sw_json_integer(const json_t *value, int64_t low, int64_t high, int64_t *out)
{
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= low && *out <= high;
}

bool sw_json_uint64(const json_t *value, uint64_t *out)
{
    const char *spelling = sw_json_spelling(value);
    if (!spelling) {
        *out = (uint64_t)json_integer_value(value);
        return json_is_integer(value) && json_integer_value(value) >= 0;
    }
    errno = 0;
    *out = strtoull(spelling, NULL, 10);
    return sw_json_is_integer(value) && spelling[0] != '-' && errno == 0;
}

const char *sw_json_show(const json_t *value, char *out, size_t n)
{
    const char *spelling = sw_json_spelling(value);
    char *text = spelling
                     ? NULL
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!spelling && !text) /* the value contains a spelled number */
        spelling = json_is_array(value) ? "a list" : json_is_object(value) ? "an object" : "";
    snprintf(out, n, "%s", spelling ? spelling : text);
    free(text);
    return out;
}

static int hex4(const char *text, const char *end, uint32_t *value)
{
    *value = 0;
    if (end - text < 4)
        return 0;
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

static void append_utf8(uint32_t c, struct sw_strbuf *out)
{
    char bytes[4];
    if (c < 0x80) {
        bytes[0] = (char)c;
        sw_strbuf_append(out, bytes, 1);
        return;
    }
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    const int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3F));
    bytes[0] = (char)(lead[length] | c);
    sw_strbuf_append(out, bytes, (size_t)length);
}

/* uXXXX, or uXXXX\uXXXX for one character; *at is behind the u. */
static const char *decode_unicode(const char **at, const char *end, unsigned rules,
                                  struct sw_strbuf *out)
{
    uint32_t c, low;
    if (!hex4(*at, end, &c))
        return "four hexadecimal digits";
    if (c >= 0xD800 && c <= 0xDBFF && end - *at >= 10 && (*at)[4] == '\\' && (*at)[5] == 'u' &&
        hex4(*at + 6, end, &low) && low >= 0xDC00 && low <= 0xDFFF) {
        *at += 6;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    } else if (c >= 0xD800 && c <= 0xDFFF) {
        if (rules & SW_JSON_PAIRED)
            return "both halves of a surrogate pair";
        c = 0xFFFD;
    }
    if (c == 0 && rules & SW_JSON_NO_NUL)
        return "no NUL in a text";
    *at += 4;
    append_utf8(c, out);
    return NULL;
}

const char *sw_json_decode_text(const char **at, const char *end, unsigned rules,
                                struct sw_strbuf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    sw_strbuf_append(out, "", 0);
    for (;;) {
        const char *plain = *at;
        while (*at < end && **at != '"' && **at != '\\' && (unsigned char)**at >= 0x20)
            ++*at;
        sw_strbuf_append(out, plain, (size_t)(*at - plain));
        if (*at == end || (unsigned char)**at < 0x20)
            return "the end of a text";
        if (*(*at)++ == '"')
            return NULL;
        const char c = *at < end ? **at : '\0';
        const char *known = c ? strchr(from, c) : NULL;
        if (!known && c != 'u')
            return "an escape of JSON";
        ++*at;
        if (known)
            sw_strbuf_append(out, &to[known - from], 1);
        const char *expected = known ? NULL : decode_unicode(at, end, rules, out);
        if (expected)
            return expected;
    }
}
