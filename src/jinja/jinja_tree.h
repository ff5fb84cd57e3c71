/* A template as a tree (private to src/jinja). */
#ifndef SW_JINJA_JINJA_TREE_H
#define SW_JINJA_JINJA_TREE_H

#include "base/arena.h"
#include "jinja/jinja.h"
#include "jinja/jinja_value.h"

/* Names in the comments are fields of struct sw_jinja_node. */
enum sw_jinja_node_kind {
    /* expressions */
    SW_N_CONST,     /* value */
    SW_N_NAME,      /* value: the name */
    SW_N_LIST,      /* list: the items */
    SW_N_TUPLE,     /* list: the items */
    SW_N_DICT,      /* list: key, value, key, … */
    SW_N_ATTR,      /* a.value */
    SW_N_ITEM,      /* a[b] */
    SW_N_SLICE,     /* a[b:c:d], each may be NULL */
    SW_N_CALL,      /* a(list) */
    SW_N_FILTER,    /* a|value(list); a NULL: the text of the block that is filtered */
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
    SW_N_FOR,      /* a: target, b: the value it is over, c: condition or NULL, list: body,
                    * orelse: the body for no items; op 'r': recursive */
    SW_N_SET,      /* a: target (name, tuple, attribute of a namespace), b: value */
    SW_N_CAPTURE,  /* {% set %}…{% endset %}; a: target, b: filters or NULL, list: body */
    SW_N_FILTERED, /* {% filter %}; b: filters, list: body */
    SW_N_MACRO,    /* value: name, params: SW_N_PARAM, list: body; op: bits of SW_MACRO_ */
    SW_N_PARAM,    /* value: name, a: default or NULL */
    SW_N_CALLER,   /* {% call(params) a(…) %}; b: SW_N_MACRO of the body */
    SW_N_WITH,     /* params: SW_N_PARAM, list: body */
    SW_N_SCOPE,    /* {% generation %}; list: body */
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
    struct sw_jinja_node *list, *params, *orelse; /* each the first of a list, linked by `next` */
    struct sw_jinja_node *next;
};

struct sw_jinja {
    struct sw_arena arena;
    struct sw_jinja_node *body;
};

#endif
