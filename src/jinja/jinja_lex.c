/*
 * Owns the cutting of a template into tokens: text, tags and what is inside them, with the white
 * space around tags removed as Jinja does with trim_blocks and lstrip_blocks.
 */
#include "jinja/jinja_lex.h"
#include "base/utf8.h"
#include "jinja/jinja.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 200

struct lexer {
    struct sw_arena *arena;
    const char *text; /* (n), NUL-terminated, newlines are \n */
    size_t n, at;
    int line;
    bool line_starting; /* the last tag took the rest of its line with it */
    struct sw_jinja_token *tokens;
    size_t count, capacity;
    char open[NESTING_MAX]; /* brackets inside a tag that are not closed yet */
    size_t n_open;
};

#define lex_fail(x, ...)                                                                           \
    (sw_fail_at(__FILE__, __LINE__, __VA_ARGS__), sw_error_context("line %d", (x)->line), SW_EMODEL)

static bool is_space_at(const struct lexer *x, size_t at, int *length)
{
    if (at >= x->n)
        return false;
    const uint32_t c = sw_utf8_decode(x->text + at, length);
    return sw_utf8_is_space(c) || (c >= 0x1c && c <= 0x1f);
}

static size_t skip_space(const struct lexer *x, size_t at)
{
    int length;
    while (is_space_at(x, at, &length))
        at += (size_t)length;
    return at;
}

/* The end of text[from..to) without the white space it ends with. */
static size_t trim_end(const struct lexer *x, size_t from, size_t to)
{
    size_t end = from;
    int length;
    for (size_t at = from; at < to; at += (size_t)length)
        if (!is_space_at(x, at, &length))
            end = at + (size_t)length;
    return end;
}

static bool lex_is_at(const struct lexer *x, size_t at, const char *text)
{
    const size_t n = strlen(text);
    return at <= x->n && n <= x->n - at && memcmp(x->text + at, text, n) == 0;
}

/* Goes on at `to`, counting lines. */
static void lex_move_to(struct lexer *x, size_t to)
{
    for (; x->at < to; x->at++)
        x->line += x->text[x->at] == '\n';
}

static enum sw_status lex_add(struct lexer *x, enum sw_jinja_token_kind kind, const char *text,
                              size_t n)
{
    if (x->count == x->capacity) {
        const size_t capacity = x->capacity ? x->capacity * 2 : 256;
        struct sw_jinja_token *tokens = sw_arena_take(x->arena, capacity * sizeof *tokens);
        if (!tokens)
            return sw_fail(SW_ENOMEM, "no memory for a template");
        if (x->count)
            memcpy(tokens, x->tokens, x->count * sizeof *tokens);
        x->tokens = tokens;
        x->capacity = capacity;
    }
    x->tokens[x->count++] =
        (struct sw_jinja_token){.kind = kind, .line = x->line, .text = text, .length = n};
    return SW_OK;
}

/* A copy with a NUL behind it, for names and numbers. */
static char *lex_copy(struct lexer *x, size_t from, size_t to)
{
    char *text = sw_arena_take(x->arena, to - from + 1);
    return text ? memcpy(text, x->text + from, to - from) : NULL;
}

/* "-", "+" or nothing behind the two characters that open a tag. */
static char sign_at(const struct lexer *x, size_t at)
{
    return at < x->n && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : '\0';
}

/* The text before a tag, as much of it as the tag leaves. */
static enum sw_status lex_data(struct lexer *x, size_t tag, char sign, bool is_block)
{
    const size_t from = x->at;
    size_t to = tag;
    if (sign == '-') {
        to = trim_end(x, from, tag);
    } else if (sign != '+' && is_block) {
        size_t line = tag;
        while (line > from && x->text[line - 1] != '\n')
            line--;
        if ((line > from || x->line_starting) && trim_end(x, line, tag) == line)
            to = line;
    }
    if (to > from)
        SW_TRY(lex_add(x, SW_T_DATA, x->text + from, to - from));
    lex_move_to(x, tag);
    return SW_OK;
}

/* Past "%}" and the like at `at`, with what they take along: "-" white space, trimming a newline.
 */
