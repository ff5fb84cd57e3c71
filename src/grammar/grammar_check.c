/* Owns what a grammar must be: every rule defined, none left-recursive; and its last form, in which
 * nothing jumps. */
#include "grammar/grammar_impl.h"

#include <stdbool.h>
#include <stdlib.h>

#define WORK_MAX 20000000 /* ops looked at; a grammar of usual form takes a few of each */

struct check {
    struct sw_builder *b;
    bool *nullable; /* (n_rules) the rule may be the empty text */
    int *seen;      /* (n_ops) stamps */
    int *stack;     /* (n_ops) */
    int stamp;
    int *edges,
        n_edges; /* (n calls) rules that are called at the beginning of a rule, caller by caller */
    int *from;   /* (n_rules + 1) where each caller's begin */
    long work;
};

static void check_push(struct check *c, int *n, int op)
{
    if (c->seen[op] == c->stamp)
        return;
    c->seen[op] = c->stamp;
    c->stack[(*n)++] = op;
}

/* Walks what a rule may do before its first byte. `note`: adds the rules that it calls to `edges`.
 * Returns whether it may end there. */
static bool check_walk(struct check *c, int rule, bool note)
{
    const struct sw_op *ops = c->b->ops;
    bool ends = false;
    int n = 0;
    c->stamp++;
    check_push(c, &n, c->b->rules[rule].entry);
    while (n > 0) {
        const int at = c->stack[--n];
        const struct sw_op *op = &ops[at];
        c->work++;
        if (op->kind == SW_OP_RETURN)
            ends = true;
        if (op->kind == SW_OP_SPLIT || op->kind == SW_OP_JUMP)
            check_push(c, &n, op->a);
        if (op->kind == SW_OP_SPLIT)
            check_push(c, &n, op->b);
        if (op->kind == SW_OP_CALL && note)
            c->edges[c->n_edges++] = op->a;
        if (op->kind == SW_OP_CALL && c->nullable[op->a])
            check_push(c, &n, at + 1);
    }
    return ends;
}

static enum sw_status check_nullable(struct check *c)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int r = 0; r < c->b->n_rules; r++)
            if (!c->nullable[r] && check_walk(c, r, false))
                c->nullable[r] = changed = true;
        if (c->work > WORK_MAX)
            return sw_fail(SW_EINPUT, "the grammar is too complex");
    }
    return SW_OK;
}

/* Depth first with a stack of callers; a rule met again on the stack calls itself. */
static enum sw_status check_cycles(struct check *c)
{
    enum { NEW, OPEN, DONE };
    const int n = c->b->n_rules;
    int *state = calloc(3 * (size_t)n, sizeof *state), *path = state + n, *next = path + n;
    if (!state)
        return sw_fail(SW_ENOMEM, "no memory for a grammar");
    enum sw_status status = SW_OK;
    for (int root = 0; root < n && status == SW_OK; root++) {
        int depth = 0;
        if (state[root] != NEW)
            continue;
        path[depth++] = root;
        state[root] = OPEN;
        next[root] = c->from[root];
        while (depth > 0 && status == SW_OK) {
            const int r = path[depth - 1];
            if (next[r] == c->from[r + 1]) {
                state[r] = DONE;
                depth--;
                continue;
            }
            const int callee = c->edges[next[r]++];
            if (state[callee] == OPEN)
                status = sw_fail(SW_EINPUT,
                                 "line %d: rule \"%.*s\" begins with itself; write what repeats "
                                 "with * or +",
                                 c->b->rules[callee].line, (int)c->b->rules[callee].n,
                                 c->b->rules[callee].name);
            if (state[callee] != NEW)
                continue;
            state[callee] = OPEN;
            next[callee] = c->from[callee];
            path[depth++] = callee;
        }
    }
    free(state);
    return status;
}

/* The op that a path through jumps comes to. Jumps lead to later ops or, in a loop, to its split.
 */
static int check_follow(const struct sw_builder *b, int op)
{
    while (b->ops[op].kind == SW_OP_JUMP)
        op = b->ops[op].a;
    return op;
}

static void check_link(struct sw_builder *b)
{
    for (int i = 0; i < b->n_ops; i++) {
        struct sw_op *op = &b->ops[i];
        if (op->kind == SW_OP_BYTES || op->kind == SW_OP_SPLIT)
            op->a = check_follow(b, op->a);
        if (op->kind == SW_OP_SPLIT)
            op->b = check_follow(b, op->b);
        if (op->kind != SW_OP_CALL)
            continue;
        const int back = check_follow(b, i + 1);
        op->b = b->ops[back].kind == SW_OP_RETURN ? -1 : back;
        op->a = check_follow(b, b->rules[op->a].entry);
    }
}

static enum sw_status check_all(struct check *c)
{
    SW_TRY(check_nullable(c));
    for (int r = 0; r < c->b->n_rules; r++) {
        c->from[r] = c->n_edges;
        check_walk(c, r, true);
    }
    c->from[c->b->n_rules] = c->n_edges;
    return check_cycles(c);
}

enum sw_status sw_builder_finish(struct sw_builder *b)
{
    const size_t ops = (size_t)b->n_ops, rules = (size_t)b->n_rules;
    for (int r = 0; r < b->n_rules; r++)
        if (b->rules[r].entry < 0)
            return sw_fail(SW_EINPUT, "line %d: there is no rule \"%.*s\"", b->rules[r].line,
                           (int)(b->rules[r].n < 60 ? b->rules[r].n : 60), b->rules[r].name);
    struct check c = {.b = b,
                      .nullable = calloc(rules, sizeof *c.nullable),
                      .seen = calloc(ops, sizeof *c.seen),
                      .stack = calloc(ops, sizeof *c.stack),
                      .edges = calloc(ops, sizeof *c.edges),
                      .from = calloc(rules + 1, sizeof *c.from)};
    const bool ok = c.nullable && c.seen && c.stack && c.edges && c.from;
    const enum sw_status status =
        ok ? check_all(&c) : sw_fail(SW_ENOMEM, "no memory for a grammar");
    free(c.nullable);
    free(c.seen);
    free(c.stack);
    free(c.edges);
    free(c.from);
    if (status == SW_OK)
        check_link(b);
    return status;
}
