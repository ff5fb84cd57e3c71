/* The rendering of a template: limits, scopes, calls (private to src/jinja). */
#ifndef SW_JINJA_JINJA_RUN_H
#define SW_JINJA_JINJA_RUN_H

#include "base/arena.h"
#include "jinja/jinja_tree.h"
#include "jinja/jinja_value.h"

struct sw_scope_name {
    struct sw_value name, value;
    struct sw_scope_name *next;
};

/* The variables of a loop's body, a macro or a block; other names are searched in `outer`. */
struct sw_scope {
    struct sw_scope *outer;
    struct sw_scope_name *names;
};

enum sw_flow { SW_FLOW_ON, SW_FLOW_BREAK, SW_FLOW_CONTINUE };

struct sw_jinja_run {
    struct sw_jinja_limits limits;
    struct sw_arena arena;
    uint64_t steps; /* that are left */
    int depth;      /* levels of nested evaluation */
    int line;       /* of the node that runs */
    struct sw_scope *scope;
    struct sw_strbuf *out; /* printing appends here: the text, or what a block captures */
    size_t out_begin;      /* length of *out when this run began */
    enum sw_flow flow;
    struct sw_value filtered; /* the text of {% filter %}, for a filter without its own operand */
};

struct sw_macro {
    const struct sw_jinja_node *node;
    struct sw_scope *scope; /* where it was defined */
};

/* Fails with SW_EINPUT, with the line of the node that runs in front of the message. */
#define sw_jinja_fail(r, ...)                                                                      \
    (sw_fail_at(__FILE__, __LINE__, __VA_ARGS__), sw_error_context("line %d", (r)->line), SW_EINPUT)

/* The arguments of a call. */
struct sw_jinja_call {
    struct sw_value self;        /* the value that a filter, test or method is applied to */
    const struct sw_value *args; /* (n) */
    size_t n;
    const struct sw_value_pair *named; /* (n_named); the keys are texts */
    size_t n_named;
};

#define SW_BUILTIN_ARGS 5

/* A filter, test, method or function that is built in. */
struct sw_builtin {
    const char *name;
    /* Names of the arguments after self, separated by spaces; args[i] is then SW_V_ABSENT where
     * none was given. NULL: any arguments, in the order of the call. */
    const char *params;
    size_t required; /* number of the first params that must be given */
    enum sw_status (*run)(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                          struct sw_value *out);
};

/* Counts n steps; fails beyond the limit. */
enum sw_status sw_jinja_charge(struct sw_jinja_run *r, size_t n);
/* Takes zeroed memory of the run; fails beyond the limit of memory. */
enum sw_status sw_jinja_take(struct sw_jinja_run *r, size_t bytes, void **out);
/* Adds a level of nested evaluation, which the caller takes off `depth`; fails beyond the limit. */
enum sw_status sw_jinja_deeper(struct sw_jinja_run *r);
/* Appends to a text under construction; marks it failed beyond the limit of memory. */
void sw_jinja_put(struct sw_jinja_run *r, struct sw_strbuf *buf, const char *bytes, size_t n);
/* Gives a finished text as a value; the buffer is freed, also after a failure. */
enum sw_status sw_jinja_text(struct sw_jinja_run *r, struct sw_strbuf *buf, struct sw_value *out);
/* Fails with "NAME wants a string, got a list" when v is not a string. */
enum sw_status sw_jinja_want_text(struct sw_jinja_run *r, const struct sw_value *v,
                                  const char *name);
/* Writes the integer v to *out; fails with "NAME wants an integer, got a list" when it is none. An
 * argument that was not given (SW_V_ABSENT) leaves *out as it is. */
enum sw_status sw_jinja_want_integer(struct sw_jinja_run *r, const struct sw_value *v,
                                     const char *name, int64_t *out);
/* Fails with "'x' is undefined" when v is. */
enum sw_status sw_jinja_defined(struct sw_jinja_run *r, const struct sw_value *v);

/* jinja_eval.c: evaluates an expression. */
enum sw_status sw_jinja_eval(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                             struct sw_value *out);
/* Evaluates `node`, a SW_N_CALL, with one more named argument (NULL: none). */
enum sw_status sw_jinja_eval_call(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                  const struct sw_value_pair *more, struct sw_value *out);
/* jinja_operators.c; `op` as in struct sw_jinja_node. */
enum sw_status sw_jinja_binary(struct sw_jinja_run *r, int op, const struct sw_value *a,
                               const struct sw_value *b, struct sw_value *out);
