/* Owns the values of a running template: making, comparing, going through them. */
#include "jinja/jinja_value.h"
#include "base/json.h"
#include "base/utf8.h"
#include "jinja/jinja_run.h"

#include <math.h>
#include <string.h>

bool sw_value_same_text(const struct sw_value *a, const struct sw_value *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

bool sw_value_is_text(const struct sw_value *v, const char *text)
{
    return v->kind == SW_V_STRING && strlen(text) == v->length &&
           memcmp(v->text, text, v->length) == 0;
}

const char *sw_value_kind_name(const struct sw_value *v)
{
    static const char *const names[SW_V_KINDS] = {
        "nothing", "undefined", "none",  "bool",  "int",      "float",
        "string",  "list",      "tuple", "view",  "range",    "generator",
        "dict",    "namespace", "loop",  "macro", "function", "method"};
    return names[v->kind];
}

bool sw_value_length(const struct sw_value *v, size_t *n)
{
    switch (v->kind) {
    case SW_V_UNDEFINED:
        *n = 0;
        return true;
    case SW_V_STRING:
        *n = 0;
        for (size_t i = 0; i < v->length; i++)
            *n += ((unsigned char)v->text[i] & 0xc0) != 0x80;
        return true;
    case SW_V_LIST:
    case SW_V_TUPLE:
    case SW_V_VIEW:
        *n = v->list->count;
        return true;
    case SW_V_RANGE:
        *n = v->range->count;
        return true;
    case SW_V_DICT:
        *n = v->dict->count;
        return true;
    default:
        return false;
    }
}

bool sw_value_true(const struct sw_value *v)
{
    size_t n;
    switch (v->kind) {
    case SW_V_ABSENT:
    case SW_V_UNDEFINED:
    case SW_V_NONE:
        return false;
    case SW_V_BOOL:
        return v->boolean;
    case SW_V_INT:
        return v->integer != 0;
    case SW_V_FLOAT:
        return v->real != 0;
    case SW_V_STRING:
        return v->length > 0;
    default:
        return !sw_value_length(v, &n) || n > 0;
    }
}

bool sw_value_integer(const struct sw_value *v, int64_t *out)
{
    if (v->kind == SW_V_INT)
        *out = v->integer;
    else if (v->kind == SW_V_BOOL)
        *out = v->boolean;
    else
        return false;
    return true;
}

double sw_value_double(const struct sw_value *v)
{
    int64_t i = 0;
    return v->kind == SW_V_FLOAT ? v->real : sw_value_integer(v, &i) ? (double)i : NAN;
}

enum sw_status sw_value_list_new(struct sw_jinja_run *r, enum sw_value_kind kind, size_t capacity,
                                 struct sw_value *out)
{
    void *list, *items = NULL;
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_value_list), &list));
    if (capacity > (size_t)1 << 40)
        return sw_jinja_fail(r, "a list of %zu items is too long", capacity);
    if (capacity > 0)
        SW_TRY(sw_jinja_take(r, capacity * sizeof(struct sw_value), &items));
    *out = (struct sw_value){.kind = kind, .list = list};
    out->list->items = items;
    out->list->capacity = capacity;
    return SW_OK;
}

enum sw_status sw_value_list_add(struct sw_jinja_run *r, struct sw_value *list,
                                 const struct sw_value *item)
{
    struct sw_value_list *l = list->list;
    if (l->count == l->capacity) {
        void *items;
        const size_t capacity = l->capacity ? l->capacity * 2 : 4;
        SW_TRY(sw_jinja_take(r, capacity * sizeof *l->items, &items));
        if (l->count)
            memcpy(items, l->items, l->count * sizeof *l->items);
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = *item;
    return SW_OK;
}

enum sw_status sw_value_dict_new(struct sw_jinja_run *r, enum sw_value_kind kind,
                                 struct sw_value *out)
{
    void *dict;
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_value_dict), &dict));
    *out = (struct sw_value){.kind = kind, .dict = dict};
    return SW_OK;
}

static enum sw_status check_hashable(struct sw_jinja_run *r, const struct sw_value *key)
{
    if (key->kind == SW_V_LIST || key->kind == SW_V_DICT)
        return sw_jinja_fail(r, "a %s cannot be the key of a dict", sw_value_kind_name(key));
    if (key->kind != SW_V_TUPLE)
        return SW_OK;
    SW_TRY(sw_jinja_deeper(r));
    for (size_t i = 0; i < key->list->count; i++)
        SW_TRY(check_hashable(r, &key->list->items[i]));
    r->depth--;
    return SW_OK;
}

