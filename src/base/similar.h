/* Which names of many are most like one that was not found, for messages. */
#ifndef SW_BASE_SIMILAR_H
#define SW_BASE_SIMILAR_H

#include "base/strbuf.h"

#include <stddef.h>

#define SW_SIMILAR_KEPT 5
#define SW_SIMILAR_NAME_MAX 128 /* longer names are left out */

/* The names seen so far that are most like `wanted`, which is borrowed; {.wanted = …} at first. */
struct sw_similar {
    const char *wanted;
    size_t n; /* names kept */
    struct {
        int distance;
        char name[SW_SIMILAR_NAME_MAX];
    } kept[SW_SIMILAR_KEPT]; /* the most similar first; of equals those seen first */
};
void sw_similar_add(struct sw_similar *similar, const char *name);
/* Appends "; nearest there: a, b", printable; nothing when there were no names. */
void sw_similar_describe(const struct sw_similar *similar, struct sw_strbuf *out);

#endif
