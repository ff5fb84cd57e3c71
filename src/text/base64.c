/* Owns reading base64. */
#include "text/base64.h"

#include <stdint.h>

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool sw_base64_decode(const char *text, size_t n, struct sw_strbuf *out)
{
    uint32_t bits = 0;
    int have = 0;
    if (n == 0 || n % 4 != 0)
        return false;
    while (n > 0 && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        const int digit = base64_digit(text[i]);
        if (digit < 0)
            return false;
        bits = (bits << 6 | (uint32_t)digit) & 0xFFFFFF;
        have += 6;
        if (have >= 8) {
            have -= 8;
            const char byte = (char)(bits >> have & 0xFF);
            sw_strbuf_append(out, &byte, 1);
        }
    }
    return !out->failed;
}
