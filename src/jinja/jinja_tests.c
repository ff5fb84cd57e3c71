/* Owns the tests: what may stand after `is`, and in select and reject. */
#include "jinja/jinja_chars.h"
#include "jinja/jinja_run.h"

/* A test of the value's kind alone. */
#define KIND_TEST(name, condition)                                                                 \
    static enum sw_status name(struct sw_jinja_run *r, const struct sw_jinja_call *call,           \
                               struct sw_value *out)                                               \
    {                                                                                              \
        (void)r;                                                                                   \
        const struct sw_value *v = &call->self;                                                    \
        *out = sw_value_bool(condition);                                                           \
        return SW_OK;                                                                              \
    }

static bool is_iterable(const struct sw_value *v)
{
    return v->kind == SW_V_UNDEFINED || (v->kind >= SW_V_STRING && v->kind <= SW_V_DICT);
}

static bool is_sequence(const struct sw_value *v)
{
    return is_iterable(v) && v->kind != SW_V_VIEW && v->kind != SW_V_GENERATOR;
}

KIND_TEST(test_defined, v->kind != SW_V_UNDEFINED)
KIND_TEST(test_undefined, v->kind == SW_V_UNDEFINED)
KIND_TEST(test_none, v->kind == SW_V_NONE)
KIND_TEST(test_boolean, v->kind == SW_V_BOOL)
KIND_TEST(test_true, v->kind == SW_V_BOOL && v->boolean)
KIND_TEST(test_false, v->kind == SW_V_BOOL && !v->boolean)
KIND_TEST(test_integer, v->kind == SW_V_INT)
KIND_TEST(test_float, v->kind == SW_V_FLOAT)
KIND_TEST(test_number, sw_value_is_number(v))
KIND_TEST(test_string, v->kind == SW_V_STRING)
KIND_TEST(test_mapping, v->kind == SW_V_DICT)
KIND_TEST(test_iterable, is_iterable(v))
KIND_TEST(test_sequence, is_sequence(v))
KIND_TEST(test_callable, v->kind >= SW_V_LOOP || v->kind == SW_V_UNDEFINED)
KIND_TEST(test_escaped, v->kind == SW_V_ABSENT)

static enum sw_status has_remainder(struct sw_jinja_run *r, const struct sw_value *v, int64_t by,
                                    int64_t wanted, struct sw_value *out)
{
    const struct sw_value divisor = sw_value_int(by);
    struct sw_value rest;
    SW_TRY(sw_jinja_binary(r, '%', v, &divisor, &rest));
    *out = sw_value_bool(sw_value_is_number(&rest) && sw_value_double(&rest) == (double)wanted);
    return SW_OK;
}

static enum sw_status test_odd(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out)
{
    return has_remainder(r, &call->self, 2, 1, out);
}

static enum sw_status test_even(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    return has_remainder(r, &call->self, 2, 0, out);
}

static enum sw_status test_divisibleby(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                       struct sw_value *out)
{
    int64_t by;
    SW_TRY(sw_jinja_want_integer(r, &call->args[0], "divisibleby", &by));
    return has_remainder(r, &call->self, by, 0, out);
}

static enum sw_status test_equal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    bool same;
    SW_TRY(sw_value_equal(r, &call->self, &call->args[0], &same));
    *out = sw_value_bool(same);
    return SW_OK;
}

static enum sw_status test_unequal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    SW_TRY(test_equal(r, call, out));
    out->boolean = !out->boolean;
    return SW_OK;
}

static enum sw_status test_sameas(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    const struct sw_value *a = &call->self, *b = &call->args[0];
    if (a->kind > SW_V_STRING && a->kind == b->kind) {
        *out = sw_value_bool(a->list == b->list);
        return SW_OK;
    }
    SW_TRY(test_equal(r, call, out));
    out->boolean = out->boolean && a->kind == b->kind;
    return SW_OK;
}

static enum sw_status test_in(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    bool found;
    SW_TRY(sw_value_contains(r, &call->args[0], &call->self, &found));
    *out = sw_value_bool(found);
    return SW_OK;
}

