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

KIND_TEST(defined, v->kind != SW_V_UNDEFINED)
KIND_TEST(undefined, v->kind == SW_V_UNDEFINED)
KIND_TEST(none, v->kind == SW_V_NONE)
KIND_TEST(boolean, v->kind == SW_V_BOOL)
KIND_TEST(is_true, v->kind == SW_V_BOOL && v->boolean)
KIND_TEST(is_false, v->kind == SW_V_BOOL && !v->boolean)
KIND_TEST(integer, v->kind == SW_V_INT)
KIND_TEST(is_float, v->kind == SW_V_FLOAT)
KIND_TEST(number, sw_value_is_number(v))
KIND_TEST(string, v->kind == SW_V_STRING)
KIND_TEST(mapping, v->kind == SW_V_DICT)
KIND_TEST(iterable, is_iterable(v))
KIND_TEST(sequence, is_sequence(v))
KIND_TEST(callable, v->kind >= SW_V_LOOP || v->kind == SW_V_UNDEFINED)
KIND_TEST(escaped, v->kind == SW_V_ABSENT)

static enum sw_status remainder_is(struct sw_jinja_run *r, const struct sw_value *v, int64_t by,
                                   int64_t wanted, struct sw_value *out)
{
    const struct sw_value divisor = sw_value_int(by);
    struct sw_value rest;
    SW_TRY(sw_jinja_binary(r, '%', v, &divisor, &rest));
    *out = sw_value_bool(sw_value_is_number(&rest) && sw_value_double(&rest) == (double)wanted);
    return SW_OK;
}

static enum sw_status odd(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                          struct sw_value *out)
{
    return remainder_is(r, &call->self, 2, 1, out);
}

static enum sw_status even(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                           struct sw_value *out)
{
    return remainder_is(r, &call->self, 2, 0, out);
}

static enum sw_status divisibleby(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    int64_t by;
    SW_TRY(sw_jinja_want_integer(r, &call->args[0], "divisibleby", &by));
    return remainder_is(r, &call->self, by, 0, out);
}

static enum sw_status equal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                            struct sw_value *out)
{
    bool same;
    SW_TRY(sw_value_equal(r, &call->self, &call->args[0], &same));
    *out = sw_value_bool(same);
    return SW_OK;
}

static enum sw_status unequal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    SW_TRY(equal(r, call, out));
    out->boolean = !out->boolean;
    return SW_OK;
}

static enum sw_status sameas(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                             struct sw_value *out)
{
    const struct sw_value *a = &call->self, *b = &call->args[0];
    if (a->kind > SW_V_STRING && a->kind == b->kind) {
        *out = sw_value_bool(a->list == b->list);
        return SW_OK;
    }
    SW_TRY(equal(r, call, out));
    out->boolean = out->boolean && a->kind == b->kind;
    return SW_OK;
}

static enum sw_status in(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                         struct sw_value *out)
{
    bool found;
    SW_TRY(sw_value_contains(r, &call->args[0], &call->self, &found));
    *out = sw_value_bool(found);
    return SW_OK;
}

static enum sw_status ordered(struct sw_jinja_run *r, const struct sw_jinja_call *call, int sign,
                              bool or_equal, struct sw_value *out)
{
    int order;
    SW_TRY(sw_value_compare(r, &call->self, &call->args[0], &order));
    *out = sw_value_bool((sign > 0 ? order > 0 : order < 0) || (or_equal && order == 0));
    return SW_OK;
}

static enum sw_status greater(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    return ordered(r, call, 1, false, out);
}

static enum sw_status greater_equal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    return ordered(r, call, 1, true, out);
}

static enum sw_status jinja_tests_less(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                       struct sw_value *out)
{
    return ordered(r, call, -1, false, out);
}

static enum sw_status less_equal(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    return ordered(r, call, -1, true, out);
}

/* The string method of the same meaning. */
static enum sw_status by_method(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                const char *name, size_t n, struct sw_value *out)
{
    const struct sw_value method = sw_value_text(name, n);
    struct sw_jinja_call inner = {0};
    SW_TRY(sw_value_to_text(r, &call->self, &inner.self));
    return sw_jinja_builtin(
        r, sw_builtin_find(sw_jinja_text_methods, sw_jinja_n_text_methods, &method), "test", &inner,
        out);
}

static enum sw_status lower(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                            struct sw_value *out)
{
    return by_method(r, call, "islower", 7, out);
}

static enum sw_status upper(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                            struct sw_value *out)
{
    return by_method(r, call, "isupper", 7, out);
}

static enum sw_status jinja_tests_test(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                       struct sw_value *out)
{
    (void)r;
    *out = sw_value_bool(sw_builtin_find(sw_jinja_tests, sw_jinja_n_tests, &call->self));
    return SW_OK;
}

static enum sw_status filter(struct sw_jinja_run *r, const struct sw_jinja_call *call,
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
    {"defined", "", 0, defined},
    {"undefined", "", 0, undefined},
    {"none", "", 0, none},
    {"string", "", 0, string},
    {"mapping", "", 0, mapping},
    {"iterable", "", 0, iterable},
    {"sequence", "", 0, sequence},
    {"number", "", 0, number},
    {"integer", "", 0, integer},
    {"float", "", 0, is_float},
    {"boolean", "", 0, boolean},
    {"true", "", 0, is_true},
    {"false", "", 0, is_false},
    {"callable", "", 0, callable},
    {"escaped", "", 0, escaped},
    {"odd", "", 0, odd},
    {"even", "", 0, even},
    {"divisibleby", "num", 1, divisibleby},
    {"sameas", "other", 1, sameas},
    {"in", "seq", 1, in},
    {"eq", "other", 1, equal},
    {"equalto", "other", 1, equal},
    {"==", "other", 1, equal},
    {"ne", "other", 1, unequal},
    {"!=", "other", 1, unequal},
    {"gt", "other", 1, greater},
    {"greaterthan", "other", 1, greater},
    {">", "other", 1, greater},
    {"ge", "other", 1, greater_equal},
    {">=", "other", 1, greater_equal},
    {"lt", "other", 1, jinja_tests_less},
    {"lessthan", "other", 1, jinja_tests_less},
    {"<", "other", 1, jinja_tests_less},
    {"le", "other", 1, less_equal},
    {"<=", "other", 1, less_equal},
    {"lower", "", 0, lower},
    {"upper", "", 0, upper},
    {"test", "", 0, jinja_tests_test},
    {"filter", "", 0, filter},
};
const size_t sw_jinja_n_tests = sizeof sw_jinja_tests / sizeof sw_jinja_tests[0];
