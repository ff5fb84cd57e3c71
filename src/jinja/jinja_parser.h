/* What builds a template's tree from its tokens (private to src/jinja). */
#ifndef SW_JINJA_JINJA_PARSER_H
#define SW_JINJA_JINJA_PARSER_H

#include "jinja/jinja_lex.h"
#include "jinja/jinja_tree.h"

/* The state of the parser. jinja_parse.c has the statements, jinja_expression.c the expressions,
 * jinja_operand.c their operands. */
struct sw_jinja_parser {
    struct sw_arena *arena;
    const struct sw_jinja_token *at; /* the next token */
    int depth;                       /* nesting depth at `at` */
    int loops;                       /* number of loops around `at` */
    int specials;                    /* SW_MACRO_ names that the innermost macro uses */
};

/* A list of nodes under construction. */
struct sw_jinja_list {
    struct sw_jinja_node *first, *last;
};

/* A new node at the line of the next token, in the arena. */
enum sw_status sw_jinja_node_new(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind,
                                 struct sw_jinja_node **out);
void sw_jinja_list_add(struct sw_jinja_list *list, struct sw_jinja_node *node);
/* Whether the next token is this name, or this operator. */
bool sw_jinja_at_name(const struct sw_jinja_parser *p, const char *name);
bool sw_jinja_at_operator(const struct sw_jinja_parser *p, const char *op);
/* Whether the next token is this name, or this operator; if so, steps over it. */
bool sw_jinja_skip_name(struct sw_jinja_parser *p, const char *name);
bool sw_jinja_skip_operator(struct sw_jinja_parser *p, const char *op);
/* Steps over this operator; SW_EMODEL when the next token is another one. */
enum sw_status sw_jinja_expect_operator(struct sw_jinja_parser *p, const char *op);
/* Steps over a name and gives it; SW_EMODEL when the next token is no name. */
enum sw_status sw_jinja_expect_name(struct sw_jinja_parser *p, struct sw_value *name);
/* Fails with SW_EMODEL and "line 3: expected WHAT, found 'x'". */
enum sw_status sw_jinja_unexpected(const struct sw_jinja_parser *p, const char *what);
/* Adds a level of nesting; SW_EMODEL when there are too many. The caller takes it off `depth`. */
enum sw_status sw_jinja_enter(struct sw_jinja_parser *p);

/* Puts *left and `right` under a new node of an operator, which becomes *left. */
enum sw_status sw_jinja_join(struct sw_jinja_parser *p, enum sw_jinja_node_kind kind, int op,
                             struct sw_jinja_node **left, struct sw_jinja_node *right);
/* Parses an operand with its signs; `filters`: and with the filters and tests behind it. */
enum sw_status sw_jinja_operand(struct sw_jinja_parser *p, bool filters,
                                struct sw_jinja_node **out);
/* Parses an expression of any kind. */
enum sw_status sw_jinja_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out);
/* Parses an expression other than `a if b else c`, which would take the `if` of a loop. */
enum sw_status sw_jinja_plain_expression(struct sw_jinja_parser *p, struct sw_jinja_node **out);
/* Parses `a, b, c` without parentheses, or one expression, up to the name `until` (NULL: none);
 * `plain`: of expressions other than `a if b else c`. */
enum sw_status sw_jinja_tuple(struct sw_jinja_parser *p, bool plain, const char *until,
                              struct sw_jinja_node **out);
/* Parses a target of an assignment; `attributes`: also an attribute of a namespace. */
enum sw_status sw_jinja_target(struct sw_jinja_parser *p, bool attributes,
                               struct sw_jinja_node **out);
/* Parses filters, |name(…)|name…, applied to `inner` (NULL: set when the template runs). */
enum sw_status sw_jinja_filters(struct sw_jinja_parser *p, struct sw_jinja_node *inner,
                                struct sw_jinja_node **out);
/* Parses one filter, name(…), without its bar. */
enum sw_status sw_jinja_filter_name(struct sw_jinja_parser *p, struct sw_jinja_node *inner,
                                    struct sw_jinja_node **out);

#endif
