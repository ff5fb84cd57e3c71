/* Owns the filters that order or compare a list's items. */
#include "jinja/jinja_chars.h"
#include "jinja/jinja_lists.h"
#include "jinja/jinja_run.h"

#include <string.h>

/* An item and what it is ordered by. */
struct keyed {
    struct sw_value key, item;
};

static enum sw_status fold_case(struct sw_jinja_run *r, bool case_sensitive, struct sw_value *key)
{
    const struct sw_jinja_call call = {.self = *key};
    return case_sensitive || key->kind != SW_V_STRING ? SW_OK : sw_text_lower(r, &call, key);
}

/* Merges the sorted halves of items[0..n) through `spare`; what is equal keeps its order. */
static enum sw_status merge_halves(struct sw_jinja_run *r, struct keyed *items, size_t n,
                                   struct keyed *spare, bool reverse)
{
    size_t a = 0, b = n / 2, at = 0;
    while (a < n / 2 && b < n) {
        int order;
        SW_TRY(sw_value_compare(r, &items[b].key, &items[a].key, &order));
        spare[at++] = (reverse ? order > 0 : order < 0) ? items[b++] : items[a++];
    }
    while (a < n / 2)
        spare[at++] = items[a++];
    memcpy(items, spare, at * sizeof *items);
    return SW_OK;
}

static enum sw_status merge_sort(struct sw_jinja_run *r, struct keyed *items, size_t n,
                                 struct keyed *spare, bool reverse)
{
    if (n < 2)
        return SW_OK;
    SW_TRY(sw_jinja_charge(r, n / 8));
    SW_TRY(merge_sort(r, items, n / 2, spare, reverse));
    SW_TRY(merge_sort(r, items + n / 2, n - n / 2, spare, reverse));
    return merge_halves(r, items, n, spare, reverse);
}

/* Room for n keyed items twice over. */
static enum sw_status new_keyed(struct sw_jinja_run *r, size_t n, struct keyed **out)
{
    void *taken;
    SW_TRY(sw_jinja_take(r, (2 * n + 1) * sizeof(struct keyed), &taken));
    *out = taken;
    return SW_OK;
}

/* The keys of "a,b": a list of both, compared one after the other. */
static enum sw_status make_sort_key(struct sw_jinja_run *r, const struct sw_value *item,
                                    const struct sw_value *paths, bool case_sensitive,
                                    struct sw_value *out)
{
    struct sw_value key, path = *paths;
    const bool text = paths->kind == SW_V_STRING;
    const char *at = text ? paths->text : "", *end = at + (text ? paths->length : 0);
    SW_TRY(sw_value_list_new(r, SW_V_LIST, 1, out));
    do {
        if (text) {
            const char *comma = memchr(at, ',', (size_t)(end - at));
            path = sw_value_text(at, (size_t)((comma ? comma : end) - at));
            at = comma ? comma + 1 : NULL;
        }
        SW_TRY(sw_jinja_path(r, item, &path, &key));
        SW_TRY(fold_case(r, case_sensitive, &key));
        SW_TRY(sw_value_list_add(r, out, &key));
    } while (text && at);
    return SW_OK;
}

static enum sw_status sorted_items(struct sw_jinja_run *r, const struct sw_value *items,
                                   const struct keyed *keyed, struct sw_value *out)
{
    const size_t n = items->list->count;
    SW_TRY(sw_value_list_new(r, SW_V_LIST, n, out));
    for (size_t i = 0; i < n; i++)
        out->list->items[i] = keyed[i].item;
    out->list->count = n;
    return SW_OK;
}

/* reverse case_sensitive attribute */
enum sw_status sw_jinja_sort(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                             struct sw_value *out)
{
    struct sw_value items;
    struct keyed *keyed;
    SW_TRY(sw_value_items(r, &call->self, &items));
    const size_t n = items.list->count;
    SW_TRY(new_keyed(r, n, &keyed));
    for (size_t i = 0; i < n; i++) {
        keyed[i].item = items.list->items[i];
        SW_TRY(make_sort_key(r, &keyed[i].item, &call->args[2], sw_value_true(&call->args[1]),
                             &keyed[i].key));
    }
    SW_TRY(merge_sort(r, keyed, n, keyed + n, sw_value_true(&call->args[0])));
    return sorted_items(r, &items, keyed, out);
}

