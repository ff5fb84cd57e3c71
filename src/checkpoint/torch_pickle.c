/* Owns the pickle stack machine: the bytes it reads, stack, marks and memo. */
#include "checkpoint/torch_pickle.h"

#include "checkpoint/pickle_machine.h"

#include <stdlib.h>

#define SPARE_BYTES ((size_t)1 << 20)

/* ---- bytes and stack ---- */

enum sw_status sw_pickle_take(struct sw_pickle_machine *m, size_t n, const uint8_t **out)
{
    if (n > m->length - m->at) {
        m->pickle->truncated = true;
        return sw_fail(SW_EMODEL, "ends before its STOP, %zu bytes more are needed", n);
    }
    *out = m->bytes + m->at;
    m->at += n;
    return SW_OK;
}

enum sw_status sw_pickle_number(struct sw_pickle_machine *m, size_t n, uint64_t *out)
{
    const uint8_t *p = NULL;
    SW_TRY(sw_pickle_take(m, n, &p));
    *out = 0;
    for (size_t i = n; i-- > 0;)
        *out = *out << 8 | p[i];
    return SW_OK;
}

enum sw_status sw_pickle_push(struct sw_pickle_machine *m, struct sw_pickle_value value)
{
    SW_TRY(sw_pickle_grow(m->pickle, &m->stack.items, &m->stack.capacity, m->stack.count + 1u));
    m->stack.items[m->stack.count++] = value;
    return SW_OK;
}

size_t sw_pickle_available(const struct sw_pickle_machine *m)
{
    return m->stack.count - (m->n_marks ? m->marks[m->n_marks - 1] : 0);
}

enum sw_status sw_pickle_pop(struct sw_pickle_machine *m, struct sw_pickle_value *out)
{
    if (sw_pickle_available(m) == 0)
        return sw_fail(SW_EMODEL, "takes a value from an empty stack");
    *out = m->stack.items[--m->stack.count];
    return SW_OK;
}

enum sw_status sw_pickle_peek(struct sw_pickle_machine *m, struct sw_pickle_value *out)
{
    if (sw_pickle_available(m) == 0)
        return sw_fail(SW_EMODEL, "needs a value on an empty stack");
    *out = m->stack.items[m->stack.count - 1];
    return SW_OK;
}

enum sw_status sw_pickle_pop_mark(struct sw_pickle_machine *m, struct sw_pickle_value **items,
                                  size_t *n)
{
    if (m->n_marks == 0)
        return sw_fail(SW_EMODEL, "needs a mark where there is none");
    *n = sw_pickle_available(m);
    m->stack.count = (uint32_t)m->marks[--m->n_marks];
    *items = m->stack.items ? m->stack.items + m->stack.count : NULL;
    return SW_OK;
}

enum sw_status sw_pickle_mark(struct sw_pickle_machine *m)
{
    if (m->n_marks == m->marks_capacity) {
        const size_t capacity = m->marks_capacity ? 2 * m->marks_capacity : 64;
        SW_TRY(sw_pickle_afford(m->pickle, (capacity - m->marks_capacity) * sizeof *m->marks));
        size_t *marks = realloc(m->marks, capacity * sizeof *marks);
        if (!marks)
            return sw_fail(SW_ENOMEM, "no memory for the marks of a pickle");
        m->marks = marks;
        m->marks_capacity = capacity;
    }
    m->marks[m->n_marks++] = m->stack.count;
    return SW_OK;
}

/* ---- memo ---- */

enum sw_status sw_pickle_remember(struct sw_pickle_machine *m, uint64_t index)
{
    const struct sw_pickle_value unset = {0};
    struct sw_pickle_value value = {0};
    SW_TRY(sw_pickle_peek(m, &value));
    /* Picklers count up, and each entry takes at least a byte: this limits the memory. */
    if (index > m->at)
        return sw_fail(SW_EMODEL, "remembers a value under number %llu, too early for it",
                       (unsigned long long)index);
    SW_TRY(sw_pickle_grow(m->pickle, &m->memo.items, &m->memo.capacity, (size_t)index + 1));
    while (m->memo.count <= index)
        m->memo.items[m->memo.count++] = unset;
    m->memo.items[index] = value;
    return SW_OK;
}

enum sw_status sw_pickle_recall(struct sw_pickle_machine *m, uint64_t index)
{
    if (index >= m->memo.count || m->memo.items[index].kind == SW_PICKLE_UNSET)
        return sw_fail(SW_EMODEL, "recalls number %llu, which was never remembered",
                       (unsigned long long)index);
    return sw_pickle_push(m, m->memo.items[index]);
}

/* ---- the run ---- */

static enum sw_status run_machine(struct sw_pickle_machine *m)
{
    while (!m->stopped) {
        const uint8_t *opcode = NULL;
        const size_t at = m->at;
        SW_TRY(sw_pickle_take(m, 1, &opcode));
        enum sw_status status;
        if (sw_pickle_operations[*opcode])
            status = sw_pickle_operations[*opcode](m);
        else
            status = sw_fail(SW_EMODEL, "is not needed for a state dict, so it is refused");
        if (status != SW_OK) {
            sw_error_context("the pickle's opcode 0x%02x at byte %zu", *opcode, at);
            return status;
        }
    }
    return SW_OK;
}

enum sw_status sw_pickle_parse(const void *bytes, size_t length, struct sw_pickle *out)
{
    if (length > SW_PICKLE_BYTES_MAX)
        length = SW_PICKLE_BYTES_MAX;
    *out = (struct sw_pickle){.most = SW_PICKLE_MEMORY * length + SPARE_BYTES};
    struct sw_pickle_machine m = {.pickle = out, .bytes = bytes, .length = length};
    const enum sw_status status = run_machine(&m);
    out->used = m.at;
    free(m.stack.items);
    free(m.memo.items);
    free(m.marks);
    return status;
}
