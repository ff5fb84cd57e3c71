/* Owns the two spellings of a byte in vocabularies: a character of GPT-2's alphabet, and <0xHH>. */
#include "text/bytes.h"

#include "base/utf8.h"

#include <string.h>

/*
 * Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 and following:
 * 0x00-0x20, 0x7F-0xA0, 0xAD.
 */
static int byte_of(uint32_t c)
{
    if ((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD))
        return (int)c;
    if (c < 0x100 || c >= 0x100 + 68)
        return -1;
    const int k = (int)c - 0x100;
    return k < 0x21 ? k : k < 0x21 + 34 ? k - 0x21 + 0x7F : 0xAD;
}

bool sw_bytes_of_piece(const char *piece, size_t n, struct sw_strbuf *out)
{
    char bytes[256];
    size_t have = 0;
    int length;
    out->length = 0;
    sw_strbuf_append(out, "", 0);
    for (size_t i = 0; i < n; i += (size_t)length) {
        const int byte = byte_of(sw_utf8_decode(piece + i, &length));
        if (byte < 0)
            return false;
        bytes[have++] = (char)byte;
        if (have == sizeof bytes) {
            sw_strbuf_append(out, bytes, have);
            have = 0;
        }
    }
    sw_strbuf_append(out, bytes, have);
    return !out->failed;
}

void sw_piece_of_bytes(const char *bytes, size_t n, struct sw_strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned byte = (unsigned char)bytes[i];
        const unsigned c = byte_of(byte) == (int)byte ? byte
                           : byte < 0x21              ? 0x100 + byte
                           : byte == 0xAD             ? 0x100 + 67
                                                      : 0x100 + 0x21 + byte - 0x7F;
        const char utf8[2] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F))};
        if (c < 0x80)
            sw_strbuf_append(out, bytes + i, 1);
        else
            sw_strbuf_append(out, utf8, 2);
    }
}

int sw_byte_of_token(const char *piece, size_t n)
{
    int byte = 0;
    if (n != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>')
        return -1;
    for (size_t i = 3; i < 5; i++) {
        const char c = piece[i];
        if (c >= '0' && c <= '9')
            byte = byte * 16 + (c - '0');
        else if (c >= 'A' && c <= 'F')
            byte = byte * 16 + (c - 'A' + 10);
        else
            return -1;
    }
    return byte;
}
