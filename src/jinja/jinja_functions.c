/* Owns the functions templates may call, and the methods of dicts and lists. */
#include "jinja/jinja_lists.h"
#include "jinja/jinja_run.h"

#include <string.h>
#include <time.h>

#define RANGE_MAX 100000 /* the sandbox's own limit */

static enum sw_status function_range(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     struct sw_value *out)
{
    int64_t part[3] = {0, 0, 1};
    void *made;
    for (size_t i = 0; i < 3; i++)
        SW_TRY(sw_jinja_want_integer(r, &call->args[i], "range", &part[i]));
    if (call->args[1].kind == SW_V_ABSENT) {
        part[1] = part[0];
        part[0] = 0;
    }
    if (part[2] == 0)
        return sw_jinja_fail(r, "range: the step is zero");
    const double span = ((double)part[1] - (double)part[0]) / (double)part[2];
    if (span > RANGE_MAX)
        return sw_jinja_fail(r, "range: more than %d numbers", RANGE_MAX);
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_value_range), &made));
    *out = (struct sw_value){.kind = SW_V_RANGE, .range = made};
    *out->range = (struct sw_value_range){part[0], part[1], part[2], 0};
    if (span > 0) {
        /* Within RANGE_MAX steps of each other, so nothing here overflows. */
        const uint64_t distance = part[2] > 0 ? (uint64_t)part[1] - (uint64_t)part[0]
                                              : (uint64_t)part[0] - (uint64_t)part[1];
        const uint64_t step = part[2] > 0 ? (uint64_t)part[2] : 0 - (uint64_t)part[2];
        out->range->count = (size_t)(distance / step + (distance % step != 0));
    }
    return SW_OK;
}

static enum sw_status dict_add_pairs(struct sw_jinja_run *r, const struct sw_value_pair *pairs,
                                     size_t n, struct sw_value *out)
{
    for (size_t i = 0; i < n; i++)
        SW_TRY(sw_value_dict_put(r, out, &pairs[i].key, &pairs[i].value));
    return SW_OK;
}

/* dict(a=1), dict({…}), dict([[key, value], …]) */
static enum sw_status fill_dict(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                enum sw_value_kind kind, struct sw_value *out)
{
    struct sw_value items, pair;
    SW_TRY(sw_value_dict_new(r, kind, out));
    if (call->n > 1)
        return sw_jinja_fail(r, "dict and namespace take one value and name=… arguments");
    if (call->n == 1 && (call->args[0].kind == SW_V_DICT || call->args[0].kind == SW_V_NAMESPACE)) {
        SW_TRY(dict_add_pairs(r, call->args[0].dict->pairs, call->args[0].dict->count, out));
    } else if (call->n == 1) {
        SW_TRY(sw_value_items(r, &call->args[0], &items));
        for (size_t i = 0; i < items.list->count; i++) {
            SW_TRY(sw_value_items(r, &items.list->items[i], &pair));
            if (pair.list->count != 2)
                return sw_jinja_fail(r, "dict wants pairs, got %zu values", pair.list->count);
            SW_TRY(sw_value_dict_put(r, out, &pair.list->items[0], &pair.list->items[1]));
        }
    }
    return dict_add_pairs(r, call->named, call->n_named, out);
}

static enum sw_status function_dict(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    return fill_dict(r, call, SW_V_DICT, out);
}

static enum sw_status function_namespace(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                         struct sw_value *out)
{
    SW_TRY(fill_dict(r, call, SW_V_NAMESPACE, out));
    for (size_t i = 0; i < out->dict->count; i++) {
        const struct sw_value *key = &out->dict->pairs[i].key;
        if (key->kind == SW_V_STRING && key->length && key->text[0] == '_')
            return sw_jinja_fail(r, "a namespace's attribute must not begin with '_': %.*s",
                                 key->length > 100 ? 100 : (int)key->length, key->text);
    }
    return SW_OK;
}

static enum sw_status function_raise_exception(struct sw_jinja_run *r,
                                               const struct sw_jinja_call *call,
                                               struct sw_value *out)
{
    SW_TRY(sw_value_to_text(r, &call->args[0], out));
    return sw_fail(SW_EINPUT, "the template refuses the conversation: %.*s",
                   out->length > 1000 ? 1000 : (int)out->length, out->text);
}

