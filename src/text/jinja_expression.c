/* Owns the parsing of expressions, from the weakest operator to names and literals. */
#include "text/jinja_tree.h"

#include <string.h>

#define DEPTH_MAX 200

enum sw_status sw_jinja_node_new(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind,
                                 struct sw_jinja_node **out)
{
    struct sw_jinja_node *node = sw_arena_take(p->arena, sizeof *node);
    if (!node)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    node->kind = kind;
    node->line = p->at->line;
    *out = node;
    return SW_OK;
}

void sw_jinja_list_add(struct sw_jinja_list *list, struct sw_jinja_node *node)
{
    if (list->last)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
}

static bool at(const struct sw_jinja_parser *p, enum sw_jinja_token_kind kind, const char *text)
{
    return p->at->kind == kind && strcmp(p->at->text, text) == 0;
}

bool sw_jinja_at_name(const struct sw_jinja_parser *p, const char *name)
{
    return at(p, SW_T_NAME, name);
}

bool sw_jinja_at_operator(const struct sw_jinja_parser *p, const char *op)
{
    return at(p, SW_T_OPERATOR, op);
}

bool sw_jinja_skip_name(struct sw_jinja_parser *p, const char *name)
{
    const bool here = sw_jinja_at_name(p, name);
    p->at += here;
    return here;
}

bool sw_jinja_skip_operator(struct sw_jinja_parser *p, const char *op)
{
    const bool here = sw_jinja_at_operator(p, op);
    p->at += here;
    return here;
}

enum sw_status sw_jinja_unexpected(const struct sw_jinja_parser *p, const char *what)
{
    const size_t n = p->at->length > 40 ? 40 : p->at->length;
    sw_fail_at(__FILE__, __LINE__, "line %d: expected %s, found %s%.*s%s", p->at->line, what,
               p->at->kind == SW_T_END ? "" : "'", (int)n, p->at->text,
               p->at->kind == SW_T_END ? "" : "'");
    return SW_EMODEL;
}

enum sw_status sw_jinja_enter(struct sw_jinja_parser *p)
{
    if (p->depth++ < DEPTH_MAX)
        return SW_OK;
    return sw_fail(SW_EMODEL, "line %d: the template nests deeper than %d", p->at->line, DEPTH_MAX);
}

enum sw_status sw_jinja_expect_operator(struct sw_jinja_parser *p, const char *op)
{
    char what[8] = "'";
    if (sw_jinja_skip_operator(p, op))
        return SW_OK;
    strcat(strcat(what, op), "'");
    return sw_jinja_unexpected(p, what);
}

enum sw_status sw_jinja_expect_name(struct sw_jinja_parser *p, struct sw_value *name)
{
    if (p->at->kind != SW_T_NAME)
        return sw_jinja_unexpected(p, "a name");
    *name = sw_value_text(p->at->text, p->at->length);
    p->at++;
    return SW_OK;
}

/* Puts `left` and `right` under a new node of an operator. */
static enum sw_status join(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind, int op,
                           struct sw_jinja_node **left, struct sw_jinja_node *right)
{
    struct sw_jinja_node *node;
    SW_TRY(sw_jinja_node_new(p, kind, &node));
    node->line = (*left)->line;
    node->op = op;
    node->a = *left;
    node->b = right;
    *left = node;
    return SW_OK;
}

/* ( … ), with *list the arguments: positional, name=…, *…, **… */
static enum sw_status arguments(struct sw_jinja_parser *p, struct sw_jinja_node **list)
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

static enum sw_status list_literal(struct sw_jinja_parser *p, struct sw_jinja_node **out)
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

static enum sw_status dict_literal(struct sw_jinja_parser *p, struct sw_jinja_node **out)
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
static enum sw_status strings(struct sw_jinja_parser *p, struct sw_jinja_node *node)
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

