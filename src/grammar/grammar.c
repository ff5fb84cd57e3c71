/* Owns the text of grammars: GBNF to ops. */
#include "grammar/grammar.h"

#include "grammar/grammar_impl.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the text is read. */
struct reader {
    const char *begin, *at, *end;
    int line, depth;
    struct sw_builder *b;
};

/* Fails with the place in the text; columns count from 1, in characters. */
static enum sw_status __attribute__((format(printf, 2, 3)))
fault(const struct reader *r, const char *format, ...)
{
    char words[256];
    int column = 1;
    for (const char *c = r->at; c > r->begin && c[-1] != '\n'; c--)
        column += ((unsigned char)c[-1] & 0xc0) != 0x80;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return sw_fail(SW_EINPUT, "line %d, column %d: %s", r->line, column, words);
}

int sw_builder_emit(struct sw_builder *b, struct sw_op op)
{
    if (b->n_ops == SW_GRAMMAR_OPS_MAX)
        return -1;
    if (b->n_ops == b->capacity) {
        const int capacity = b->capacity ? 2 * b->capacity : 256;
        struct sw_op *grown = realloc(b->ops, (size_t)capacity * sizeof *grown);
        if (!grown)
            return -1;
        b->ops = grown;
        b->capacity = capacity;
    }
    b->ops[b->n_ops] = op;
    return b->n_ops++;
}

static enum sw_status emit(struct reader *r, struct sw_op op, int *at)
{
    const int index = sw_builder_emit(r->b, op);
    if (at)
        *at = index;
    return index >= 0 ? SW_OK : fault(r, "the grammar is too large");
}

/* An op that goes on with the next one until it becomes something else. */
static enum sw_status emit_space(struct reader *r, int *at)
{
    return emit(r, (struct sw_op){.kind = SW_OP_JUMP, .a = r->b->n_ops + 1}, at);
}

static enum sw_status wrong(const struct reader *r, const char *expected)
{
    if (r->at == r->end)
        return fault(r, "expected %s, found the end", expected);
    const unsigned char c = (unsigned char)*r->at;
    if (c == '\n')
        return fault(r, "expected %s, found the end of the line", expected);
    return c >= 0x20 && c < 0x7f ? fault(r, "expected %s, found '%c'", expected, c)
                                 : fault(r, "expected %s, found byte 0x%02x", expected, c);
}

