/*
 * The values of a running template (private to src/jinja). They live in the run's arena and never
 * change, but for namespaces. All strings are valid UTF-8.
 */
#ifndef SW_JINJA_JINJA_VALUE_H
#define SW_JINJA_JINJA_VALUE_H

#include "base/status.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_value_kind {
    SW_V_ABSENT, /* no value at all: an argument that was not given */
    SW_V_UNDEFINED,
    SW_V_NONE,
    SW_V_BOOL,
    SW_V_INT,
    SW_V_FLOAT,
    SW_V_STRING,
    SW_V_LIST,
    SW_V_TUPLE,
    SW_V_VIEW, /* the result of d.items(): a list without [i] */
    SW_V_RANGE,
    SW_V_GENERATOR, /* the result of map or select: can be iterated once */
    SW_V_DICT,
    SW_V_NAMESPACE,
    SW_V_LOOP,
    SW_V_MACRO,
    SW_V_FUNCTION, /* a built-in function */
    SW_V_METHOD,   /* a built-in method of a value */
    SW_V_KINDS
};

struct sw_value;
struct sw_loop;
struct sw_macro;
struct sw_builtin;
struct sw_jinja_run;

struct sw_value_list {
    struct sw_value *items; /* (count) */
    size_t count, capacity;
    size_t taken;     /* SW_V_GENERATOR: items that have been iterated */
    const char *name; /* SW_V_VIEW: "dict_items" */
};

struct sw_value_pair;
struct sw_value_dict {
    struct sw_value_pair *pairs; /* (count), in order of insertion */
    size_t count, capacity;
};

struct sw_value_range {
    int64_t start, stop, step;
    size_t count;
};

struct sw_value_method {
    const struct sw_builtin *builtin;
    struct sw_value *self;
};

struct sw_value {
    enum sw_value_kind kind;
    bool refused; /* SW_V_UNDEFINED: it exists, but the sandbox forbids it */
    bool safe;    /* SW_V_STRING: marked by the filter `safe`; a text added (+) to it is escaped */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct {
            const char *text; /* SW_V_STRING: the value; SW_V_UNDEFINED: the name */
            size_t length;
        };
        struct sw_value_list *list; /* SW_V_LIST, TUPLE, VIEW, GENERATOR */
        struct sw_value_dict *dict; /* SW_V_DICT, NAMESPACE */
        struct sw_value_range *range;
        struct sw_value_method *method;
        const struct sw_builtin *function;
        struct sw_loop *loop;
        struct sw_macro *macro;
    };
};

struct sw_value_pair {
    struct sw_value key, value;
};

static inline struct sw_value sw_value_none(void)
{
    return (struct sw_value){.kind = SW_V_NONE};
}
static inline struct sw_value sw_value_bool(bool b)
{
    return (struct sw_value){.kind = SW_V_BOOL, .boolean = b};
}
static inline struct sw_value sw_value_int(int64_t i)
{
    return (struct sw_value){.kind = SW_V_INT, .integer = i};
}
static inline struct sw_value sw_value_real(double d)
{
    return (struct sw_value){.kind = SW_V_FLOAT, .real = d};
}
/* The bytes are borrowed. */
static inline struct sw_value sw_value_text(const char *text, size_t n)
{
    return (struct sw_value){.kind = SW_V_STRING, .text = text, .length = n};
}
static inline struct sw_value sw_value_undefined(const char *name, size_t n)
{
    return (struct sw_value){.kind = SW_V_UNDEFINED, .text = name, .length = n};
}
static inline bool sw_value_is_number(const struct sw_value *v)
{
    return v->kind == SW_V_INT || v->kind == SW_V_FLOAT || v->kind == SW_V_BOOL;
}
/* Whether two strings, or names, are the same. */
bool sw_value_same_text(const struct sw_value *a, const struct sw_value *b);
/* Whether v is the string `text`. */
bool sw_value_is_text(const struct sw_value *v, const char *text);
/* The kind for messages: "string", "dict", … */
const char *sw_value_kind_name(const struct sw_value *v);
/* Whether Python takes v for true. */
bool sw_value_true(const struct sw_value *v);
/* Writes an int or bool to *out; false for other kinds. */
bool sw_value_integer(const struct sw_value *v, int64_t *out);
/* A number of any kind as a double; NaN for other kinds. */
double sw_value_double(const struct sw_value *v);

/* Make an empty list, or dict, in the run's arena. */
enum sw_status sw_value_list_new(struct sw_jinja_run *r, enum sw_value_kind kind, size_t capacity,
                                 struct sw_value *out);
enum sw_status sw_value_list_add(struct sw_jinja_run *r, struct sw_value *list,
                                 const struct sw_value *item);
enum sw_status sw_value_dict_new(struct sw_jinja_run *r, enum sw_value_kind kind,
                                 struct sw_value *out);
/* Sets or replaces a key's value. Fails for keys that Python could not hash. */
enum sw_status sw_value_dict_put(struct sw_jinja_run *r, struct sw_value *dict,
                                 const struct sw_value *key, const struct sw_value *value);
/* *found is NULL when there is no such key. */
enum sw_status sw_value_dict_find(struct sw_jinja_run *r, const struct sw_value *dict,
                                  const struct sw_value *key, struct sw_value **found);
/* Converts a JSON value. */
enum sw_status sw_value_from_json(struct sw_jinja_run *r, const json_t *json, struct sw_value *out);

/* Whether a == b in Python. */
enum sw_status sw_value_equal(struct sw_jinja_run *r, const struct sw_value *a,
                              const struct sw_value *b, bool *equal);
/* Writes to *order < 0, 0 or > 0 as a < b, a == b or a > b. Fails where Python has no order. */
enum sw_status sw_value_compare(struct sw_jinja_run *r, const struct sw_value *a,
                                const struct sw_value *b, int *order);
/* Whether `item in container` in Python. */
enum sw_status sw_value_contains(struct sw_jinja_run *r, const struct sw_value *container,
                                 const struct sw_value *item, bool *found);
/* Writes len(v) to *n; false when v has none. */
bool sw_value_length(const struct sw_value *v, size_t *n);
/* The item at i of a list, tuple, view or range. */
struct sw_value sw_value_at(const struct sw_value *v, size_t i);
/* The items of anything that can be iterated, as a list or tuple; a generator is used up. */
enum sw_status sw_value_items(struct sw_jinja_run *r, const struct sw_value *v,
                              struct sw_value *out);

/* jinja_print.c: appends str(v). */
enum sw_status sw_value_print(struct sw_jinja_run *r, const struct sw_value *v,
                              struct sw_strbuf *out);
/* Appends repr(v). */
enum sw_status sw_value_repr(struct sw_jinja_run *r, const struct sw_value *v,
                             struct sw_strbuf *out);
/* Appends a float as Python prints it. */
void sw_value_print_real(double d, struct sw_strbuf *out);
/* Gives str(v) as a value. */
enum sw_status sw_value_to_text(struct sw_jinja_run *r, const struct sw_value *v,
                                struct sw_value *out);
struct sw_jinja_call;
/* jinja_json.c: the filter tojson. */
enum sw_status sw_jinja_tojson(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out);

#endif