static void note_special(struct sw_jinja_parser *p, const char *name)
{
    p->specials |= strcmp(name, "varargs") == 0  ? SW_MACRO_VARARGS
                   : strcmp(name, "kwargs") == 0 ? SW_MACRO_KWARGS
                   : strcmp(name, "caller") == 0 ? SW_MACRO_CALLER
                                                 : 0;
}

static enum sw_status name_or_constant(struct sw_jinja_parser *p, struct sw_jinja_node *node)
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
    note_special(p, p->at->text);
    return sw_jinja_expect_name(p, &node->value);
}

static enum sw_status primary(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    if (sw_jinja_at_operator(p, "["))
        return list_literal(p, out);
    if (sw_jinja_at_operator(p, "{"))
        return dict_literal(p, out);
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
        return name_or_constant(p, *out);
    case SW_T_STRING:
        return strings(p, *out);
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
static enum sw_status slice_part(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    *out = NULL;
    if (sw_jinja_at_operator(p, ":") || sw_jinja_at_operator(p, "]"))
        return SW_OK;
    return sw_jinja_expression(p, out);
}

/* a[b, c]: the rest of a key that is a tuple. */
static enum sw_status tuple_key(struct sw_jinja_parser *p, struct sw_jinja_node **key)
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

static enum sw_status subscript(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    struct sw_jinja_node *item;
    SW_TRY(sw_jinja_node_new(p, SW_N_ITEM, &item));
    item->a = *node;
    *node = item;
    p->at++;
    SW_TRY(slice_part(p, &item->b));
    if (!sw_jinja_skip_operator(p, ":")) {
        if (!item->b)
            return sw_jinja_unexpected(p, "an expression");
        if (sw_jinja_at_operator(p, ","))
            SW_TRY(tuple_key(p, &item->b));
        return sw_jinja_expect_operator(p, "]");
    }
    item->kind = SW_N_SLICE;
    SW_TRY(slice_part(p, &item->c));
    if (sw_jinja_skip_operator(p, ":"))
        SW_TRY(slice_part(p, &item->d));
    return sw_jinja_expect_operator(p, "]");
}

static enum sw_status attribute(struct sw_jinja_parser *p, struct sw_jinja_node **node)
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

static enum sw_status call(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    SW_TRY(join(p, SW_N_CALL, 0, node, NULL));
    return arguments(p, &(*node)->list);
}

static enum sw_status postfix(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    for (;;) {
        if (sw_jinja_at_operator(p, "."))
            SW_TRY(attribute(p, node));
        else if (sw_jinja_at_operator(p, "["))
            SW_TRY(subscript(p, node));
        else if (sw_jinja_at_operator(p, "("))
            SW_TRY(call(p, node));
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
    return sw_jinja_at_operator(p, "(") ? arguments(p, &node->list) : SW_OK;
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
static bool bare_argument(const struct sw_jinja_parser *p)
{
    if (p->at->kind == SW_T_NAME)
        return !sw_jinja_at_name(p, "else") && !sw_jinja_at_name(p, "or") &&
               !sw_jinja_at_name(p, "and");
    return p->at->kind == SW_T_STRING || p->at->kind == SW_T_INTEGER || p->at->kind == SW_T_FLOAT ||
           sw_jinja_at_operator(p, "[") || sw_jinja_at_operator(p, "{");
}

/* is [not] name [arguments] */
static enum sw_status test(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    struct sw_jinja_node *made;
    SW_TRY(sw_jinja_node_new(p, SW_N_TEST, &made));
    p->at++;
    const bool negated = sw_jinja_skip_name(p, "not");
    made->a = *node;
    SW_TRY(sw_jinja_expect_name(p, &made->value));
    if (sw_jinja_at_operator(p, "(")) {
        SW_TRY(arguments(p, &made->list));
    } else if (bare_argument(p)) {
        if (sw_jinja_at_name(p, "is"))
            return sw_jinja_unexpected(p, "one test (they cannot be chained)");
        SW_TRY(primary(p, &made->list));
        SW_TRY(postfix(p, &made->list));
    }
    *node = made;
    return negated ? join(p, SW_N_UNARY, '!', node, NULL) : SW_OK;
}

static enum sw_status filter_or_test(struct sw_jinja_parser *p, struct sw_jinja_node **node)
{
    for (;;) {
        if (sw_jinja_at_operator(p, "|"))
            SW_TRY(sw_jinja_filters(p, *node, node));
        else if (sw_jinja_at_name(p, "is"))
            SW_TRY(test(p, node));
        else if (sw_jinja_at_operator(p, "("))
            SW_TRY(call(p, node));
        else
            return SW_OK;
    }
}

static enum sw_status unary(struct sw_jinja_parser *p, bool filters, struct sw_jinja_node **out)
{
    SW_TRY(sw_jinja_enter(p));
    const bool minus = sw_jinja_at_operator(p, "-");
    if (minus || sw_jinja_at_operator(p, "+")) {
        p->at++;
        SW_TRY(unary(p, false, out));
        SW_TRY(join(p, SW_N_UNARY, minus ? '-' : '+', out, NULL));
    } else {
        SW_TRY(primary(p, out));
    }
    SW_TRY(postfix(p, out));
    if (filters)
        SW_TRY(filter_or_test(p, out));
    p->depth--;
    return SW_OK;
}

/* Operators of equal strength, from the left; the strongest level first. */
struct level {
    const char *names[4];
    int ops[4];
};
static const struct level levels[] = {{{"**"}, {'p'}},
                                      {{"*", "/", "//", "%"}, {'*', '/', 'f', '%'}},
                                      {{"~"}, {'~'}},
                                      {{"+", "-"}, {'+', '-'}}};
enum { LEVEL_POWER, LEVEL_PRODUCT, LEVEL_CONCAT, LEVEL_SUM };

static int operator_here(const struct sw_jinja_parser *p, const struct level *level)
{
    for (int i = 0; i < 4 && level->names[i]; i++)
        if (sw_jinja_at_operator(p, level->names[i]))
            return level->ops[i];
    return 0;
}

static enum sw_status arithmetic(struct sw_jinja_parser *p, int level, struct sw_jinja_node **out)
{
    if (level < LEVEL_POWER)
        return unary(p, true, out);
    SW_TRY(arithmetic(p, level - 1, out));
    struct sw_jinja_list parts = {0};
    for (int op; (op = operator_here(p, &levels[level]));) {
        struct sw_jinja_node *right;
        p->at++;
        SW_TRY(arithmetic(p, level - 1, &right));
        if (level != LEVEL_CONCAT) {
            SW_TRY(join(p, SW_N_BINARY, op, out, right));
            continue;
        }
        if (!parts.first) {
            struct sw_jinja_node *first = *out;
            SW_TRY(join(p, SW_N_CONCAT, 0, out, NULL));
            sw_jinja_list_add(&parts, first);
            (*out)->list = first;
        }
        sw_jinja_list_add(&parts, right);
    }
    return SW_OK;
}

static int comparison_here(struct sw_jinja_parser *p)
{
    static const struct {
        const char *name;
        int op;
    } comparisons[] = {{"==", '='}, {"!=", '!'}, {"<", '<'}, {">", '>'}, {"<=", 'l'}, {">=", 'g'}};
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++)
        if (sw_jinja_skip_operator(p, comparisons[i].name))
            return comparisons[i].op;
    if (sw_jinja_skip_name(p, "in"))
        return 'i';
    if (sw_jinja_at_name(p, "not") && p->at[1].kind == SW_T_NAME &&
        strcmp(p->at[1].text, "in") == 0) {
        p->at += 2;
        return 'n';
    }
    return 0;
}

static enum sw_status comparison(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    struct sw_jinja_list operands = {0};
    SW_TRY(arithmetic(p, LEVEL_SUM, out));
    for (int op; (op = comparison_here(p));) {
        struct sw_jinja_node *operand;
        SW_TRY(sw_jinja_node_new(p, SW_N_OPERAND, &operand));
        operand->op = op;
        SW_TRY(arithmetic(p, LEVEL_SUM, &operand->a));
        sw_jinja_list_add(&operands, operand);
    }
    if (!operands.first)
        return SW_OK;
    SW_TRY(join(p, SW_N_COMPARE, 0, out, NULL));
    (*out)->list = operands.first;
    return SW_OK;
}

static enum sw_status negation(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    if (!sw_jinja_skip_name(p, "not"))
        return comparison(p, out);
    SW_TRY(sw_jinja_enter(p));
    SW_TRY(negation(p, out));
    p->depth--;
    return join(p, SW_N_UNARY, '!', out, NULL);
}

static enum sw_status conjunction(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(negation(p, out));
    while (sw_jinja_skip_name(p, "and")) {
        struct sw_jinja_node *right;
        SW_TRY(negation(p, &right));
        SW_TRY(join(p, SW_N_LOGIC, '&', out, right));
    }
    return SW_OK;
}

enum sw_status sw_jinja_plain_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(conjunction(p, out));
    while (sw_jinja_skip_name(p, "or")) {
        struct sw_jinja_node *right;
        SW_TRY(conjunction(p, &right));
        SW_TRY(join(p, SW_N_LOGIC, '|', out, right));
    }
    return SW_OK;
}

enum sw_status sw_jinja_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(sw_jinja_enter(p));
    SW_TRY(sw_jinja_plain_expression(p, out));
    while (sw_jinja_skip_name(p, "if")) {
        SW_TRY(join(p, SW_N_CONDITION, 0, out, NULL));
        SW_TRY(sw_jinja_plain_expression(p, &(*out)->b));
        if (sw_jinja_skip_name(p, "else"))
            SW_TRY(sw_jinja_expression(p, &(*out)->c));
    }
    p->depth--;
    return SW_OK;
}

