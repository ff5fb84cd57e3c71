/* Owns "pattern": a regular expression as GBNF of a JSON text. */
#include "grammar/json_schema_impl.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define GROUPS_MAX 50

struct pattern {
    const char *at, *end;
    struct sw_strbuf *out;
    int depth;
};

void sw_gbnf_put_char(struct sw_strbuf *out, unsigned char c)
{
    if (c < 0x20 || c == 0x7f)
        sw_strbuf_printf(out, "\\x%02x", c);
    else if (strchr("\"\\[]^-", c))
        sw_strbuf_printf(out, "\\%c", c);
    else
        sw_strbuf_append(out, (const char *)&c, 1);
}

static enum sw_status unsupported(const struct pattern *p, const char *what)
{
    return sw_fail(SW_EINPUT, "\"pattern\": %s is not supported, at \"%.20s\"", what, p->at);
}

/* Inside of a group, so that what repeats it is of all of it: the character as JSON writes it. */
static void pattern_put_literal(struct pattern *p, unsigned char c)
{
    if (c == '"' || c == '\\') {
        sw_strbuf_puts(p->out, "\"\\\\");
        sw_gbnf_put_char(p->out, c);
        sw_strbuf_puts(p->out, "\" ");
    } else {
        sw_strbuf_puts(p->out, "\"");
        sw_gbnf_put_char(p->out, c);
        sw_strbuf_puts(p->out, "\" ");
    }
}

/* What a letter after a backslash stands for, for a class; NULL: no class. */
static const char *pattern_class_of(char c)
{
    return c == 'd' ? "0-9" : c == 'w' ? "A-Za-z0-9_" : c == 's' ? " " : NULL;
}

/* A character after a backslash that stands for itself. */
static bool pattern_is_itself(char c)
{
    return c > ' ' && strchr("\\^$.|?*+()[]{}/-\"'#&~,:;=<>!@%_`", c);
}

static enum sw_status pattern_class(struct pattern *p)
{
    const bool invert = p->at < p->end && *p->at == '^';
    bool quote = false, backslash = false;
    struct sw_strbuf *out = p->out, body = {0};
    p->at += invert;
    for (bool first = true; p->at < p->end && (*p->at != ']' || first); first = false) {
        const unsigned char c = (unsigned char)*p->at;
        if (c == '\\') {
            const char *class = p->end - p->at > 1 ? pattern_class_of(p->at[1]) : NULL;
            if (class)
                sw_strbuf_puts(&body, class);
            else if (p->end - p->at < 2 || !pattern_is_itself(p->at[1]))
                break;
            else if (p->at[1] == '\\' || p->at[1] == '"')
                *(p->at[1] == '"' ? &quote : &backslash) = true;
            else
                sw_gbnf_put_char(&body, (unsigned char)p->at[1]);
            p->at += 2;
            continue;
        }
        if (c < 0x20 || (c == '[' && p->end - p->at > 1 && p->at[1] == ':'))
            break;
        if (c == '"')
            quote = true;
        else if (c == '-' && body.length > 0)
            sw_strbuf_puts(&body, p->end - p->at > 1 && p->at[1] == ']' ? "\\-" : "-");
        else
            sw_gbnf_put_char(&body, c);
        p->at++;
    }
    if (p->at == p->end || *p->at != ']' || body.failed) {
        sw_strbuf_free(&body);
        return unsupported(p, "this class");
    }
    p->at++;
    if (invert) {
        sw_strbuf_printf(out, "[^\"\\\\\\x00-\\x1f\\x7f%s] ", body.text ? body.text : "");
    } else {
        sw_strbuf_puts(out, "(");
        if (body.length > 0)
            sw_strbuf_printf(out, "[%s]%s", body.text, quote || backslash ? " | " : "");
        if (quote)
            sw_strbuf_printf(out, "\"\\\\\\\"\"%s", backslash ? " | " : "");
        if (backslash)
            sw_strbuf_puts(out, "\"\\\\\\\\\"");
        sw_strbuf_puts(out, ") ");
    }
    sw_strbuf_free(&body);
    return SW_OK;
}

static enum sw_status pattern_alternatives(struct pattern *p);

static enum sw_status pattern_group(struct pattern *p)
{
    if (p->end - p->at > 1 && p->at[0] == '?' && p->at[1] == ':')
        p->at += 2;
    else if (p->at < p->end && *p->at == '?')
        return unsupported(p, "this group");
    if (p->depth == GROUPS_MAX)
        return unsupported(p, "nesting so deep");
    p->depth++;
    SW_TRY(pattern_alternatives(p));
    p->depth--;
    if (p->at == p->end || *p->at != ')')
        return unsupported(p, "a group without its end");
    p->at++;
    return SW_OK;
}

