/* Owns the running of statements: text, printing, conditions, assignments, macros. */
#include "jinja/jinja_run.h"

#include <string.h>

typedef enum sw_status exec_fn(struct sw_jinja_run *r, const struct sw_jinja_node *node);

static enum sw_status check_output(struct sw_jinja_run *r)
{
    if (r->out->failed)
        return sw_fail(SW_ENOMEM, "no memory for the text");
    if (r->out->length > r->limits.output)
        return sw_jinja_fail(r, "the template prints more than %zu MiB", r->limits.output >> 20);
    return SW_OK;
}

static enum sw_status exec_text(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    sw_strbuf_append(r->out, node->value.text, node->value.length);
    SW_TRY(sw_jinja_charge(r, node->value.length / 64));
    return check_output(r);
}

static enum sw_status exec_print(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value value;
    SW_TRY(sw_jinja_eval(r, node->a, &value));
    r->line = node->line;
    SW_TRY(sw_value_print(r, &value, r->out));
    return check_output(r);
}

static enum sw_status exec_if(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    for (const struct sw_jinja_node *branch = node->list; branch; branch = branch->next) {
        struct sw_value condition = sw_value_bool(true);
        if (branch->a)
            SW_TRY(sw_jinja_eval(r, branch->a, &condition));
        if (sw_value_true(&condition))
            return sw_jinja_exec(r, branch->list);
    }
    return SW_OK;
}

static enum sw_status assign_attribute(struct sw_jinja_run *r, const struct sw_jinja_node *target,
                                       const struct sw_value *value)
{
    struct sw_value space;
    SW_TRY(sw_jinja_eval(r, target->a, &space));
    SW_TRY(sw_jinja_defined(r, &space));
    if (space.kind != SW_V_NAMESPACE)
        return sw_jinja_fail(r, "only a namespace's attributes can be set; '%.*s' is of a %s",
                             (int)target->value.length, target->value.text,
                             sw_value_kind_name(&space));
    if (target->value.text[0] == '_')
        return sw_jinja_fail(r, "a namespace's attribute must not begin with '_': %.*s",
                             (int)target->value.length, target->value.text);
    return sw_value_dict_put(r, &space, &target->value, value);
}

enum sw_status sw_jinja_assign(struct sw_jinja_run *r, const struct sw_jinja_node *target,
                               const struct sw_value *value)
{
    struct sw_value items;
    size_t i = 0;
    if (target->kind == SW_N_NAME)
        return sw_scope_put(r, &target->value, value);
    if (target->kind == SW_N_ATTR)
        return assign_attribute(r, target, value);
    SW_TRY(sw_jinja_defined(r, value));
    SW_TRY(sw_value_items(r, value, &items));
    for (const struct sw_jinja_node *t = target->list; t; t = t->next, i++) {
        if (i >= items.list->count)
            break;
        SW_TRY(sw_jinja_assign(r, t, &items.list->items[i]));
        if (!t->next && i + 1 == items.list->count)
            return SW_OK;
    }
    return sw_jinja_fail(r, "%zu values do not go into that many names", items.list->count);
}

static enum sw_status exec_set(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value value;
    SW_TRY(sw_jinja_eval(r, node->b, &value));
    r->line = node->line;
    return sw_jinja_assign(r, node->a, &value);
}

/* Runs `list` in a scope of its own and gives what it printed. */
static enum sw_status run_captured(struct sw_jinja_run *r, const struct sw_jinja_node *list,
                                   struct sw_value *out)
{
    struct sw_strbuf buf = {0}, *const before = r->out;
    struct sw_scope *const scope = r->scope;
    r->out = &buf;
    enum sw_status status = sw_scope_push(r, scope);
    if (status == SW_OK)
        status = sw_jinja_exec(r, list);
    r->scope = scope;
    r->out = before;
    if (status == SW_OK)
        return sw_jinja_text(r, &buf, out);
    sw_strbuf_free(&buf);
    return status;
}

