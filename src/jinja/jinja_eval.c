/* Owns the evaluation of expressions: one function a kind of node. */
#include "jinja/jinja_run.h"

#include <string.h>

typedef enum sw_status eval_fn(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                               struct sw_value *out);

static enum sw_status eval_const(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                 struct sw_value *out)
{
    (void)r;
    *out = node->value;
    return SW_OK;
}

static enum sw_status eval_name(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                struct sw_value *out)
{
    size_t passed = 0;
    const struct sw_value *name = &node->value;
    for (const struct sw_scope *scope = r->scope; scope; scope = scope->outer)
        for (const struct sw_scope_name *n = scope->names; n; n = n->next, passed++)
            if (n->name.length == name->length &&
                memcmp(n->name.text, name->text, name->length) == 0) {
                *out = n->value;
                return sw_jinja_charge(r, passed / 16);
            }
    const struct sw_builtin *function =
        sw_builtin_find(sw_jinja_functions, sw_jinja_n_functions, name);
    *out = function ? (struct sw_value){.kind = SW_V_FUNCTION, .function = function}
                    : sw_value_undefined(name->text, name->length);
    return sw_jinja_charge(r, passed / 16);
}

static enum sw_status eval_list(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                struct sw_value *out)
{
    const enum sw_value_kind kind = node->kind == SW_N_TUPLE ? SW_V_TUPLE : SW_V_LIST;
    SW_TRY(sw_value_list_new(r, kind, 0, out));
    for (const struct sw_jinja_node *item = node->list; item; item = item->next) {
        struct sw_value value;
        SW_TRY(sw_jinja_eval(r, item, &value));
        SW_TRY(sw_value_list_add(r, out, &value));
    }
    return SW_OK;
}

static enum sw_status eval_dict(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                struct sw_value *out)
{
    SW_TRY(sw_value_dict_new(r, SW_V_DICT, out));
    for (const struct sw_jinja_node *item = node->list; item; item = item->next->next) {
        struct sw_value key, value;
        SW_TRY(sw_jinja_eval(r, item, &key));
        SW_TRY(sw_jinja_eval(r, item->next, &value));
        SW_TRY(sw_value_dict_put(r, out, &key, &value));
    }
    return SW_OK;
}

static enum sw_status eval_attribute(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                     struct sw_value *out)
{
    struct sw_value a;
    SW_TRY(sw_jinja_eval(r, node->a, &a));
    r->line = node->line;
    return sw_jinja_attribute(r, &a, &node->value, out);
}

static enum sw_status eval_item(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                struct sw_value *out)
{
    struct sw_value a, key;
    SW_TRY(sw_jinja_eval(r, node->a, &a));
    SW_TRY(sw_jinja_eval(r, node->b, &key));
    r->line = node->line;
    return sw_jinja_item(r, &a, &key, out);
}

static enum sw_status eval_slice(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                 struct sw_value *out)
{
    struct sw_value a, parts[3] = {0};
    const struct sw_jinja_node *nodes[3] = {node->b, node->c, node->d};
    SW_TRY(sw_jinja_eval(r, node->a, &a));
    for (int i = 0; i < 3; i++)
        if (nodes[i])
            SW_TRY(sw_jinja_eval(r, nodes[i], &parts[i]));
    r->line = node->line;
    return sw_jinja_slice(r, &a, parts, out);
}

/* Named arguments from a dict: **kwargs. */
static enum sw_status spread_names(struct sw_jinja_run *r, const struct sw_value *from,
                                   struct sw_value *named)
{
    if (from->kind != SW_V_DICT)
        return sw_jinja_fail(r, "** wants a dict, got a %s", sw_value_kind_name(from));
    for (size_t i = 0; i < from->dict->count; i++) {
        SW_TRY(sw_jinja_want_text(r, &from->dict->pairs[i].key, "a name in **"));
        SW_TRY(sw_value_dict_put(r, named, &from->dict->pairs[i].key, &from->dict->pairs[i].value));
    }
    return SW_OK;
}

