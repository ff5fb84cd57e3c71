/*
 * Owns the pickle stack machine: opcodes, stack, marks, memo. What globals mean is in
 * torch_objects.c. Opcodes as in CPython's Lib/pickletools.py.
 */
#include "format/torch_pickle.h"

#include "format/torch_objects.h"

#include <stdlib.h>
#include <string.h>

struct sw_pickle_block {
    struct sw_pickle_block *next;
    max_align_t data[];
};

struct machine {
    struct sw_pickle *pickle;
    const uint8_t *bytes;
    size_t length, at;
    struct sw_pickle_seq stack, memo;
    size_t *marks; /* stack heights */
    size_t n_marks, marks_capacity;
    bool stopped;
};

/* ---- memory ---- */

void *sw_pickle_alloc(struct sw_pickle *pickle, size_t size)
{
    struct sw_pickle_block *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->next = pickle->blocks;
    pickle->blocks = block;
    return block->data;
}

enum sw_status sw_pickle_append(struct sw_pickle_seq *seq, const struct sw_pickle_value *value)
{
    if (seq->count == seq->capacity) {
        const size_t capacity = seq->capacity ? 2 * seq->capacity : 4;
        struct sw_pickle_value *items = realloc(seq->items, capacity * sizeof *items);
        if (!items)
            return sw_fail(SW_ENOMEM, "no memory for the values of a pickle");
        seq->items = items;
        seq->capacity = capacity;
    }
    seq->items[seq->count++] = *value;
    return SW_OK;
}

enum sw_status sw_pickle_new_seq(struct sw_pickle *pickle, enum sw_pickle_kind kind,
                                 struct sw_pickle_value *out)
{
    struct sw_pickle_seq *seq = calloc(1, sizeof *seq);
    if (!seq)
        return sw_fail(SW_ENOMEM, "no memory for the values of a pickle");
    seq->next = pickle->seqs;
    pickle->seqs = seq;
    *out = (struct sw_pickle_value){.kind = kind, .as.seq = seq};
    return SW_OK;
}

void sw_pickle_free(struct sw_pickle *pickle)
{
    while (pickle->seqs) {
        struct sw_pickle_seq *next = pickle->seqs->next;
        free(pickle->seqs->items);
        free(pickle->seqs);
        pickle->seqs = next;
    }
    while (pickle->blocks) {
        struct sw_pickle_block *next = pickle->blocks->next;
        free(pickle->blocks);
        pickle->blocks = next;
    }
}

/* ---- bytes and stack ---- */

static enum sw_status take(struct machine *m, size_t n, const uint8_t **out)
{
    if (n > m->length - m->at) {
        m->pickle->truncated = true;
        return sw_fail(SW_EMODEL, "ends before its STOP, %zu bytes more are needed", n);
    }
    *out = m->bytes + m->at;
    m->at += n;
    return SW_OK;
}

/* A little-endian unsigned number of n <= 8 bytes. */
static enum sw_status number(struct machine *m, size_t n, uint64_t *out)
{
    const uint8_t *p = NULL;
    SW_TRY(take(m, n, &p));
    *out = 0;
    for (size_t i = n; i-- > 0;)
        *out = *out << 8 | p[i];
    return SW_OK;
}

static enum sw_status push(struct machine *m, struct sw_pickle_value value)
{
    return sw_pickle_append(&m->stack, &value);
}

static enum sw_status push_int(struct machine *m, int64_t value)
{
    return push(m, (struct sw_pickle_value){.kind = SW_PICKLE_INT, .as.integer = value});
}

static enum sw_status push_opaque(struct machine *m)
{
    return push(m, (struct sw_pickle_value){.kind = SW_PICKLE_OPAQUE});
}

/* Values above the last mark. */
static size_t available(const struct machine *m)
{
    return m->stack.count - (m->n_marks ? m->marks[m->n_marks - 1] : 0);
}

static enum sw_status pop(struct machine *m, struct sw_pickle_value *out)
{
    if (available(m) == 0)
        return sw_fail(SW_EMODEL, "takes a value from an empty stack");
    *out = m->stack.items[--m->stack.count];
    return SW_OK;
}

static enum sw_status peek(struct machine *m, struct sw_pickle_value *out)
{
    if (available(m) == 0)
        return sw_fail(SW_EMODEL, "needs a value on an empty stack");
    *out = m->stack.items[m->stack.count - 1];
    return SW_OK;
}

