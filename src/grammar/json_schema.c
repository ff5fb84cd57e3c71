/* Owns the way from a JSON schema to a grammar: a rule for each schema. */
#include "grammar/json_schema.h"

#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/json_schema_impl.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 64
#define ITEMS_MAX 1000  /* of minItems, maxItems */
#define LENGTH_MAX 4096 /* of minLength, maxLength */

/*
 * Rules that every grammar ends with. White space is where a text laid out by hand has it: one
 * space, or a new line and its indent, between members; one space behind a colon. More would be
 * allowed by JSON, but a small model fills its tokens with it.
 */
static const char basics[] = "string ::= \"\\\"\" " SW_JSON_CHAR "* \"\\\"\"\n"
                             "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,14})\n"
                             "number ::= integer (\".\" [0-9]{1,15})? ([eE] [+\\-]? [0-9]{1,2})?\n"
                             "boolean ::= \"true\" | \"false\"\n"
                             "null ::= \"null\"\n"
                             "before ::= [ \\n]?\n"
                             "gap ::= (\" \" | \"\\n\" \" \"{0,8})?\n"
                             "colon ::= \":\" \" \"?\n"
                             "pair ::= string colon value\n"
                             "object ::= \"{\" gap (pair (\",\" gap pair)* gap)? \"}\"\n"
                             "array ::= \"[\" gap (value (\",\" gap value)* gap)? \"]\"\n"
                             "value ::= string | number | boolean | null | object | array\n";

/* Members of a schema, and the types that they imply where "type" is absent. */
static const struct {
    const char *name;
    int type; /* -1: none; -2: says nothing about the value */
} keywords[] = {{"type", -1},
                {"enum", -1},
                {"const", -1},
                {"anyOf", -1},
                {"oneOf", -1},
                {"$ref", -1},
                {"properties", SW_JSON_OBJECT},
                {"required", SW_JSON_OBJECT},
                {"additionalProperties", SW_JSON_OBJECT},
                {"items", SW_JSON_ARRAY},
                {"minItems", SW_JSON_ARRAY},
                {"maxItems", SW_JSON_ARRAY},
                {"allOf", -1},
                {"format", SW_JSON_STRING},
                {"minimum", SW_JSON_NUMBER},
                {"maximum", SW_JSON_NUMBER},
                {"exclusiveMinimum", SW_JSON_NUMBER},
                {"exclusiveMaximum", SW_JSON_NUMBER},
                {"minLength", SW_JSON_STRING},
                {"maxLength", SW_JSON_STRING},
                {"pattern", SW_JSON_STRING},
                {"$defs", -2},
                {"definitions", -2},
                {"title", -2},
                {"description", -2},
                {"default", -2},
                {"examples", -2},
                {"$schema", -2},
                {"$id", -2},
                {"$comment", -2},
                {"deprecated", -2},
                {"readOnly", -2},
                {"writeOnly", -2}};
#define N_KEYWORDS (sizeof keywords / sizeof keywords[0])

static enum sw_status convert(struct sw_schema_converter *c, const json_t *schema,
                              struct sw_strbuf *body);

void sw_schema_put_rule(struct sw_schema_converter *c, int rule, const struct sw_strbuf *body)
{
    sw_strbuf_printf(c->out, "r%d ::= ", rule);
    sw_strbuf_append(c->out, body->text ? body->text : "\"\"", body->text ? body->length : 2);
    sw_strbuf_puts(c->out, "\n");
    c->out->failed = c->out->failed || body->failed;
}

enum sw_status sw_schema_put(struct sw_schema_converter *c, const json_t *schema,
                             struct sw_strbuf *body)
{
    for (int i = 0; i < c->n_done; i++)
        if (c->done[i].schema == schema) {
            sw_strbuf_printf(body, "r%d ", c->done[i].rule);
            return SW_OK;
        }
    if (c->n_done == SW_SCHEMAS_MAX || c->out->length > SW_GRAMMAR_TEXT_MAX)
        return sw_fail(SW_EINPUT, "the schema is too large");
    if (c->depth == DEPTH_MAX)
        return sw_fail(SW_EINPUT, "the schema is nested deeper than %d", DEPTH_MAX);
    struct sw_strbuf own = {0};
    const int rule = c->n_rules++;
    c->done[c->n_done].schema = schema;
    c->done[c->n_done++].rule = rule;
    c->depth++;
    const enum sw_status status = convert(c, schema, &own);
    c->depth--;
    if (status == SW_OK) {
        sw_schema_put_rule(c, rule, &own);
        sw_strbuf_printf(body, "r%d ", rule);
    }
    sw_strbuf_free(&own);
    return status;
}