/* The arguments of a call, filter or test, in the run's memory. */
static enum sw_status eval_arguments(struct sw_jinja_run *r, const struct sw_jinja_node *list,
                                     struct sw_value *args, struct sw_value *named)
{
    SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, args));
    SW_TRY(sw_value_dict_new(r, SW_V_DICT, named));
    for (const struct sw_jinja_node *item = list; item; item = item->next) {
        const bool is_own = item->kind == SW_N_KEYWORD || item->kind == SW_N_SPREAD;
        struct sw_value value, items;
        SW_TRY(sw_jinja_eval(r, is_own ? item->a : item, &value));
        if (!is_own) {
            SW_TRY(sw_value_list_add(r, args, &value));
        } else if (item->kind == SW_N_KEYWORD) {
            SW_TRY(sw_value_dict_put(r, named, &item->value, &value));
        } else if (item->op == 'p') {
            SW_TRY(spread_names(r, &value, named));
        } else {
            SW_TRY(sw_value_items(r, &value, &items));
            for (size_t i = 0; i < items.list->count; i++)
                SW_TRY(sw_value_list_add(r, args, &items.list->items[i]));
        }
    }
    return SW_OK;
}

static struct sw_jinja_call make_call(const struct sw_value *self, const struct sw_value *args,
                                      const struct sw_value *named)
{
    return (struct sw_jinja_call){.self = *self,
                                  .args = args->list->items,
                                  .n = args->list->count,
                                  .named = named->dict->pairs,
                                  .n_named = named->dict->count};
}

enum sw_status sw_jinja_eval_call(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                  const struct sw_value_pair *more, struct sw_value *out)
{
    struct sw_value callee, args, named;
    const struct sw_value none = {0};
    SW_TRY(sw_jinja_eval(r, node->a, &callee));
    SW_TRY(eval_arguments(r, node->list, &args, &named));
    if (more)
        SW_TRY(sw_value_dict_put(r, &named, &more->key, &more->value));
    r->line = node->line;
    const struct sw_jinja_call call = make_call(&none, &args, &named);
    return sw_jinja_apply(r, &callee, &call, out);
}

static enum sw_status eval_call(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                struct sw_value *out)
{
    return sw_jinja_eval_call(r, node, NULL, out);
}

static enum sw_status eval_filter(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                  struct sw_value *out)
{
    struct sw_value self = r->filtered, args, named;
    if (node->a)
        SW_TRY(sw_jinja_eval(r, node->a, &self));
    SW_TRY(eval_arguments(r, node->list, &args, &named));
    r->line = node->line;
    const struct sw_jinja_call call = make_call(&self, &args, &named);
    return sw_jinja_filter(r, &node->value, &call, out);
}

static enum sw_status eval_test(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                struct sw_value *out)
{
    struct sw_value self, args, named;
    bool result;
    SW_TRY(sw_jinja_eval(r, node->a, &self));
    SW_TRY(eval_arguments(r, node->list, &args, &named));
    r->line = node->line;
    const struct sw_jinja_call call = make_call(&self, &args, &named);
    SW_TRY(sw_jinja_test(r, &node->value, &call, &result));
    *out = sw_value_bool(result);
    return SW_OK;
}

static enum sw_status eval_unary(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                 struct sw_value *out)
{
    struct sw_value a;
    SW_TRY(sw_jinja_eval(r, node->a, &a));
    r->line = node->line;
    return sw_jinja_unary(r, node->op, &a, out);
}

static enum sw_status eval_binary(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                  struct sw_value *out)
{
    struct sw_value a, b;
    SW_TRY(sw_jinja_eval(r, node->a, &a));
    SW_TRY(sw_jinja_eval(r, node->b, &b));
    r->line = node->line;
    return sw_jinja_binary(r, node->op, &a, &b, out);
}