static enum sw_status compare_to(struct sw_jinja_run *r, const struct sw_jinja_call *call, int sign,
                                 bool or_equal, struct sw_value *out)
{
    int order;
    SW_TRY(sw_value_compare(r, &call->self, &call->args[0], &order));
    *out = sw_value_bool((sign > 0 ? order > 0 : order < 0) || (or_equal && order == 0));
    return SW_OK;
}

static enum sw_status test_greater(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return compare_to(r, call, 1, false, out);
}

static enum sw_status test_greater_equal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                         struct sw_value *out)
{
    return compare_to(r, call, 1, true, out);
}

static enum sw_status test_less(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    return compare_to(r, call, -1, false, out);
}

static enum sw_status test_less_equal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                      struct sw_value *out)
{
    return compare_to(r, call, -1, true, out);
}

/* The string method of the same meaning. */
static enum sw_status call_method(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  const char *name, size_t n, struct sw_value *out)
{
    const struct sw_value method = sw_value_text(name, n);
    struct sw_jinja_call inner = {0};
    SW_TRY(sw_value_to_text(r, &call->self, &inner.self));
    return sw_jinja_builtin(
        r, sw_builtin_find(sw_jinja_text_methods, sw_jinja_n_text_methods, &method), "test", &inner,
        out);
}

static enum sw_status test_lower(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    return call_method(r, call, "islower", 7, out);
}

static enum sw_status test_upper(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    return call_method(r, call, "isupper", 7, out);
}

static enum sw_status test_test(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    (void)r;
    *out = sw_value_bool(sw_builtin_find(sw_jinja_tests, sw_jinja_n_tests, &call->self));
    return SW_OK;
}

static enum sw_status test_filter(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    (void)r;
    *out = sw_value_bool(
        sw_builtin_find(sw_jinja_text_filters, sw_jinja_n_text_filters, &call->self) ||
        sw_builtin_find(sw_jinja_list_filters, sw_jinja_n_list_filters, &call->self) ||
        sw_builtin_find(sw_jinja_other_filters, sw_jinja_n_other_filters, &call->self));
    return SW_OK;
}

const struct sw_builtin sw_jinja_tests[] = {
    {"defined", "", 0, test_defined},
    {"undefined", "", 0, test_undefined},
    {"none", "", 0, test_none},
    {"string", "", 0, test_string},
    {"mapping", "", 0, test_mapping},
    {"iterable", "", 0, test_iterable},
    {"sequence", "", 0, test_sequence},
    {"number", "", 0, test_number},
    {"integer", "", 0, test_integer},
    {"float", "", 0, test_float},
    {"boolean", "", 0, test_boolean},
    {"true", "", 0, test_true},
    {"false", "", 0, test_false},
    {"callable", "", 0, test_callable},
    {"escaped", "", 0, test_escaped},
    {"odd", "", 0, test_odd},
    {"even", "", 0, test_even},
    {"divisibleby", "num", 1, test_divisibleby},
    {"sameas", "other", 1, test_sameas},
    {"in", "seq", 1, test_in},
    {"eq", "other", 1, test_equal},
    {"equalto", "other", 1, test_equal},
    {"==", "other", 1, test_equal},
    {"ne", "other", 1, test_unequal},
    {"!=", "other", 1, test_unequal},
    {"gt", "other", 1, test_greater},
    {"greaterthan", "other", 1, test_greater},
    {">", "other", 1, test_greater},
    {"ge", "other", 1, test_greater_equal},
    {">=", "other", 1, test_greater_equal},
    {"lt", "other", 1, test_less},
    {"lessthan", "other", 1, test_less},
    {"<", "other", 1, test_less},
    {"le", "other", 1, test_less_equal},
    {"<=", "other", 1, test_less_equal},
    {"lower", "", 0, test_lower},
    {"upper", "", 0, test_upper},
    {"test", "", 0, test_test},
    {"filter", "", 0, test_filter},
};
const size_t sw_jinja_n_tests = sizeof sw_jinja_tests / sizeof sw_jinja_tests[0];