/* The time here and now, as strftime writes it. */
static enum sw_status function_strftime_now(struct sw_jinja_run *r,
                                            const struct sw_jinja_call *call, struct sw_value *out)
{
    char format[256], text[1024];
    struct tm now;
    const time_t seconds = time(NULL);
    SW_TRY(sw_jinja_want_text(r, &call->args[0], "strftime_now"));
    if (call->args[0].length >= sizeof format - 1)
        return sw_jinja_fail(r, "strftime_now: a format of %zu bytes is too long",
                             call->args[0].length);
    memcpy(format, call->args[0].text, call->args[0].length);
    memcpy(format + call->args[0].length, " ", 2); /* so that no result is an error */
    localtime_r(&seconds, &now);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const size_t n = strftime(text, sizeof text, format, &now);
#pragma GCC diagnostic pop
    if (n == 0)
        return sw_jinja_fail(r, "strftime_now: the result is too long");
    void *copy;
    SW_TRY(sw_jinja_take(r, n, &copy));
    *out = sw_value_text(memcpy(copy, text, n - 1), n - 1);
    return SW_OK;
}

const struct sw_builtin sw_jinja_functions[] = {
    {"range", "start stop step", 1, function_range},
    {"dict", NULL, 0, function_dict},
    {"namespace", NULL, 0, function_namespace},
    {"raise_exception", "message", 1, function_raise_exception},
    {"strftime_now", "format", 1, function_strftime_now},
};
const size_t sw_jinja_n_functions = sizeof sw_jinja_functions / sizeof sw_jinja_functions[0];

/* key default */
static enum sw_status dict_get(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out)
{
    struct sw_value *found;
    SW_TRY(sw_value_dict_find(r, &call->self, &call->args[0], &found));
    *out = found ? *found : call->args[1].kind == SW_V_ABSENT ? sw_value_none() : call->args[1];
    return SW_OK;
}

static enum sw_status dict_items(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    SW_TRY(sw_jinja_pairs(r, &call->self, SW_V_VIEW, out));
    out->list->name = "dict_items";
    return SW_OK;
}

/* One half of each pair. */
static enum sw_status dict_half(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                bool values, struct sw_value *out)
{
    const struct sw_value_dict *d = call->self.dict;
    SW_TRY(sw_jinja_charge(r, d->count));
    SW_TRY(sw_value_list_new(r, SW_V_VIEW, d->count, out));
    for (size_t i = 0; i < d->count; i++)
        out->list->items[i] = values ? d->pairs[i].value : d->pairs[i].key;
    out->list->count = d->count;
    out->list->name = values ? "dict_values" : "dict_keys";
    return SW_OK;
}

static enum sw_status dict_keys(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    return dict_half(r, call, false, out);
}

static enum sw_status dict_values(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    return dict_half(r, call, true, out);
}

static enum sw_status method_copy(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    (void)r;
    *out = call->self;
    return SW_OK;
}

static enum sw_status list_index(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    for (size_t i = 0; i < call->self.list->count; i++) {
        bool same;
        SW_TRY(sw_value_equal(r, &call->self.list->items[i], &call->args[0], &same));
        if (same) {
            *out = sw_value_int((int64_t)i);
            return SW_OK;
        }
    }
    return sw_jinja_fail(r, "index: the value is not in the list");
}

static enum sw_status list_count(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < call->self.list->count; i++) {
        bool same;
        SW_TRY(sw_value_equal(r, &call->self.list->items[i], &call->args[0], &same));
        n += same;
    }
    *out = sw_value_int(n);
    return SW_OK;
}

/* Without a function: what the sandbox forbids, for it would change the value. */
const struct sw_builtin sw_jinja_dict_methods[] = {
    {"get", "key default", 1, dict_get},
    {"items", "", 0, dict_items},
    {"keys", "", 0, dict_keys},
    {"values", "", 0, dict_values},
    {"copy", "", 0, method_copy},
    {"clear", NULL, 0, NULL},
    {"pop", NULL, 0, NULL},
    {"popitem", NULL, 0, NULL},
    {"setdefault", NULL, 0, NULL},
    {"update", NULL, 0, NULL},
};
const size_t sw_jinja_n_dict_methods =
    sizeof sw_jinja_dict_methods / sizeof sw_jinja_dict_methods[0];

const struct sw_builtin sw_jinja_list_methods[] = {
    {"index", "value", 1, list_index}, {"count", "value", 1, list_count},
    {"copy", "", 0, method_copy},      {"append", NULL, 0, NULL},
    {"clear", NULL, 0, NULL},          {"pop", NULL, 0, NULL},
    {"reverse", NULL, 0, NULL},        {"insert", NULL, 0, NULL},
    {"sort", NULL, 0, NULL},           {"extend", NULL, 0, NULL},
    {"remove", NULL, 0, NULL},
};
const size_t sw_jinja_n_list_methods =
    sizeof sw_jinja_list_methods / sizeof sw_jinja_list_methods[0];
