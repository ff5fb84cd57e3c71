/* Owns the filters of lists, but for sorting (jinja_sort.c). */
#include "jinja/jinja_lists.h"
#include "jinja/jinja_run.h"

#include <string.h>

/* The result of map, select and the like: a list that can be iterated once. */
static enum sw_status new_generator(struct sw_jinja_run *r, struct sw_value *out)
{
    return sw_value_list_new(r, SW_V_GENERATOR, 0, out);
}

enum sw_status sw_jinja_path(struct sw_jinja_run *r, const struct sw_value *item,
                             const struct sw_value *path, struct sw_value *out)
{
    *out = *item;
    if (path->kind == SW_V_ABSENT || path->kind == SW_V_NONE)
        return SW_OK;
    if (path->kind != SW_V_STRING)
        return sw_jinja_item(r, item, path, out);
    const char *at = path->text, *end = at + path->length;
    for (;;) {
        const char *dot = memchr(at, '.', (size_t)(end - at)), *stop = dot ? dot : end;
        struct sw_value key = sw_value_text(at, (size_t)(stop - at)), found;
        int64_t number = 0;
        bool digits = stop > at && stop - at < 10;
        for (const char *c = at; digits && c < stop; c++) {
            digits = *c >= '0' && *c <= '9';
            number = number * 10 + (*c - '0');
        }
        if (digits)
            key = sw_value_int(number);
        SW_TRY(sw_jinja_charge(r, 1));
        SW_TRY(sw_jinja_item(r, out, &key, &found));
        *out = found;
        if (!dot)
            return SW_OK;
        at = dot + 1;
    }
}

static enum sw_status filter_length(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    size_t n;
    if (call->self.refused || !sw_value_length(&call->self, &n))
        return sw_jinja_fail(r, "a %s has no length", sw_value_kind_name(&call->self));
    *out = sw_value_int((int64_t)n);
    return SW_OK;
}

static enum sw_status filter_first(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    const struct sw_value *self = &call->self;
    struct sw_value items;
    *out = sw_value_undefined("the first of nothing", 20);
    if (self->kind == SW_V_GENERATOR) {
        if (self->list->taken < self->list->count)
            *out = self->list->items[self->list->taken++];
        return SW_OK;
    }
    SW_TRY(sw_value_items(r, self, &items));
    if (items.list->count)
        *out = items.list->items[0];
    return SW_OK;
}

static enum sw_status filter_last(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    struct sw_value items;
    if (call->self.kind == SW_V_GENERATOR)
        return sw_jinja_fail(r, "last wants a list, got a generator: put |list before it");
    SW_TRY(sw_value_items(r, &call->self, &items));
    const size_t n = items.list->count;
    *out = n ? items.list->items[n - 1] : sw_value_undefined("the last of nothing", 19);
    return SW_OK;
}

static enum sw_status filter_list(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    return sw_value_items(r, &call->self, out);
}

static enum sw_status join_into(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_strbuf *buf)
{
    struct sw_value items, separator = sw_value_text("", 0), value;
    if (call->n > 0 && call->args[0].kind != SW_V_ABSENT)
        SW_TRY(sw_value_to_text(r, &call->args[0], &separator));
    SW_TRY(sw_value_items(r, &call->self, &items));
    for (size_t i = 0; i < items.list->count && !buf->failed; i++) {
        value = items.list->items[i];
        if (call->n > 1)
            SW_TRY(sw_jinja_path(r, &items.list->items[i], &call->args[1], &value));
        sw_jinja_put(r, buf, separator.text, i ? separator.length : 0);
        SW_TRY(sw_jinja_charge(r, 1));
        SW_TRY(sw_value_print(r, &value, buf));
    }
    return SW_OK;
}

/* d attribute */
static enum sw_status filter_join(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    const enum sw_status status = join_into(r, call, &buf);
    if (status == SW_OK)
        return sw_jinja_text(r, &buf, out);
    sw_strbuf_free(&buf);
    return status;
}

static enum sw_status filter_reverse(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     struct sw_value *out)
{
    const struct sw_value back[3] = {{0}, {0}, sw_value_int(-1)};
    struct sw_value items;
    if (call->self.kind == SW_V_STRING)
        return sw_jinja_slice(r, &call->self, back, out);
    SW_TRY(sw_value_items(r, &call->self, &items));
    SW_TRY(sw_jinja_slice(r, &items, back, out));
    out->kind = SW_V_GENERATOR;
    return SW_OK;
}

