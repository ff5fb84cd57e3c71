/*
 * Owns the parsing of operands (names, literals, calls, items, filters, tests), of tuples, and of
 * targets of assignments.
 */
#include "jinja/jinja_parser.h"

#include <string.h>

/* ( … ), with *list the arguments: positional, name=…, *…, **… */
static enum sw_status parse_arguments(struct sw_jinja_parser *p, struct sw_jinja_node **list)
{
    struct sw_jinja_list items = {0};
    int stage = 0; /* 1: a keyword has come, 2: *, 3: ** */
    SW_TRY(sw_jinja_expect_operator(p, "("));
    while (!sw_jinja_skip_operator(p, ")")) {
        struct sw_jinja_node *item;
        if (items.first) {
            SW_TRY(sw_jinja_expect_operator(p, ","));
            if (sw_jinja_skip_operator(p, ")"))
                break;
        }
        const struct sw_jinja_token *name = p->at;
        const bool keyword = name->kind == SW_T_NAME && name[1].kind == SW_T_OPERATOR &&
                             strcmp(name[1].text, "=") == 0;
        const int own = sw_jinja_at_operator(p, "*")    ? 2
                        : sw_jinja_at_operator(p, "**") ? 3
                        : keyword                       ? 1
                                                        : 0;
        if (own < stage || (own == stage && own > 1))
            return sw_jinja_unexpected(p, "arguments in the order: plain, name=…, *…, **…");
        stage = own;
        if (own == 0) {
            SW_TRY(sw_jinja_expression(p, &item));
        } else {
            SW_TRY(sw_jinja_node_new(p, own == 1 ? SW_N_KEYWORD : SW_N_SPREAD, &item));
            item->op = own == 2 ? '*' : 'p';
            item->value = sw_value_text(name->text, name->length);
            p->at += own == 1 ? 2 : 1;
            SW_TRY(sw_jinja_expression(p, &item->a));
        }
        sw_jinja_list_add(&items, item);
    }
    *list = items.first;
    return SW_OK;
}

static enum sw_status parse_list(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    struct sw_jinja_list items = {0};
    SW_TRY(sw_jinja_node_new(p, SW_N_LIST, out));
    SW_TRY(sw_jinja_expect_operator(p, "["));
    while (!sw_jinja_skip_operator(p, "]")) {
        struct sw_jinja_node *item;
        if (items.first) {
            SW_TRY(sw_jinja_expect_operator(p, ","));
            if (sw_jinja_skip_operator(p, "]"))
                break;
        }
        SW_TRY(sw_jinja_expression(p, &item));
        sw_jinja_list_add(&items, item);
    }
    (*out)->list = items.first;
    return SW_OK;
}

static enum sw_status parse_dict(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    struct sw_jinja_list items = {0};
    SW_TRY(sw_jinja_node_new(p, SW_N_DICT, out));
    SW_TRY(sw_jinja_expect_operator(p, "{"));
    while (!sw_jinja_skip_operator(p, "}")) {
        struct sw_jinja_node *key, *value;
        if (items.first) {
            SW_TRY(sw_jinja_expect_operator(p, ","));
            if (sw_jinja_skip_operator(p, "}"))
                break;
        }
        SW_TRY(sw_jinja_expression(p, &key));
        SW_TRY(sw_jinja_expect_operator(p, ":"));
        SW_TRY(sw_jinja_expression(p, &value));
        sw_jinja_list_add(&items, key);
        sw_jinja_list_add(&items, value);
    }
    (*out)->list = items.first;
    return SW_OK;
}

/* Neighbouring strings are one. */
static enum sw_status parse_strings(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    const struct sw_jinja_token *first = p->at;
    size_t n = 0;
    for (; p->at->kind == SW_T_STRING; p->at++)
        n += p->at->length;
    char *text = sw_arena_take(p->arena, n + 1);
    if (!text)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    node->value = sw_value_text(text, n);
    for (; first < p->at; first++) {
        memcpy(text, first->text, first->length);
        text += first->length;
    }
    return SW_OK;
}

