/* Owns operators on values: arithmetic, items, slices, attributes; Python's rules. */
#include "base/utf8.h"
#include "jinja/jinja_run.h"

#include <math.h>
#include <string.h>

static enum sw_status fail_overflow(struct sw_jinja_run *r)
{
    return sw_jinja_fail(r, "an integer goes beyond 64 bits");
}

static enum sw_status fail_mismatch(struct sw_jinja_run *r, int op, const struct sw_value *a,
                                    const struct sw_value *b)
{
    SW_TRY(sw_jinja_defined(r, a));
    SW_TRY(sw_jinja_defined(r, b));
    return sw_jinja_fail(r, "a %s and a %s cannot be combined with '%s'", sw_value_kind_name(a),
                         sw_value_kind_name(b),
                         op == 'f'   ? "//"
                         : op == 'p' ? "**"
                                     : (char[]){(char)op, '\0'});
}

static enum sw_status integer_power(struct sw_jinja_run *r, int64_t a, int64_t b,
                                    struct sw_value *out)
{
    int64_t result = 1;
    if (b < 0) {
        if (a == 0)
            return sw_jinja_fail(r, "zero to a negative power");
        *out = sw_value_real(pow((double)a, (double)b));
        return SW_OK;
    }
    for (; b > 0; b >>= 1) {
        if ((b & 1) && __builtin_mul_overflow(result, a, &result))
            return fail_overflow(r);
        if (b > 1 && __builtin_mul_overflow(a, a, &a))
            return fail_overflow(r);
    }
    *out = sw_value_int(result);
    return SW_OK;
}

static enum sw_status combine_integers(struct sw_jinja_run *r, int op, int64_t a, int64_t b,
                                       struct sw_value *out)
{
    int64_t result = 0;
    bool bad = false;
    if ((op == '/' || op == 'f' || op == '%') && b == 0)
        return sw_jinja_fail(r, "division by zero");
    switch (op) {
    case '+':
        bad = __builtin_add_overflow(a, b, &result);
        break;
    case '-':
        bad = __builtin_sub_overflow(a, b, &result);
        break;
    case '*':
        bad = __builtin_mul_overflow(a, b, &result);
        break;
    case '/':
        *out = sw_value_real((double)a / (double)b);
        return SW_OK;
    case 'p':
        return integer_power(r, a, b, out);
    default: /* rounded down, and what is left has the sign of b */
        if (b == -1) {
            bad = op == 'f' && __builtin_sub_overflow(0, a, &result);
        } else {
            const int64_t rest = a % b, down = rest != 0 && (rest < 0) != (b < 0);
            result = op == 'f' ? a / b - down : rest + down * b;
        }
    }
    *out = sw_value_int(result);
    return bad ? fail_overflow(r) : SW_OK;
}

static enum sw_status combine_reals(struct sw_jinja_run *r, int op, double a, double b,
                                    struct sw_value *out)
{
    if ((op == '/' || op == 'f' || op == '%') && b == 0)
        return sw_jinja_fail(r, "division by zero");
    double result;
    switch (op) {
    case '+':
        result = a + b;
        break;
    case '-':
        result = a - b;
        break;
    case '*':
        result = a * b;
        break;
    case '/':
        result = a / b;
        break;
    case 'p':
        result = pow(a, b);
        break;
    default: {
        double rest = fmod(a, b);
        if (rest != 0 && (rest < 0) != (b < 0))
            rest += b;
        else if (rest == 0)
            rest = copysign(0, b);
        const double down = (a - rest) / b;
        result = op == '%' ? rest : down != 0 ? round(down) : copysign(0, a / b);
    }
    }
    *out = sw_value_real(result);
    return SW_OK;
}

static enum sw_status join_texts(struct sw_jinja_run *r, const struct sw_value *a,
                                 const struct sw_value *b, struct sw_value *out)
{
    void *text;
    struct sw_value escaped;
    if (a->safe != b->safe) {
        SW_TRY(sw_jinja_escape(r, a->safe ? b : a, &escaped));
        return join_texts(r, a->safe ? a : &escaped, a->safe ? &escaped : b, out);
    }
    SW_TRY(sw_jinja_charge(r, (a->length + b->length) / 64));
    SW_TRY(sw_jinja_take(r, a->length + b->length + 1, &text));
    memcpy(text, a->text, a->length);
    memcpy((char *)text + a->length, b->text, b->length);
    *out = sw_value_text(text, a->length + b->length);
    out->safe = a->safe;
    return SW_OK;
}