enum sw_status sw_value_dict_find(struct sw_jinja_run *r, const struct sw_value *dict,
                                  const struct sw_value *key, struct sw_value **found)
{
    struct sw_value_dict *d = dict->dict;
    *found = NULL;
    SW_TRY(check_hashable(r, key));
    SW_TRY(sw_jinja_charge(r, d->count / 16));
    for (size_t i = 0; i < d->count; i++) {
        const struct sw_value *own = &d->pairs[i].key;
        bool equal = own->kind == SW_V_STRING && key->kind == SW_V_STRING &&
                     own->length == key->length && memcmp(own->text, key->text, key->length) == 0;
        if (own->kind != SW_V_STRING && key->kind != SW_V_STRING)
            SW_TRY(sw_value_equal(r, own, key, &equal));
        if (equal) {
            *found = &d->pairs[i].value;
            return SW_OK;
        }
    }
    return SW_OK;
}

static enum sw_status append_pair(struct sw_jinja_run *r, struct sw_value_dict *d,
                                  const struct sw_value *key, const struct sw_value *value)
{
    if (d->count == d->capacity) {
        void *pairs;
        const size_t capacity = d->capacity ? d->capacity * 2 : 4;
        SW_TRY(sw_jinja_take(r, capacity * sizeof *d->pairs, &pairs));
        if (d->count)
            memcpy(pairs, d->pairs, d->count * sizeof *d->pairs);
        d->pairs = pairs;
        d->capacity = capacity;
    }
    d->pairs[d->count++] = (struct sw_value_pair){*key, *value};
    return SW_OK;
}

enum sw_status sw_value_dict_put(struct sw_jinja_run *r, struct sw_value *dict,
                                 const struct sw_value *key, const struct sw_value *value)
{
    struct sw_value *old;
    SW_TRY(sw_value_dict_find(r, dict, key, &old));
    if (!old)
        return append_pair(r, dict->dict, key, value);
    *old = *value;
    return SW_OK;
}

static enum sw_status list_from_json(struct sw_jinja_run *r, const json_t *json,
                                     struct sw_value *out)
{
    const size_t n = json_array_size(json);
    SW_TRY(sw_value_list_new(r, SW_V_LIST, n, out));
    for (size_t i = 0; i < n; i++)
        SW_TRY(sw_value_from_json(r, json_array_get(json, i), &out->list->items[i]));
    out->list->count = n;
    return SW_OK;
}

static enum sw_status dict_from_json(struct sw_jinja_run *r, const json_t *json,
                                     struct sw_value *out)
{
    const char *name;
    size_t n;
    json_t *member;
    SW_TRY(sw_value_dict_new(r, SW_V_DICT, out));
    json_object_keylen_foreach((json_t *)(uintptr_t)json, name, n, member)
    {
        const struct sw_value key = sw_value_text(name, n);
        struct sw_value value;
        SW_TRY(sw_value_from_json(r, member, &value));
        SW_TRY(append_pair(r, out->dict, &key, &value)); /* a JSON object's names are unique */
    }
    return SW_OK;
}

/* One that is kept as it is spelled: in Python infinite, NaN, or a long integer. */
static enum sw_status number_from_json(struct sw_jinja_run *r, const json_t *json,
                                       struct sw_value *out)
{
    double number;
    if (sw_json_is_integer(json))
        return sw_jinja_fail(r, "integers of more than 64 bits (%.40s) are not supported",
                             sw_json_spelling(json));
    sw_json_number(json, &number);
    *out = sw_value_real(number);
    return SW_OK;
}

enum sw_status sw_value_from_json(struct sw_jinja_run *r, const json_t *json, struct sw_value *out)
{
    enum sw_status status = SW_OK;
    SW_TRY(sw_jinja_deeper(r));
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT:
        status =
            sw_json_is_number(json) ? number_from_json(r, json, out) : dict_from_json(r, json, out);
        break;
    case JSON_ARRAY:
        status = list_from_json(r, json, out);
        break;
    case JSON_STRING:
        *out = sw_value_text(json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        *out = sw_value_int(json_integer_value(json));
        break;
    case JSON_REAL:
        *out = sw_value_real(json_real_value(json));
        break;
    case JSON_NULL:
        *out = sw_value_none();
        break;
    default:
        *out = sw_value_bool(json_is_true(json));
    }
    r->depth--;
    return status;
}