static bool tuple_ends(const struct sw_jinja_parser *p, const char *until)
{
    return p->at->kind == SW_T_PRINT_END || p->at->kind == SW_T_BLOCK_END ||
           sw_jinja_at_operator(p, ")") || (until && sw_jinja_at_name(p, until));
}

/* What a tuple is made of. */
enum part { PART_ANY, PART_PLAIN, PART_TARGET, PART_TARGET_OR_ATTRIBUTE };

static enum sw_status target_part(struct sw_jinja_parser *p, bool attributes,
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
        SW_TRY(name_or_constant(p, *out));
    if ((*out)->kind != SW_N_NAME)
        return sw_jinja_unexpected(p, "a name to assign to");
    return attributes && sw_jinja_at_operator(p, ".") ? attribute(p, out) : SW_OK;
}

static enum sw_status tuple(struct sw_jinja_parser *p, enum part part, const char *until,
                            struct sw_jinja_node **out)
{
    struct sw_jinja_list items = {0};
    struct sw_jinja_node *node;
    bool comma = false;
    SW_TRY(sw_jinja_node_new(p, SW_N_TUPLE, &node));
    while (!tuple_ends(p, until)) {
        struct sw_jinja_node *item;
        SW_TRY(part == PART_ANY     ? sw_jinja_expression(p, &item)
               : part == PART_PLAIN ? sw_jinja_plain_expression(p, &item)
                                    : target_part(p, part == PART_TARGET_OR_ATTRIBUTE, &item));
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
    return tuple(p, plain ? PART_PLAIN : PART_ANY, until, out);
}

enum sw_status sw_jinja_target(struct sw_jinja_parser *p, bool attributes,
                               struct sw_jinja_node **out)
{
    return tuple(p, attributes ? PART_TARGET_OR_ATTRIBUTE : PART_TARGET, "in", out);
}