static enum sw_status join_lists(struct sw_jinja_run *r, const struct sw_value *a,
                                 const struct sw_value *b, struct sw_value *out)
{
    const size_t n = a->list->count, m = b->list->count;
    SW_TRY(sw_jinja_charge(r, (n + m) / 4));
    SW_TRY(sw_value_list_new(r, a->kind, n + m, out));
    if (n)
        memcpy(out->list->items, a->list->items, n * sizeof *out->list->items);
    if (m)
        memcpy(out->list->items + n, b->list->items, m * sizeof *out->list->items);
    out->list->count = n + m;
    return SW_OK;
}

/* "ab" * 3, [x] * 3 */
static enum sw_status jinja_operators_repeat(struct sw_jinja_run *r, const struct sw_value *a,
                                             int64_t times, struct sw_value *out)
{
    const size_t n = times < 0 ? 0 : (size_t)times;
    const size_t unit = a->kind == SW_V_STRING ? a->length : a->list->count;
    size_t total;
    if (__builtin_mul_overflow(n, unit, &total) || total > r->limits.memory)
        return sw_jinja_fail(r, "%zu repeated %zu times is too long", unit, n);
    SW_TRY(sw_jinja_charge(r, total / 16));
    if (a->kind == SW_V_STRING) {
        void *text;
        SW_TRY(sw_jinja_take(r, total + 1, &text));
        for (size_t at = 0; at < total; at += unit)
            memcpy((char *)text + at, a->text, unit);
        *out = sw_value_text(text, total);
        return SW_OK;
    }
    SW_TRY(sw_value_list_new(r, a->kind, total, out));
    for (size_t at = 0; at < total; at += unit)
        memcpy(out->list->items + at, a->list->items, unit * sizeof *a->list->items);
    out->list->count = total;
    return SW_OK;
}

static bool is_sequence(const struct sw_value *v)
{
    return v->kind == SW_V_STRING || v->kind == SW_V_LIST || v->kind == SW_V_TUPLE;
}

/* "%s and %d" % (a, b) is the filter `format`. */
static enum sw_status format_text(struct sw_jinja_run *r, const struct sw_value *a,
                                  const struct sw_value *b, struct sw_value *out)
{
    const struct sw_value name = sw_value_text("format", 6);
    struct sw_jinja_call call = {.self = *a, .args = b, .n = 1};
    if (b->kind == SW_V_TUPLE) {
        call.args = b->list->items;
        call.n = b->list->count;
    } else if (b->kind == SW_V_DICT) {
        call.n = 0;
        call.named = b->dict->pairs;
        call.n_named = b->dict->count;
    }
    return sw_jinja_filter(r, &name, &call, out);
}

enum sw_status sw_jinja_binary(struct sw_jinja_run *r, int op, const struct sw_value *a,
                               const struct sw_value *b, struct sw_value *out)
{
    int64_t x, y;
    if (sw_value_integer(a, &x) && sw_value_integer(b, &y))
        return combine_integers(r, op, x, y, out);
    if (sw_value_is_number(a) && sw_value_is_number(b))
        return combine_reals(r, op, sw_value_double(a), sw_value_double(b), out);
    if (op == '+' && a->kind == SW_V_STRING && b->kind == SW_V_STRING)
        return join_texts(r, a, b, out);
    if (op == '+' && a->kind == b->kind && is_sequence(a))
        return join_lists(r, a, b, out);
    if (op == '*' && is_sequence(a) && sw_value_integer(b, &y))
        return jinja_operators_repeat(r, a, y, out);
    if (op == '*' && is_sequence(b) && sw_value_integer(a, &x))
        return jinja_operators_repeat(r, b, x, out);
    if (op == '%' && a->kind == SW_V_STRING)
        return format_text(r, a, b, out);
    return fail_mismatch(r, op, a, b);
}

