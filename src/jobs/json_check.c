/* Owns checking the grammar of JSON. */
#include "jobs/json_check.h"

#include "base/utf8.h"

#include <string.h>

struct cursor {
    const char *at, *end;
    bool python;
};

static char cursor_peek(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
    return c->at < c->end ? *c->at : '\0';
}

static bool cursor_take(struct cursor *c, char expected)
{
    if (c->at == c->end || *c->at != expected)
        return false;
    c->at++;
    return true;
}

static bool check_escape(struct cursor *c)
{
    if (c->at == c->end)
        return false;
    if (*c->at != 'u')
        return memchr("\"\\/bfnrt", *c->at++, 8);
    for (int i = 0; i < 4; i++)
        if (++c->at == c->end || !memchr("0123456789abcdefABCDEF", *c->at, 22))
            return false;
    c->at++;
    return true;
}

static bool check_string(struct cursor *c)
{
    if (!cursor_take(c, '"'))
        return false;
    while (c->at < c->end && (unsigned char)*c->at >= 0x20) {
        const char byte = *c->at++;
        if (byte == '"')
            return true;
        if (byte == '\\' && !check_escape(c))
            return false;
    }
    return false;
}

static bool check_digits(struct cursor *c)
{
    const char *begin = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return c->at > begin;
}

static bool check_word(struct cursor *c, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

static bool check_number(struct cursor *c)
{
    (void)cursor_take(c, '-');
    if (c->python && check_word(c, "Infinity"))
        return true;
    if (!cursor_take(c, '0') && !check_digits(c))
        return false;
    if (cursor_take(c, '.') && !check_digits(c))
        return false;
    if (!cursor_take(c, 'e') && !cursor_take(c, 'E'))
        return true;
    if (!cursor_take(c, '+'))
        (void)cursor_take(c, '-');
    return check_digits(c);
}

/* A string, number, true, false or null. */
static bool check_plain(struct cursor *c, char first)
{
    return first == '"'                        ? check_string(c)
           : first == 't'                      ? check_word(c, "true")
           : first == 'f'                      ? check_word(c, "false")
           : first == 'n'                      ? check_word(c, "null")
           : c->python && check_word(c, "NaN") ? true
                                               : check_number(c);
}

/* In an object a member's name and its colon; in a list nothing. */
static bool check_name(struct cursor *c, char open)
{
    if (open != '{')
        return true;
    (void)cursor_peek(c);
    return check_string(c) && cursor_peek(c) == ':' && cursor_take(c, ':');
}

static bool check_value(struct cursor *c)
{
    char open[SW_JSON_CHECK_DEPTH];
    int depth = 0;
    for (;;) {
        const char first = cursor_peek(c);
        if (first == '{' || first == '[') {
            if (depth == SW_JSON_CHECK_DEPTH)
                return false;
            open[depth++] = first;
            c->at++;
            const char next = cursor_peek(c);
            if (next != (first == '{' ? '}' : ']')) {
                if (!check_name(c, first))
                    return false;
                continue; /* its first value */
            }
        } else if (!check_plain(c, first)) {
            return false;
        }
        while (depth > 0) { /* the lists and objects that end with this value */
            const char next = cursor_peek(c);
            if (next == ',')
                break;
            if (next != (open[depth - 1] == '{' ? '}' : ']'))
                return false;
            c->at++;
            depth--;
        }
        if (depth == 0)
            return true;
        c->at++;
        if (!check_name(c, open[depth - 1]))
            return false;
    }
}

bool sw_json_check(const char *text, size_t n, bool python)
{
    struct cursor c = {text, text + n, python};
    return check_value(&c) && cursor_peek(&c) == '\0' && c.at == c.end && sw_utf8_valid(text, n);
}