static const struct sw_value *find_named(const struct sw_jinja_call *call, const char *name)
{
    for (size_t i = 0; i < call->n_named; i++)
        if (sw_value_is_text(&call->named[i].key, name))
            return &call->named[i].value;
    return NULL;
}

/* map(attribute=…, default=…) or map("filter", its arguments …) */
static enum sw_status filter_map(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    struct sw_value items;
    const struct sw_value *path = find_named(call, "attribute"),
                          *otherwise = find_named(call, "default");
    SW_TRY(new_generator(r, out));
    if (!sw_value_true(&call->self))
        return SW_OK;
    if (call->n > 0)
        SW_TRY(sw_jinja_want_text(r, &call->args[0], "map"));
    else if (!path)
        return sw_jinja_fail(r, "map wants a filter's name or attribute=…");
    SW_TRY(sw_value_items(r, &call->self, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        struct sw_value value;
        SW_TRY(sw_jinja_charge(r, 1));
        if (call->n > 0) {
            const struct sw_jinja_call inner = {.self = items.list->items[i],
                                                .args = call->args + 1,
                                                .n = call->n - 1,
                                                .named = call->named,
                                                .n_named = call->n_named};
            SW_TRY(sw_jinja_deeper(r));
            SW_TRY(sw_jinja_filter(r, &call->args[0], &inner, &value));
            r->depth--;
        } else {
            SW_TRY(sw_jinja_path(r, &items.list->items[i], path, &value));
            if (value.kind == SW_V_UNDEFINED && otherwise)
                value = *otherwise;
        }
        SW_TRY(sw_value_list_add(r, out, &value));
    }
    return SW_OK;
}

/* The items that pass (or fail) a test, of themselves or of an attribute. */
static enum sw_status select_items(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   bool wanted, bool attribute, struct sw_value *out)
{
    struct sw_value items, subject;
    const size_t skip = attribute ? 1 : 0;
    SW_TRY(new_generator(r, out));
    if (!sw_value_true(&call->self))
        return SW_OK;
    if (attribute && call->n == 0)
        return sw_jinja_fail(r, "selectattr and rejectattr want an attribute's name");
    if (call->n > skip)
        SW_TRY(sw_jinja_want_text(r, &call->args[skip], "the name of a test"));
    SW_TRY(sw_value_items(r, &call->self, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        SW_TRY(sw_jinja_charge(r, 1));
        subject = items.list->items[i];
        if (attribute)
            SW_TRY(sw_jinja_path(r, &items.list->items[i], &call->args[0], &subject));
        bool passes = sw_value_true(&subject);
        if (call->n > skip) {
            const struct sw_jinja_call inner = {.self = subject,
                                                .args = call->args + skip + 1,
                                                .n = call->n - skip - 1,
                                                .named = call->named,
                                                .n_named = call->n_named};
            SW_TRY(sw_jinja_test(r, &call->args[skip], &inner, &passes));
        }
        if (passes == wanted)
            SW_TRY(sw_value_list_add(r, out, &items.list->items[i]));
    }
    return SW_OK;
}

static enum sw_status filter_select(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    return select_items(r, call, true, false, out);
}

static enum sw_status filter_reject(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    return select_items(r, call, false, false, out);
}

static enum sw_status filter_selectattr(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                        struct sw_value *out)
{
    return select_items(r, call, true, true, out);
}

static enum sw_status filter_rejectattr(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                        struct sw_value *out)
{
    return select_items(r, call, false, true, out);
}

/* attribute start */
static enum sw_status filter_sum(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    struct sw_value items, value;
    *out = call->args[1].kind == SW_V_ABSENT ? sw_value_int(0) : call->args[1];
    SW_TRY(sw_value_items(r, &call->self, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        const struct sw_value so_far = *out;
        SW_TRY(sw_jinja_charge(r, 1));
        SW_TRY(sw_jinja_path(r, &items.list->items[i], &call->args[0], &value));
        SW_TRY(sw_jinja_binary(r, '+', &so_far, &value, out));
    }
    return SW_OK;
}

/* The argument `v` of a filter: a number of lists or items, 1 or more. */
static enum sw_status want_count(struct sw_jinja_run *r, const struct sw_value *v, const char *name,
                                 size_t *out)
{
    int64_t count;
    SW_TRY(sw_jinja_want_integer(r, v, name, &count));
    if (count < 1 || count > INT32_MAX)
        return sw_jinja_fail(r, "%s wants a count of at least 1, got %lld", name, (long long)count);
    *out = (size_t)count;
    return SW_OK;
}

/* linecount fill_with: lists of so many items */
static enum sw_status filter_batch(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    struct sw_value items, group;
    size_t size;
    SW_TRY(want_count(r, &call->args[0], "batch", &size));
    SW_TRY(sw_value_items(r, &call->self, &items));
    SW_TRY(new_generator(r, out));
    const size_t n = items.list->count;
    const struct sw_value *fill = &call->args[1];
    for (size_t i = 0; i < n; i += size) {
        SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, &group));
        for (size_t k = i; k < i + size; k++) {
            if (k >= n && (fill->kind == SW_V_ABSENT || fill->kind == SW_V_NONE))
                break;
            SW_TRY(sw_jinja_charge(r, 1));
            SW_TRY(sw_value_list_add(r, &group, k < n ? &items.list->items[k] : fill));
        }
        SW_TRY(sw_value_list_add(r, out, &group));
    }
    return SW_OK;
}

/* slices fill_with: so many lists, of equal length but for one */
static enum sw_status filter_slice(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    struct sw_value items, group;
    size_t count;
    SW_TRY(want_count(r, &call->args[0], "slice", &count));
    SW_TRY(sw_value_items(r, &call->self, &items));
    SW_TRY(new_generator(r, out));
    const size_t each = items.list->count / count, more = items.list->count % count;
    const struct sw_value *fill = &call->args[1];
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        SW_TRY(sw_jinja_charge(r, 1 + each));
        SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, &group));
        for (size_t k = 0; k < each + (i < more); k++)
            SW_TRY(sw_value_list_add(r, &group, &items.list->items[at++]));
        if (i >= more && fill->kind != SW_V_ABSENT && fill->kind != SW_V_NONE)
            SW_TRY(sw_value_list_add(r, &group, fill));
        SW_TRY(sw_value_list_add(r, out, &group));
    }
    return SW_OK;
}