static bool is_next(const struct reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static bool take(struct reader *r, char c)
{
    if (!is_next(r, c))
        return false;
    r->at++;
    return true;
}

/* Passes spaces and comments; `lines`: line ends, too. */
static void pass_space(struct reader *r, bool lines)
{
    for (; r->at < r->end; r->at++) {
        if (*r->at == '#')
            while (r->at < r->end && *r->at != '\n')
                r->at++;
        if (r->at == r->end || (*r->at == '\n' && !lines) || !strchr(" \t\r\n", *r->at) ||
            *r->at == '\0')
            return;
        r->line += *r->at == '\n';
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* The rule of the name at the text; a new one if there is none of it yet. */
static enum sw_status read_name(struct reader *r, int *rule)
{
    const char *name = r->at;
    struct sw_builder *b = r->b;
    while (r->at < r->end && is_name(*r->at))
        r->at++;
    const size_t n = (size_t)(r->at - name);
    if (n == 0)
        return wrong(r, "a name");
    for (*rule = 0; *rule < b->n_rules; ++*rule)
        if (b->rules[*rule].n == n && memcmp(b->rules[*rule].name, name, n) == 0)
            return SW_OK;
    if (b->n_rules == SW_GRAMMAR_RULES_MAX)
        return fault(r, "more than %d rules", SW_GRAMMAR_RULES_MAX);
    b->rules[b->n_rules++] = (struct sw_rule){name, n, r->line, -1};
    return SW_OK;
}

static enum sw_status read_hex(struct reader *r, int digits, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        static const char hex[] = "0123456789abcdefABCDEF";
        const char *hit = r->at < r->end && *r->at ? strchr(hex, *r->at) : NULL;
        if (!hit)
            return wrong(r, "a hexadecimal digit");
        const int value = (int)(hit - hex);
        *out = *out << 4 | (uint32_t)(value < 16 ? value : value - 6);
        r->at++;
    }
    return SW_OK;
}

/* A character of UTF-8, as it stands. */
static enum sw_status read_utf8(struct reader *r, uint32_t *out)
{
    const unsigned char *s = (const unsigned char *)r->at;
    const int n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (r->end - r->at < n || (n > 1 && s[0] < 0xc2) || s[0] > 0xf4)
        return wrong(r, "UTF-8");
    *out = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return wrong(r, "UTF-8");
        *out = *out << 6 | (s[i] & 0x3f);
    }
    r->at += n;
    return SW_OK;
}

/* A character of a text or class, which may be written with a backslash. */
static enum sw_status read_char(struct reader *r, uint32_t *out)
{
    static const struct {
        char name;
        int digits;
        uint32_t value;
    } escapes[] = {{'n', 0, '\n'}, {'r', 0, '\r'}, {'t', 0, '\t'}, {'\\', 0, '\\'},
                   {'"', 0, '"'},  {'[', 0, '['},  {']', 0, ']'},  {'-', 0, '-'},
                   {'^', 0, '^'},  {'x', 2, 0},    {'u', 4, 0},    {'U', 8, 0}};
    if (r->at == r->end || *r->at == '\n')
        return wrong(r, "a character");
    if (!take(r, '\\')) {
        SW_TRY(read_utf8(r, out));
    } else {
        size_t i = 0;
        while (i < sizeof escapes / sizeof escapes[0] && !is_next(r, escapes[i].name))
            i++;
        if (i == sizeof escapes / sizeof escapes[0])
            return wrong(r, "n, r, t, \\, \", [, ], -, ^, x, u or U after a backslash");
        r->at++;
        *out = escapes[i].value;
        if (escapes[i].digits)
            SW_TRY(read_hex(r, escapes[i].digits, out));
    }
    if (*out > 0x10ffff || (*out >= 0xd800 && *out <= 0xdfff))
        return fault(r, "U+%04X is not a character", *out);
    return SW_OK;
}

static enum sw_status read_text(struct reader *r)
{
    while (!take(r, '"')) {
        struct sw_char_range one;
        SW_TRY(read_char(r, &one.low));
        one.high = one.low;
        SW_TRY(sw_builder_emit_class(r->b, &one, 1, false));
    }
    return SW_OK;
}

static enum sw_status read_class(struct reader *r)
{
    struct sw_char_range ranges[SW_CLASS_RANGES_MAX];
    int n = 0;
    const bool invert = take(r, '^');
    while (!take(r, ']')) {
        if (n == SW_CLASS_RANGES_MAX)
            return fault(r, "more than %d characters in a class", SW_CLASS_RANGES_MAX);
        struct sw_char_range *range = &ranges[n++];
        SW_TRY(read_char(r, &range->low));
        range->high = range->low;
        if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
            r->at++;
            SW_TRY(read_char(r, &range->high));
        }
        if (range->high < range->low)
            return fault(r, "a range of characters ends before it begins");
    }
    return sw_builder_emit_class(r->b, ranges, n, invert);
}

static enum sw_status read_alternatives(struct reader *r);

/* A text, class, name or group. */
static enum sw_status read_item(struct reader *r)
{
    if (take(r, '"'))
        return read_text(r);
    if (take(r, '['))
        return read_class(r);
    if (take(r, '.'))
        return sw_builder_emit_class(r->b, NULL, 0, true);
    if (!take(r, '(')) {
        int rule;
        SW_TRY(read_name(r, &rule));
        return emit(r, (struct sw_op){.kind = SW_OP_CALL, .a = rule}, NULL);
    }
    if (r->depth == SW_GRAMMAR_GROUPS_MAX)
        return fault(r, "groups deeper than %d", SW_GRAMMAR_GROUPS_MAX);
    r->depth++;
    SW_TRY(read_alternatives(r));
    r->depth--;
    return take(r, ')') ? SW_OK : wrong(r, "')'");
}