static bool close_tag(const struct lexer *x, size_t at, const char *close, bool trim, size_t *end)
{
    if (lex_is_at(x, at, "-") && lex_is_at(x, at + 1, close))
        *end = skip_space(x, at + 3);
    else if (trim && lex_is_at(x, at, "+") && lex_is_at(x, at + 1, close))
        *end = at + 3;
    else if (lex_is_at(x, at, close))
        *end = at + 2 + (trim && at + 2 < x->n && x->text[at + 2] == '\n');
    else
        return false;
    return true;
}

static void lex_after_tag(struct lexer *x, size_t end)
{
    lex_move_to(x, end);
    x->line_starting = x->text[end - 1] == '\n';
}

static enum sw_status lex_comment(struct lexer *x)
{
    const int line = x->line;
    size_t at = x->at + 2, end;
    at += sign_at(x, at) != '\0';
    while (at < x->n && !close_tag(x, at, "#}", true, &end))
        at++;
    if (at >= x->n) {
        x->line = line;
        return lex_fail(x, "a comment that begins here has no end: expected #}");
    }
    lex_after_tag(x, end);
    return SW_OK;
}

/* {% raw %}, past it: true. */
static bool raw_begins(const struct lexer *x, size_t at, size_t *end)
{
    at += 2;
    at += sign_at(x, at) != '\0';
    at = skip_space(x, at);
    if (!lex_is_at(x, at, "raw"))
        return false;
    at = skip_space(x, at + 3);
    if (lex_is_at(x, at, "-%}"))
        *end = skip_space(x, at + 3);
    else if (lex_is_at(x, at, "%}"))
        *end = at + 2;
    else
        return false;
    return true;
}

static enum sw_status lex_raw(struct lexer *x, size_t begin)
{
    lex_move_to(x, begin);
    x->line_starting = x->text[begin - 1] == '\n';
    for (size_t tag = begin; tag < x->n; tag++) {
        size_t end;
        if (!lex_is_at(x, tag, "{%"))
            continue;
        const char sign = sign_at(x, tag + 2);
        size_t at = skip_space(x, tag + 2 + (sign != '\0'));
        if (!lex_is_at(x, at, "endraw"))
            continue;
        at = skip_space(x, at + 6);
        if (!close_tag(x, at, "%}", true, &end))
            continue;
        SW_TRY(lex_data(x, tag, sign, true));
        lex_after_tag(x, end);
        return SW_OK;
    }
    return lex_fail(x, "a raw block that begins here has no end: expected {%% endraw %%}");
}

