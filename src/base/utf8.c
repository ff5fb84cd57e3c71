/* Owns UTF-8 stepping, lossy copies and the few character classes that tokenizers name. */
#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

int sw_utf8_next(const unsigned char *text, size_t n)
{
    const unsigned char b = text[0];
    if (b < 0x80)
        return 1;
    if (b < 0xC2 || b > 0xF4)
        return -1;
    const int length = b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
    /* The second byte's range keeps out overlong forms, surrogates and what is above U+10FFFF. */
    const unsigned char low = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == n)
            return 0;
        if (text[i] < (i == 1 ? low : 0x80) || text[i] > (i == 1 ? high : 0xBF))
            return -i;
    }
    return length;
}

/* Bytes of text[0..n) that are ASCII from the start, eight at a time. */
static size_t ascii_run(const char *text, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, text + i, 8);
        if (word & 0x8080808080808080u)
            break;
    }
    while (i < n && !(text[i] & 0x80))
        i++;
    return i;
}

static size_t valid_run(const char *text, size_t n)
{
    size_t i = 0;
    while ((i += ascii_run(text + i, n - i)) < n) {
        const int length = sw_utf8_next((const unsigned char *)text + i, n - i);
        if (length <= 0)
            break;
        i += (size_t)length;
    }
    return i;
}

bool sw_utf8_valid(const char *text, size_t n)
{
    return valid_run(text, n) == n;
}

void sw_utf8_lossy(const char *text, size_t n, struct sw_strbuf *out)
{
    while (n > 0) {
        const size_t run = valid_run(text, n);
        sw_strbuf_append(out, text, run);
        text += run;
        n -= run;
        if (n == 0)
            break;
        const int bad = sw_utf8_next((const unsigned char *)text, n);
        sw_strbuf_append(out, SW_REPLACEMENT, 3);
        const size_t skip = bad < 0 ? (size_t)-bad : n; /* 0: the text ends within a character */
        text += skip;
        n -= skip;
    }
}

uint32_t sw_utf8_decode(const char *text, int *length)
{
    const unsigned char *b = (const unsigned char *)text;
    if (b[0] < 0x80) {
        *length = 1;
        return b[0];
    }
    if (b[0] < 0xE0) {
        *length = 2;
        return (b[0] & 0x1Fu) << 6 | (b[1] & 0x3Fu);
    }
    if (b[0] < 0xF0) {
        *length = 3;
        return (b[0] & 0xFu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3Fu);
    }
    *length = 4;
    return (b[0] & 7u) << 18 | (b[1] & 0x3Fu) << 12 | (b[2] & 0x3Fu) << 6 | (b[3] & 0x3Fu);
}

int sw_utf8_encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = length - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[length] | c);
    return length;
}

bool sw_utf8_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool sw_utf8_is_word(uint32_t c)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO &&
            category != UTF8PROC_CATEGORY_NO) ||
           category == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D;
}

bool sw_utf8_is_numeric(uint32_t c)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool sw_utf8_is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}
