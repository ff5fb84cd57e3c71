/*
 * Owns the opcodes: what each does to the stack. What globals mean is in torch_objects.c. Opcodes
 * as in CPython's Lib/pickletools.py.
 */
#include "checkpoint/pickle_machine.h"
#include "checkpoint/torch_objects.h"

#include <string.h>

static enum sw_status push_int(struct sw_pickle_machine *m, int64_t value)
{
    return sw_pickle_push(m, (struct sw_pickle_value){.kind = SW_PICKLE_INT, .as.integer = value});
}

static enum sw_status push_opaque(struct sw_pickle_machine *m)
{
    return sw_pickle_push(m, (struct sw_pickle_value){.kind = SW_PICKLE_OPAQUE});
}

static enum sw_status op_proto(struct sw_pickle_machine *m)
{
    uint64_t version = 0;
    SW_TRY(sw_pickle_number(m, 1, &version));
    if (version < 2 || version > 5)
        return sw_fail(SW_EMODEL, "is pickle protocol %d, 2 to 5 are read", (int)version);
    return SW_OK;
}

static enum sw_status op_frame(struct sw_pickle_machine *m)
{
    uint64_t length = 0;
    return sw_pickle_number(m, 8, &length);
}

static enum sw_status op_stop(struct sw_pickle_machine *m)
{
    m->stopped = true;
    return sw_pickle_pop(m, &m->pickle->top);
}

static enum sw_status op_pop(struct sw_pickle_machine *m)
{
    struct sw_pickle_value ignored, *items = NULL;
    size_t n = 0;
    return sw_pickle_available(m) > 0 ? sw_pickle_pop(m, &ignored)
                                      : sw_pickle_pop_mark(m, &items, &n);
}

static enum sw_status op_pop_mark(struct sw_pickle_machine *m)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    return sw_pickle_pop_mark(m, &items, &n);
}

static enum sw_status op_none(struct sw_pickle_machine *m)
{
    return sw_pickle_push(m, (struct sw_pickle_value){.kind = SW_PICKLE_NONE});
}

static enum sw_status op_true(struct sw_pickle_machine *m)
{
    return sw_pickle_push(m, (struct sw_pickle_value){.kind = SW_PICKLE_BOOL, .as.integer = 1});
}

static enum sw_status op_false(struct sw_pickle_machine *m)
{
    return sw_pickle_push(m, (struct sw_pickle_value){.kind = SW_PICKLE_BOOL});
}

static enum sw_status op_int1(struct sw_pickle_machine *m)
{
    uint64_t value = 0;
    SW_TRY(sw_pickle_number(m, 1, &value));
    return push_int(m, (int64_t)value);
}

static enum sw_status op_int2(struct sw_pickle_machine *m)
{
    uint64_t value = 0;
    SW_TRY(sw_pickle_number(m, 2, &value));
    return push_int(m, (int64_t)value);
}

static enum sw_status op_int4(struct sw_pickle_machine *m)
{
    uint64_t value = 0;
    SW_TRY(sw_pickle_number(m, 4, &value));
    return push_int(m, (int32_t)(uint32_t)value);
}

/* Two's complement of any length; a number of more than 64 bits becomes opaque. */
static enum sw_status push_big_int(struct sw_pickle_machine *m, uint64_t n)
{
    const uint8_t *p = NULL;
    SW_TRY(sw_pickle_take(m, (size_t)n, &p));
    const uint8_t fill = n > 0 && (p[n - 1] & 0x80) ? 0xff : 0;
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;)
        value = value << 8 | (i < n ? p[i] : fill);
    for (size_t i = 8; i < n; i++)
        if (p[i] != fill)
            return push_opaque(m);
    if ((value >> 63) != (fill & 1u))
        return push_opaque(m);
    return push_int(m, (int64_t)value);
}

static enum sw_status op_long1(struct sw_pickle_machine *m)
{
    uint64_t n = 0;
    SW_TRY(sw_pickle_number(m, 1, &n));
    return push_big_int(m, n);
}

static enum sw_status op_long4(struct sw_pickle_machine *m)
{
    uint64_t n = 0;
    SW_TRY(sw_pickle_number(m, 4, &n));
    return push_big_int(m, n);
}

static enum sw_status op_float(struct sw_pickle_machine *m)
{
    const uint8_t *p = NULL;
    SW_TRY(sw_pickle_take(m, 8, &p));
    return push_opaque(m);
}

static enum sw_status push_text(struct sw_pickle_machine *m, size_t size_of_length)
{
    uint64_t n = 0;
    const uint8_t *p = NULL;
    SW_TRY(sw_pickle_number(m, size_of_length, &n));
    SW_TRY(sw_pickle_take(m, (size_t)n, &p));
    return sw_pickle_push(m, (struct sw_pickle_value){.kind = SW_PICKLE_STRING,
                                                      .length = (uint32_t)n,
                                                      .as.text = (const char *)p});
}

static enum sw_status op_text1(struct sw_pickle_machine *m)
{
    return push_text(m, 1);
}

static enum sw_status op_text4(struct sw_pickle_machine *m)
{
    return push_text(m, 4);
}