static enum sw_status read_count(struct reader *r, int *out)
{
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return wrong(r, "a number");
    for (*out = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        *out = 10 * *out + (*r->at - '0');
        if (*out > SW_GRAMMAR_REPEAT_MAX)
            return fault(r, "repeated more than %d times", SW_GRAMMAR_REPEAT_MAX);
    }
    return SW_OK;
}

/* Reads how often an item comes: least, and most, of which -1 is any number. */
static enum sw_status read_times(struct reader *r, int *least, int *most)
{
    static const struct {
        char sign;
        int least, most;
    } signs[] = {{'*', 0, -1}, {'+', 1, -1}, {'?', 0, 1}};
    *least = *most = 1;
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (take(r, signs[i].sign)) {
            *least = signs[i].least;
            *most = signs[i].most;
            return SW_OK;
        }
    if (!take(r, '{'))
        return SW_OK;
    pass_space(r, r->depth > 0);
    SW_TRY(read_count(r, least));
    *most = *least;
    pass_space(r, r->depth > 0);
    if (take(r, ',')) {
        *most = -1;
        pass_space(r, r->depth > 0);
        if (!is_next(r, '}'))
            SW_TRY(read_count(r, most));
        pass_space(r, r->depth > 0);
    }
    if (!take(r, '}'))
        return wrong(r, "'}'");
    if (*most >= 0 && *most < *least)
        return fault(r, "{%d,%d}: the least is above the most", *least, *most);
    return SW_OK;
}

/* Appends a copy of the ops [from, end), which refer to others by steps. */
static enum sw_status copy_ops(struct reader *r, int from, int end)
{
    const int by = r->b->n_ops - from;
    for (int i = from; i < end; i++) {
        struct sw_op op = r->b->ops[i];
        if (op.kind != SW_OP_CALL && op.kind != SW_OP_RETURN)
            op.a += by;
        if (op.kind == SW_OP_SPLIT)
            op.b += by;
        SW_TRY(emit(r, op, NULL));
    }
    return SW_OK;
}

/* The item's ops are [space + 1, now); the op at `space` is free. */
static enum sw_status repeat(struct reader *r, int space, int least, int most)
{
    struct sw_builder *b = r->b;
    const int from = space + 1, end = b->n_ops;
    int last = from, skips = -1; /* the newest copy; splits that lead to the end, linked by b */
    if (most == 0) {
        b->ops[space].a = end;
        return SW_OK;
    }
    if (least == 0) {
        b->ops[space] = (struct sw_op){.kind = SW_OP_SPLIT, .a = from, .b = skips};
        skips = space;
    }
    for (int i = 1; i < (most < 0 ? least : most); i++) {
        if (i >= least) {
            const int split = b->n_ops;
            SW_TRY(emit(r, (struct sw_op){.kind = SW_OP_SPLIT, .a = split + 1, .b = skips}, NULL));
            skips = split;
        }
        last = b->n_ops;
        SW_TRY(copy_ops(r, from, end));
    }
    if (most < 0) {
        const int split = b->n_ops;
        SW_TRY(emit(r, (struct sw_op){.kind = SW_OP_SPLIT, .a = last, .b = split + 1}, NULL));
    }
    for (int at = skips, before; at >= 0; at = before) {
        before = b->ops[at].b;
        b->ops[at].b = b->n_ops;
    }
    return SW_OK;
}

static bool is_item(const struct reader *r)
{
    return r->at < r->end && (is_name(*r->at) || strchr("\"[.(", *r->at)) && *r->at != '\0';
}

