/* SentencePiece's precompiled_charsmap: a Darts double array of source strings, and replacements.
 */
#ifndef SW_TEXT_CHARSMAP_H
#define SW_TEXT_CHARSMAP_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct sw_charsmap {
    uint32_t *units; /* (n_units) */
    char *strings;   /* (n_strings) NUL-terminated replacements, the last byte is NUL */
    size_t n_units, n_strings;
};

/* Empty bytes give an empty map. SW_EMODEL when the sizes do not fit. Frees nothing on failure. */
enum sw_status sw_charsmap_parse(struct sw_charsmap *map, const char *bytes, size_t n);
void sw_charsmap_free(struct sw_charsmap *map);
/*
 * Bytes of the longest source string that text[0..n) begins with and its replacement (in the map,
 * NUL-terminated); 0 when none.
 */
size_t sw_charsmap_longest(const struct sw_charsmap *map, const char *text, size_t n,
                           const char **replacement);

#endif
