/*
 * Where normalisers of tokenizers go by another version of Unicode than the library here, which is
 * whatever the machine has: what a text becomes must not depend on that.
 */
#ifndef SW_TEXT_UNICODE_H
#define SW_TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the normalisation forms pass `c` by: it neither decomposes, composes nor is moved. The
 * tokenizers library goes by Unicode 9; what later versions know of is inert to it.
 */
bool sw_unicode_is_inert(uint32_t c);
/* What `c` is in lower case by Unicode 17: 1 or 2 code points. Returns how many. */
int sw_unicode_lower(uint32_t c, uint32_t lower[2]);

#endif