static enum sw_status read_sequence(struct reader *r)
{
    pass_space(r, r->depth > 0);
    while (is_item(r)) {
        int space, least, most;
        SW_TRY(emit_space(r, &space));
        SW_TRY(read_item(r));
        pass_space(r, r->depth > 0);
        SW_TRY(read_times(r, &least, &most));
        SW_TRY(repeat(r, space, least, most));
        pass_space(r, r->depth > 0);
    }
    return SW_OK;
}

/* Each alternative begins with a split, the last with none, and ends with a jump to the end. */
static enum sw_status read_alternatives(struct reader *r)
{
    int space, ends = -1; /* jumps to the end, linked by a */
    SW_TRY(emit_space(r, &space));
    pass_space(r, true);
    SW_TRY(read_sequence(r));
    while (take(r, '|')) {
        SW_TRY(emit(r, (struct sw_op){.kind = SW_OP_JUMP, .a = ends}, &ends));
        r->b->ops[space] = (struct sw_op){.kind = SW_OP_SPLIT, .a = space + 1, .b = r->b->n_ops};
        SW_TRY(emit_space(r, &space));
        pass_space(r, true);
        SW_TRY(read_sequence(r));
    }
    for (int at = ends, before; at >= 0; at = before) {
        before = r->b->ops[at].a;
        r->b->ops[at].a = r->b->n_ops;
    }
    return SW_OK;
}

static enum sw_status read_rule(struct reader *r)
{
    int rule;
    SW_TRY(read_name(r, &rule));
    pass_space(r, false);
    if (r->end - r->at < 3 || memcmp(r->at, "::=", 3) != 0)
        return wrong(r, "::=");
    r->at += 3;
    struct sw_rule *defined = &r->b->rules[rule];
    if (defined->entry >= 0)
        return fault(r, "a second rule \"%.*s\"", (int)(defined->n < 60 ? defined->n : 60),
                     defined->name);
    defined->entry = r->b->n_ops;
    SW_TRY(read_alternatives(r));
    SW_TRY(emit(r, (struct sw_op){.kind = SW_OP_RETURN}, NULL));
    if (r->at < r->end && *r->at != '\n')
        return wrong(r, "the end of the rule");
    return SW_OK;
}

static enum sw_status read_grammar(struct reader *r, int *root)
{
    for (pass_space(r, true); r->at < r->end; pass_space(r, true))
        SW_TRY(read_rule(r));
    for (*root = 0; *root < r->b->n_rules; ++*root)
        if (r->b->rules[*root].n == 4 && memcmp(r->b->rules[*root].name, "root", 4) == 0)
            return sw_builder_finish(r->b);
    return sw_fail(SW_EINPUT, "there is no rule \"root\"");
}

enum sw_status sw_grammar_parse(const char *text, size_t n, struct sw_grammar **out)
{
    struct sw_builder *b = calloc(1, sizeof *b);
    struct sw_grammar *g = calloc(1, sizeof *g);
    int root = 0;
    *out = NULL;
    enum sw_status status = SW_OK;
    if (!b || !g)
        status = sw_fail(SW_ENOMEM, "no memory for a grammar");
    else if (n > SW_GRAMMAR_TEXT_MAX)
        status = sw_fail(SW_EINPUT, "%zu bytes; a grammar may have %u", n, SW_GRAMMAR_TEXT_MAX);
    if (status == SW_OK) {
        struct reader r = {.begin = text, .at = text, .end = text + n, .line = 1, .b = b};
        status = read_grammar(&r, &root);
    }
    if (status == SW_OK) {
        g->ops = b->ops;
        g->n_ops = b->n_ops;
        g->start = b->rules[root].entry;
        while (g->ops[g->start].kind == SW_OP_JUMP)
            g->start = g->ops[g->start].a;
        b->ops = NULL;
        *out = g;
        g = NULL;
    }
    if (b)
        free(b->ops);
    free(b);
    free(g);
    return status;
}

void sw_grammar_free(struct sw_grammar *g)
{
    if (!g)
        return;
    free(g->ops);
    free(g);
}
