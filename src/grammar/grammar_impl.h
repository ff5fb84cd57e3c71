/* Shared by grammar.c (the text), grammar_class.c (characters as bytes) and grammar_check.c (what a
 * grammar must be). Internal to src/grammar/. */
#ifndef SW_GRAMMAR_GRAMMAR_IMPL_H
#define SW_GRAMMAR_GRAMMAR_IMPL_H

#include "grammar/grammar.h"

#include <stdbool.h>

#define SW_CLASS_RANGES_MAX 512 /* ranges in one class */

struct sw_rule {
    const char *name; /* (n) in the text */
    size_t n;
    int line;  /* where it is first named */
    int entry; /* -1: not defined yet */
};

/* A grammar while it is compiled. The `a` of a call is the index of a rule. */
struct sw_builder {
    struct sw_op *ops;
    int n_ops, capacity;
    struct sw_rule rules[SW_GRAMMAR_RULES_MAX];
    int n_rules;
};

struct sw_char_range {
    uint32_t low, high;
};

/* Appends an op; returns its index, or -1: too many, or no memory. */
int sw_builder_emit(struct sw_builder *b, struct sw_op op);
/* Appends ops for one character of the ranges (n, any order, changed); they end at the next op.
 * `invert`: of all others. */
enum sw_status sw_builder_emit_class(struct sw_builder *b, struct sw_char_range *ranges, int n,
                                     bool invert);
/* Refuses rules without a body and left recursion, then makes calls and jumps what matcher.h takes.
 */
enum sw_status sw_builder_finish(struct sw_builder *b);

#endif
