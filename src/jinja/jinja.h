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

/* What one rendering may use; a rendering that needs more fails with SW_EINPUT. */
struct sw_jinja_limits {
    uint64_t steps; /* evaluations, roughly; long texts and lists count more */
    size_t memory;  /* bytes of all values that the template makes */
    size_t output;  /* bytes of the rendered text */
    int depth;      /* levels of nested evaluation: macros that call themselves, nested values */
};

struct sw_jinja;

/* Limits that allow conversations of many megabytes and end the worst template within seconds. */
struct sw_jinja_limits sw_jinja_limits_default(void);
/* Parses a template of n bytes. SW_EMODEL names the line, what was expected and what was found. The
 * caller frees *out. */
enum sw_status sw_jinja_parse(const char *source, size_t n, struct sw_jinja **out);
void sw_jinja_free(struct sw_jinja *template);
/*
 * Appends the rendered text. `variables` is an object: the names the template can use, in
 * addition to the functions. SW_EINPUT names the template's line. On failure *out keeps its old
 * length. Renderings of one template may run at the same time.
 */
enum sw_status sw_jinja_render(const struct sw_jinja *template, const json_t *variables,
                               const struct sw_jinja_limits *limits, struct sw_strbuf *out);

#endif
