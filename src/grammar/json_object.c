/* Owns what a schema says of objects: their members, in order, and those beside them. */
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/json_schema_impl.h"

#include <string.h>

#define VALUES_MAX 1000 /* members of one object */

static enum sw_status put_name(const char *name, struct sw_strbuf *body)
{
    json_t *text = json_string(name);
    const enum sw_status status =
        text ? sw_json_put_value(text, body) : sw_fail(SW_ENOMEM, "no memory for a schema");
    json_decref(text);
    return status;
}

/*
 * Names that are none of `names` and begin with the first n bytes of names[0], as rules: after each
 * byte that goes on as one of them comes the rest of the others. Returns the rule.
 */
static int put_other_names(struct sw_schema_converter *c, const char *const *names, int n_names,
                           size_t n)
{
    struct sw_strbuf body = {0}, others = {0};
    const int rule = c->n_rules++;
    bool is_name = false;
    for (int i = 0; i < n_names && c->n_rules < SW_GRAMMAR_RULES_MAX; i++) {
        const char *next[VALUES_MAX];
        int n_next = 0;
        const char byte = names[i][n];
        bool is_first = true;
        is_name = is_name || byte == '\0';
        for (int j = 0; j < i; j++)
            is_first = is_first && names[j][n] != byte;
        if (byte == '\0' || !is_first)
            continue;
        for (int j = i; j < n_names; j++)
            if (names[j][n] == byte)
                next[n_next++] = names[j];
        sw_gbnf_put_char(&others, (unsigned char)byte);
        sw_strbuf_puts(&body, "\"");
        sw_gbnf_put_char(&body, (unsigned char)byte);
        sw_strbuf_printf(&body, "\" r%d | ", put_other_names(c, next, n_next, n + 1));
    }
    sw_strbuf_printf(&body, "[^\"\\\\\\x00-\\x1f\\x7f%s] [^\"\\\\\\x00-\\x1f\\x7f]*",
                     others.text ? others.text : "");
    if (!is_name && n > 0)
        sw_strbuf_puts(&body, " | \"\"");
    sw_schema_put_rule(c, rule, &body);
    sw_strbuf_free(&body);
    sw_strbuf_free(&others);
    return rule;
}

/* A pair of a name that "properties" does not have; its name is added to `body`. */
static enum sw_status put_other_pair(struct sw_schema_converter *c, const json_t *properties,
                                     const json_t *schema, struct sw_strbuf *body)
{
    const char *names[VALUES_MAX], *name;
    json_t *value;
    int n = 0;
    struct sw_strbuf own = {0};
    json_object_foreach((json_t *)(uintptr_t)properties, name, value)
    {
        for (const char *at = name; *at; at++)
            if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f || strchr("\"\\", *at))
                return sw_fail(SW_EINPUT,
                               "\"additionalProperties\" beside the property \"%.40s\", which is "
                               "not of plain ASCII, is not supported",
                               name);
        if (strlen(name) > 100)
            return sw_fail(SW_EINPUT, "a property's name of more than 100 bytes");
        names[n++] = name;
    }
    if (n > 0)
        sw_strbuf_printf(&own, "\"\\\"\" r%d \"\\\"\" colon ", put_other_names(c, names, n, 0));
    else
        sw_strbuf_puts(&own, "string colon ");
    enum sw_status status = SW_OK;
    if (json_is_true(schema))
        sw_strbuf_puts(&own, "value ");
    else
        status = sw_schema_put_at(c, "additionalProperties", NULL, schema, &own);
    if (status == SW_OK) {
        sw_strbuf_printf(body, "r%d ", c->n_rules);
        sw_schema_put_rule(c, c->n_rules++, &own);
    }
    sw_strbuf_free(&own);
    return status;
}

static bool is_required(const json_t *required, const char *name)
{
    size_t i;
    json_t *value;
    json_array_foreach((json_t *)(uintptr_t)required, i, value)
    {
        if (json_is_string(value) && strcmp(json_string_value(value), name) == 0)
            return true;
    }
    return false;
}