/* `and` and `or` give one of their operands, as in Python. */
static enum sw_status eval_logic(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                 struct sw_value *out)
{
    SW_TRY(sw_jinja_eval(r, node->a, out));
    return sw_value_true(out) == (node->op == '&') ? sw_jinja_eval(r, node->b, out) : SW_OK;
}

static enum sw_status jinja_eval_compare(struct sw_jinja_run *r, int op, const struct sw_value *a,
                                         const struct sw_value *b, bool *result)
{
    int order;
    if (op == 'i' || op == 'n') {
        SW_TRY(sw_value_contains(r, b, a, result));
        *result ^= op == 'n';
        return SW_OK;
    }
    if (op == '=' || op == '!') {
        SW_TRY(sw_value_equal(r, a, b, result));
        *result ^= op == '!';
        return SW_OK;
    }
    SW_TRY(sw_value_compare(r, a, b, &order));
    *result = op == '<' ? order < 0 : op == '>' ? order > 0 : op == 'l' ? order <= 0 : order >= 0;
    return SW_OK;
}

/* a < b < c is a < b and b < c. */
static enum sw_status eval_compare(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                   struct sw_value *out)
{
    struct sw_value left, right;
    bool result = true;
    SW_TRY(sw_jinja_eval(r, node->a, &left));
    for (const struct sw_jinja_node *o = node->list; o && result; o = o->next) {
        SW_TRY(sw_jinja_eval(r, o->a, &right));
        r->line = o->line;
        SW_TRY(jinja_eval_compare(r, o->op, &left, &right, &result));
        left = right;
    }
    *out = sw_value_bool(result);
    return SW_OK;
}

static enum sw_status append_concat(struct sw_jinja_run *r, const struct sw_jinja_node *list,
                                    struct sw_strbuf *buf)
{
    for (const struct sw_jinja_node *item = list; item; item = item->next) {
        struct sw_value value;
        SW_TRY(sw_jinja_eval(r, item, &value));
        SW_TRY(sw_value_print(r, &value, buf));
    }
    return SW_OK;
}

static enum sw_status eval_concat(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                  struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    const enum sw_status status = append_concat(r, node->list, &buf);
    if (status == SW_OK)
        return sw_jinja_text(r, &buf, out);
    sw_strbuf_free(&buf);
    return status;
}

static enum sw_status eval_condition(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                     struct sw_value *out)
{
    struct sw_value condition;
    static const char without_else[] = "an 'if' without 'else' whose condition is false";
    SW_TRY(sw_jinja_eval(r, node->b, &condition));
    if (sw_value_true(&condition))
        return sw_jinja_eval(r, node->a, out);
    *out = sw_value_undefined(without_else, sizeof without_else - 1);
    return node->c ? sw_jinja_eval(r, node->c, out) : SW_OK;
}

static eval_fn *const evals[SW_N_KINDS] = {
    [SW_N_CONST] = eval_const,   [SW_N_NAME] = eval_name,           [SW_N_LIST] = eval_list,
    [SW_N_TUPLE] = eval_list,    [SW_N_DICT] = eval_dict,           [SW_N_ATTR] = eval_attribute,
    [SW_N_ITEM] = eval_item,     [SW_N_SLICE] = eval_slice,         [SW_N_CALL] = eval_call,
    [SW_N_FILTER] = eval_filter, [SW_N_TEST] = eval_test,           [SW_N_UNARY] = eval_unary,
    [SW_N_BINARY] = eval_binary, [SW_N_LOGIC] = eval_logic,         [SW_N_COMPARE] = eval_compare,
    [SW_N_CONCAT] = eval_concat, [SW_N_CONDITION] = eval_condition,
};

enum sw_status sw_jinja_eval(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                             struct sw_value *out)
{
    r->line = node->line;
    SW_TRY(sw_jinja_charge(r, 1));
    SW_TRY(sw_jinja_deeper(r));
    const enum sw_status status = evals[node->kind](r, node, out);
    r->depth--;
    return status;
}
