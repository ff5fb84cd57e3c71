/* Owns what a schema takes from elsewhere: references, and "allOf", objects merged into one. */
#include "base/json.h"
#include "grammar/json_schema_impl.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16

const json_t *sw_json_reference(const json_t *root, const char *reference)
{
    const json_t *at = root;
    char name[256];
    if (!reference || *reference++ != '#')
        return NULL;
    while (*reference == '/' && at) {
        size_t n = 0;
        for (reference++; *reference && *reference != '/' && n + 1 < sizeof name; reference++) {
            const bool escaped = *reference == '~' && (reference[1] == '0' || reference[1] == '1');
            name[n++] = !escaped ? *reference : reference[1] == '0' ? '~' : '/';
            reference += escaped;
        }
        name[n] = '\0';
        at = json_is_array(at)
                 ? json_array_get(at, strspn(name, "0123456789") == n && n > 0 && n < 5
                                          ? (size_t)atoi(name)
                                          : (size_t)-1)
                 : json_object_get(at, name);
    }
    return *reference == '\0' ? at : NULL;
}

/* Adds the names of `required` that `into` lacks. */
static enum sw_status merge_required(const json_t *required, json_t *into)
{
    json_t *list = json_object_get(into, "required");
    size_t i, k;
    json_t *name, *other;
    if (!json_is_array(required))
        return sw_fail(SW_EINPUT, "\"required\" must be a list of names");
    json_array_foreach((json_t *)(uintptr_t)required, i, name)
    {
        bool found = false;
        json_array_foreach(list, k, other) found = found || json_equal(name, other);
        if (!found && json_array_append(list, name) != 0)
            return sw_fail(SW_ENOMEM, "no memory for a schema");
    }
    return SW_OK;
}

static enum sw_status merge_properties(const json_t *properties, json_t *into)
{
    json_t *all = json_object_get(into, "properties"), *value;
    const char *name;
    if (!json_is_object(properties))
        return sw_fail(SW_EINPUT, "\"properties\" must be an object");
    json_object_foreach((json_t *)(uintptr_t)properties, name, value)
    {
        const json_t *had = json_object_get(all, name);
        if (had && !json_equal(had, value))
            return sw_fail(SW_EINPUT,
                           "\"allOf\" with the property \"%.60s\" in several of its schemas is "
                           "not supported",
                           name);
        if (!had && json_object_set(all, name, value) != 0)
            return sw_fail(SW_ENOMEM, "no memory for a schema");
    }
    return SW_OK;
}

/* Adds what the schema asks of an object. */
static enum sw_status merge(const json_t *root, const json_t *schema, int depth, json_t *into)
{
    const char *name;
    json_t *value;
    if (depth == DEPTH_MAX)
        return sw_fail(SW_EINPUT, "\"allOf\" is nested deeper than %d", DEPTH_MAX);
    if (!json_is_object(schema) || sw_json_spelling(schema))
        return sw_fail(SW_EINPUT, "\"allOf\" must be a list of objects");
    json_object_foreach((json_t *)(uintptr_t)schema, name, value)
    {
        size_t i;
        json_t *one;
        if (strcmp(name, "allOf") == 0) {
            if (!json_is_array(value) || json_array_size(value) == 0)
                return sw_fail(SW_EINPUT, "\"allOf\" must be a list of schemas");
            json_array_foreach(value, i, one) SW_TRY(merge(root, one, depth + 1, into));
        } else if (strcmp(name, "$ref") == 0) {
            const json_t *to = sw_json_reference(root, json_string_value(value));
            if (!to)
                return sw_fail(SW_EINPUT, "\"$ref\" in \"allOf\" is not a place in the schema");
            SW_TRY(merge(root, to, depth + 1, into));
        } else if (strcmp(name, "properties") == 0) {
            SW_TRY(merge_properties(value, into));
        } else if (strcmp(name, "required") == 0) {
            SW_TRY(merge_required(value, into));
        } else if (!sw_json_says_nothing(name) &&
                   !(strcmp(name, "type") == 0 && json_is_string(value) &&
                     strcmp(json_string_value(value), "object") == 0) &&
                   !(strcmp(name, "additionalProperties") == 0 && json_is_true(value))) {
            return sw_fail(SW_EINPUT,
                           "\"%.60s\" of a schema in \"allOf\" is not supported: only objects "
                           "with \"properties\" are merged",
                           name);
        }
    }
    return SW_OK;
}

enum sw_status sw_json_all_of(const json_t *root, const json_t *schema, json_t **out)
{
    *out = json_pack("{s:s, s:{}, s:[]}", "type", "object", "properties", "required");
    if (!*out)
        return sw_fail(SW_ENOMEM, "no memory for a schema");
    return merge(root, schema, 0, *out);
}