struct sw_value sw_value_at(const struct sw_value *v, size_t i)
{
    if (v->kind == SW_V_RANGE)
        return sw_value_int(v->range->start + (int64_t)i * v->range->step);
    return v->list->items[i];
}

static enum sw_status text_characters(struct sw_jinja_run *r, const struct sw_value *v,
                                      struct sw_value *out)
{
    size_t n;
    int length;
    sw_value_length(v, &n);
    SW_TRY(sw_value_list_new(r, SW_V_LIST, n, out));
    for (size_t at = 0; at < v->length; at += (size_t)length) {
        sw_utf8_decode(v->text + at, &length);
        out->list->items[out->list->count++] = sw_value_text(v->text + at, (size_t)length);
    }
    return sw_jinja_charge(r, n);
}

enum sw_status sw_value_items(struct sw_jinja_run *r, const struct sw_value *v,
                              struct sw_value *out)
{
    switch (v->kind) {
    case SW_V_UNDEFINED:
        if (v->refused)
            return sw_jinja_defined(r, v);
        return sw_value_list_new(r, SW_V_LIST, 0, out);
    case SW_V_STRING:
        return text_characters(r, v, out);
    case SW_V_LIST:
    case SW_V_TUPLE:
    case SW_V_VIEW:
        *out = *v;
        out->kind = SW_V_LIST;
        return SW_OK;
    case SW_V_GENERATOR:
        SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, out));
        if (v->list->count > v->list->taken)
            out->list->items = v->list->items + v->list->taken;
        out->list->count = out->list->capacity = v->list->count - v->list->taken;
        v->list->taken = v->list->count;
        return SW_OK;
    case SW_V_RANGE:
        SW_TRY(sw_jinja_charge(r, v->range->count));
        SW_TRY(sw_value_list_new(r, SW_V_LIST, v->range->count, out));
        for (size_t i = 0; i < v->range->count; i++)
            out->list->items[out->list->count++] = sw_value_at(v, i);
        return SW_OK;
    case SW_V_DICT:
        SW_TRY(sw_jinja_charge(r, v->dict->count));
        SW_TRY(sw_value_list_new(r, SW_V_LIST, v->dict->count, out));
        for (size_t i = 0; i < v->dict->count; i++)
            out->list->items[out->list->count++] = v->dict->pairs[i].key;
        return SW_OK;
    default:
        return sw_jinja_fail(r,
                             "cannot go through the items of a %s: expected a list, a dict or a "
                             "string",
                             sw_value_kind_name(v));
    }
}

static enum sw_status lists_equal(struct sw_jinja_run *r, const struct sw_value *a,
                                  const struct sw_value *b, bool *equal)
{
    size_t n, m;
    sw_value_length(a, &n);
    sw_value_length(b, &m);
    *equal = n == m;
    for (size_t i = 0; *equal && i < n; i++) {
        const struct sw_value x = sw_value_at(a, i), y = sw_value_at(b, i);
        SW_TRY(sw_value_equal(r, &x, &y, equal));
    }
    return SW_OK;
}

static enum sw_status dicts_equal(struct sw_jinja_run *r, const struct sw_value *a,
                                  const struct sw_value *b, bool *equal)
{
    *equal = a->dict->count == b->dict->count;
    for (size_t i = 0; *equal && i < a->dict->count; i++) {
        struct sw_value *other;
        SW_TRY(sw_value_dict_find(r, b, &a->dict->pairs[i].key, &other));
        *equal = other != NULL;
        if (other)
            SW_TRY(sw_value_equal(r, &a->dict->pairs[i].value, other, equal));
    }
    return SW_OK;
}

