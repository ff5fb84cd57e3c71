/* What builds a template's tree from its tokens (private to src/text). */
#ifndef SW_JINJA_JINJA_PARSER_H
#define SW_JINJA_JINJA_PARSER_H

#include "jinja/jinja_lex.h"
#include "jinja/jinja_tree.h"

/* Where the parser is; jinja_parse.c has the statements, jinja_expression.c the
 * expressions, jinja_operand.c what they are made of. */
struct sw_jinja_parser {
    struct sw_arena *arena;
    const struct sw_jinja_token *at;
    int depth, loops; /* of the place in the text */
    int specials;     /* SW_MACRO_ names that the innermost macro uses */
};

/* A list of nodes under construction. */
struct sw_jinja_list {
    struct sw_jinja_node *first, *last;
};

enum sw_status sw_jinja_node_new(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind,
                                 struct sw_jinja_node **out);
void sw_jinja_list_add(struct sw_jinja_list *list, struct sw_jinja_node *node);
/* Whether the token here is this name or operator. */
bool sw_jinja_at_name(const struct sw_jinja_parser *p, const char *name);
bool sw_jinja_at_operator(const struct sw_jinja_parser *p, const char *op);
/* The same, and steps over it. */
bool sw_jinja_skip_name(struct sw_jinja_parser *p, const char *name);
bool sw_jinja_skip_operator(struct sw_jinja_parser *p, const char *op);
enum sw_status sw_jinja_expect_operator(struct sw_jinja_parser *p, const char *op);
enum sw_status sw_jinja_expect_name(struct sw_jinja_parser *p, struct sw_value *name);
/* SW_EMODEL: "line 3: expected WHAT, found 'x'" */
enum sw_status sw_jinja_unexpected(const struct sw_jinja_parser *p, const char *what);
/* One level deeper, or SW_EMODEL. */
enum sw_status sw_jinja_enter(struct sw_jinja_parser *p);

/* Puts *left and `right` under a new node of an operator, which becomes *left. */
enum sw_status sw_jinja_join(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind, int op,
                             struct sw_jinja_node **left, struct sw_jinja_node *right);
/* What stands between operators, signs included; `filters`: with its filters and tests. */
enum sw_status sw_jinja_operand(struct sw_jinja_parser *p, bool filters,
                                struct sw_jinja_node **out);
enum sw_status sw_jinja_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out);
/* Without `a if b else c`, which would eat the `if` of a loop. */
enum sw_status sw_jinja_plain_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out);
/* `a, b, c` without parentheses or one expression; it ends before the name `until` (or NULL). */
enum sw_status sw_jinja_tuple(struct sw_jinja_parser *p, bool plain, const char *until,
                              struct sw_jinja_node **out);
/* What can be assigned to; `attributes`: of namespaces too. */
enum sw_status sw_jinja_target(struct sw_jinja_parser *p, bool attributes,
                               struct sw_jinja_node **out);
/* |name(…)|name…, applied to `inner` (NULL: filled in when it runs). */
enum sw_status sw_jinja_filters(struct sw_jinja_parser *p, struct sw_jinja_node *inner,
                                struct sw_jinja_node **out);
/* One name(…) of those, without the bar. */
enum sw_status sw_jinja_filter_name(struct sw_jinja_parser *p, struct sw_jinja_node *inner,
                                    struct sw_jinja_node **out);

#endif
