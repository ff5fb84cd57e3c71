/* A template under way: limits, scopes, calls (private to src/text). */
#ifndef SW_JINJA_JINJA_RUN_H
#define SW_JINJA_JINJA_RUN_H

#include "base/arena.h"
#include "jinja/jinja_tree.h"
#include "jinja/jinja_value.h"

struct sw_scope_name {
    struct sw_value name, value;
    struct sw_scope_name *next;
};

/* The variables of a loop's body, a macro, a block; what is not here is looked for outside. */
struct sw_scope {
    struct sw_scope *outer;
    struct sw_scope_name *names;
};

enum sw_flow { SW_FLOW_ON, SW_FLOW_BREAK, SW_FLOW_CONTINUE };

struct sw_jinja_run {
    struct sw_jinja_limits limits;
    struct sw_arena arena;
    uint64_t steps;
    int depth, line;
    struct sw_scope *scope;
    struct sw_strbuf *out; /* where printing goes: the text, or what a block captures */
    size_t out_begin;      /* its length when this run began */
    enum sw_flow flow;
    struct sw_value filtered; /* the block's text, for a filter without a value of its own */
};

struct sw_macro {
    const struct sw_jinja_node *node;
    struct sw_scope *scope; /* where it was defined */
};

/* Fills the error slot with the line that is running; SW_EINPUT. */
#define sw_jinja_fail(r, ...)                                                                      \
    (sw_fail_at(__FILE__, __LINE__, __VA_ARGS__), sw_error_context("line %d", (r)->line), SW_EINPUT)

/* What something is called with. */
struct sw_jinja_call {
    struct sw_value self; /* what a filter, test or method is of */
    const struct sw_value *args;
    size_t n;
    const struct sw_value_pair *named; /* the keys are texts */
    size_t n_named;
};

#define SW_BUILTIN_ARGS 5

/* A filter, test, method or function that is built in. */
struct sw_builtin {
    const char *name;
    /* Names of the arguments after self, separated by spaces; the run function then finds args[i]
     * SW_V_ABSENT where none was given. NULL: any, as they come. */
    const char *params;
    size_t required; /* so many must be given */
    enum sw_status (*run)(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                          struct sw_value *out);
};

/* Counts n steps; fails beyond the limit. */
enum sw_status sw_jinja_charge(struct sw_jinja_run *r, size_t n);
/* Zeroed memory of the run, or a failure that says which limit. */
enum sw_status sw_jinja_take(struct sw_jinja_run *r, size_t bytes, void **out);
/* One level deeper (then depth--), or a failure. */
enum sw_status sw_jinja_deeper(struct sw_jinja_run *r);
/* Appends to a text that is being made; marks it failed beyond the memory limit. */
void sw_jinja_put(struct sw_jinja_run *r, struct sw_strbuf *buf, const char *bytes, size_t n);
/* The text made so far as a value; the buffer is freed either way. */
enum sw_status sw_jinja_text(struct sw_jinja_run *r, struct sw_strbuf *buf, struct sw_value *out);
/* A string argument; fails with "NAME wants a string, got a list". */
enum sw_status sw_jinja_want_text(struct sw_jinja_run *r, const struct sw_value *v,
                                  const char *name);
enum sw_status sw_jinja_want_integer(struct sw_jinja_run *r, const struct sw_value *v,
                                     const char *name, int64_t *out);
/* "'x' is undefined" when it is, else nothing. */
enum sw_status sw_jinja_defined(struct sw_jinja_run *r, const struct sw_value *v);

/* jinja_eval.c */
enum sw_status sw_jinja_eval(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                             struct sw_value *out);
/* Evaluates `node`, a SW_N_CALL, with one more named argument (NULL: none). */
enum sw_status sw_jinja_eval_call(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                                  const struct sw_value_pair *more, struct sw_value *out);
/* jinja_operators.c */
enum sw_status sw_jinja_binary(struct sw_jinja_run *r, int op, const struct sw_value *a,
                               const struct sw_value *b, struct sw_value *out);