static void add_special(struct sw_jinja_parser *p, const char *name)
{
    p->specials |= strcmp(name, "varargs") == 0  ? SW_MACRO_VARARGS
                   : strcmp(name, "kwargs") == 0 ? SW_MACRO_KWARGS
                   : strcmp(name, "caller") == 0 ? SW_MACRO_CALLER
                                                 : 0;
}

static enum sw_status parse_name(struct sw_jinja_parser *p, struct sw_jinja_node *node)
{
    static const struct {
        const char *name;
        struct sw_value value;
    } constants[] = {{"true", {.kind = SW_V_BOOL, .boolean = true}},
                     {"True", {.kind = SW_V_BOOL, .boolean = true}},
                     {"false", {.kind = SW_V_BOOL}},
                     {"False", {.kind = SW_V_BOOL}},
                     {"none", {.kind = SW_V_NONE}},
                     {"None", {.kind = SW_V_NONE}}};
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        if (sw_jinja_skip_name(p, constants[i].name)) {
            node->value = constants[i].value;
            return SW_OK;
        }
    node->kind = SW_N_NAME;
    add_special(p, p->at->text);
    return sw_jinja_expect_name(p, &node->value);
}

static enum sw_status parse_primary(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    if (sw_jinja_at_operator(p, "["))
        return parse_list(p, out);
    if (sw_jinja_at_operator(p, "{"))
        return parse_dict(p, out);
    if (sw_jinja_at_operator(p, "(")) {
        struct sw_jinja_node *empty;
        SW_TRY(sw_jinja_node_new(p, SW_N_TUPLE, &empty));
        p->at++;
        *out = empty;
        if (sw_jinja_skip_operator(p, ")"))
            return SW_OK;
        SW_TRY(sw_jinja_tuple(p, false, NULL, out));
        return sw_jinja_expect_operator(p, ")");
    }
    SW_TRY(sw_jinja_node_new(p, SW_N_CONST, out));
    switch (p->at->kind) {
    case SW_T_NAME:
        return parse_name(p, *out);
    case SW_T_STRING:
        return parse_strings(p, *out);
    case SW_T_INTEGER:
        (*out)->value = sw_value_int(p->at++->integer);
        return SW_OK;
    case SW_T_FLOAT:
        (*out)->value = sw_value_real(p->at++->real);
        return SW_OK;
    default:
        return sw_jinja_unexpected(p, "an expression");
    }
}

/* One part of [a:b:c]: absent before a colon or the end. */
static enum sw_status parse_slice_part(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    *out = NULL;
    if (sw_jinja_at_operator(p, ":") || sw_jinja_at_operator(p, "]"))
        return SW_OK;
    return sw_jinja_expression(p, out);
}

/* a[b, c]: the rest of a key that is a tuple. */
static enum sw_status parse_tuple_key(struct sw_jinja_parser *p, struct sw_jinja_node **key)
{
    struct sw_jinja_list items = {0};
    struct sw_jinja_node *item = *key;
    SW_TRY(sw_jinja_node_new(p, SW_N_TUPLE, key));
    sw_jinja_list_add(&items, item);
    while (sw_jinja_skip_operator(p, ",")) {
        SW_TRY(sw_jinja_expression(p, &item));
        sw_jinja_list_add(&items, item);
    }
    (*key)->list = items.first;
    return SW_OK;
}

static enum sw_status parse_subscript(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    struct sw_jinja_node *item;
    SW_TRY(sw_jinja_node_new(p, SW_N_ITEM, &item));
    item->a = *node;
    *node = item;
    p->at++;
    SW_TRY(parse_slice_part(p, &item->b));
    if (!sw_jinja_skip_operator(p, ":")) {
        if (!item->b)
            return sw_jinja_unexpected(p, "an expression");
        if (sw_jinja_at_operator(p, ","))
            SW_TRY(parse_tuple_key(p, &item->b));
        return sw_jinja_expect_operator(p, "]");
    }
    item->kind = SW_N_SLICE;
    SW_TRY(parse_slice_part(p, &item->c));
    if (sw_jinja_skip_operator(p, ":"))
        SW_TRY(parse_slice_part(p, &item->d));
    return sw_jinja_expect_operator(p, "]");
}