enum sw_status sw_schema_put_at(struct sw_schema_converter *c, const char *member, const char *name,
                                const json_t *schema, struct sw_strbuf *body)
{
    const size_t here = c->place.length;
    sw_strbuf_printf(&c->place, "/%s", member);
    for (const char *at = name ? name : ""; *at; at++)
        sw_strbuf_printf(&c->place, *at == '~' ? "~0" : *at == '/' ? "~1" : "%c", *at);
    SW_TRY(sw_schema_put(c, schema, body)); /* a failure leaves the place to be told */
    c->place.length = here;
    return SW_OK;
}

/* A whole number of a schema; `out` keeps its value where it is absent. */
static enum sw_status schema_count(const json_t *schema, const char *name, int most, int *out)
{
    const json_t *value = json_object_get(schema, name);
    int64_t n;
    if (!value)
        return SW_OK;
    if (!sw_json_integer(value, 0, most, &n))
        return sw_fail(SW_EINPUT, "\"%s\" must be a whole number from 0 to %d", name, most);
    *out = (int)n;
    return SW_OK;
}

static enum sw_status convert_string(struct sw_schema_converter *c, const json_t *schema,
                                     struct sw_strbuf *body)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    const json_t *format = json_object_get(schema, "format");
    int least = 0, most = -1;
    (void)c;
    SW_TRY(schema_count(schema, "minLength", LENGTH_MAX, &least));
    SW_TRY(schema_count(schema, "maxLength", LENGTH_MAX, &most));
    if (most >= 0 && most < least)
        return sw_fail(SW_EINPUT, "\"maxLength\" is below \"minLength\"");
    if (pattern && !json_is_string(pattern))
        return sw_fail(SW_EINPUT, "\"pattern\" must be a text");
    if (pattern && (least > 0 || most >= 0))
        return sw_fail(SW_EINPUT,
                       "\"pattern\" beside \"minLength\" or \"maxLength\" is not supported");
    if (format && (!json_is_string(format) || pattern || least > 0 || most >= 0))
        return sw_fail(SW_EINPUT, "\"format\" must be a text; beside \"pattern\", \"minLength\" or "
                                  "\"maxLength\" it is not supported");
    if (!pattern && !format && least == 0 && most < 0) {
        sw_strbuf_puts(body, "string ");
        return SW_OK;
    }
    sw_strbuf_puts(body, "\"\\\"\" ");
    if (pattern)
        SW_TRY(sw_json_pattern(json_string_value(pattern), json_string_length(pattern), body));
    else if (format)
        SW_TRY(sw_json_format(json_string_value(format), body));
    else if (most < 0)
        sw_strbuf_printf(body, SW_JSON_CHAR "{%d,} ", least);
    else
        sw_strbuf_printf(body, SW_JSON_CHAR "{%d,%d} ", least, most);
    sw_strbuf_puts(body, "\"\\\"\" ");
    return SW_OK;
}

static enum sw_status convert_array(struct sw_schema_converter *c, const json_t *schema,
                                    struct sw_strbuf *body)
{
    const json_t *items = json_object_get(schema, "items");
    struct sw_strbuf item = {0};
    int least = 0, most = -1;
    SW_TRY(schema_count(schema, "minItems", ITEMS_MAX, &least));
    SW_TRY(schema_count(schema, "maxItems", ITEMS_MAX, &most));
    if (most >= 0 && most < least)
        return sw_fail(SW_EINPUT, "\"maxItems\" is below \"minItems\"");
    if (most == 0) {
        sw_strbuf_puts(body, "\"[\" gap \"]\" ");
        return SW_OK;
    }
    const enum sw_status status = items ? sw_schema_put_at(c, "items", NULL, items, &item)
                                        : (sw_strbuf_puts(&item, "value "), SW_OK);
    if (status == SW_OK) {
        sw_strbuf_printf(body, "\"[\" gap (%s(\",\" gap %s)", item.text ? item.text : "",
                         item.text ? item.text : "");
        sw_strbuf_printf(body, most < 0 ? "{%d,} gap)" : "{%d,%d} gap)", least > 0 ? least - 1 : 0,
                         most - 1);
        sw_strbuf_puts(body, least > 0 ? " \"]\" " : "? \"]\" ");
    }
    sw_strbuf_free(&item);
    return status;
}

