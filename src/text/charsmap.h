/* SentencePiece's precompiled_charsmap: a Darts double array of source strings, and replacements.
 */
#ifndef SW_TEXT_CHARSMAP_H
#define SW_TEXT_CHARSMAP_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

struct sw_charsmap {
    uint32_t *units; /* (n_units) */
    char *strings;   /* (n_strings bytes) NUL-terminated replacements */
    size_t n_units, n_strings;
};

/* Parses n bytes; 0 bytes give an empty map. SW_EMODEL when the sizes do not fit. The caller frees
 * the map, also after a failure. */
enum sw_status sw_charsmap_parse(struct sw_charsmap *map, const char *bytes, size_t n);
void sw_charsmap_free(struct sw_charsmap *map);
/*
 * Finds the longest source string that text[0..n) begins with. Returns its length in bytes, 0 when
 * there is none; *replacement: in the map, NUL-terminated.
 */
size_t sw_charsmap_longest(const struct sw_charsmap *map, const char *text, size_t n,
                           const char **replacement);
/*
 * Appends valid UTF-8 text[0..n) as Hugging Face's normalizer Precompiled makes it: by grapheme
 * clusters, a short one replaced as a whole by what its shortest source string becomes, of the
 * others each character.
 */
void sw_charsmap_by_clusters(const struct sw_charsmap *map, const char *text, size_t n,
                             struct sw_strbuf *out);

#endif
