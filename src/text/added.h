/* Added tokens: texts that become ids before normalising and pre-tokenizing. */
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
    bool special;        /* encoding recognises it and decoding drops it only where requested */
    bool normalized;     /* searched in the normalised text; false: in the text as given */
    bool lstrip, rstrip; /* includes the white space before it; after it */
    bool single_word;    /* only between characters that are not letters or digits */
};

struct sw_added {
    struct sw_added_token *items; /* (count) */
    size_t count, capacity;
    struct sw_trie raw, normalized; /* value: index in items */
};

/* Adds a copy of `token` and its content; replaces one with the same content or id. */
enum sw_status sw_added_put(struct sw_added *added, const struct sw_added_token *token);
/* The token with this content, or with this id; NULL when there is none. */
struct sw_added_token *sw_added_find(const struct sw_added *added, const char *text, size_t n);
struct sw_added_token *sw_added_by_id(const struct sw_added *added, int32_t id);
/* Builds the tries; contents marked `normalized` are normalised first. */
enum sw_status sw_added_index(struct sw_added *added, struct sw_normalizer *normalizer);

struct sw_added_hit {
    const struct sw_added_token *token; /* NULL: there is no further one */
    size_t start, end;                  /* of the token, with the white space it includes */
};

/* The next added token of `trie` (raw or normalized) in text[from..n), leftmost and longest. */
struct sw_added_hit sw_added_next(const struct sw_added *added, const struct sw_trie *trie,
                                  const char *text, size_t n, size_t from, bool with_special);
void sw_added_free(struct sw_added *added);

#endif
