/* Owns calls: which argument goes where, and what a name stands for as a filter or a test. */
#include "jinja/jinja_run.h"

#include <string.h>

const struct sw_builtin *sw_builtin_find(const struct sw_builtin *table, size_t n,
                                         const struct sw_value *name)
{
    for (size_t i = 0; i < n; i++)
        if (sw_value_is_text(name, table[i].name))
            return &table[i];
    return NULL;
}

/* The place of a name in "width first blank", or `n` when it is not there. */
static size_t find_param(const char *params, const struct sw_value *name, size_t n)
{
    size_t place = 0;
    for (const char *at = params; *at; place++) {
        const size_t length = strcspn(at, " ");
        if (length == name->length && memcmp(at, name->text, length) == 0)
            return place;
        at += length;
        at += *at == ' ';
    }
    return n;
}

static size_t count_params(const char *params)
{
    size_t n = *params != '\0';
    for (; *params; params++)
        n += *params == ' ';
    return n;
}

enum sw_status sw_jinja_builtin(struct sw_jinja_run *r, const struct sw_builtin *b,
                                const char *what, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    struct sw_value args[SW_BUILTIN_ARGS] = {0};
    struct sw_jinja_call bound = *call;
    SW_TRY(sw_jinja_charge(r, call->self.kind == SW_V_STRING ? 1 + call->self.length / 64 : 1));
    if (!b->params)
        return b->run(r, call, out);
    const size_t n = count_params(b->params);
    if (call->n > n)
        return sw_jinja_fail(r, "the %s '%s' takes at most %zu arguments, got %zu", what, b->name,
                             n, call->n);
    for (size_t i = 0; i < call->n; i++)
        args[i] = call->args[i];
    for (size_t i = 0; i < call->n_named; i++) {
        const struct sw_value *name = &call->named[i].key;
        const size_t place = find_param(b->params, name, n);
        if (place >= n || args[place].kind != SW_V_ABSENT)
            return sw_jinja_fail(r, "the %s '%s' takes no argument '%.*s' here, only: %s", what,
                                 b->name, (int)name->length, name->text, b->params);
        args[place] = call->named[i].value;
    }
    for (size_t i = 0; i < b->required; i++)
        if (args[i].kind == SW_V_ABSENT)
            return sw_jinja_fail(r, "the %s '%s' wants %zu arguments: %s", what, b->name,
                                 b->required, b->params);
    bound.args = args;
    bound.n = n;
    bound.named = NULL;
    bound.n_named = 0;
    return b->run(r, &bound, out);
}

enum sw_status sw_jinja_filter(struct sw_jinja_run *r, const struct sw_value *name,
                               const struct sw_jinja_call *call, struct sw_value *out)
{
    const struct sw_builtin *filter =
        sw_builtin_find(sw_jinja_text_filters, sw_jinja_n_text_filters, name);
    if (!filter)
        filter = sw_builtin_find(sw_jinja_list_filters, sw_jinja_n_list_filters, name);
    if (!filter)
        filter = sw_builtin_find(sw_jinja_other_filters, sw_jinja_n_other_filters, name);
    if (!filter)
        return sw_jinja_fail(r, "there is no filter '%.*s' here",
                             name->length > 100 ? 100 : (int)name->length, name->text);
    return sw_jinja_builtin(r, filter, "filter", call, out);
}

enum sw_status sw_jinja_test(struct sw_jinja_run *r, const struct sw_value *name,
                             const struct sw_jinja_call *call, bool *out)
{
    struct sw_value result;
    const struct sw_builtin *test = sw_builtin_find(sw_jinja_tests, sw_jinja_n_tests, name);
    if (!test)
        return sw_jinja_fail(r, "there is no test '%.*s' here",
                             name->length > 100 ? 100 : (int)name->length, name->text);
    SW_TRY(sw_jinja_builtin(r, test, "test", call, &result));
    *out = sw_value_true(&result);
    return SW_OK;
}

enum sw_status sw_jinja_apply(struct sw_jinja_run *r, const struct sw_value *callee,
                              const struct sw_jinja_call *call, struct sw_value *out)
{
    struct sw_jinja_call with_self = *call;
    switch (callee->kind) {
    case SW_V_MACRO:
        return sw_jinja_run_macro(r, callee->macro, call, out);
    case SW_V_FUNCTION:
        return sw_jinja_builtin(r, callee->function, "function", call, out);
    case SW_V_METHOD:
        with_self.self = *callee->method->self;
        return sw_jinja_builtin(r, callee->method->builtin, "method", &with_self, out);
    case SW_V_LOOP:
        return sw_loop_call(r, callee->loop, call, out);
    default:
        SW_TRY(sw_jinja_defined(r, callee));
        return sw_jinja_fail(r, "a %s cannot be called", sw_value_kind_name(callee));
    }
}