static enum sw_status check_required(const json_t *properties, const json_t *required)
{
    size_t i;
    json_t *value;
    if (required && !json_is_array(required))
        return sw_fail(SW_EINPUT, "\"required\" must be a list of names");
    json_array_foreach((json_t *)(uintptr_t)required, i, value)
    {
        if (!json_is_string(value))
            return sw_fail(SW_EINPUT, "\"required\" must be a list of names");
        if (!json_object_get(properties, json_string_value(value)))
            return sw_fail(SW_EINPUT, "\"required\" has \"%.60s\", which is not in \"properties\"",
                           json_string_value(value));
    }
    return SW_OK;
}

/*
 * Of the members from i on there are two rules: first + i where none came before, first + n + 1 + i
 * after a member. Each goes on with the next ones; what is not required may be left out.
 */
static enum sw_status put_members(struct sw_schema_converter *c, const json_t *properties,
                                  const json_t *required, const char *other, int first)
{
    const int n = (int)json_object_size(properties);
    struct sw_strbuf pair = {0}, body = {0};
    const char *name;
    json_t *schema;
    enum sw_status status = SW_OK;
    int i = 0;
    json_object_foreach((json_t *)(uintptr_t)properties, name, schema)
    {
        const bool may_miss = !is_required(required, name);
        pair.length = 0;
        status = put_name(name, &pair);
        sw_strbuf_puts(&pair, "colon ");
        if (status == SW_OK)
            status = sw_schema_put_at(c, "properties/", name, schema, &pair);
        if (status != SW_OK)
            break;
        for (int after = 0; after < 2; after++) {
            const int here = first + after * (n + 1) + i;
            body.length = 0;
            sw_strbuf_printf(&body, "%s%s r%d", after ? "\",\" gap " : "", pair.text,
                             first + n + 1 + i + 1);
            if (may_miss)
                sw_strbuf_printf(&body, " | r%d", here + 1);
            sw_schema_put_rule(c, here, &body);
        }
        i++;
    }
    for (int after = 0; after < 2 && status == SW_OK; after++) {
        body.length = 0;
        if (*other && after)
            sw_strbuf_printf(&body, "(\",\" gap %s)* gap", other);
        else if (*other)
            sw_strbuf_printf(&body, "(%s(\",\" gap %s)* gap)?", other, other);
        else
            sw_strbuf_puts(&body, after ? "gap" : "\"\"");
        sw_schema_put_rule(c, first + after * (n + 1) + n, &body);
    }
    sw_strbuf_free(&pair);
    sw_strbuf_free(&body);
    return status;
}

enum sw_status sw_schema_object(struct sw_schema_converter *c, const json_t *schema,
                                struct sw_strbuf *body)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const json_t *more = json_object_get(schema, "additionalProperties");
    struct sw_strbuf other = {0};
    const size_t n = json_object_size(properties);
    if (properties && !json_is_object(properties))
        return sw_fail(SW_EINPUT, "\"properties\" must be an object");
    if (more && !json_is_boolean(more) && !json_is_object(more))
        return sw_fail(SW_EINPUT, "\"additionalProperties\" must be true, false or a schema");
    if (n > VALUES_MAX)
        return sw_fail(SW_EINPUT, "\"properties\" has more than %d members", VALUES_MAX);
    SW_TRY(check_required(properties, required));
    if (n == 0 && (!more || json_is_true(more)) && !properties) {
        sw_strbuf_puts(body, "object ");
        return SW_OK;
    }
    const int first = c->n_rules;
    c->n_rules += 2 * (int)(n + 1);
    enum sw_status status =
        more && !json_is_false(more) ? put_other_pair(c, properties, more, &other) : SW_OK;
    if (status == SW_OK)
        status = put_members(c, properties, required, other.text ? other.text : "", first);
    sw_strbuf_printf(body, "\"{\" gap r%d \"}\" ", first);
    sw_strbuf_free(&other);
    return status;
}