/* ---- schemas */

static enum sw_status convert_basic(const char *name, struct sw_strbuf *body)
{
    sw_strbuf_printf(body, "%s ", name);
    return SW_OK;
}

static enum sw_status convert_number(const json_t *schema, int type, struct sw_strbuf *body)
{
    if (!sw_json_has_range(schema))
        return convert_basic(sw_json_types[type], body);
    return type == SW_JSON_INTEGER
               ? sw_json_range(schema, body)
               : sw_fail(SW_EINPUT, "bounds of numbers as \"minimum\" are supported "
                                    "for \"type\": \"integer\" only");
}

static enum sw_status convert_type(struct sw_schema_converter *c, const json_t *schema, int type,
                                   struct sw_strbuf *body)
{
    return type == SW_JSON_STRING   ? convert_string(c, schema, body)
           : type == SW_JSON_ARRAY  ? convert_array(c, schema, body)
           : type == SW_JSON_OBJECT ? sw_schema_object(c, schema, body)
           : type == SW_JSON_NUMBER || type == SW_JSON_INTEGER
               ? convert_number(schema, type, body)
               : convert_basic(sw_json_types[type], body);
}

static enum sw_status convert_any_of(struct sw_schema_converter *c, const json_t *list,
                                     const char *name, struct sw_strbuf *body)
{
    size_t i;
    json_t *one;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return sw_fail(SW_EINPUT, "\"%s\" must be a list of schemas", name);
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        char place[32];
        snprintf(place, sizeof place, "%s/%zu", name, i);
        sw_strbuf_puts(body, i > 0 ? "| " : "");
        SW_TRY(sw_schema_put_at(c, place, NULL, one, body));
    }
    return SW_OK;
}

static enum sw_status convert_reference(struct sw_schema_converter *c, const json_t *reference,
                                        struct sw_strbuf *body)
{
    const char *text = json_string_value(reference);
    const json_t *to = sw_json_reference(c->root, text);
    if (!to)
        return sw_fail(SW_EINPUT, "\"$ref\": \"%.100s\" is not a place in the schema",
                       text ? text : "");
    const size_t here = c->place.length; /* the reference is told after it */
    sw_strbuf_printf(&c->place, "%s%s", here ? " -> " : "", text);
    SW_TRY(sw_schema_put(c, to, body));
    c->place.length = here;
    return SW_OK;
}

bool sw_json_says_nothing(const char *name)
{
    for (size_t k = 0; k < N_KEYWORDS; k++)
        if (strcmp(keywords[k].name, name) == 0)
            return keywords[k].type == -2;
    return false;
}

/* Objects as one; of one schema, with nothing beside it, any. */
static enum sw_status convert_all_of(struct sw_schema_converter *c, const json_t *schema,
                                     struct sw_strbuf *body)
{
    const json_t *list = json_object_get(schema, "allOf");
    const char *name;
    json_t *value, *made;
    bool alone = json_array_size(list) == 1;
    json_object_foreach((json_t *)(uintptr_t)schema, name, value) alone =
        alone && (value == list || sw_json_says_nothing(name));
    if (alone)
        return sw_schema_put_at(c, "allOf/0", NULL, json_array_get(list, 0), body);
    if (!c->made && !(c->made = json_array()))
        return sw_fail(SW_ENOMEM, "no memory for a schema");
    const enum sw_status status = sw_json_all_of(c->root, schema, &made);
    if (json_array_append_new(c->made, made) != 0 && status == SW_OK)
        return sw_fail(SW_ENOMEM, "no memory for a schema");
    return status == SW_OK ? sw_schema_put(c, made, body) : status;
}

/* Of members that decide alone, the one that the schema has; others beside it are refused. */
static enum sw_status schema_alone(const json_t *schema, const char **alone)
{
    static const char *const names[] = {"$ref", "anyOf", "oneOf", "const", "enum"};
    const char *name;
    json_t *value;
    *alone = NULL;
    for (size_t i = 0; i < 5 && !*alone; i++)
        if (json_object_get(schema, names[i]))
            *alone = names[i];
    json_object_foreach((json_t *)(uintptr_t)schema, name, value)
    {
        size_t k = 0;
        while (k < N_KEYWORDS && strcmp(keywords[k].name, name) != 0)
            k++;
        if (k == N_KEYWORDS)
            return sw_fail(SW_EINPUT, "\"%.60s\" in a schema is not supported", name);
        /* Pydantic writes the type beside const and enum. */
        const bool beside = strcmp(name, "type") == 0 && *alone && (*alone)[0] != '$' &&
                            strcmp(*alone, "anyOf") != 0 && strcmp(*alone, "oneOf") != 0;
        if (*alone && keywords[k].type != -2 && strcmp(name, *alone) != 0 && !beside)
            return sw_fail(SW_EINPUT, "\"%s\" beside \"%s\" in a schema is not supported", name,
                           *alone);
    }
    return SW_OK;
}

