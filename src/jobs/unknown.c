/* Owns counting and reporting unknown members of lines. */
#include "jobs/unknown.h"

#include "base/log.h"
#include "jobs/record.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 80 /* bytes of a name in a message */

void sw_unknown_note(struct sw_unknown *u, const char *name)
{
    int i = 0;
    if (!u)
        return;
    while (i < u->n && strcmp(u->names[i].name, name) != 0)
        i++;
    if (i == u->n && u->n < SW_UNKNOWN_NAMES && (u->names[i].name = strdup(name)))
        u->names[u->n++].lines = 0;
    if (i < u->n)
        u->names[i].lines++;
    else
        u->others++;
}

void sw_unknown_report(struct sw_unknown *u, const char *verb)
{
    for (int i = 0; i < u->n; i++) {
        const struct sw_unknown_name *name = &u->names[i];
        size_t n = strlen(name->name);
        const bool whole = n <= SHOWN;
        for (n = whole ? n : SHOWN; !whole && ((unsigned char)name->name[n] & 0xC0) == 0x80; n--)
            ; /* go back to the beginning of a character */
        struct sw_strbuf shown = {0};
        sw_json_quote(&shown, name->name, n);
        sw_log(SW_LOG_WARN, "%lld %s %s%s, which %s does not know", (long long)name->lines,
               name->lines == 1 ? "line has" : "lines have", shown.failed ? "\"?\"" : shown.text,
               whole ? "" : "…", verb);
        sw_strbuf_free(&shown);
        free(name->name);
    }
    if (u->others > 0)
        sw_log(SW_LOG_WARN,
               "lines have %lld more member%s, under other names, which %s does not know",
               (long long)u->others, u->others == 1 ? "" : "s", verb);
    *u = (struct sw_unknown){0};
}
