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
    bool special;     /* recognised by encoding and dropped by decoding only on request */
    bool normalized;  /* searched in the normalised text; false: in the text as given */
    bool lstrip;      /* takes the white space before it */
    bool rstrip;      /* takes the white space after it */
    bool single_word; /* matches only where no letter or digit is next to it */
};

struct sw_added {
    struct sw_added_token *items; /* (count) */
    size_t count, capacity;
    /* Tokens searched in the text as given, and in the normalised text; values index items. */
    struct sw_trie raw, normalized;
};

/* Adds a copy of `token` and its content; replaces a token with the same content or id. SW_EMODEL:
 * no or too long content, or too many tokens. */
enum sw_status sw_added_put(struct sw_added *added, const struct sw_added_token *token);
/* The token with the content text[0..n); NULL when there is none. */
struct sw_added_token *sw_added_find(const struct sw_added *added, const char *text, size_t n);
/* The token with this id; NULL when there is none. */
struct sw_added_token *sw_added_by_id(const struct sw_added *added, int32_t id);
/* Builds the tries; contents marked `normalized` are normalised first. */
enum sw_status sw_added_index(struct sw_added *added, struct sw_normalizer *normalizer);

struct sw_added_hit {
    const struct sw_added_token *token; /* NULL: no token was found */
    size_t start, end; /* of the token and the white space it takes; n: not found */
};

/* Finds the next added token of `trie` (raw or normalized) in text[from..n): the leftmost, and of
 * those the longest. */
struct sw_added_hit sw_added_next(const struct sw_added *added, const struct sw_trie *trie,
                                  const char *text, size_t n, size_t from, bool with_special);
void sw_added_free(struct sw_added *added);

#endif
