/* A template as a tree, and what builds it (private to src/text). */
#ifndef SW_TEXT_JINJA_TREE_H
#define SW_TEXT_JINJA_TREE_H

#include "base/arena.h"
#include "text/jinja.h"
#include "text/jinja_lex.h"
#include "text/jinja_value.h"

/* Names in the comments are fields of struct sw_jinja_node. */
enum sw_jinja_node_kind {
    /* expressions */
    SW_N_CONST,     /* value */
    SW_N_NAME,      /* value: the name */
    SW_N_LIST,      /* list: the items */
    SW_N_TUPLE,     /* list */
    SW_N_DICT,      /* list: key, value, key, … */
    SW_N_ATTR,      /* a.value */
    SW_N_ITEM,      /* a[b] */
    SW_N_SLICE,     /* a[b:c:d], each may be NULL */
    SW_N_CALL,      /* a(list) */
    SW_N_FILTER,    /* a|value(list); a NULL: of the block that is filtered */
    SW_N_TEST,      /* a is value(list) */
    SW_N_UNARY,     /* op: '!' (not), '-', '+'; a */
    SW_N_BINARY,    /* op: '+', '-', '*', '/', '%', 'f' (//), 'p' (**); a, b */
    SW_N_LOGIC,     /* op: '&', '|'; a, b */
    SW_N_COMPARE,   /* a, list: SW_N_OPERAND */
    SW_N_OPERAND,   /* op: '=', '!', '<', '>', 'l' (<=), 'g' (>=), 'i' (in), 'n' (not in); a */
    SW_N_CONCAT,    /* list: joined by ~ */
    SW_N_CONDITION, /* a if b else c (NULL: undefined) */
    SW_N_KEYWORD,   /* value=a, in a call's list */
    SW_N_SPREAD,    /* op: '*' (*a), 'p' (**a), in a call's list */
    /* statements */
    SW_N_TEXT,     /* value */
    SW_N_PRINT,    /* a */
    SW_N_IF,       /* list: SW_N_BRANCH */
    SW_N_BRANCH,   /* a: the condition (NULL: else), list: the body */
    SW_N_FOR,      /* a: target, b: what is gone through, c: condition or NULL, list: body,
                    * orelse: the body when there was nothing; op 'r': recursive */
    SW_N_SET,      /* a: target (name, tuple, attribute of a namespace), b */
    SW_N_CAPTURE,  /* {% set %}…{% endset %}; a: target, b: filters or NULL, list */
    SW_N_FILTERED, /* {% filter %}; b: filters, list */
    SW_N_MACRO,    /* value: name, params: SW_N_PARAM, list: body; op: bits of SW_MACRO_ */
    SW_N_PARAM,    /* value: name, a: default or NULL */
    SW_N_CALLER,   /* {% call(params) a(…) %}; b: SW_N_MACRO of the body */
    SW_N_WITH,     /* params: SW_N_PARAM, list */
    SW_N_SCOPE,    /* {% generation %}; list */
    SW_N_BREAK,
    SW_N_CONTINUE,
    SW_N_KINDS
};

enum { SW_MACRO_VARARGS = 1, SW_MACRO_KWARGS = 2, SW_MACRO_CALLER = 4 };

struct sw_jinja_node {
    enum sw_jinja_node_kind kind;
    int op, line;
    struct sw_value value;
    struct sw_jinja_node *a, *b, *c, *d;
    struct sw_jinja_node *list, *params, *orelse; /* first of a list, by `next` */
    struct sw_jinja_node *next;
};

struct sw_jinja {
    struct sw_arena arena;
    struct sw_jinja_node *body;
};

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