/* Takes the mark off; the values above it stay at *items until the next push. */
static enum sw_status pop_mark(struct machine *m, struct sw_pickle_value **items, size_t *n)
{
    if (m->n_marks == 0)
        return sw_fail(SW_EMODEL, "needs a mark where there is none");
    *n = available(m);
    m->stack.count = m->marks[--m->n_marks];
    *items = m->stack.items ? m->stack.items + m->stack.count : NULL;
    return SW_OK;
}

/* ---- opcodes ---- */

static enum sw_status op_proto(struct machine *m)
{
    uint64_t version = 0;
    SW_TRY(number(m, 1, &version));
    if (version < 2 || version > 5)
        return sw_fail(SW_EMODEL, "is pickle protocol %d, 2 to 5 are read", (int)version);
    return SW_OK;
}

static enum sw_status op_frame(struct machine *m)
{
    uint64_t length = 0;
    return number(m, 8, &length);
}

static enum sw_status op_stop(struct machine *m)
{
    m->stopped = true;
    return pop(m, &m->pickle->top);
}

static enum sw_status op_mark(struct machine *m)
{
    if (m->n_marks == m->marks_capacity) {
        const size_t capacity = m->marks_capacity ? 2 * m->marks_capacity : 64;
        size_t *marks = realloc(m->marks, capacity * sizeof *marks);
        if (!marks)
            return sw_fail(SW_ENOMEM, "no memory for the marks of a pickle");
        m->marks = marks;
        m->marks_capacity = capacity;
    }
    m->marks[m->n_marks++] = m->stack.count;
    return SW_OK;
}

static enum sw_status op_pop(struct machine *m)
{
    struct sw_pickle_value ignored, *items = NULL;
    size_t n = 0;
    return available(m) > 0 ? pop(m, &ignored) : pop_mark(m, &items, &n);
}

static enum sw_status op_pop_mark(struct machine *m)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    return pop_mark(m, &items, &n);
}

static enum sw_status op_none(struct machine *m)
{
    return push(m, (struct sw_pickle_value){.kind = SW_PICKLE_NONE});
}

static enum sw_status op_true(struct machine *m)
{
    return push(m, (struct sw_pickle_value){.kind = SW_PICKLE_BOOL, .as.integer = 1});
}

static enum sw_status op_false(struct machine *m)
{
    return push(m, (struct sw_pickle_value){.kind = SW_PICKLE_BOOL});
}

static enum sw_status op_int1(struct machine *m)
{
    uint64_t value = 0;
    SW_TRY(number(m, 1, &value));
    return push_int(m, (int64_t)value);
}

static enum sw_status op_int2(struct machine *m)
{
    uint64_t value = 0;
    SW_TRY(number(m, 2, &value));
    return push_int(m, (int64_t)value);
}

static enum sw_status op_int4(struct machine *m)
{
    uint64_t value = 0;
    SW_TRY(number(m, 4, &value));
    return push_int(m, (int32_t)(uint32_t)value);
}

/* Two's complement of any length; one that does not fit 64 bits is no size or offset. */
static enum sw_status big_int(struct machine *m, uint64_t n)
{
    const uint8_t *p = NULL;
    SW_TRY(take(m, (size_t)n, &p));
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

static enum sw_status op_long1(struct machine *m)
{
    uint64_t n = 0;
    SW_TRY(number(m, 1, &n));
    return big_int(m, n);
}

static enum sw_status op_long4(struct machine *m)
{
    uint64_t n = 0;
    SW_TRY(number(m, 4, &n));
    return big_int(m, n);
}

static enum sw_status op_float(struct machine *m)
{
    const uint8_t *p = NULL;
    SW_TRY(take(m, 8, &p));
    return push_opaque(m);
}

static enum sw_status text(struct machine *m, size_t size_of_length)
{
    uint64_t n = 0;
    const uint8_t *p = NULL;
    SW_TRY(number(m, size_of_length, &n));
    SW_TRY(take(m, (size_t)n, &p));
    return push(m, (struct sw_pickle_value){.kind = SW_PICKLE_STRING,
                                            .as.string = {(const char *)p, (size_t)n}});
}

static enum sw_status op_text1(struct machine *m)
{
    return text(m, 1);
}

static enum sw_status op_text4(struct machine *m)
{
    return text(m, 4);
}

static enum sw_status op_text8(struct machine *m)
{
    return text(m, 8);
}

static enum sw_status push_seq(struct machine *m, enum sw_pickle_kind kind,
                               const struct sw_pickle_value *items, size_t n)
{
    struct sw_pickle_value value = {0};
    SW_TRY(sw_pickle_new_seq(m->pickle, kind, &value));
    for (size_t i = 0; i < n; i++)
        SW_TRY(sw_pickle_append(value.as.seq, &items[i]));
    return push(m, value);
}

static enum sw_status seq_of_mark(struct machine *m, enum sw_pickle_kind kind)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    SW_TRY(pop_mark(m, &items, &n));
    if (kind == SW_PICKLE_DICT && n % 2 != 0)
        return sw_fail(SW_EMODEL, "makes a dict of a key without a value");
    return push_seq(m, kind, items, n);
}