enum sw_status sw_jinja_unary(struct sw_jinja_run *r, int op, const struct sw_value *a,
                              struct sw_value *out);
enum sw_status sw_jinja_slice(struct sw_jinja_run *r, const struct sw_value *a,
                              const struct sw_value part[3], struct sw_value *out);
/* a.name; undefined when there is no such attribute. */
enum sw_status sw_jinja_attribute(struct sw_jinja_run *r, const struct sw_value *a,
                                  const struct sw_value *name, struct sw_value *out);
/* a[key]; undefined when there is no such item. */
enum sw_status sw_jinja_item(struct sw_jinja_run *r, const struct sw_value *a,
                             const struct sw_value *key, struct sw_value *out);
/* jinja_filters.c: str(v) escaped for HTML and marked safe; a safe v stays as it is. */
enum sw_status sw_jinja_escape(struct sw_jinja_run *r, const struct sw_value *v,
                               struct sw_value *out);
/* jinja_call.c: calls any value that can be called. */
enum sw_status sw_jinja_apply(struct sw_jinja_run *r, const struct sw_value *callee,
                              const struct sw_jinja_call *call, struct sw_value *out);
/* Runs a built-in with its arguments in the order of its params. `what`, for messages: "filter". */
enum sw_status sw_jinja_builtin(struct sw_jinja_run *r, const struct sw_builtin *b,
                                const char *what, const struct sw_jinja_call *call,
                                struct sw_value *out);
/* The row of that name in a table of n, or NULL. */
const struct sw_builtin *sw_builtin_find(const struct sw_builtin *table, size_t n,
                                         const struct sw_value *name);
/* Applies the filter, or the test, of that name; fails when there is none. */
enum sw_status sw_jinja_filter(struct sw_jinja_run *r, const struct sw_value *name,
                               const struct sw_jinja_call *call, struct sw_value *out);
enum sw_status sw_jinja_test(struct sw_jinja_run *r, const struct sw_value *name,
                             const struct sw_jinja_call *call, bool *out);
/* jinja_exec.c: runs statements. */
enum sw_status sw_jinja_exec(struct sw_jinja_run *r, const struct sw_jinja_node *list);
enum sw_status sw_jinja_run_macro(struct sw_jinja_run *r, struct sw_macro *macro,
                                  const struct sw_jinja_call *call, struct sw_value *out);
/* Makes a new scope inside `outer` the present one. */
enum sw_status sw_scope_push(struct sw_jinja_run *r, struct sw_scope *outer);
/* Sets a variable of the present scope. */
enum sw_status sw_scope_put(struct sw_jinja_run *r, const struct sw_value *name,
                            const struct sw_value *value);
/* jinja_loop.c: runs a loop over items; `outer`: the recursive loop it is called from, or NULL. */
enum sw_status sw_loop_run(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                           const struct sw_value *items, struct sw_loop *outer);
/* An attribute of the variable `loop`. */
enum sw_status sw_loop_attribute(struct sw_jinja_run *r, struct sw_loop *loop,
                                 const struct sw_value *name, struct sw_value *out);
/* loop(…) of a recursive loop. */
enum sw_status sw_loop_call(struct sw_jinja_run *r, struct sw_loop *loop,
                            const struct sw_jinja_call *call, struct sw_value *out);
/* Assigns to a name, tuple or attribute of a namespace. */
enum sw_status sw_jinja_assign(struct sw_jinja_run *r, const struct sw_jinja_node *target,
                               const struct sw_value *value);

/* The tables of built-ins. */
extern const struct sw_builtin sw_jinja_text_filters[], sw_jinja_list_filters[],
    sw_jinja_other_filters[], sw_jinja_tests[], sw_jinja_functions[], sw_jinja_text_methods[],
    sw_jinja_dict_methods[], sw_jinja_list_methods[];
extern const size_t sw_jinja_n_text_filters, sw_jinja_n_list_filters, sw_jinja_n_other_filters,
    sw_jinja_n_tests, sw_jinja_n_functions, sw_jinja_n_text_methods, sw_jinja_n_dict_methods,
    sw_jinja_n_list_methods;

#endif
