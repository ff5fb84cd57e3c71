/* Owns classes of characters as sequences of bytes of UTF-8. */
#include "grammar/grammar_impl.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>

#define CHAR_MAX_VALUE 0x10ffffu

static int class_order(const void *a, const void *b)
{
    const struct sw_char_range *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

static int class_encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    const int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(first[n] | c);
    return n;
}

/* The alternatives of a class so far: each but the first begins at the b of the split before it,
 * and ends with a jump to the end. */
struct alternatives {
    struct sw_builder *b;
    int split;    /* the newest one's */
    int last_end; /* the newest jump to the end; its a is the one before it */
};

/* One sequence of bytes, each in its range. */
static bool class_emit_sequence(struct alternatives *c, uint32_t low, uint32_t high)
{
    unsigned char from[4], to[4];
    const int n = class_encode(low, from);
    class_encode(high, to);
    const int split = sw_builder_emit(c->b, (struct sw_op){.kind = SW_OP_SPLIT, .b = -1});
    if (split < 0)
        return false;
    c->b->ops[split].a = split + 1;
    if (c->split >= 0)
        c->b->ops[c->split].b = split;
    c->split = split;
    for (int i = 0; i < n; i++) {
        const int at = c->b->n_ops;
        if (sw_builder_emit(c->b, (struct sw_op){SW_OP_BYTES, from[i], to[i], at + 1, 0}) < 0)
            return false;
    }
    const int end = sw_builder_emit(c->b, (struct sw_op){.kind = SW_OP_JUMP, .a = c->last_end});
    c->last_end = end;
    return end >= 0;
}

/* Cuts a range until each byte of its characters has a range of its own. */
static bool class_emit_range(struct alternatives *c, uint32_t low, uint32_t high)
{
    static const uint32_t longest[] = {0x7f, 0x7ff, 0xffff};
    for (int i = 0; i < 3; i++)
        if (low <= longest[i] && longest[i] < high)
            return class_emit_range(c, low, longest[i]) &&
                   class_emit_range(c, longest[i] + 1, high);
    for (int i = 1; i < 4 && high >= 0x80; i++) {
        const uint32_t m = (1u << (6 * i)) - 1;
        if ((low & ~m) == (high & ~m))
            continue;
        if (low & m)
            return class_emit_range(c, low, low | m) && class_emit_range(c, (low | m) + 1, high);
        if ((high & m) != m)
            return class_emit_range(c, low, (high & ~m) - 1) &&
                   class_emit_range(c, high & ~m, high);
    }
    return class_emit_sequence(c, low, high);
}

/* The parts of a range that are characters: no surrogates. */
static bool class_emit_valid(struct alternatives *c, uint32_t low, uint32_t high)
{
    if (low > high)
        return true;
    if (high < 0xd800 || low > 0xdfff)
        return class_emit_range(c, low, high);
    return (low >= 0xd800 || class_emit_range(c, low, 0xd7ff)) &&
           (high <= 0xdfff || class_emit_range(c, 0xe000, high));
}

/* Sorts and joins ranges that touch; returns how many are left. */
static int class_join(struct sw_char_range *ranges, int n)
{
    int out = 0;
    if (n > 1)
        qsort(ranges, (size_t)n, sizeof *ranges, class_order);
    for (int i = 0; i < n; i++) {
        if (out > 0 && ranges[i].low <= ranges[out - 1].high + 1) {
            if (ranges[i].high > ranges[out - 1].high)
                ranges[out - 1].high = ranges[i].high;
        } else {
            ranges[out++] = ranges[i];
        }
    }
    return out;
}

enum sw_status sw_builder_emit_class(struct sw_builder *b, struct sw_char_range *ranges, int n,
                                     bool invert)
{
    struct alternatives c = {.b = b, .split = -1, .last_end = -1};
    bool ok = true;
    uint32_t next = 0;
    n = class_join(ranges, n);
    for (int i = 0; i < n && ok; i++) {
        if (!invert)
            ok = class_emit_valid(&c, ranges[i].low, ranges[i].high);
        else if (ranges[i].low > next)
            ok = class_emit_valid(&c, next, ranges[i].low - 1);
        next = ranges[i].high + 1;
    }
    if (ok && invert)
        ok = class_emit_valid(&c, next, CHAR_MAX_VALUE);
    if (!ok)
        return sw_fail(SW_EINPUT, "the grammar is too large");
    if (c.split < 0)
        return sw_fail(SW_EINPUT, "a class has no characters");
    const int end = b->n_ops;
    b->ops[c.split] = (struct sw_op){.kind = SW_OP_JUMP, .a = c.split + 1};
    for (int at = c.last_end, before; at >= 0; at = before) {
        before = b->ops[at].a;
        b->ops[at].a = end;
    }
    return SW_OK;
}
