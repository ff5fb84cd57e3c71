/* Owns the parsing of operators, from the weakest down to what they work on (jinja_operand.c). */
#include "jinja/jinja_parser.h"

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

static bool token_is(const struct sw_jinja_parser *p, enum sw_jinja_token_kind kind,
                     const char *text)
{
    return p->at->kind == kind && strcmp(p->at->text, text) == 0;
}

bool sw_jinja_at_name(const struct sw_jinja_parser *p, const char *name)
{
    return token_is(p, SW_T_NAME, name);
}

bool sw_jinja_at_operator(const struct sw_jinja_parser *p, const char *op)
{
    return token_is(p, SW_T_OPERATOR, op);
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

enum sw_status sw_jinja_join(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind, int op,
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

static int find_operator(const struct sw_jinja_parser *p, const struct level *level)
{
    for (int i = 0; i < 4 && level->names[i]; i++)
        if (sw_jinja_at_operator(p, level->names[i]))
            return level->ops[i];
    return 0;
}

static enum sw_status parse_level(struct sw_jinja_parser *p, int level, struct sw_jinja_node **out)
{
    if (level < LEVEL_POWER)
        return sw_jinja_operand(p, true, out);
    SW_TRY(parse_level(p, level - 1, out));
    struct sw_jinja_list parts = {0};
    for (int op; (op = find_operator(p, &levels[level]));) {
        struct sw_jinja_node *right;
        p->at++;
        SW_TRY(parse_level(p, level - 1, &right));
        if (level != LEVEL_CONCAT) {
            SW_TRY(sw_jinja_join(p, SW_N_BINARY, op, out, right));
            continue;
        }
        if (!parts.first) {
            struct sw_jinja_node *first = *out;
            SW_TRY(sw_jinja_join(p, SW_N_CONCAT, 0, out, NULL));
            sw_jinja_list_add(&parts, first);
            (*out)->list = first;
        }
        sw_jinja_list_add(&parts, right);
    }
    return SW_OK;
}

static int find_comparison(struct sw_jinja_parser *p)
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

static enum sw_status parse_comparison(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    struct sw_jinja_list operands = {0};
    SW_TRY(parse_level(p, LEVEL_SUM, out));
    for (int op; (op = find_comparison(p));) {
        struct sw_jinja_node *operand;
        SW_TRY(sw_jinja_node_new(p, SW_N_OPERAND, &operand));
        operand->op = op;
        SW_TRY(parse_level(p, LEVEL_SUM, &operand->a));
        sw_jinja_list_add(&operands, operand);
    }
    if (!operands.first)
        return SW_OK;
    SW_TRY(sw_jinja_join(p, SW_N_COMPARE, 0, out, NULL));
    (*out)->list = operands.first;
    return SW_OK;
}

static enum sw_status parse_not(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    if (!sw_jinja_skip_name(p, "not"))
        return parse_comparison(p, out);
    SW_TRY(sw_jinja_enter(p));
    SW_TRY(parse_not(p, out));
    p->depth--;
    return sw_jinja_join(p, SW_N_UNARY, '!', out, NULL);
}

static enum sw_status parse_logic(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(parse_not(p, out));
    while (sw_jinja_skip_name(p, "and")) {
        struct sw_jinja_node *right;
        SW_TRY(parse_not(p, &right));
        SW_TRY(sw_jinja_join(p, SW_N_LOGIC, '&', out, right));
    }
    return SW_OK;
}

enum sw_status sw_jinja_plain_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(parse_logic(p, out));
    while (sw_jinja_skip_name(p, "or")) {
        struct sw_jinja_node *right;
        SW_TRY(parse_logic(p, &right));
        SW_TRY(sw_jinja_join(p, SW_N_LOGIC, '|', out, right));
    }
    return SW_OK;
}

enum sw_status sw_jinja_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out)
{
    SW_TRY(sw_jinja_enter(p));
    SW_TRY(sw_jinja_plain_expression(p, out));
    while (sw_jinja_skip_name(p, "if")) {
        SW_TRY(sw_jinja_join(p, SW_N_CONDITION, 0, out, NULL));
        SW_TRY(sw_jinja_plain_expression(p, &(*out)->b));
        if (sw_jinja_skip_name(p, "else"))
            SW_TRY(sw_jinja_expression(p, &(*out)->c));
    }
    p->depth--;
    return SW_OK;
}