static enum sw_status parse_attribute(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    struct sw_jinja_node *item;
    p->at++;
    SW_TRY(sw_jinja_node_new(p, SW_N_ATTR, &item));
    item->a = *node;
    *node = item;
    if (p->at->kind != SW_T_INTEGER)
        return sw_jinja_expect_name(p, &item->value);
    item->kind = SW_N_ITEM;
    SW_TRY(sw_jinja_node_new(p, SW_N_CONST, &item->b));
    item->b->value = sw_value_int(p->at++->integer);
    return SW_OK;
}

static enum sw_status parse_call(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    SW_TRY(sw_jinja_join(p, SW_N_CALL, 0, node, NULL));
    return parse_arguments(p, &(*node)->list);
}

static enum sw_status parse_postfix(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    for (;;) {
        if (sw_jinja_at_operator(p, "."))
            SW_TRY(parse_attribute(p, node));
        else if (sw_jinja_at_operator(p, "["))
            SW_TRY(parse_subscript(p, node));
        else if (sw_jinja_at_operator(p, "("))
            SW_TRY(parse_call(p, node));
        else
            return SW_OK;
    }
}

enum sw_status sw_jinja_filter_name(struct sw_jinja_parser *p, struct sw_jinja_node *inner,
                                    struct sw_jinja_node **out)
{
    struct sw_jinja_node *node;
    SW_TRY(sw_jinja_node_new(p, SW_N_FILTER, &node));
    node->a = inner;
    *out = node;
    SW_TRY(sw_jinja_expect_name(p, &node->value));
    return sw_jinja_at_operator(p, "(") ? parse_arguments(p, &node->list) : SW_OK;
}

enum sw_status sw_jinja_filters(struct sw_jinja_parser *p, struct sw_jinja_node *inner,
                                struct sw_jinja_node **out)
{
    *out = inner;
    while (sw_jinja_skip_operator(p, "|"))
        SW_TRY(sw_jinja_filter_name(p, *out, out));
    return SW_OK;
}

/* The argument of `is divisibleby 3`, written without parentheses. */
static bool is_bare_argument(const struct sw_jinja_parser *p)
{
    if (p->at->kind == SW_T_NAME)
        return !sw_jinja_at_name(p, "else") && !sw_jinja_at_name(p, "or") &&
               !sw_jinja_at_name(p, "and");
    return p->at->kind == SW_T_STRING || p->at->kind == SW_T_INTEGER || p->at->kind == SW_T_FLOAT ||
           sw_jinja_at_operator(p, "[") || sw_jinja_at_operator(p, "{");
}

/* is [not] name [arguments] */
static enum sw_status parse_test(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    struct sw_jinja_node *made;
    SW_TRY(sw_jinja_node_new(p, SW_N_TEST, &made));
    p->at++;
    const bool negated = sw_jinja_skip_name(p, "not");
    made->a = *node;
    SW_TRY(sw_jinja_expect_name(p, &made->value));
    if (sw_jinja_at_operator(p, "(")) {
        SW_TRY(parse_arguments(p, &made->list));
    } else if (is_bare_argument(p)) {
        if (sw_jinja_at_name(p, "is"))
            return sw_jinja_unexpected(p, "one test (they cannot be chained)");
        SW_TRY(parse_primary(p, &made->list));
        SW_TRY(parse_postfix(p, &made->list));
    }
    *node = made;
    return negated ? sw_jinja_join(p, SW_N_UNARY, '!', node, NULL) : SW_OK;
}