enum sw_status sw_jinja_unary(struct sw_jinja_run *r, int op, const struct sw_value *a,
                              struct sw_value *out)
{
    int64_t i;
    *out = *a;
    if (op == '!') {
        *out = sw_value_bool(!sw_value_true(a));
        return SW_OK;
    }
    if (a->kind == SW_V_FLOAT) {
        out->real = op == '-' ? -a->real : a->real;
        return SW_OK;
    }
    SW_TRY(sw_jinja_want_integer(r, a, op == '-' ? "'-'" : "'+'", &i));
    if (op == '-' && __builtin_sub_overflow(0, i, &i))
        return fail_overflow(r);
    *out = sw_value_int(i);
    return SW_OK;
}

/* Bytes before character `index` of a text. */
static size_t offset_of(const struct sw_value *v, size_t index)
{
    size_t at = 0;
    for (; at < v->length; at++)
        if (((unsigned char)v->text[at] & 0xc0) != 0x80 && index-- == 0)
            break;
    return at;
}

static struct sw_value character_at(const struct sw_value *v, size_t index)
{
    int length;
    const size_t at = offset_of(v, index);
    sw_utf8_decode(v->text + at, &length);
    return sw_value_text(v->text + at, (size_t)length);
}

static bool can_index(const struct sw_value *v)
{
    return is_sequence(v) || v->kind == SW_V_RANGE;
}

/* A part of a slice within low … high; `missing` when it is not given. */
static enum sw_status slice_bound(struct sw_jinja_run *r, const struct sw_value *part, int64_t n,
                                  int64_t missing, int64_t low, int64_t high, int64_t *out)
{
    *out = missing;
    if (part->kind == SW_V_ABSENT || part->kind == SW_V_NONE)
        return SW_OK;
    SW_TRY(sw_jinja_want_integer(r, part, "a slice", out));
    if (*out < 0)
        *out = *out < -n ? low : *out + n < low ? low : *out + n;
    else
        *out = *out > high ? high : *out;
    return SW_OK;
}

static enum sw_status slice_range(struct sw_jinja_run *r, const struct sw_value_range *range,
                                  int64_t from, int64_t to, int64_t step, struct sw_value *out)
{
    void *made;
    struct sw_value_range part = {0};
    if (__builtin_mul_overflow(range->step, step, &part.step) ||
        __builtin_mul_overflow(range->step, from, &part.start) ||
        __builtin_mul_overflow(range->step, to, &part.stop) ||
        __builtin_add_overflow(range->start, part.start, &part.start) ||
        __builtin_add_overflow(range->start, part.stop, &part.stop))
        return fail_overflow(r);
    for (int64_t i = from; step > 0 ? i < to : i > to; part.count++)
        if (__builtin_add_overflow(i, step, &i))
            i = to;
    SW_TRY(sw_jinja_take(r, sizeof part, &made));
    *out = (struct sw_value){.kind = SW_V_RANGE, .range = made};
    *out->range = part;
    return SW_OK;
}