static enum sw_status op_text8(struct sw_pickle_machine *m)
{
    return push_text(m, 8);
}

static enum sw_status push_seq(struct sw_pickle_machine *m, enum sw_pickle_kind kind,
                               const struct sw_pickle_value *items, size_t n)
{
    struct sw_pickle_value value = {0};
    if (kind == SW_PICKLE_TUPLE)
        SW_TRY(sw_pickle_new_tuple(m->pickle, items, n, &value));
    else
        SW_TRY(sw_pickle_new_seq(m->pickle, kind, &value));
    if (kind != SW_PICKLE_TUPLE)
        SW_TRY(sw_pickle_append(m->pickle, value.as.seq, items, n));
    return sw_pickle_push(m, value);
}

static enum sw_status push_seq_of_mark(struct sw_pickle_machine *m, enum sw_pickle_kind kind)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    SW_TRY(sw_pickle_pop_mark(m, &items, &n));
    if (kind == SW_PICKLE_DICT && n % 2 != 0)
        return sw_fail(SW_EMODEL, "makes a dict of a key without a value");
    return push_seq(m, kind, items, n);
}

static enum sw_status push_tuple_of_top(struct sw_pickle_machine *m, size_t n)
{
    if (sw_pickle_available(m) < n)
        return sw_fail(SW_EMODEL, "makes a tuple of values that are not there");
    m->stack.count -= (uint32_t)n;
    return push_seq(m, SW_PICKLE_TUPLE, m->stack.items + m->stack.count, n);
}

static enum sw_status op_tuple0(struct sw_pickle_machine *m)
{
    return push_seq(m, SW_PICKLE_TUPLE, NULL, 0);
}

static enum sw_status op_tuple1(struct sw_pickle_machine *m)
{
    return push_tuple_of_top(m, 1);
}

static enum sw_status op_tuple2(struct sw_pickle_machine *m)
{
    return push_tuple_of_top(m, 2);
}

static enum sw_status op_tuple3(struct sw_pickle_machine *m)
{
    return push_tuple_of_top(m, 3);
}

static enum sw_status op_tuple(struct sw_pickle_machine *m)
{
    return push_seq_of_mark(m, SW_PICKLE_TUPLE);
}

static enum sw_status op_list(struct sw_pickle_machine *m)
{
    return push_seq_of_mark(m, SW_PICKLE_LIST);
}

static enum sw_status op_dict(struct sw_pickle_machine *m)
{
    return push_seq_of_mark(m, SW_PICKLE_DICT);
}

static enum sw_status op_empty_list(struct sw_pickle_machine *m)
{
    return push_seq(m, SW_PICKLE_LIST, NULL, 0);
}

static enum sw_status op_empty_dict(struct sw_pickle_machine *m)
{
    return push_seq(m, SW_PICKLE_DICT, NULL, 0);
}

static enum sw_status op_frozen_set(struct sw_pickle_machine *m)
{
    SW_TRY(op_pop_mark(m));
    return push_opaque(m);
}

/* Appends items to the container on the stack if it is of that kind; else drops them. */
static enum sw_status append_to_top(struct sw_pickle_machine *m, enum sw_pickle_kind kind,
                                    const struct sw_pickle_value *items, size_t n)
{
    struct sw_pickle_value target = {0};
    SW_TRY(sw_pickle_peek(m, &target));
    if (target.kind != kind)
        return SW_OK;
    if (kind == SW_PICKLE_DICT && n % 2 != 0)
        return sw_fail(SW_EMODEL, "sets a key without a value");
    return sw_pickle_append(m->pickle, target.as.seq, items, n);
}

static enum sw_status op_append(struct sw_pickle_machine *m)
{
    struct sw_pickle_value value = {0};
    SW_TRY(sw_pickle_pop(m, &value));
    return append_to_top(m, SW_PICKLE_LIST, &value, 1);
}

static enum sw_status op_appends(struct sw_pickle_machine *m)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    SW_TRY(sw_pickle_pop_mark(m, &items, &n));
    return append_to_top(m, SW_PICKLE_LIST, items, n);
}

static enum sw_status op_set_item(struct sw_pickle_machine *m)
{
    struct sw_pickle_value pair[2];
    SW_TRY(sw_pickle_pop(m, &pair[1]));
    SW_TRY(sw_pickle_pop(m, &pair[0]));
    return append_to_top(m, SW_PICKLE_DICT, pair, 2);
}

static enum sw_status op_set_items(struct sw_pickle_machine *m)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    SW_TRY(sw_pickle_pop_mark(m, &items, &n));
    return append_to_top(m, SW_PICKLE_DICT, items, n);
}

static enum sw_status op_add_items(struct sw_pickle_machine *m)
{
    struct sw_pickle_value target = {0};
    SW_TRY(op_pop_mark(m));
    return sw_pickle_peek(m, &target);
}

/* Reads a line without its newline; GLOBAL has two of them. */
static enum sw_status take_line(struct sw_pickle_machine *m, const char **out, size_t *n)
{
    const uint8_t *begin = m->bytes + m->at, *p;
    const uint8_t *end = memchr(begin, '\n', m->length - m->at);
    *out = (const char *)begin;
    *n = end ? (size_t)(end - begin) : m->length - m->at;
    return sw_pickle_take(m, *n + 1, &p);
}