/* case_sensitive by reverse */
enum sw_status sw_jinja_dictsort(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    struct sw_value items;
    struct keyed *keyed;
    const bool by_value = sw_value_is_text(&call->args[1], "value");
    SW_TRY(sw_jinja_defined(r, &call->self));
    if (call->self.kind != SW_V_DICT)
        return sw_jinja_fail(r, "dictsort wants a dict, got a %s", sw_value_kind_name(&call->self));
    if (call->args[1].kind != SW_V_ABSENT && !by_value && !sw_value_is_text(&call->args[1], "key"))
        return sw_jinja_fail(r, "dictsort(by) wants 'key' or 'value'");
    SW_TRY(sw_jinja_pairs(r, &call->self, SW_V_LIST, &items));
    const size_t n = items.list->count;
    SW_TRY(new_keyed(r, n, &keyed));
    for (size_t i = 0; i < n; i++) {
        keyed[i].item = items.list->items[i];
        keyed[i].key = keyed[i].item.list->items[by_value];
        SW_TRY(fold_case(r, sw_value_true(&call->args[0]), &keyed[i].key));
    }
    SW_TRY(merge_sort(r, keyed, n, keyed + n, sw_value_true(&call->args[2])));
    return sorted_items(r, &items, keyed, out);
}

/* case_sensitive attribute */
enum sw_status sw_jinja_unique(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out)
{
    struct sw_value items, seen, *found;
    const struct sw_value none = sw_value_none();
    SW_TRY(sw_value_items(r, &call->self, &items));
    SW_TRY(sw_value_dict_new(r, SW_V_DICT, &seen));
    SW_TRY(sw_value_list_new(r, SW_V_GENERATOR, 0, out));
    for (size_t i = 0; i < items.list->count; i++) {
        struct sw_value key;
        SW_TRY(sw_jinja_path(r, &items.list->items[i], &call->args[1], &key));
        SW_TRY(fold_case(r, sw_value_true(&call->args[0]), &key));
        SW_TRY(sw_value_dict_find(r, &seen, &key, &found));
        if (found)
            continue;
        SW_TRY(sw_value_dict_put(r, &seen, &key, &none));
        SW_TRY(sw_value_list_add(r, out, &items.list->items[i]));
    }
    return SW_OK;
}

/* What groupby puts the item with. */
static enum sw_status group_key(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                const struct sw_value *item, struct sw_value *out)
{
    SW_TRY(sw_jinja_path(r, item, &call->args[0], out));
    if (out->kind == SW_V_UNDEFINED && call->args[1].kind != SW_V_ABSENT)
        *out = call->args[1];
    return SW_OK;
}

/* attribute default case_sensitive: tuples of the attribute's value and the items that have it */
enum sw_status sw_jinja_groupby(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    struct sw_value items, group, value;
    struct keyed *keyed;
    SW_TRY(sw_value_items(r, &call->self, &items));
    const size_t n = items.list->count;
    SW_TRY(new_keyed(r, n, &keyed));
    for (size_t i = 0; i < n; i++) {
        keyed[i].item = items.list->items[i];
        SW_TRY(group_key(r, call, &keyed[i].item, &keyed[i].key));
        SW_TRY(fold_case(r, sw_value_true(&call->args[2]), &keyed[i].key));
    }
    SW_TRY(merge_sort(r, keyed, n, keyed + n, false));
    SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, out));
    for (size_t i = 0; i < n; i++) {
        bool same = false;
        if (i > 0)
            SW_TRY(sw_value_equal(r, &keyed[i].key, &keyed[i - 1].key, &same));
        if (!same) {
            SW_TRY(group_key(r, call, &keyed[i].item, &value));
            SW_TRY(sw_value_list_new(r, SW_V_TUPLE, 2, &group));
            group.list->items[0] = value;
            SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, &group.list->items[1]));
            group.list->count = 2;
            SW_TRY(sw_value_list_add(r, out, &group));
        }
        SW_TRY(sw_value_list_add(r, &group.list->items[1], &keyed[i].item));
    }
    return SW_OK;
}

/* case_sensitive attribute */
static enum sw_status filter_extreme(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     int sign, struct sw_value *out)
{
    struct sw_value items, best, key;
    SW_TRY(sw_value_items(r, &call->self, &items));
    *out = sw_value_undefined("the least or most of nothing", 28);
    for (size_t i = 0; i < items.list->count; i++) {
        int order = 0;
        SW_TRY(sw_jinja_path(r, &items.list->items[i], &call->args[1], &key));
        SW_TRY(fold_case(r, sw_value_true(&call->args[0]), &key));
        if (i > 0)
            SW_TRY(sw_value_compare(r, &key, &best, &order));
        if (i > 0 && order * sign <= 0)
            continue;
        best = key;
        *out = items.list->items[i];
    }
    return SW_OK;
}

enum sw_status sw_jinja_min(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                            struct sw_value *out)
{
    return filter_extreme(r, call, -1, out);
}

enum sw_status sw_jinja_max(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                            struct sw_value *out)
{
    return filter_extreme(r, call, 1, out);
}
