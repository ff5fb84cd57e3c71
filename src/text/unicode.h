/*
 * Tables for normalizers that use another version of Unicode than the machine's library: the result
 * must not depend on the machine.
 */
#ifndef SW_TEXT_UNICODE_H
#define SW_TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the normalisation forms leave `c` unchanged: it neither decomposes, composes nor is
 * reordered. The tokenizers library uses Unicode 9, in which later characters are inert.
 */
bool sw_unicode_is_inert(uint32_t c);
/* Writes the lower case of `c` by Unicode 17, 1 or 2 code points, and returns their number. */
int sw_unicode_lower(uint32_t c, uint32_t lower[2]);

#endif
