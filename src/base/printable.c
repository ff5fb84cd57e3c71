/* Owns the escaping of control bytes. */
#include "base/printable.h"

#include <string.h>

/* The bytes of the control character at `at`: 0 for none, 1, or 2 for U+0080 to U+009F. */
static size_t control_at(const unsigned char *at, size_t left)
{
    if ((*at < ' ' && *at != '\n' && *at != '\t') || *at == 0x7F)
        return 1;
    return *at == 0xC2 && left > 1 && at[1] >= 0x80 && at[1] < 0xA0 ? 2 : 0;
}

size_t sw_printable(const char *text, size_t n, char *out, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = 0;
    for (size_t i = 0, taken; i < n; i += taken) {
        const size_t control = control_at(bytes + i, n - i);
        taken = control ? control : 1;
        if (length + (control ? 4 : 1) >= cap)
            break;
        if (!control) {
            out[length++] = text[i];
            continue;
        }
        const unsigned char code = bytes[i + control - 1]; /* U+0085 is C2 85 */
        memcpy(out + length, "\\x", 2);
        out[length + 2] = digits[code >> 4];
        out[length + 3] = digits[code & 15];
        length += 4;
    }
    out[length] = '\0';
    return length;
}