/* The filters of a block, over what it printed. */
static enum sw_status run_filtered(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                   struct sw_value *out)
{
    const struct sw_value before = r->filtered;
    struct sw_value text;
    SW_TRY(run_captured(r, node->list, out));
    if (!node->b)
        return SW_OK;
    text = r->filtered = *out;
    SW_TRY(sw_jinja_eval(r, node->b, out));
    r->filtered = before;
    (void)text;
    return SW_OK;
}

static enum sw_status exec_capture(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value value;
    SW_TRY(run_filtered(r, node, &value));
    return r->flow == SW_FLOW_ON ? sw_jinja_assign(r, node->a, &value) : SW_OK;
}

static enum sw_status exec_filtered(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value value;
    SW_TRY(run_filtered(r, node, &value));
    SW_TRY(sw_value_print(r, &value, r->out));
    return check_output(r);
}

static enum sw_status make_macro(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                 struct sw_value *out)
{
    void *macro;
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_macro), &macro));
    *out = (struct sw_value){.kind = SW_V_MACRO, .macro = macro};
    *out->macro = (struct sw_macro){node, r->scope};
    return SW_OK;
}

static enum sw_status exec_macro(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value macro;
    SW_TRY(make_macro(r, node, &macro));
    return sw_scope_put(r, &node->value, &macro);
}

static enum sw_status exec_caller(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value_pair caller = {.key = node->b->value};
    struct sw_value value;
    SW_TRY(make_macro(r, node->b, &caller.value));
    SW_TRY(sw_jinja_eval_call(r, node->a, &caller, &value));
    SW_TRY(sw_value_print(r, &value, r->out));
    return check_output(r);
}

static enum sw_status exec_with(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_scope *const outer = r->scope;
    SW_TRY(sw_scope_push(r, outer));
    struct sw_scope *const inner = r->scope;
    for (const struct sw_jinja_node *param = node->params; param; param = param->next) {
        struct sw_value value;
        r->scope = outer; /* the values do not see each other */
        SW_TRY(sw_jinja_eval(r, param->a, &value));
        r->scope = inner;
        SW_TRY(sw_scope_put(r, &param->value, &value));
    }
    SW_TRY(sw_jinja_exec(r, node->list));
    r->scope = outer;
    return SW_OK;
}

static enum sw_status exec_scope(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_scope *const outer = r->scope;
    SW_TRY(sw_scope_push(r, outer));
    SW_TRY(sw_jinja_exec(r, node->list));
    r->scope = outer;
    return SW_OK;
}

static enum sw_status exec_for(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    struct sw_value value, items;
    SW_TRY(sw_jinja_eval(r, node->b, &value));
    r->line = node->line;
    SW_TRY(sw_value_items(r, &value, &items));
    return sw_loop_run(r, node, &items, NULL);
}

static enum sw_status exec_leave(struct sw_jinja_run *r, const struct sw_jinja_node *node)
{
    r->flow = node->kind == SW_N_BREAK ? SW_FLOW_BREAK : SW_FLOW_CONTINUE;
    return SW_OK;
}

static exec_fn *const execs[SW_N_KINDS] = {
    [SW_N_TEXT] = exec_text,         [SW_N_PRINT] = exec_print, [SW_N_IF] = exec_if,
    [SW_N_FOR] = exec_for,           [SW_N_SET] = exec_set,     [SW_N_CAPTURE] = exec_capture,
    [SW_N_FILTERED] = exec_filtered, [SW_N_MACRO] = exec_macro, [SW_N_CALLER] = exec_caller,
    [SW_N_WITH] = exec_with,         [SW_N_SCOPE] = exec_scope, [SW_N_BREAK] = exec_leave,
    [SW_N_CONTINUE] = exec_leave,
};

enum sw_status sw_jinja_exec(struct sw_jinja_run *r, const struct sw_jinja_node *list)
{
    SW_TRY(sw_jinja_deeper(r));
    for (const struct sw_jinja_node *node = list; node && r->flow == SW_FLOW_ON;
         node = node->next) {
        r->line = node->line;
        SW_TRY(sw_jinja_charge(r, 1));
        SW_TRY(execs[node->kind](r, node));
    }
    r->depth--;
    return SW_OK;
}

