/* How a template uses one member of its messages, found in its tree without rendering. */
#ifndef SW_JINJA_JINJA_USES_H
#define SW_JINJA_JINJA_USES_H

#include "jinja/jinja.h"

#include <stdbool.h>

struct sw_jinja_uses {
    bool walked;     /* a loop iterates over it, or one of its items is read by its index */
    bool printed;    /* it is printed, or joined with texts, unchanged */
    bool serialized; /* it is passed to the filter tojson */
    bool opened;     /* its members are listed: .items(), .keys() */
};

/*
 * Writes to *uses how `member` ("content") of any value is used, under its own name, or under that
 * of a variable or macro parameter it is assigned to.
 */
void sw_jinja_find_uses(const struct sw_jinja *template, const char *member,
                        struct sw_jinja_uses *uses);

#endif