static enum sw_status op_global(struct sw_pickle_machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t n_module = 0, n_name = 0;
    SW_TRY(take_line(m, &module, &n_module));
    SW_TRY(take_line(m, &name, &n_name));
    return sw_pickle_push(m, sw_torch_global(module, n_module, name, n_name));
}

static enum sw_status op_stack_global(struct sw_pickle_machine *m)
{
    struct sw_pickle_value module = {0}, name = {0};
    SW_TRY(sw_pickle_pop(m, &name));
    SW_TRY(sw_pickle_pop(m, &module));
    if (module.kind != SW_PICKLE_STRING || name.kind != SW_PICKLE_STRING)
        return sw_fail(SW_EMODEL, "names a global by something other than two texts");
    return sw_pickle_push(
        m, sw_torch_global(module.as.text, module.length, name.as.text, name.length));
}

/* REDUCE and NEWOBJ: callable or class, then a tuple. */
static enum sw_status op_reduce(struct sw_pickle_machine *m)
{
    struct sw_pickle_value callable = {0}, arguments = {0}, result = {0};
    SW_TRY(sw_pickle_pop(m, &arguments));
    SW_TRY(sw_pickle_pop(m, &callable));
    SW_TRY(sw_torch_reduce(m->pickle, &callable, &arguments, &result));
    return sw_pickle_push(m, result);
}

static enum sw_status op_new_object_ex(struct sw_pickle_machine *m)
{
    struct sw_pickle_value ignored = {0};
    SW_TRY(sw_pickle_pop(m, &ignored));
    return op_reduce(m);
}

/* Drops the state of an object, such as a state dict's _metadata. */
static enum sw_status op_build(struct sw_pickle_machine *m)
{
    struct sw_pickle_value ignored = {0};
    SW_TRY(sw_pickle_pop(m, &ignored));
    return sw_pickle_peek(m, &ignored);
}

static enum sw_status op_persistent(struct sw_pickle_machine *m)
{
    struct sw_pickle_value id = {0}, result = {0};
    SW_TRY(sw_pickle_pop(m, &id));
    SW_TRY(sw_torch_persistent(m->pickle, &id, &result));
    return sw_pickle_push(m, result);
}

static enum sw_status op_put1(struct sw_pickle_machine *m)
{
    uint64_t index = 0;
    SW_TRY(sw_pickle_number(m, 1, &index));
    return sw_pickle_remember(m, index);
}

static enum sw_status op_put4(struct sw_pickle_machine *m)
{
    uint64_t index = 0;
    SW_TRY(sw_pickle_number(m, 4, &index));
    return sw_pickle_remember(m, index);
}

static enum sw_status op_memoize(struct sw_pickle_machine *m)
{
    return sw_pickle_remember(m, m->memo.count);
}

static enum sw_status op_get1(struct sw_pickle_machine *m)
{
    uint64_t index = 0;
    SW_TRY(sw_pickle_number(m, 1, &index));
    return sw_pickle_recall(m, index);
}

static enum sw_status op_get4(struct sw_pickle_machine *m)
{
    uint64_t index = 0;
    SW_TRY(sw_pickle_number(m, 4, &index));
    return sw_pickle_recall(m, index);
}

sw_pickle_operation *const sw_pickle_operations[256] = {
    [0x80] = op_proto,         [0x95] = op_frame,     ['.'] = op_stop,
    ['('] = sw_pickle_mark,    ['0'] = op_pop,        ['1'] = op_pop_mark,
    ['N'] = op_none,           [0x88] = op_true,      [0x89] = op_false,
    ['K'] = op_int1,           ['M'] = op_int2,       ['J'] = op_int4,
    [0x8a] = op_long1,         [0x8b] = op_long4,     ['G'] = op_float,
    ['X'] = op_text4,          [0x8c] = op_text1,     [0x8d] = op_text8,
    ['U'] = op_text1,          ['T'] = op_text4,      ['C'] = op_text1,
    ['B'] = op_text4,          [')'] = op_tuple0,     [0x85] = op_tuple1,
    [0x86] = op_tuple2,        [0x87] = op_tuple3,    ['t'] = op_tuple,
    [']'] = op_empty_list,     ['l'] = op_list,       ['}'] = op_empty_dict,
    ['d'] = op_dict,           [0x8f] = push_opaque,  [0x91] = op_frozen_set,
    ['a'] = op_append,         ['e'] = op_appends,    ['s'] = op_set_item,
    ['u'] = op_set_items,      [0x90] = op_add_items, ['c'] = op_global,
    [0x93] = op_stack_global,  ['R'] = op_reduce,     [0x81] = op_reduce,
    [0x92] = op_new_object_ex, ['b'] = op_build,      ['Q'] = op_persistent,
    ['q'] = op_put1,           ['r'] = op_put4,       [0x94] = op_memoize,
    ['h'] = op_get1,           ['j'] = op_get4,
};