enum sw_status sw_value_equal(struct sw_jinja_run *r, const struct sw_value *a,
                              const struct sw_value *b, bool *equal)
{
    int64_t x, y;
    SW_TRY(sw_jinja_charge(r, 1));
    if (sw_value_is_number(a) && sw_value_is_number(b)) {
        *equal = sw_value_integer(a, &x) && sw_value_integer(b, &y)
                     ? x == y
                     : sw_value_double(a) == sw_value_double(b);
        return SW_OK;
    }
    *equal = false;
    if (a->kind != b->kind)
        return SW_OK;
    switch (a->kind) {
    case SW_V_UNDEFINED:
    case SW_V_NONE:
        *equal = true;
        return SW_OK;
    case SW_V_STRING:
        SW_TRY(sw_jinja_charge(r, a->length / 64));
        *equal = sw_value_same_text(a, b);
        return SW_OK;
    case SW_V_LIST:
    case SW_V_TUPLE:
    case SW_V_RANGE:
    case SW_V_DICT:
        if (a->list == b->list) { /* the same object; Python does not compare its items either */
            *equal = true;
            return SW_OK;
        }
        SW_TRY(sw_jinja_deeper(r));
        SW_TRY(a->kind == SW_V_DICT ? dicts_equal(r, a, b, equal) : lists_equal(r, a, b, equal));
        r->depth--;
        return SW_OK;
    default:
        *equal = a->list == b->list; /* the same thing */
        return SW_OK;
    }
}

static int compare_reals(double a, double b)
{
    return a < b ? -1 : a > b;
}

static enum sw_status compare_lists(struct sw_jinja_run *r, const struct sw_value *a,
                                    const struct sw_value *b, int *order)
{
    const size_t n = a->list->count, m = b->list->count;
    SW_TRY(sw_jinja_deeper(r));
    for (size_t i = 0; i < n && i < m; i++) {
        bool equal;
        SW_TRY(sw_value_equal(r, &a->list->items[i], &b->list->items[i], &equal));
        if (equal)
            continue;
        SW_TRY(sw_value_compare(r, &a->list->items[i], &b->list->items[i], order));
        r->depth--;
        return SW_OK;
    }
    *order = n < m ? -1 : n > m;
    r->depth--;
    return SW_OK;
}

enum sw_status sw_value_compare(struct sw_jinja_run *r, const struct sw_value *a,
                                const struct sw_value *b, int *order)
{
    int64_t x, y;
    SW_TRY(sw_jinja_charge(r, 1));
    SW_TRY(sw_jinja_defined(r, a));
    SW_TRY(sw_jinja_defined(r, b));
    if (sw_value_integer(a, &x) && sw_value_integer(b, &y)) {
        *order = x < y ? -1 : x > y;
        return SW_OK;
    }
    if (sw_value_is_number(a) && sw_value_is_number(b)) {
        *order = compare_reals(sw_value_double(a), sw_value_double(b));
        return SW_OK;
    }
    if (a->kind == b->kind && (a->kind == SW_V_LIST || a->kind == SW_V_TUPLE))
        return compare_lists(r, a, b, order);
    if (a->kind != b->kind || a->kind != SW_V_STRING)
        return sw_jinja_fail(r, "a %s and a %s have no order", sw_value_kind_name(a),
                             sw_value_kind_name(b));
    const size_t n = a->length < b->length ? a->length : b->length;
    SW_TRY(sw_jinja_charge(r, n / 64));
    const int c = n ? memcmp(a->text, b->text, n) : 0;
    *order = c ? c : a->length < b->length ? -1 : a->length > b->length;
    return SW_OK;
}

enum sw_status sw_value_contains(struct sw_jinja_run *r, const struct sw_value *container,
                                 const struct sw_value *item, bool *found)
{
    *found = false;
    if (container->kind == SW_V_STRING) {
        SW_TRY(sw_jinja_defined(r, item));
        SW_TRY(sw_jinja_want_text(r, item, "'in' of a string"));
        SW_TRY(sw_jinja_charge(r, container->length / 64));
        *found = item->length == 0 ||
                 memmem(container->text, container->length, item->text, item->length) != NULL;
        return SW_OK;
    }
    if (container->kind == SW_V_DICT) {
        struct sw_value *value;
        SW_TRY(sw_value_dict_find(r, container, item, &value));
        *found = value != NULL;
        return SW_OK;
    }
    struct sw_value items;
    SW_TRY(sw_value_items(r, container, &items));
    for (size_t i = 0; !*found && i < items.list->count; i++)
        SW_TRY(sw_value_equal(r, &items.list->items[i], item, found));
    return SW_OK;
}
