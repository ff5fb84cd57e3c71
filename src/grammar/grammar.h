/*
 * A context-free grammar over bytes, compiled from GBNF. The text of a request must be one of its
 * words; matcher.h follows a text through it.
 *
 * GBNF here: rules `name ::= body`, of which `root` is the whole; a body is alternatives (|) of
 * sequences of "texts", [classes] of characters (a-z, ^ for all others), `.` (any character), names
 * of rules and groups ( ), each perhaps with * + ? {n} {n,} {n,m}. Texts and classes have \n \r \t
 * \\
 * \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH, which name characters. A rule ends with its line, but for
 * lines inside a group, after ::= and after |. # begins a comment. Names: letters, digits, - and _.
 */
#ifndef SW_GRAMMAR_GRAMMAR_H
#define SW_GRAMMAR_GRAMMAR_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SW_GRAMMAR_TEXT_MAX (256u << 10) /* bytes of a grammar */
#define SW_GRAMMAR_OPS_MAX (128 << 10)   /* what it may become */
#define SW_GRAMMAR_RULES_MAX 2048
#define SW_GRAMMAR_GROUPS_MAX 100   /* depth of groups */
#define SW_GRAMMAR_REPEAT_MAX 10000 /* of {n,m} */

enum sw_op_kind {
    SW_OP_BYTES,  /* a byte from low to high, then op a */
    SW_OP_SPLIT,  /* op a or op b */
    SW_OP_CALL,   /* op a, the first of a rule; after its return op b; -1: the caller's return */
    SW_OP_RETURN, /* the rule ends */
    SW_OP_JUMP    /* op a; none is left in a compiled grammar's paths */
};

struct sw_op {
    uint8_t kind, low, high;
    int32_t a, b;
};

struct sw_grammar {
    struct sw_op *ops; /* (n_ops) */
    int n_ops;
    int start; /* the first op of root */
};

/* SW_EINPUT says what is wrong, in which line and (of its text) column: not GBNF, an unknown rule,
 * no root, left recursion, or too large. The caller frees *out. */
enum sw_status sw_grammar_parse(const char *text, size_t n, struct sw_grammar **out);
void sw_grammar_free(struct sw_grammar *grammar);

#endif