static size_t skip_digits(const struct lexer *x, size_t at)
{
    while (at < x->n && ((x->text[at] >= '0' && x->text[at] <= '9') ||
                         (x->text[at] == '_' && x->text[at + 1] >= '0' && x->text[at + 1] <= '9')))
        at++;
    return at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum sw_status lex_number(struct lexer *x)
{
    size_t end = skip_digits(x, x->at);
    bool real = false;
    const bool after_dot = x->at > 0 && x->text[x->at - 1] == '.';
    int base = 10;
    if (x->text[x->at] == '0' && strchr("xXbBoO", x->text[x->at + 1]) && x->text[x->at + 1]) {
        base = x->text[x->at + 1] == 'x' || x->text[x->at + 1] == 'X'   ? 16
               : x->text[x->at + 1] == 'b' || x->text[x->at + 1] == 'B' ? 2
                                                                        : 8;
        end = x->at + 2;
        while (x->text[end] && strchr("0123456789abcdefABCDEF_", x->text[end]))
            end++;
    } else if (!after_dot) {
        if (x->text[end] == '.' && is_digit(x->text[end + 1])) {
            end = skip_digits(x, end + 1);
            real = true;
        }
        const size_t sign = end + (x->text[end] == 'e' || x->text[end] == 'E');
        const size_t exponent = sign + (x->text[sign] == '-' || x->text[sign] == '+');
        if (sign > end && is_digit(x->text[exponent])) {
            end = skip_digits(x, exponent);
            real = true;
        }
    }
    char *text = lex_copy(x, x->at, end), *out = text, *rest;
    if (!text)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    for (const char *c = text; *c; c++)
        if (*c != '_')
            *out++ = *c;
    *out = '\0';
    SW_TRY(lex_add(x, real ? SW_T_FLOAT : SW_T_INTEGER, text, (size_t)(out - text)));
    struct sw_jinja_token *token = &x->tokens[x->count - 1];
    errno = 0;
    if (real)
        token->real = strtod(text, &rest);
    else
        token->integer = strtoll(base == 10 ? text : text + 2, &rest, base);
    if (*rest || (errno && !real))
        return lex_fail(x, "'%.40s' is not a number that fits 64 bits", text);
    x->at = end;
    return SW_OK;
}

/* Reads up to `most` digits of an escape at *at; -1 when there are fewer than `least`. */
static int64_t escape_digits(const struct lexer *x, size_t *at, int base, int least, int most)
{
    int64_t value = 0;
    int n = 0;
    for (; n < most && *at < x->n; n++, (*at)++) {
        const char c = x->text[*at];
        const int digit = is_digit(c)            ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : 99;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    return n < least ? -1 : value;
}

/* Writes what the escape at *at (behind the backslash) stands for; Python's rules. */
static enum sw_status lex_escape(struct lexer *x, size_t *at, char **out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char c = x->text[*at];
    const char *simple = c ? strchr(from, c) : NULL;
    int64_t value;
    if (simple) {
        *(*out)++ = to[simple - from];
        (*at)++;
        return SW_OK;
    }
    if (c == '\n') {
        (*at)++;
        return SW_OK;
    }
    if (c >= '0' && c <= '7') {
        value = escape_digits(x, at, 8, 1, 3);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        const int n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        (*at)++;
        value = escape_digits(x, at, 16, n, n);
    } else if (c == 'N') {
        return lex_fail(x, "\\N{…} is not supported in a string; write the character itself");
    } else { /* not an escape: the backslash stays */
        *(*out)++ = '\\';
        return SW_OK;
    }
    if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return lex_fail(x, "an escape in a string is not a character");
    *out += sw_utf8_encode((uint32_t)value, *out);
    return SW_OK;
}

static enum sw_status lex_string(struct lexer *x)
{
    const char quote = x->text[x->at];
    size_t end = x->at + 1;
    while (end < x->n && x->text[end] != quote)
        end += x->text[end] == '\\' ? 2 : 1;
    if (end >= x->n)
        return lex_fail(x, "a string that begins here has no end: expected %c", quote);
    char *text = sw_arena_take(x->arena, end - x->at + 1), *out = text;
    if (!text)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    size_t at = x->at + 1;
    while (at < end) {
        if (x->text[at] != '\\') {
            *out++ = x->text[at++];
            continue;
        }
        at++;
        SW_TRY(lex_escape(x, &at, &out));
    }
    SW_TRY(lex_add(x, SW_T_STRING, text, (size_t)(out - text)));
    lex_move_to(x, end + 1);
    return SW_OK;
}

static enum sw_status lex_name(struct lexer *x)
{
    size_t end = x->at;
    while (end < x->n) {
        int length;
        if (!sw_utf8_is_word(sw_utf8_decode(x->text + end, &length)))
            break;
        end += (size_t)length;
    }
    if (end == x->at) {
        int length;
        sw_utf8_decode(x->text + end, &length);
        return lex_fail(x, "expected a name, a number, a string or an operator, found '%.*s'",
                        length, x->text + end);
    }
    char *text = lex_copy(x, x->at, end);
    if (!text)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    SW_TRY(lex_add(x, SW_T_NAME, text, end - x->at));
    x->at = end;
    return SW_OK;
}

static enum sw_status lex_bracket(struct lexer *x, char c)
{
    static const char opening[] = "([{", closing[] = ")]}";
    const char *open = strchr(opening, c), *close = strchr(closing, c);
    if (open && x->n_open == NESTING_MAX)
        return lex_fail(x, "brackets nest deeper than %d", NESTING_MAX);
    if (open)
        x->open[x->n_open++] = closing[open - opening];
    if (close && (x->n_open == 0 || x->open[x->n_open - 1] != c))
        return lex_fail(x, "expected '%c', found '%c'", x->n_open ? x->open[x->n_open - 1] : ' ',
                        c);
    if (close)
        x->n_open--;
    return SW_OK;
}

static enum sw_status lex_operator(struct lexer *x, bool *found)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    *found = false;
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!lex_is_at(x, x->at, operators[i]))
            continue;
        *found = true;
        if (operators[i][1] == '\0')
            SW_TRY(lex_bracket(x, operators[i][0]));
        SW_TRY(lex_add(x, SW_T_OPERATOR, operators[i], strlen(operators[i])));
        x->at += strlen(operators[i]);
        return SW_OK;
    }
    return SW_OK;
}