static enum sw_status parse_filter_or_test(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    for (;;) {
        if (sw_jinja_at_operator(p, "|"))
            SW_TRY(sw_jinja_filters(p, *node, node));
        else if (sw_jinja_at_name(p, "is"))
            SW_TRY(parse_test(p, node));
        else if (sw_jinja_at_operator(p, "("))
            SW_TRY(parse_call(p, node));
        else
            return SW_OK;
    }
}

enum sw_status sw_jinja_operand(struct sw_jinja_parser *p, bool filters, struct sw_jinja_node **out)
{
    SW_TRY(sw_jinja_enter(p));
    const bool minus = sw_jinja_at_operator(p, "-");
    if (minus || sw_jinja_at_operator(p, "+")) {
        p->at++;
        SW_TRY(sw_jinja_operand(p, false, out));
        SW_TRY(sw_jinja_join(p, SW_N_UNARY, minus ? '-' : '+', out, NULL));
    } else {
        SW_TRY(parse_primary(p, out));
    }
    SW_TRY(parse_postfix(p, out));
    if (filters)
        SW_TRY(parse_filter_or_test(p, out));
    p->depth--;
    return SW_OK;
}

static bool tuple_ends(const struct sw_jinja_parser *p, const char *until)
{
    return p->at->kind == SW_T_PRINT_END || p->at->kind == SW_T_BLOCK_END ||
           sw_jinja_at_operator(p, ")") || (until && sw_jinja_at_name(p, until));
}

/* What a tuple is made of. */
enum tuple_part { PART_ANY, PART_PLAIN, PART_TARGET, PART_TARGET_OR_ATTRIBUTE };

static enum sw_status parse_target(struct sw_jinja_parser *p, bool attributes,
                                   struct sw_jinja_node **out)
{
    if (sw_jinja_at_operator(p, "(")) {
        SW_TRY(sw_jinja_enter(p));
        p->at++;
        SW_TRY(sw_jinja_target(p, attributes, out));
        p->depth--;
        return sw_jinja_expect_operator(p, ")");
    }
    SW_TRY(sw_jinja_node_new(p, SW_N_CONST, out));
    if (p->at->kind == SW_T_NAME)
        SW_TRY(parse_name(p, *out));
    if ((*out)->kind != SW_N_NAME)
        return sw_jinja_unexpected(p, "a name to assign to");
    return attributes && sw_jinja_at_operator(p, ".") ? parse_attribute(p, out) : SW_OK;
}

static enum sw_status parse_tuple(struct sw_jinja_parser *p, enum tuple_part part,
                                  const char *until, struct sw_jinja_node **out)
{
    struct sw_jinja_list items = {0};
    struct sw_jinja_node *node;
    bool comma = false;
    SW_TRY(sw_jinja_node_new(p, SW_N_TUPLE, &node));
    while (!tuple_ends(p, until)) {
        struct sw_jinja_node *item;
        SW_TRY(part == PART_ANY     ? sw_jinja_expression(p, &item)
               : part == PART_PLAIN ? sw_jinja_plain_expression(p, &item)
                                    : parse_target(p, part == PART_TARGET_OR_ATTRIBUTE, &item));
        sw_jinja_list_add(&items, item);
        if (!sw_jinja_skip_operator(p, ","))
            break;
        comma = true;
    }
    if (!items.first)
        return sw_jinja_unexpected(p, "an expression");
    node->list = items.first;
    *out = comma ? node : items.first;
    return SW_OK;
}

enum sw_status sw_jinja_tuple(struct sw_jinja_parser *p, bool plain, const char *until,
                              struct sw_jinja_node **out)
{
    return parse_tuple(p, plain ? PART_PLAIN : PART_ANY, until, out);
}

enum sw_status sw_jinja_target(struct sw_jinja_parser *p, bool attributes,
                               struct sw_jinja_node **out)
{
    return parse_tuple(p, attributes ? PART_TARGET_OR_ATTRIBUTE : PART_TARGET, "in", out);
}
