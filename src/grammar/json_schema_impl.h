/* Shared by the files json_*.c. Internal to src/grammar/. */
#ifndef SW_GRAMMAR_JSON_SCHEMA_IMPL_H
#define SW_GRAMMAR_JSON_SCHEMA_IMPL_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A character of a JSON text that is written as it is, and one that is not. */
#define SW_JSON_PLAIN "[^\"\\\\\\x00-\\x1f\\x7f]"
#define SW_JSON_CHAR                                                                               \
    "(" SW_JSON_PLAIN " | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cefA-CEF] [0-9a-fA-F]{3} | "     \
    "[dD] [0-7] [0-9a-fA-F]{2})))"

enum {
    SW_JSON_STRING,
    SW_JSON_NUMBER,
    SW_JSON_INTEGER,
    SW_JSON_BOOLEAN,
    SW_JSON_NULL,
    SW_JSON_OBJECT,
    SW_JSON_ARRAY,
    SW_JSON_TYPES
};
extern const char *const sw_json_types[]; /* "string", … */

#define SW_SCHEMAS_MAX 1000 /* schemas in a schema */

/* A schema while it becomes rules. */
struct sw_schema_converter {
    const json_t *root;
    struct sw_strbuf *out;
    struct {
        const json_t *schema;
        int rule;
    } done[SW_SCHEMAS_MAX];
    int n_done, n_rules, depth;
    json_t *made;           /* list of the schemas that "allOf" made; NULL: none */
    struct sw_strbuf place; /* of the schema in hand, as "/properties/a"; "" is the root */
};

/* Adds the rule of a schema, and its name to `body`. SW_EINPUT, also where it is too large. */
enum sw_status sw_schema_put(struct sw_schema_converter *c, const json_t *schema,
                             struct sw_strbuf *body);
/* The same of one that is in another, as its `member` (with the name after it, unless NULL). */
enum sw_status sw_schema_put_at(struct sw_schema_converter *c, const char *member, const char *name,
                                const json_t *schema, struct sw_strbuf *body);
/* Adds a rule; its name is "r" and the number. */
void sw_schema_put_rule(struct sw_schema_converter *c, int rule, const struct sw_strbuf *body);
/* Appends the objects that the schema accepts. SW_EINPUT. */
enum sw_status sw_schema_object(struct sw_schema_converter *c, const json_t *schema,
                                struct sw_strbuf *body);

/* The type that a JSON text names; -1: none. */
int sw_json_type_of(const json_t *name);
/* Appends the value as JSON writes it, as a text of GBNF. SW_EINPUT. */
enum sw_status sw_json_put_value(const json_t *value, struct sw_strbuf *body);
/* Appends a constant, or the values of a list; each must be of `type` (a type or a list of them),
 * unless that is NULL. */
enum sw_status sw_json_const(const json_t *value, const json_t *type, struct sw_strbuf *body);
enum sw_status sw_json_enum(const json_t *list, const json_t *type, struct sw_strbuf *body);
/* Appends what a text between quotation marks must be to match the pattern. SW_EINPUT. */
enum sw_status sw_json_pattern(const char *pattern, size_t n, struct sw_strbuf *out);
/* Appends what a text of the format ("date", "uuid") must be. SW_EINPUT: not supported. */
enum sw_status sw_json_format(const char *name, struct sw_strbuf *out);
/* Whether the schema has bounds of numbers; appends the whole numbers within them. SW_EINPUT. */
bool sw_json_has_range(const json_t *schema);
enum sw_status sw_json_range(const json_t *schema, struct sw_strbuf *out);
/* The object that a schema with "allOf" asks for, as one schema without; the caller frees *out,
 * also after a failure. SW_EINPUT: not objects with properties, or they do not fit together. */
enum sw_status sw_json_all_of(const json_t *root, const json_t *schema, json_t **out);
/* What "#/a/b" points to in the schema `root`; NULL: nothing. */
const json_t *sw_json_reference(const json_t *root, const char *reference);
/* Whether a member of a schema says nothing about the value, as "title". */
bool sw_json_says_nothing(const char *name);
/* Appends a character as GBNF, inside of a text. */
void sw_gbnf_put_char(struct sw_strbuf *out, unsigned char c);

#endif
