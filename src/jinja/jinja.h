/*
 * The part of Jinja2 that chat templates are written in, over JSON values, as transformers sets it
 * up: blocks are trimmed (trim_blocks, lstrip_blocks), lists and dicts cannot be changed, nothing
 * is escaped, loops have break and continue, tojson is json.dumps, and there are raise_exception
 * and strftime_now. Values print and compare as Python's do.
 *
 * Left out: include, import, extends, block, and integers beyond 64 bits. A construct or filter
 * that is not known is refused by its name and line.
 */
#ifndef SW_JINJA_JINJA_H
#define SW_JINJA_JINJA_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define SW_JINJA_SOURCE_MAX (4u << 20) /* bytes of a template */

/* What one rendering may use; beyond it ends with SW_EINPUT. */
struct sw_jinja_limits {
    uint64_t steps; /* evaluations, about; long texts and lists count more */
    size_t memory;  /* bytes of all values made on the way */
    size_t output;  /* bytes */
    int depth;      /* of nested evaluation: macros that call themselves, nested values */
};

struct sw_jinja;

/* Good for conversations of many megabytes; the worst template is ended within seconds. */
struct sw_jinja_limits sw_jinja_limits_default(void);
/* SW_EMODEL names the line, what was expected and what is there. The caller frees *out. */
enum sw_status sw_jinja_parse(const char *source, size_t n, struct sw_jinja **out);
void sw_jinja_free(struct sw_jinja *template);
/*
 * Appends the rendered text. `variables` is an object: the names the template can use, beside the
 * functions. SW_EINPUT names the template's line. On failure *out keeps its old length. Renderings
 * of one template may run at the same time.
 */
enum sw_status sw_jinja_render(const struct sw_jinja *template, const json_t *variables,
                               const struct sw_jinja_limits *limits, struct sw_strbuf *out);

#endif