static enum sw_status small_tuple(struct machine *m, size_t n)
{
    if (available(m) < n)
        return sw_fail(SW_EMODEL, "makes a tuple of values that are not there");
    m->stack.count -= n;
    return push_seq(m, SW_PICKLE_TUPLE, m->stack.items + m->stack.count, n);
}

static enum sw_status op_tuple0(struct machine *m)
{
    return push_seq(m, SW_PICKLE_TUPLE, NULL, 0);
}

static enum sw_status op_tuple1(struct machine *m)
{
    return small_tuple(m, 1);
}

static enum sw_status op_tuple2(struct machine *m)
{
    return small_tuple(m, 2);
}

static enum sw_status op_tuple3(struct machine *m)
{
    return small_tuple(m, 3);
}

static enum sw_status op_tuple(struct machine *m)
{
    return seq_of_mark(m, SW_PICKLE_TUPLE);
}

static enum sw_status op_list(struct machine *m)
{
    return seq_of_mark(m, SW_PICKLE_LIST);
}

static enum sw_status op_dict(struct machine *m)
{
    return seq_of_mark(m, SW_PICKLE_DICT);
}

static enum sw_status op_empty_list(struct machine *m)
{
    return push_seq(m, SW_PICKLE_LIST, NULL, 0);
}

static enum sw_status op_empty_dict(struct machine *m)
{
    return push_seq(m, SW_PICKLE_DICT, NULL, 0);
}

static enum sw_status op_frozen_set(struct machine *m)
{
    SW_TRY(op_pop_mark(m));
    return push_opaque(m);
}

/* Puts items into the container on the stack, when it is of that kind; else they are dropped. */
static enum sw_status extend(struct machine *m, enum sw_pickle_kind kind,
                             const struct sw_pickle_value *items, size_t n)
{
    struct sw_pickle_value target = {0};
    SW_TRY(peek(m, &target));
    if (target.kind != kind)
        return SW_OK;
    if (kind == SW_PICKLE_DICT && n % 2 != 0)
        return sw_fail(SW_EMODEL, "sets a key without a value");
    for (size_t i = 0; i < n; i++)
        SW_TRY(sw_pickle_append(target.as.seq, &items[i]));
    return SW_OK;
}

static enum sw_status op_append(struct machine *m)
{
    struct sw_pickle_value value = {0};
    SW_TRY(pop(m, &value));
    return extend(m, SW_PICKLE_LIST, &value, 1);
}

static enum sw_status op_appends(struct machine *m)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    SW_TRY(pop_mark(m, &items, &n));
    return extend(m, SW_PICKLE_LIST, items, n);
}

static enum sw_status op_set_item(struct machine *m)
{
    struct sw_pickle_value pair[2];
    SW_TRY(pop(m, &pair[1]));
    SW_TRY(pop(m, &pair[0]));
    return extend(m, SW_PICKLE_DICT, pair, 2);
}

static enum sw_status op_set_items(struct machine *m)
{
    struct sw_pickle_value *items = NULL;
    size_t n = 0;
    SW_TRY(pop_mark(m, &items, &n));
    return extend(m, SW_PICKLE_DICT, items, n);
}

static enum sw_status op_add_items(struct machine *m)
{
    struct sw_pickle_value target = {0};
    SW_TRY(op_pop_mark(m));
    return peek(m, &target);
}

/* A line without its newline, as GLOBAL has two of. */
static enum sw_status line(struct machine *m, const char **out, size_t *n)
{
    const uint8_t *begin = m->bytes + m->at, *p;
    const uint8_t *end = memchr(begin, '\n', m->length - m->at);
    *out = (const char *)begin;
    *n = end ? (size_t)(end - begin) : m->length - m->at;
    return take(m, *n + 1, &p);
}

static enum sw_status op_global(struct machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t n_module = 0, n_name = 0;
    SW_TRY(line(m, &module, &n_module));
    SW_TRY(line(m, &name, &n_name));
    return push(m, sw_torch_global(module, n_module, name, n_name));
}

