/* Added tokens: texts that become ids before anything else looks at them. */
#ifndef SW_TEXT_ADDED_H
#define SW_TEXT_ADDED_H

#include "base/status.h"
#include "text/normalize.h"
#include "text/trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_ADDED_MAX (1 << 14)

struct sw_added_token {
    int32_t id;
    char *content; /* owned */
    size_t length;
    bool special;        /* only recognised when asked for; dropped on decoding when asked */
    bool normalized;     /* looked for in the normalised text */
    bool lstrip, rstrip; /* swallows the white space before, behind */
    bool single_word;    /* only between characters that are no letters or digits */
};

struct sw_added {
    struct sw_added_token *items; /* (count) */
    size_t count, capacity;
    struct sw_trie raw, normalized; /* value: index in items */
};

/* Copies `token` and its content; one with the same content or id is replaced. */
enum sw_status sw_added_put(struct sw_added *added, const struct sw_added_token *token);
/* NULL when there is none. */
struct sw_added_token *sw_added_find(const struct sw_added *added, const char *text, size_t n);
struct sw_added_token *sw_added_by_id(const struct sw_added *added, int32_t id);
/* Builds the look-up; contents marked `normalized` are normalised first. */
enum sw_status sw_added_index(struct sw_added *added, struct sw_normalizer *normalizer);

struct sw_added_hit {
    const struct sw_added_token *token; /* NULL: none from here on */
    size_t start, end;                  /* with the white space it swallows */
};

/* The next added token of `trie` (raw or normalized) in text[from..n), leftmost and longest. */
struct sw_added_hit sw_added_next(const struct sw_added *added, const struct sw_trie *trie,
                                  const char *text, size_t n, size_t from, bool with_special);
void sw_added_free(struct sw_added *added);

#endif
