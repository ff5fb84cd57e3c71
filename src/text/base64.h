/* Base64 (RFC 4648, with padding), in which tokenizer files keep bytes. */
#ifndef SW_TEXT_BASE64_H
#define SW_TEXT_BASE64_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the bytes of the base64 text; false when it is not base64, or there is no memory. */
bool sw_base64_decode(const char *text, size_t n, struct sw_strbuf *out);

#endif