static enum sw_status op_stack_global(struct machine *m)
{
    struct sw_pickle_value module = {0}, name = {0};
    SW_TRY(pop(m, &name));
    SW_TRY(pop(m, &module));
    if (module.kind != SW_PICKLE_STRING || name.kind != SW_PICKLE_STRING)
        return sw_fail(SW_EMODEL, "names a global by something other than two texts");
    return push(m, sw_torch_global(module.as.string.text, module.as.string.length,
                                   name.as.string.text, name.as.string.length));
}

/* REDUCE and NEWOBJ: callable or class, then a tuple. */
static enum sw_status op_reduce(struct machine *m)
{
    struct sw_pickle_value callable = {0}, arguments = {0}, result = {0};
    SW_TRY(pop(m, &arguments));
    SW_TRY(pop(m, &callable));
    SW_TRY(sw_torch_reduce(m->pickle, &callable, &arguments, &result));
    return push(m, result);
}

static enum sw_status op_new_object_ex(struct machine *m)
{
    struct sw_pickle_value ignored = {0};
    SW_TRY(pop(m, &ignored));
    return op_reduce(m);
}

/* The state of an object (a state dict's _metadata, …) is of no use here. */
static enum sw_status op_build(struct machine *m)
{
    struct sw_pickle_value ignored = {0};
    SW_TRY(pop(m, &ignored));
    return peek(m, &ignored);
}

static enum sw_status op_persistent(struct machine *m)
{
    struct sw_pickle_value id = {0}, result = {0};
    SW_TRY(pop(m, &id));
    SW_TRY(sw_torch_persistent(m->pickle, &id, &result));
    return push(m, result);
}

static enum sw_status put(struct machine *m, uint64_t index)
{
    const struct sw_pickle_value unset = {0};
    struct sw_pickle_value value = {0};
    SW_TRY(peek(m, &value));
    /* Picklers count up, and each entry takes a byte at least: this bounds the memory. */
    if (index > m->at)
        return sw_fail(SW_EMODEL, "remembers a value under number %llu, too early for it",
                       (unsigned long long)index);
    while (m->memo.count <= index)
        SW_TRY(sw_pickle_append(&m->memo, &unset));
    m->memo.items[index] = value;
    return SW_OK;
}

static enum sw_status get(struct machine *m, uint64_t index)
{
    if (index >= m->memo.count || m->memo.items[index].kind == SW_PICKLE_UNSET)
        return sw_fail(SW_EMODEL, "recalls number %llu, which was never remembered",
                       (unsigned long long)index);
    return push(m, m->memo.items[index]);
}

static enum sw_status op_put1(struct machine *m)
{
    uint64_t index = 0;
    SW_TRY(number(m, 1, &index));
    return put(m, index);
}

static enum sw_status op_put4(struct machine *m)
{
    uint64_t index = 0;
    SW_TRY(number(m, 4, &index));
    return put(m, index);
}

static enum sw_status op_memoize(struct machine *m)
{
    return put(m, m->memo.count);
}

static enum sw_status op_get1(struct machine *m)
{
    uint64_t index = 0;
    SW_TRY(number(m, 1, &index));
    return get(m, index);
}

static enum sw_status op_get4(struct machine *m)
{
    uint64_t index = 0;
    SW_TRY(number(m, 4, &index));
    return get(m, index);
}

static enum sw_status (*const operations[256])(struct machine *) = {
    [0x80] = op_proto,         [0x95] = op_frame,     ['.'] = op_stop,
    ['('] = op_mark,           ['0'] = op_pop,        ['1'] = op_pop_mark,
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

static enum sw_status run(struct machine *m)
{
    while (!m->stopped) {
        const uint8_t *opcode = NULL;
        const size_t at = m->at;
        SW_TRY(take(m, 1, &opcode));
        enum sw_status status;
        if (operations[*opcode])
            status = operations[*opcode](m);
        else
            status = sw_fail(SW_EMODEL, "is none that a state dict needs, and no other is run");
        if (status != SW_OK) {
            sw_error_context("the pickle's opcode 0x%02x at byte %zu", *opcode, at);
            return status;
        }
    }
    return SW_OK;
}

enum sw_status sw_pickle_parse(const void *bytes, size_t length, struct sw_pickle *out)
{
    *out = (struct sw_pickle){0};
    struct machine m = {.pickle = out, .bytes = bytes, .length = length};
    const enum sw_status status = run(&m);
    out->used = m.at;
    free(m.stack.items);
    free(m.memo.items);
    free(m.marks);
    return status;
}