enum sw_status sw_jinja_pairs(struct sw_jinja_run *r, const struct sw_value *dict,
                              enum sw_value_kind kind, struct sw_value *out)
{
    const size_t n = dict->dict->count;
    SW_TRY(sw_jinja_charge(r, n));
    SW_TRY(sw_value_list_new(r, kind, n, out));
    for (size_t i = 0; i < n; i++) {
        struct sw_value *pair = &out->list->items[i];
        SW_TRY(sw_value_list_new(r, SW_V_TUPLE, 2, pair));
        pair->list->items[0] = dict->dict->pairs[i].key;
        pair->list->items[1] = dict->dict->pairs[i].value;
        pair->list->count = 2;
    }
    out->list->count = n;
    return SW_OK;
}

static enum sw_status filter_items(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    if (call->self.kind == SW_V_UNDEFINED && !call->self.refused)
        return new_generator(r, out);
    if (call->self.kind != SW_V_DICT)
        return sw_jinja_fail(r, "items wants a dict, got a %s", sw_value_kind_name(&call->self));
    return sw_jinja_pairs(r, &call->self, SW_V_GENERATOR, out);
}

const struct sw_builtin sw_jinja_list_filters[] = {
    {"length", "", 0, filter_length},
    {"count", "", 0, filter_length},
    {"first", "", 0, filter_first},
    {"last", "", 0, filter_last},
    {"list", "", 0, filter_list},
    {"join", "d attribute", 0, filter_join},
    {"reverse", "", 0, filter_reverse},
    {"map", NULL, 0, filter_map},
    {"select", NULL, 0, filter_select},
    {"reject", NULL, 0, filter_reject},
    {"selectattr", NULL, 0, filter_selectattr},
    {"rejectattr", NULL, 0, filter_rejectattr},
    {"items", "", 0, filter_items},
    {"sum", "attribute start", 0, filter_sum},
    {"batch", "linecount fill_with", 1, filter_batch},
    {"slice", "slices fill_with", 1, filter_slice},
    {"sort", "reverse case_sensitive attribute", 0, sw_jinja_sort},
    {"dictsort", "case_sensitive by reverse", 0, sw_jinja_dictsort},
    {"unique", "case_sensitive attribute", 0, sw_jinja_unique},
    {"groupby", "attribute default case_sensitive", 1, sw_jinja_groupby},
    {"min", "case_sensitive attribute", 0, sw_jinja_min},
    {"max", "case_sensitive attribute", 0, sw_jinja_max},
};
const size_t sw_jinja_n_list_filters =
    sizeof sw_jinja_list_filters / sizeof sw_jinja_list_filters[0];