static enum sw_status pattern_item(struct pattern *p)
{
    const unsigned char c = (unsigned char)*p->at++;
    if (c == '[')
        return pattern_class(p);
    if (c == '(')
        return pattern_group(p);
    if (c == '.') {
        sw_strbuf_puts(p->out, SW_JSON_PLAIN " ");
        return SW_OK;
    }
    if (c == '\\') {
        const char *class = p->at < p->end ? pattern_class_of(*p->at) : NULL;
        if (class)
            sw_strbuf_printf(p->out, "[%s] ", class);
        else if (p->at < p->end && pattern_is_itself(*p->at))
            pattern_put_literal(p, (unsigned char)*p->at);
        else
            return unsupported(p, "this letter after a backslash");
        p->at++;
        return SW_OK;
    }
    if (c < 0x20 || strchr("*+?{}^$", c)) {
        p->at--;
        return unsupported(p, "this");
    }
    if (c < 0x80) {
        pattern_put_literal(p, c);
        return SW_OK;
    }
    sw_strbuf_puts(p->out, "\"");
    sw_strbuf_append(p->out, (const char *)&c, 1);
    for (; p->at < p->end && ((unsigned char)*p->at & 0xc0) == 0x80; p->at++)
        sw_strbuf_append(p->out, p->at, 1);
    sw_strbuf_puts(p->out, "\" ");
    return SW_OK;
}

/* Whether there was any. */
static bool pattern_skip_digits(struct pattern *p)
{
    const char *const from = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > from;
}

/* The sign that repeats an item is the same in GBNF. */
static enum sw_status pattern_times(struct pattern *p)
{
    const char *from = p->at;
    if (p->at == p->end)
        return SW_OK;
    if (strchr("*+?", *p->at)) {
        p->at++;
    } else if (*p->at == '{') {
        p->at++;
        const bool has_least = pattern_skip_digits(p);
        if (p->at < p->end && *p->at == ',') {
            p->at++;
            pattern_skip_digits(p);
        }
        if (!has_least || p->at == p->end || *p->at++ != '}')
            return unsupported(p, "this repetition");
    }
    if (p->out->length > 0 && p->out->text[p->out->length - 1] == ' ' && p->at > from)
        p->out->length--;
    sw_strbuf_append(p->out, from, (size_t)(p->at - from));
    sw_strbuf_puts(p->out, " ");
    return p->at > from && p->at < p->end && strchr("*+?{", *p->at)
               ? unsupported(p, "a repetition of a repetition")
               : SW_OK;
}

static enum sw_status pattern_alternatives(struct pattern *p)
{
    sw_strbuf_puts(p->out, "(");
    while (p->at < p->end && *p->at != ')') {
        if (*p->at == '$' && p->depth == 0 && p->end - p->at == 1)
            break;
        if (*p->at == '|') {
            sw_strbuf_puts(p->out, "| ");
            p->at++;
            continue;
        }
        SW_TRY(pattern_item(p));
        SW_TRY(pattern_times(p));
    }
    sw_strbuf_puts(p->out, ") ");
    return SW_OK;
}

/* Whether | is outside of all groups, where ^ and $ belong to one side only. */
static bool pattern_is_split(const char *pattern, size_t n)
{
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (pattern[i] == '\\')
            i++;
        else if (pattern[i] == '(')
            depth++;
        else if (pattern[i] == ')')
            depth--;
        else if (pattern[i] == '|' && depth == 0)
            return true;
    }
    return false;
}

enum sw_status sw_json_pattern(const char *pattern, size_t n, struct sw_strbuf *out)
{
    struct pattern p = {.at = pattern, .end = pattern + n, .out = out};
    const bool begins = n > 0 && pattern[0] == '^';
    if (strlen(pattern) != n)
        return unsupported(&p, "a NUL");
    if ((begins || (n > 0 && pattern[n - 1] == '$')) && pattern_is_split(pattern, n))
        return unsupported(&p, "| beside ^ or $ without parentheses");
    if (!begins)
        sw_strbuf_puts(out, SW_JSON_CHAR "* ");
    p.at += begins;
    SW_TRY(pattern_alternatives(&p));
    if (p.at < p.end && *p.at == ')')
        return unsupported(&p, "a ) without its (");
    if (p.at == p.end)
        sw_strbuf_puts(out, SW_JSON_CHAR "* ");
    return SW_OK;
}
