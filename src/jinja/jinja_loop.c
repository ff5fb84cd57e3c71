/* Owns loops: iterating over the items, and the variable `loop`. */
#include "jinja/jinja_run.h"

struct sw_loop {
    const struct sw_jinja_node *node;
    struct sw_scope *scope; /* around the loop */
    struct sw_value source; /* the list that the loop is over */
    size_t next;            /* items of `source` that the condition has been tried on */
    struct sw_value items;  /* items that passed the loop's condition so far */
    size_t index;           /* of the item that the body runs for, from 0 */
    int level;              /* nesting depth in a recursive loop, from 0 */
    bool through;           /* whether the body ran to its end at least once */
    struct sw_value seen;   /* the last arguments of loop.changed */
};

/* Tries the condition until `count` items have passed or none is left: as late as possible. */
static enum sw_status loop_fill(struct sw_jinja_run *r, struct sw_loop *loop, size_t count)
{
    struct sw_scope *const scope = r->scope;
    const int line = r->line;
    while (loop->node->c && loop->items.list->count < count &&
           loop->next < loop->source.list->count) {
        const struct sw_value item = loop->source.list->items[loop->next++];
        struct sw_value passes;
        SW_TRY(sw_scope_push(r, loop->scope));
        SW_TRY(sw_jinja_assign(r, loop->node->a, &item));
        SW_TRY(sw_jinja_eval(r, loop->node->c, &passes));
        if (sw_value_true(&passes))
            SW_TRY(sw_value_list_add(r, &loop->items, &item));
    }
    r->scope = scope;
    r->line = line;
    return SW_OK;
}

static enum sw_status run_body(struct sw_jinja_run *r, struct sw_loop *loop)
{
    const struct sw_value name = sw_value_text("loop", 4),
                          value = {.kind = SW_V_LOOP, .loop = loop};
    const struct sw_jinja_node *node = loop->node;
    for (;; loop->index++) {
        SW_TRY(loop_fill(r, loop, loop->index + 1));
        if (loop->index >= loop->items.list->count)
            return SW_OK;
        SW_TRY(sw_jinja_charge(r, 1));
        SW_TRY(sw_scope_push(r, loop->scope));
        SW_TRY(sw_scope_put(r, &name, &value));
        SW_TRY(sw_jinja_assign(r, node->a, &loop->items.list->items[loop->index]));
        SW_TRY(sw_jinja_exec(r, node->list));
        const bool leave = r->flow == SW_FLOW_BREAK;
        loop->through = loop->through || r->flow == SW_FLOW_ON;
        r->flow = SW_FLOW_ON;
        if (leave)
            return SW_OK;
    }
}

enum sw_status sw_loop_run(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                           const struct sw_value *items, struct sw_loop *outer)
{
    struct sw_scope *const scope = r->scope;
    void *made;
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_loop), &made));
    struct sw_loop *loop = made;
    *loop = (struct sw_loop){.node = node,
                             .scope = scope,
                             .source = *items,
                             .items = *items,
                             .level = outer ? outer->level + 1 : 0};
    if (node->c)
        SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, &loop->items));
    SW_TRY(run_body(r, loop));
    r->scope = scope;
    if (loop->through) /* Jinja's `else` runs after loops that were only left or skipped, too */
        return SW_OK;
    SW_TRY(sw_scope_push(r, scope));
    SW_TRY(sw_jinja_exec(r, node->orelse));
    r->scope = scope;
    return SW_OK;
}

enum sw_status sw_loop_call(struct sw_jinja_run *r, struct sw_loop *loop,
                            const struct sw_jinja_call *call, struct sw_value *out)
{
    struct sw_strbuf buf = {0}, *const before = r->out;
    struct sw_scope *const scope = r->scope;
    struct sw_value items;
    if (loop->node->op != 'r' || call->n != 1)
        return sw_jinja_fail(r, "loop(…) wants one list, in a loop marked 'recursive'");
    SW_TRY(sw_value_items(r, &call->args[0], &items));
    SW_TRY(sw_jinja_deeper(r));
    r->out = &buf;
    r->scope = loop->scope;
    const enum sw_status status = sw_loop_run(r, loop->node, &items, loop);
    r->scope = scope;
    r->out = before;
    r->depth--;
    if (status == SW_OK)
        return sw_jinja_text(r, &buf, out);
    sw_strbuf_free(&buf);
    return status;
}

static enum sw_status loop_cycle(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    if (call->n == 0)
        return sw_jinja_fail(r, "loop.cycle wants at least one value");
    *out = call->args[call->self.loop->index % call->n];
    return SW_OK;
}

static enum sw_status loop_changed(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    struct sw_loop *loop = call->self.loop;
    struct sw_value now;
    bool same = false;
    SW_TRY(sw_value_list_new(r, SW_V_TUPLE, 0, &now));
    for (size_t i = 0; i < call->n; i++)
        SW_TRY(sw_value_list_add(r, &now, &call->args[i]));
    if (loop->seen.kind != SW_V_ABSENT)
        SW_TRY(sw_value_equal(r, &now, &loop->seen, &same));
    loop->seen = now;
    *out = sw_value_bool(!same);
    return SW_OK;
}

static const struct sw_builtin methods[] = {{"cycle", NULL, 0, loop_cycle},
                                            {"changed", NULL, 0, loop_changed}};

/* The attributes that are numbers; a bar's end needs all items, so those are reached for. */
static bool loop_number(const struct sw_loop *loop, const struct sw_value *name, int64_t *out)
{
    const int64_t index = (int64_t)loop->index, n = (int64_t)loop->items.list->count;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index0", index},         {"index", index + 1}, {"revindex0", n - index - 1},
                   {"revindex", n - index},   {"length", n},        {"depth0", loop->level},
                   {"depth", loop->level + 1}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sw_value_is_text(name, numbers[i].name)) {
            *out = numbers[i].value;
            return true;
        }
    return false;
}

enum sw_status sw_loop_attribute(struct sw_jinja_run *r, struct sw_loop *loop,
                                 const struct sw_value *name, struct sw_value *out)
{
    const struct sw_builtin *method =
        sw_builtin_find(methods, sizeof methods / sizeof methods[0], name);
    const bool last = sw_value_is_text(name, "last"), next = sw_value_is_text(name, "nextitem");
    int64_t i;
    if (last || next)
        SW_TRY(loop_fill(r, loop, loop->index + 2));
    if (sw_value_is_text(name, "length") || (name->length > 3 && name->text[0] == 'r'))
        SW_TRY(loop_fill(r, loop, loop->source.list->count));
    const size_t n = loop->items.list->count;
    *out = sw_value_undefined(name->text, name->length);
    if (loop_number(loop, name, &i))
        *out = sw_value_int(i);
    else if (sw_value_is_text(name, "first"))
        *out = sw_value_bool(loop->index == 0);
    else if (last)
        *out = sw_value_bool(loop->index + 1 >= n);
    else if (next && loop->index + 1 < n)
        *out = loop->items.list->items[loop->index + 1];
    else if (sw_value_is_text(name, "previtem") && loop->index > 0)
        *out = loop->items.list->items[loop->index - 1];
    if (!method)
        return SW_OK;
    void *made;
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_value_method) + sizeof *out, &made));
    struct sw_value_method *bound = made;
    bound->builtin = method;
    bound->self = (struct sw_value *)(bound + 1);
    *bound->self = (struct sw_value){.kind = SW_V_LOOP, .loop = loop};
    *out = (struct sw_value){.kind = SW_V_METHOD, .method = bound};
    return SW_OK;
}