/* The type that a schema without "type" has by its other members; SW_JSON_TYPES: any. */
static enum sw_status schema_implied(const json_t *schema, int *type)
{
    *type = SW_JSON_TYPES;
    for (size_t k = 0; k < N_KEYWORDS; k++) {
        if (keywords[k].type < 0 || !json_object_get(schema, keywords[k].name))
            continue;
        if (*type != SW_JSON_TYPES && *type != keywords[k].type)
            return sw_fail(SW_EINPUT, "a schema without \"type\" has \"%s\" of another type",
                           keywords[k].name);
        *type = keywords[k].type;
    }
    return SW_OK;
}

static enum sw_status convert_types(struct sw_schema_converter *c, const json_t *schema,
                                    struct sw_strbuf *body)
{
    const json_t *type = json_object_get(schema, "type");
    size_t i;
    json_t *one;
    int implied;
    if (!type) {
        SW_TRY(schema_implied(schema, &implied));
        return implied == SW_JSON_TYPES ? convert_basic("value", body)
                                        : convert_type(c, schema, implied, body);
    }
    if (!json_is_array(type)) {
        if (sw_json_type_of(type) < 0)
            return sw_fail(SW_EINPUT, "\"type\" of a schema is none of JSON's");
        return convert_type(c, schema, sw_json_type_of(type), body);
    }
    if (json_array_size(type) == 0 || json_array_size(type) > SW_JSON_TYPES)
        return sw_fail(SW_EINPUT, "\"type\" of a schema must be a type or a list of them");
    json_array_foreach((json_t *)(uintptr_t)type, i, one)
    {
        if (sw_json_type_of(one) < 0)
            return sw_fail(SW_EINPUT, "\"type\" of a schema is none of JSON's");
        sw_strbuf_puts(body, i > 0 ? "| " : "");
        SW_TRY(convert_type(c, schema, sw_json_type_of(one), body));
    }
    return SW_OK;
}

/* Appends what the schema accepts. */
static enum sw_status convert(struct sw_schema_converter *c, const json_t *schema,
                              struct sw_strbuf *body)
{
    const char *alone;
    if (json_is_true(schema))
        return convert_basic("value", body);
    if (!json_is_object(schema) || sw_json_spelling(schema))
        return sw_fail(SW_EINPUT, "a schema must be an object or true");
    if (json_object_get(schema, "allOf"))
        return convert_all_of(c, schema, body);
    SW_TRY(schema_alone(schema, &alone));
    if (!alone)
        return convert_types(c, schema, body);
    const json_t *value = json_object_get(schema, alone), *type = json_object_get(schema, "type");
    return strcmp(alone, "$ref") == 0    ? convert_reference(c, value, body)
           : strcmp(alone, "const") == 0 ? sw_json_const(value, type, body)
           : strcmp(alone, "enum") == 0  ? sw_json_enum(value, type, body)
                                         : convert_any_of(c, value, alone, body);
}

static enum sw_status converter_end(struct sw_strbuf *out, const char *root)
{
    sw_strbuf_puts(out, root);
    sw_strbuf_puts(out, basics);
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for a grammar") : SW_OK;
}

enum sw_status sw_json_schema_grammar(const json_t *schema, struct sw_strbuf *out)
{
    struct sw_schema_converter c = {.root = schema, .out = out};
    struct sw_strbuf body = {0};
    enum sw_status status = sw_schema_put(&c, schema, &body);
    if (status == SW_EINPUT && c.place.length > 0 && !c.place.failed)
        sw_error_context("at %.300s", c.place.text);
    sw_strbuf_free(&body);
    sw_strbuf_free(&c.place);
    json_decref(c.made);
    return status == SW_OK ? converter_end(out, "root ::= before r0\n") : status;
}

enum sw_status sw_json_object_grammar(struct sw_strbuf *out)
{
    return converter_end(out, "root ::= before object\n");
}
