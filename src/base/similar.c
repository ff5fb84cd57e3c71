/* Owns the list of names that are most like one. */
#include "base/similar.h"

#include "base/nearest_word.h"
#include "base/printable.h"

#include <stdio.h>
#include <string.h>

void sw_similar_add(struct sw_similar *s, const char *name)
{
    const int distance = sw_word_distance(s->wanted, name);
    size_t at = s->n < SW_SIMILAR_KEPT ? s->n : SW_SIMILAR_KEPT;
    if (strlen(name) >= SW_SIMILAR_NAME_MAX)
        return;
    while (at > 0 && s->kept[at - 1].distance > distance)
        at--;
    if (at == SW_SIMILAR_KEPT)
        return;
    s->n += s->n < SW_SIMILAR_KEPT;
    memmove(&s->kept[at + 1], &s->kept[at], (s->n - 1 - at) * sizeof s->kept[0]);
    s->kept[at].distance = distance;
    snprintf(s->kept[at].name, sizeof s->kept[at].name, "%s", name);
}

void sw_similar_describe(const struct sw_similar *s, struct sw_strbuf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        char shown[4 * SW_SIMILAR_NAME_MAX + 1];
        sw_printable(s->kept[i].name, strlen(s->kept[i].name), shown, sizeof shown);
        sw_strbuf_printf(out, "%s%s", i == 0 ? "; nearest there: " : ", ", shown);
    }
}