/* What is between {{ and }} or {% and %}. */
static enum sw_status lex_tag(struct lexer *x, bool is_block)
{
    const char *close = is_block ? "%}" : "}}";
    const int line = x->line;
    SW_TRY(lex_add(x, is_block ? SW_T_BLOCK_BEGIN : SW_T_PRINT_BEGIN, close, 2));
    x->at += 2;
    x->at += sign_at(x, x->at) != '\0';
    x->n_open = 0;
    for (;;) {
        size_t end;
        bool found;
        lex_move_to(x, skip_space(x, x->at));
        if (x->n_open == 0 && close_tag(x, x->at, close, is_block, &end)) {
            SW_TRY(lex_add(x, is_block ? SW_T_BLOCK_END : SW_T_PRINT_END, close, 2));
            lex_after_tag(x, end);
            return SW_OK;
        }
        if (x->at >= x->n) {
            x->line = line;
            return lex_fail(x, "a tag that begins here has no end: expected %s", close);
        }
        const char c = x->text[x->at];
        if (is_digit(c)) {
            SW_TRY(lex_number(x));
        } else if (c == '\'' || c == '"') {
            SW_TRY(lex_string(x));
        } else {
            SW_TRY(lex_operator(x, &found));
            if (!found)
                SW_TRY(lex_name(x));
        }
    }
}

static enum sw_status lex_all(struct lexer *x)
{
    while (x->at < x->n) {
        size_t tag = x->at, end;
        while (tag < x->n && !(x->text[tag] == '{' && tag + 1 < x->n && x->text[tag + 1] &&
                               strchr("{%#", x->text[tag + 1])))
            tag++;
        if (tag >= x->n) {
            SW_TRY(lex_add(x, SW_T_DATA, x->text + x->at, x->n - x->at));
            lex_move_to(x, x->n);
            return SW_OK;
        }
        const char type = x->text[tag + 1];
        SW_TRY(lex_data(x, tag, sign_at(x, tag + 2), type != '{'));
        if (type == '#')
            SW_TRY(lex_comment(x));
        else if (type == '%' && raw_begins(x, tag, &end))
            SW_TRY(lex_raw(x, end));
        else
            SW_TRY(lex_tag(x, type == '%'));
    }
    return SW_OK;
}

enum sw_status sw_jinja_lex(struct sw_arena *arena, const char *source, size_t n,
                            struct sw_jinja_token **tokens, size_t *count)
{
    if (n > SW_JINJA_SOURCE_MAX)
        return sw_fail(SW_EMODEL, "a template of %zu bytes; expected at most %u", n,
                       SW_JINJA_SOURCE_MAX);
    if (!sw_utf8_valid(source, n))
        return sw_fail(SW_EMODEL, "a template must be UTF-8 text");
    /* Two NULs behind, so that looking one or two characters ahead is safe. */
    char *text = sw_arena_take(arena, n + 2), *out = text;
    if (!text)
        return sw_fail(SW_ENOMEM, "no memory for a template");
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n')
            continue;
        *out++ = source[i] == '\r' ? '\n' : source[i];
    }
    if (out > text && out[-1] == '\n')
        *--out = '\0';
    struct lexer x = {
        .arena = arena, .text = text, .n = (size_t)(out - text), .line = 1, .line_starting = true};
    SW_TRY(lex_all(&x));
    SW_TRY(lex_add(&x, SW_T_END, "the end of the template", 23));
    *tokens = x.tokens;
    *count = x.count;
    return SW_OK;
}
