/* What a template does with one member of its messages, read off its tree without rendering. */
#ifndef SW_JINJA_JINJA_USES_H
#define SW_JINJA_JINJA_USES_H

#include "jinja/jinja.h"

#include <stdbool.h>

struct sw_jinja_uses {
    bool walked;     /* a loop goes through it, or one of its items is asked for by number */
    bool printed;    /* it is printed, or joined with texts, as it is */
    bool serialized; /* it goes through the filter tojson */
    bool opened;     /* its members are asked for: .items(), .keys() */
};

/*
 * How `member` ("content") of anything is used, under that name or under a variable or a macro's
 * parameter that it is given to.
 */
void sw_jinja_find_uses(const struct sw_jinja *template, const char *member,
                        struct sw_jinja_uses *uses);

#endif