static const struct sw_value_pair *find_argument(const struct sw_jinja_call *call,
                                                 const struct sw_value *name)
{
    for (size_t i = 0; i < call->n_named; i++)
        if (sw_value_same_text(&call->named[i].key, name))
            return &call->named[i];
    return NULL;
}

static bool macro_has_param(const struct sw_jinja_node *macro, const struct sw_value *name)
{
    for (const struct sw_jinja_node *p = macro->params; p; p = p->next)
        if (sw_value_same_text(&p->value, name))
            return true;
    return false;
}

/* varargs, kwargs and caller: what the parameters leave over. */
static enum sw_status bind_rest(struct sw_jinja_run *r, const struct sw_jinja_node *macro,
                                const struct sw_jinja_call *call, size_t taken)
{
    static const char undefined_caller[] = "caller";
    struct sw_value rest, names, caller = sw_value_undefined(undefined_caller, 6);
    const struct sw_value keys[3] = {sw_value_text("varargs", 7), sw_value_text("kwargs", 6),
                                     sw_value_text("caller", 6)};
    SW_TRY(sw_value_list_new(r, SW_V_TUPLE, 0, &rest));
    SW_TRY(sw_value_dict_new(r, SW_V_DICT, &names));
    for (; taken < call->n; taken++)
        SW_TRY(sw_value_list_add(r, &rest, &call->args[taken]));
    for (size_t i = 0; i < call->n_named; i++) {
        const struct sw_value_pair *pair = &call->named[i];
        if (macro_has_param(macro, &pair->key))
            continue;
        if (sw_value_is_text(&pair->key, "caller") && (macro->op & SW_MACRO_CALLER))
            caller = pair->value;
        else
            SW_TRY(sw_value_dict_put(r, &names, &pair->key, &pair->value));
    }
    const int name = (int)macro->value.length;
    if (rest.list->count && !(macro->op & SW_MACRO_VARARGS))
        return sw_jinja_fail(r, "the macro '%.*s' got %zu arguments too many", name,
                             macro->value.text, rest.list->count);
    if (names.dict->count && !(macro->op & SW_MACRO_KWARGS))
        return sw_jinja_fail(r, "the macro '%.*s' takes no argument '%.*s'", name,
                             macro->value.text, (int)names.dict->pairs[0].key.length,
                             names.dict->pairs[0].key.text);
    if (macro->op & SW_MACRO_VARARGS)
        SW_TRY(sw_scope_put(r, &keys[0], &rest));
    if (macro->op & SW_MACRO_KWARGS)
        SW_TRY(sw_scope_put(r, &keys[1], &names));
    return macro->op & SW_MACRO_CALLER ? sw_scope_put(r, &keys[2], &caller) : SW_OK;
}

static enum sw_status bind_params(struct sw_jinja_run *r, const struct sw_jinja_node *macro,
                                  const struct sw_jinja_call *call)
{
    size_t taken = 0;
    for (const struct sw_jinja_node *p = macro->params; p; p = p->next) {
        struct sw_value value = sw_value_undefined(p->value.text, p->value.length);
        const struct sw_value_pair *own = find_argument(call, &p->value);
        if (taken < call->n && own)
            return sw_jinja_fail(r, "the macro '%.*s' got '%.*s' twice", (int)macro->value.length,
                                 macro->value.text, (int)p->value.length, p->value.text);
        if (taken < call->n)
            value = call->args[taken++];
        else if (own)
            value = own->value;
        else if (p->a)
            SW_TRY(sw_jinja_eval(r, p->a, &value));
        SW_TRY(sw_scope_put(r, &p->value, &value));
    }
    return bind_rest(r, macro, call, taken);
}

enum sw_status sw_jinja_run_macro(struct sw_jinja_run *r, struct sw_macro *macro,
                                  const struct sw_jinja_call *call, struct sw_value *out)
{
    struct sw_scope *const scope = r->scope;
    const int line = r->line;
    SW_TRY(sw_jinja_deeper(r));
    SW_TRY(sw_scope_push(r, macro->scope));
    SW_TRY(bind_params(r, macro->node, call));
    SW_TRY(run_captured(r, macro->node->list, out));
    r->scope = scope;
    r->line = line;
    r->depth--;
    return SW_OK;
}
