/* Owns the values that a schema names: types, constants and enumerations. */
#include "base/json.h"
#include "grammar/json_schema_impl.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 1000 /* of one enum */

const char *const sw_json_types[] = {"string", "number", "integer", "boolean",
                                     "null",   "object", "array"};

int sw_json_type_of(const json_t *name)
{
    for (int i = 0; i < SW_JSON_TYPES; i++)
        if (json_is_string(name) && strcmp(json_string_value(name), sw_json_types[i]) == 0)
            return i;
    return -1;
}

enum sw_status sw_json_put_value(const json_t *value, struct sw_strbuf *body)
{
    char *text = NULL;
    if (!sw_json_spelling(value))
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text)
        return sw_fail(SW_EINPUT, "a value of \"enum\" or \"const\" cannot be written as JSON");
    sw_strbuf_puts(body, "\"");
    for (const char *at = text; *at; at++)
        sw_gbnf_put_char(body, (unsigned char)*at);
    sw_strbuf_puts(body, "\" ");
    free(text);
    return SW_OK;
}

/* Whether a value is of a type of a schema; any is, where there is none. */
static bool is_of_type(const json_t *value, const json_t *type)
{
    static const int of[] = {[JSON_OBJECT] = SW_JSON_OBJECT, [JSON_ARRAY] = SW_JSON_ARRAY,
                             [JSON_STRING] = SW_JSON_STRING, [JSON_INTEGER] = SW_JSON_INTEGER,
                             [JSON_REAL] = SW_JSON_NUMBER,   [JSON_TRUE] = SW_JSON_BOOLEAN,
                             [JSON_FALSE] = SW_JSON_BOOLEAN, [JSON_NULL] = SW_JSON_NULL};
    const int mine = of[json_typeof(value)];
    size_t i;
    json_t *one;
    bool found = !type || sw_json_type_of(type) == mine ||
                 (mine == SW_JSON_INTEGER && sw_json_type_of(type) == SW_JSON_NUMBER);
    json_array_foreach((json_t *)(uintptr_t)type, i, one) found =
        found || sw_json_type_of(one) == mine ||
        (mine == SW_JSON_INTEGER && sw_json_type_of(one) == SW_JSON_NUMBER);
    return found;
}

enum sw_status sw_json_const(const json_t *value, const json_t *type, struct sw_strbuf *body)
{
    if (!is_of_type(value, type))
        return sw_fail(SW_EINPUT, "a value of \"enum\" or \"const\" is not of its \"type\"");
    return sw_json_put_value(value, body);
}

enum sw_status sw_json_enum(const json_t *list, const json_t *type, struct sw_strbuf *body)
{
    size_t i;
    json_t *one;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > VALUES_MAX)
        return sw_fail(SW_EINPUT, "\"enum\" must be a list of 1 to %d values", VALUES_MAX);
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        sw_strbuf_puts(body, i > 0 ? "| " : "");
        SW_TRY(sw_json_const(one, type, body));
    }
    return SW_OK;
}
