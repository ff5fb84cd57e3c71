/*
 * A JSON schema as a grammar (GBNF): every text of it is JSON that the schema accepts. The other
 * way round not all: members come in the order of "properties", an object with them has no others
 * unless "additionalProperties" says so, numbers have at most 16 digits, and white space is
 * a space after a colon, and between members a space, or a new line with up to 8 spaces.
 *
 * Read are type (or a list), properties, required, additionalProperties, items, minItems, maxItems,
 * enum, const, minLength, maxLength, pattern, format (date, time, date-time, uuid), of integers
 * minimum, maximum, exclusiveMinimum and exclusiveMaximum, anyOf, oneOf (as anyOf), allOf of
 * objects (merged: each has properties of its own) or of one schema, $ref to a place in the schema
 * itself, $defs and definitions. Passed over is what accepts everything: title, description,
 * default, examples, $schema, $id, $comment, deprecated, readOnly, writeOnly. All else is refused
 * by name.
 *
 * A pattern may have characters, classes, `.`, groups, |, * + ? {n,m}, ^ and $ at its ends, and \d
 * \w \s; what it matches has none of the characters that JSON must write with a backslash, unless
 * the pattern names them.
 */
#ifndef SW_GRAMMAR_JSON_SCHEMA_H
#define SW_GRAMMAR_JSON_SCHEMA_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>

/* SW_EINPUT names what is not supported or wrong, and where in the schema. `out` is filled as far
 * as it went. */
enum sw_status sw_json_schema_grammar(const json_t *schema, struct sw_strbuf *out);
/* Any object. */
enum sw_status sw_json_object_grammar(struct sw_strbuf *out);

#endif