enum sw_status sw_jinja_slice(struct sw_jinja_run *r, const struct sw_value *a,
                              const struct sw_value part[3], struct sw_value *out)
{
    size_t length;
    int64_t step = 1, from, to;
    SW_TRY(sw_jinja_defined(r, a));
    if (!can_index(a))
        return sw_jinja_fail(r, "a %s cannot be sliced", sw_value_kind_name(a));
    sw_value_length(a, &length);
    SW_TRY(sw_jinja_charge(r, length / 16));
    const int64_t n = (int64_t)length;
    if (part[2].kind != SW_V_NONE)
        SW_TRY(sw_jinja_want_integer(r, &part[2], "a slice", &step));
    if (step == 0)
        return sw_jinja_fail(r, "a slice's step is zero");
    const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    SW_TRY(slice_bound(r, &part[0], n, step < 0 ? high : 0, low, high, &from));
    SW_TRY(slice_bound(r, &part[1], n, step < 0 ? low : n, low, high, &to));
    if (a->kind == SW_V_STRING && step == 1) {
        const size_t begin = offset_of(a, (size_t)from);
        const size_t end = to > from ? offset_of(a, (size_t)to) : begin;
        *out = sw_value_text(a->text + begin, end - begin);
        return SW_OK;
    }
    if (a->kind == SW_V_RANGE)
        return slice_range(r, a->range, from, to, step, out);
    struct sw_value items = *a;
    if (a->kind == SW_V_STRING)
        SW_TRY(sw_value_items(r, a, &items));
    SW_TRY(sw_value_list_new(r, a->kind == SW_V_TUPLE ? SW_V_TUPLE : SW_V_LIST, 0, out));
    while (step > 0 ? from < to : from > to) {
        const struct sw_value item = sw_value_at(&items, (size_t)from);
        SW_TRY(sw_value_list_add(r, out, &item));
        if (__builtin_add_overflow(from, step, &from))
            break;
    }
    if (a->kind != SW_V_STRING)
        return SW_OK;
    const struct sw_value join = sw_value_text("join", 4), list = *out;
    const struct sw_jinja_call call = {.self = list};
    return sw_jinja_filter(r, &join, &call, out);
}

/* Methods of a value's kind. */
static const struct sw_builtin *method_of(const struct sw_value *a, const struct sw_value *name)
{
    if (a->kind == SW_V_STRING)
        return sw_builtin_find(sw_jinja_text_methods, sw_jinja_n_text_methods, name);
    if (a->kind == SW_V_DICT)
        return sw_builtin_find(sw_jinja_dict_methods, sw_jinja_n_dict_methods, name);
    if (a->kind == SW_V_LIST || a->kind == SW_V_TUPLE)
        return sw_builtin_find(sw_jinja_list_methods, sw_jinja_n_list_methods, name);
    return NULL;
}

enum sw_status sw_jinja_attribute(struct sw_jinja_run *r, const struct sw_value *a,
                                  const struct sw_value *name, struct sw_value *out)
{
    const struct sw_builtin *method = method_of(a, name);
    struct sw_value *found = NULL;
    void *made;
    SW_TRY(sw_jinja_defined(r, a));
    if (a->kind == SW_V_LOOP)
        return sw_loop_attribute(r, a->loop, name, out);
    *out = sw_value_undefined(name->text, name->length);
    if (method && !method->run) {
        out->refused = true;
        return SW_OK;
    }
    if (method) {
        SW_TRY(sw_jinja_take(r, sizeof(struct sw_value_method) + sizeof *a, &made));
        *out = (struct sw_value){.kind = SW_V_METHOD, .method = made};
        out->method->builtin = method;
        out->method->self = (struct sw_value *)(out->method + 1);
        *out->method->self = *a;
        return SW_OK;
    }
    if (a->kind == SW_V_DICT || a->kind == SW_V_NAMESPACE)
        SW_TRY(sw_value_dict_find(r, a, name, &found));
    if (found)
        *out = *found;
    return SW_OK;
}

enum sw_status sw_jinja_item(struct sw_jinja_run *r, const struct sw_value *a,
                             const struct sw_value *key, struct sw_value *out)
{
    struct sw_value *found = NULL;
    int64_t i;
    size_t length;
    SW_TRY(sw_jinja_defined(r, a));
    *out = sw_value_undefined("that item", 9);
    if (a->kind == SW_V_DICT && key->kind != SW_V_LIST && key->kind != SW_V_DICT)
        SW_TRY(sw_value_dict_find(r, a, key, &found));
    if (found) {
        *out = *found;
        return SW_OK;
    }
    if (key->kind == SW_V_STRING)
        return sw_jinja_attribute(r, a, key, out);
    if (!can_index(a) || !sw_value_integer(key, &i))
        return SW_OK;
    sw_value_length(a, &length);
    if (a->kind == SW_V_STRING)
        SW_TRY(sw_jinja_charge(r, length / 16));
    i = i < 0 ? i + (int64_t)length : i;
    if (i >= 0 && i < (int64_t)length)
        *out = a->kind == SW_V_STRING ? character_at(a, (size_t)i) : sw_value_at(a, (size_t)i);
    return SW_OK;
}
