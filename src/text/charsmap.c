/* Owns the reading of SentencePiece's character map (Darts-clone's unit layout). */
#include "text/charsmap.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum sw_status sw_charsmap_parse(struct sw_charsmap *map, const char *bytes, size_t n)
{
    uint32_t trie = 0;
    *map = (struct sw_charsmap){0};
    if (n == 0)
        return SW_OK;
    for (size_t i = 0; n >= 4 && i < 4; i++)
        trie |= (uint32_t)(unsigned char)bytes[i] << (8 * i);
    if (n < 5 || trie > n - 5 || trie % 4 != 0 || trie == 0)
        return sw_fail(SW_EMODEL,
                       "precompiled_charsmap: %zu bytes with a trie of %u do not fit; the file is "
                       "damaged",
                       n, trie);
    const char *strings = bytes + 4 + trie;
    const size_t n_strings = n - 4 - trie;
    if (!sw_utf8_valid(strings, n_strings))
        return sw_fail(SW_EMODEL, "precompiled_charsmap: a replacement is not UTF-8");
    map->units = calloc(trie / 4, sizeof *map->units);
    map->strings = malloc(n_strings + 1);
    if (!map->units || !map->strings) {
        sw_charsmap_free(map);
        return sw_fail(SW_ENOMEM, "no memory for a character map of %zu bytes", n);
    }
    map->n_units = trie / 4;
    for (size_t i = 0; i < trie; i++)
        map->units[i / 4] |= (uint32_t)(unsigned char)bytes[4 + i] << (8 * (i % 4));
    memcpy(map->strings, strings, n_strings);
    map->strings[n_strings] = '\0';
    map->n_strings = n_strings + 1;
    return SW_OK;
}

void sw_charsmap_free(struct sw_charsmap *map)
{
    free(map->units);
    free(map->strings);
    *map = (struct sw_charsmap){0};
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

/* Whether a byte is not the first of its character. No damaged map makes text that is not UTF-8. */
static bool is_inside(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* The shortest or the longest source string that the text begins with. */
static size_t charsmap_find(const struct sw_charsmap *map, const char *text, size_t n,
                            bool shortest, const char **replacement)
{
    size_t found = 0;
    if (map->n_units == 0)
        return 0;
    size_t at = unit_offset(map->units[0]);
    for (size_t i = 0; i < n && !(shortest && found); i++) {
        const unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        if (byte == 0 || at >= map->n_units || (map->units[at] & 0x800000FFu) != byte)
            break;
        const uint32_t unit = map->units[at];
        at ^= unit_offset(unit);
        if (at >= map->n_units)
            break;
        if (!(unit >> 8 & 1))
            continue;
        const size_t string = map->units[at] & 0x7FFFFFFFu;
        if (string >= map->n_strings || is_inside(map->strings[string]))
            break;
        if (i + 1 < n && is_inside(text[i + 1]))
            continue;
        found = i + 1;
        *replacement = map->strings + string;
    }
    return found;
}

size_t sw_charsmap_longest(const struct sw_charsmap *map, const char *text, size_t n,
                           const char **replacement)
{
    return charsmap_find(map, text, n, false, replacement);
}

/* Of a cluster with fewer bytes Hugging Face's tokenizers look up the whole. */
#define WHOLE_CLUSTER 6

/* The bytes of the first grapheme cluster. */
static size_t cluster_length(const char *text, size_t n)
{
    int length, next_length;
    utf8proc_int32_t state = 0;
    uint32_t c = sw_utf8_decode(text, &length);
    size_t at = (size_t)length;
    for (; at < n; at += (size_t)next_length) {
        const uint32_t next = sw_utf8_decode(text + at, &next_length);
        const bool plain = c < 0x80 && next < 0x80 && c != '\r';
        if (plain ||
            utf8proc_grapheme_break_stateful((utf8proc_int32_t)c, (utf8proc_int32_t)next, &state))
            break;
        c = next;
    }
    return at;
}

void sw_charsmap_by_clusters(const struct sw_charsmap *map, const char *text, size_t n,
                             struct sw_strbuf *out)
{
    const char *becomes;
    for (size_t cluster; n > 0; text += cluster, n -= cluster) {
        cluster = cluster_length(text, n);
        if (cluster < WHOLE_CLUSTER && charsmap_find(map, text, cluster, true, &becomes) > 0) {
            sw_strbuf_append(out, becomes, strlen(becomes));
            continue;
        }
        int length;
        for (size_t i = 0; i < cluster; i += (size_t)length) {
            sw_utf8_decode(text + i, &length);
            const bool found = charsmap_find(map, text + i, (size_t)length, true, &becomes) > 0;
            sw_strbuf_append(out, found ? becomes : text + i,
                             found ? strlen(becomes) : (size_t)length);
        }
    }
}
