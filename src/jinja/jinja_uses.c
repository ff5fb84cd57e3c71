/* Owns the look at a template's tree that tells in which form it wants a member. */
#include "jinja/jinja_uses.h"
#include "jinja/jinja_tree.h"

#include <string.h>

#define NAMES_MAX 64   /* that stand for the member; more are not looked at */
#define DEPTH_MAX 2000 /* of the tree, which a long sum makes as deep as it has terms */

struct look {
    const char *member;
    struct sw_jinja_uses *uses;
    const struct sw_value *names[NAMES_MAX]; /* (count) */
    size_t count;
    const struct sw_jinja_node *body; /* of the template, where macros are */
};

static bool same_name(const struct sw_value *a, const struct sw_value *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static bool jinja_uses_is_text(const struct sw_value *value, const char *text)
{
    return value->kind == SW_V_STRING && value->length == strlen(text) &&
           memcmp(value->text, text, value->length) == 0;
}

static bool is_known(const struct look *look, const struct sw_value *name)
{
    for (size_t i = 0; i < look->count; i++)
        if (same_name(look->names[i], name))
            return true;
    return false;
}

static void learn(struct look *look, const struct sw_value *name)
{
    if (look->count < NAMES_MAX && !is_known(look, name))
        look->names[look->count++] = name;
}

/* Whether an expression is the member itself, and not something made of it. */
static bool is_member(const struct look *look, const struct sw_jinja_node *n)
{
    if (!n)
        return false;
    switch (n->kind) {
    case SW_N_NAME:
        return is_known(look, &n->value);
    case SW_N_ATTR:
        return jinja_uses_is_text(&n->value, look->member);
    case SW_N_ITEM:
        return n->b && n->b->kind == SW_N_CONST && jinja_uses_is_text(&n->b->value, look->member);
    case SW_N_CONDITION:
        return is_member(look, n->a) || is_member(look, n->c);
    case SW_N_LOGIC:
        return is_member(look, n->a) || is_member(look, n->b);
    case SW_N_FILTER:
        return (jinja_uses_is_text(&n->value, "list") || jinja_uses_is_text(&n->value, "default") ||
                jinja_uses_is_text(&n->value, "selectattr") ||
                jinja_uses_is_text(&n->value, "rejectattr")) &&
               is_member(look, n->a);
    case SW_N_CALL: /* message.get('content') */
        return n->a && n->a->kind == SW_N_ATTR && jinja_uses_is_text(&n->a->value, "get") &&
               n->list && n->list->kind == SW_N_CONST &&
               jinja_uses_is_text(&n->list->value, look->member);
    default:
        return false;
    }
}

static const struct sw_jinja_node *macro_in(const struct sw_jinja_node *list,
                                            const struct sw_value *name)
{
    for (const struct sw_jinja_node *n = list; n; n = n->next) {
        if (n->kind == SW_N_MACRO && same_name(&n->value, name))
            return n;
        const struct sw_jinja_node *inner = macro_in(n->list, name);
        if (inner)
            return inner;
    }
    return NULL;
}

/* A macro's parameters stand for the member where a call gives it to them. */
static void look_at_call(struct look *look, const struct sw_jinja_node *call)
{
    if (!call->a || call->a->kind != SW_N_NAME)
        return;
    const struct sw_jinja_node *macro = macro_in(look->body, &call->a->value);
    const struct sw_jinja_node *param = macro ? macro->params : NULL;
    for (const struct sw_jinja_node *arg = call->list; arg; arg = arg->next) {
        if (arg->kind == SW_N_KEYWORD && macro && is_member(look, arg->a))
            learn(look, &arg->value);
        else if (param && is_member(look, arg))
            learn(look, &param->value);
        param = param ? param->next : NULL;
    }
}

static void look_at(struct look *look, const struct sw_jinja_node *n)
{
    struct sw_jinja_uses *uses = look->uses;
    if (n->kind == SW_N_SET && n->a && n->a->kind == SW_N_NAME && is_member(look, n->b))
        learn(look, &n->a->value);
    else if (n->kind == SW_N_CALL)
        look_at_call(look, n);
    else if (n->kind == SW_N_ATTR &&
             (jinja_uses_is_text(&n->value, "items") || jinja_uses_is_text(&n->value, "keys")))
        uses->opened |= is_member(look, n->a);
    else if (n->kind == SW_N_FOR)
        uses->walked |= is_member(look, n->b);
    else if (n->kind == SW_N_ITEM)
        uses->walked |= is_member(look, n->a) && n->b && n->b->kind == SW_N_CONST &&
                        n->b->value.kind == SW_V_INT;
    else if (n->kind == SW_N_PRINT)
        uses->printed |= is_member(look, n->a);
    else if (n->kind == SW_N_BINARY && n->op == '+')
        uses->printed |= is_member(look, n->a) || is_member(look, n->b);
    else if (n->kind == SW_N_FILTER && jinja_uses_is_text(&n->value, "tojson"))
        uses->serialized |= is_member(look, n->a);
    for (const struct sw_jinja_node *item = n->list; n->kind == SW_N_CONCAT && item;
         item = item->next)
        uses->printed |= is_member(look, item);
}

static void look_through(struct look *look, const struct sw_jinja_node *list, int depth)
{
    for (const struct sw_jinja_node *n = depth < DEPTH_MAX ? list : NULL; n; n = n->next) {
        look_at(look, n);
        const struct sw_jinja_node *const inner[] = {n->a,    n->b,      n->c,     n->d,
                                                     n->list, n->params, n->orelse};
        for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
            look_through(look, inner[i], depth + 1);
    }
}

void sw_jinja_find_uses(const struct sw_jinja *template, const char *member,
                        struct sw_jinja_uses *uses)
{
    struct look look = {.member = member, .uses = uses, .body = template->body};
    size_t before;
    *uses = (struct sw_jinja_uses){0};
    do { /* a name may be used above where it is given */
        before = look.count;
        look_through(&look, template->body, 0);
    } while (look.count > before);
}
