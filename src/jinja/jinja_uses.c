/* Owns the search of a template's tree for the form in which it uses a member. */
#include "jinja/jinja_uses.h"
#include "jinja/jinja_tree.h"

#include <string.h>

#define NAMES_MAX 64   /* names that stand for the member; further ones are ignored */
#define DEPTH_MAX 2000 /* depth of the tree; a long sum is as deep as it has terms */

struct uses_finder {
    const char *member;
    struct sw_jinja_uses *uses;
    const struct sw_value *names[NAMES_MAX]; /* (count) */
    size_t count;
    const struct sw_jinja_node *body; /* of the template, where macros are */
};

static bool is_known(const struct uses_finder *finder, const struct sw_value *name)
{
    for (size_t i = 0; i < finder->count; i++)
        if (sw_value_same_text(finder->names[i], name))
            return true;
    return false;
}

static void add_name(struct uses_finder *finder, const struct sw_value *name)
{
    if (finder->count < NAMES_MAX && !is_known(finder, name))
        finder->names[finder->count++] = name;
}

/* Whether an expression is the member itself, and not something made of it. */
static bool is_member(const struct uses_finder *finder, const struct sw_jinja_node *n)
{
    if (!n)
        return false;
    switch (n->kind) {
    case SW_N_NAME:
        return is_known(finder, &n->value);
    case SW_N_ATTR:
        return sw_value_is_text(&n->value, finder->member);
    case SW_N_ITEM:
        return n->b && n->b->kind == SW_N_CONST && sw_value_is_text(&n->b->value, finder->member);
    case SW_N_CONDITION:
        return is_member(finder, n->a) || is_member(finder, n->c);
    case SW_N_LOGIC:
        return is_member(finder, n->a) || is_member(finder, n->b);
    case SW_N_FILTER:
        return (sw_value_is_text(&n->value, "list") || sw_value_is_text(&n->value, "default") ||
                sw_value_is_text(&n->value, "selectattr") ||
                sw_value_is_text(&n->value, "rejectattr")) &&
               is_member(finder, n->a);
    case SW_N_CALL: /* message.get('content') */
        return n->a && n->a->kind == SW_N_ATTR && sw_value_is_text(&n->a->value, "get") &&
               n->list && n->list->kind == SW_N_CONST &&
               sw_value_is_text(&n->list->value, finder->member);
    default:
        return false;
    }
}

static const struct sw_jinja_node *find_macro(const struct sw_jinja_node *list,
                                              const struct sw_value *name)
{
    for (const struct sw_jinja_node *n = list; n; n = n->next) {
        if (n->kind == SW_N_MACRO && sw_value_same_text(&n->value, name))
            return n;
        const struct sw_jinja_node *inner = find_macro(n->list, name);
        if (inner)
            return inner;
    }
    return NULL;
}

/* A macro's parameters stand for the member where a call gives it to them. */
static void visit_call(struct uses_finder *finder, const struct sw_jinja_node *call)
{
    if (!call->a || call->a->kind != SW_N_NAME)
        return;
    const struct sw_jinja_node *macro = find_macro(finder->body, &call->a->value);
    const struct sw_jinja_node *param = macro ? macro->params : NULL;
    for (const struct sw_jinja_node *arg = call->list; arg; arg = arg->next) {
        if (arg->kind == SW_N_KEYWORD && macro && is_member(finder, arg->a))
            add_name(finder, &arg->value);
        else if (param && is_member(finder, arg))
            add_name(finder, &param->value);
        param = param ? param->next : NULL;
    }
}

static void visit_node(struct uses_finder *finder, const struct sw_jinja_node *n)
{
    struct sw_jinja_uses *uses = finder->uses;
    if (n->kind == SW_N_SET && n->a && n->a->kind == SW_N_NAME && is_member(finder, n->b))
        add_name(finder, &n->a->value);
    else if (n->kind == SW_N_CALL)
        visit_call(finder, n);
    else if (n->kind == SW_N_ATTR &&
             (sw_value_is_text(&n->value, "items") || sw_value_is_text(&n->value, "keys")))
        uses->opened |= is_member(finder, n->a);
    else if (n->kind == SW_N_FOR)
        uses->walked |= is_member(finder, n->b);
    else if (n->kind == SW_N_ITEM)
        uses->walked |= is_member(finder, n->a) && n->b && n->b->kind == SW_N_CONST &&
                        n->b->value.kind == SW_V_INT;
    else if (n->kind == SW_N_PRINT)
        uses->printed |= is_member(finder, n->a);
    else if (n->kind == SW_N_BINARY && n->op == '+')
        uses->printed |= is_member(finder, n->a) || is_member(finder, n->b);
    else if (n->kind == SW_N_FILTER && sw_value_is_text(&n->value, "tojson"))
        uses->serialized |= is_member(finder, n->a);
    for (const struct sw_jinja_node *item = n->list; n->kind == SW_N_CONCAT && item;
         item = item->next)
        uses->printed |= is_member(finder, item);
}

static void visit_list(struct uses_finder *finder, const struct sw_jinja_node *list, int depth)
{
    for (const struct sw_jinja_node *n = depth < DEPTH_MAX ? list : NULL; n; n = n->next) {
        visit_node(finder, n);
        const struct sw_jinja_node *const inner[] = {n->a,    n->b,      n->c,     n->d,
                                                     n->list, n->params, n->orelse};
        for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
            visit_list(finder, inner[i], depth + 1);
    }
}

void sw_jinja_find_uses(const struct sw_jinja *template, const char *member,
                        struct sw_jinja_uses *uses)
{
    struct uses_finder finder = {.member = member, .uses = uses, .body = template->body};
    size_t before;
    *uses = (struct sw_jinja_uses){0};
    do { /* a name may be used above where it is given */
        before = finder.count;
        visit_list(&finder, template->body, 0);
    } while (finder.count > before);
}