enum sw_status sw_jinja_unary(struct sw_jinja_run *r, int op, const struct sw_value *a,
                              struct sw_value *out);
enum sw_status sw_jinja_slice(struct sw_jinja_run *r, const struct sw_value *a,
                              const struct sw_value part[3], struct sw_value *out);
/* a.name and a[key]; undefined when there is no such thing. */
enum sw_status sw_jinja_attribute(struct sw_jinja_run *r, const struct sw_value *a,
                                  const struct sw_value *name, struct sw_value *out);
enum sw_status sw_jinja_item(struct sw_jinja_run *r, const struct sw_value *a,
                             const struct sw_value *key, struct sw_value *out);
/* str(v) as HTML, marked safe unless it already is; jinja_filters.c */
enum sw_status sw_jinja_escape(struct sw_jinja_run *r, const struct sw_value *v,
                               struct sw_value *out);
/* jinja_call.c */
enum sw_status sw_jinja_apply(struct sw_jinja_run *r, const struct sw_value *callee,
                              const struct sw_jinja_call *call, struct sw_value *out);
/* Runs a built-in with its arguments in the order of its params. `what`: "filter". */
enum sw_status sw_jinja_builtin(struct sw_jinja_run *r, const struct sw_builtin *b,
                                const char *what, const struct sw_jinja_call *call,
                                struct sw_value *out);
/* The row of that name in a table of n, or NULL. */
const struct sw_builtin *sw_builtin_find(const struct sw_builtin *table, size_t n,
                                         const struct sw_value *name);
enum sw_status sw_jinja_filter(struct sw_jinja_run *r, const struct sw_value *name,
                               const struct sw_jinja_call *call, struct sw_value *out);
enum sw_status sw_jinja_test(struct sw_jinja_run *r, const struct sw_value *name,
                             const struct sw_jinja_call *call, bool *out);
/* jinja_exec.c */
enum sw_status sw_jinja_exec(struct sw_jinja_run *r, const struct sw_jinja_node *list);
enum sw_status sw_jinja_run_macro(struct sw_jinja_run *r, struct sw_macro *macro,
                                  const struct sw_jinja_call *call, struct sw_value *out);
enum sw_status sw_scope_push(struct sw_jinja_run *r, struct sw_scope *outer);
enum sw_status sw_scope_put(struct sw_jinja_run *r, const struct sw_value *name,
                            const struct sw_value *value);
/* jinja_loop.c */
enum sw_status sw_loop_run(struct sw_jinja_run *r, const struct sw_jinja_node *node,
                           const struct sw_value *items, struct sw_loop *outer);
enum sw_status sw_loop_attribute(struct sw_jinja_run *r, struct sw_loop *loop,
                                 const struct sw_value *name, struct sw_value *out);
/* loop(…) of a recursive loop. */
enum sw_status sw_loop_call(struct sw_jinja_run *r, struct sw_loop *loop,
                            const struct sw_jinja_call *call, struct sw_value *out);
/* Assigns to a name, tuple or attribute of a namespace. */
enum sw_status sw_jinja_assign(struct sw_jinja_run *r, const struct sw_jinja_node *target,
                               const struct sw_value *value);

/* The tables. */
extern const struct sw_builtin sw_jinja_text_filters[], sw_jinja_list_filters[],
    sw_jinja_other_filters[], sw_jinja_tests[], sw_jinja_functions[], sw_jinja_text_methods[],
    sw_jinja_dict_methods[], sw_jinja_list_methods[];
extern const size_t sw_jinja_n_text_filters, sw_jinja_n_list_filters, sw_jinja_n_other_filters,
    sw_jinja_n_tests, sw_jinja_n_functions, sw_jinja_n_text_methods, sw_jinja_n_dict_methods,
    sw_jinja_n_list_methods;

#endif
