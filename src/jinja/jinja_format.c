/* Owns the two ways of putting values into a text: "{}".format(x) and "%s" % x. */
#include "jinja/jinja_chars.h"
#include "jinja/jinja_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The argument a field names: by number, by name, or the next one. */
static enum sw_status format_field(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   const char *name, size_t n, size_t *next, struct sw_value *out)
{
    char *end;
    const bool digits = n > 0 && n < 8 && strspn(name, "0123456789") >= n;
    const size_t i = digits ? strtoul(name, &end, 10) : *next;
    if (n > 0 && !digits) {
        for (size_t k = 0; k < call->n_named; k++)
            if (call->named[k].key.length == n && memcmp(call->named[k].key.text, name, n) == 0) {
                *out = call->named[k].value;
                return SW_OK;
            }
        return sw_jinja_fail(r, "format: there is no argument for {%.*s}", (int)(n > 40 ? 40 : n),
                             name);
    }
    if (i >= call->n)
        return sw_jinja_fail(r, "format: wants an argument %zu, got %zu arguments", i, call->n);
    *next += n == 0;
    *out = call->args[i];
    return SW_OK;
}

static enum sw_status format_braces(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_strbuf *buf)
{
    const char *at = call->self.text, *end = at + call->self.length;
    size_t next = 0;
    while (at < end) {
        struct sw_value value;
        if (*at != '{' && *at != '}') {
            sw_jinja_put(r, buf, at++, 1);
            continue;
        }
        if (at + 1 < end && at[1] == *at) {
            sw_jinja_put(r, buf, at, 1);
            at += 2;
            continue;
        }
        const char *close = *at == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
        if (!close)
            return sw_jinja_fail(r, "format: a single '%c' in the text", *at);
        const size_t n = (size_t)(close - at - 1);
        if (memchr(at + 1, ':', n) || memchr(at + 1, '!', n) || memchr(at + 1, '.', n) ||
            memchr(at + 1, '[', n))
            return sw_jinja_fail(r, "format: only {}, {0} and {name} are supported, got {%.*s}",
                                 (int)(n > 40 ? 40 : n), at + 1);
        SW_TRY(format_field(r, call, at + 1, n, &next, &value));
        SW_TRY(sw_jinja_charge(r, 1));
        SW_TRY(sw_value_print(r, &value, buf));
        at = close + 1;
    }
    return SW_OK;
}

static enum sw_status format_finish(struct sw_jinja_run *r, enum sw_status status,
                                    struct sw_strbuf *buf, struct sw_value *out)
{
    if (status == SW_OK)
        return sw_jinja_text(r, buf, out);
    sw_strbuf_free(buf);
    return status;
}

enum sw_status sw_text_format(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    return format_finish(r, format_braces(r, call, &buf), &buf, out);
}

/* %[(name)][flags][width][.precision]letter */
struct directive {
    char flags[8], letter;
    int width, precision; /* precision -1: none */
    const char *name;
    size_t name_n;
};

static const char *read_number(const char *at, const char *end, int *out)
{
    for (*out = 0; at < end && *at >= '0' && *at <= '9' && *out < 1000; at++)
        *out = *out * 10 + (*at - '0');
    return at;
}

/* Past the directive behind a '%', or NULL. */
static const char *directive(const char *at, const char *end, struct directive *d)
{
    size_t n = 0;
    *d = (struct directive){.precision = -1};
    if (at < end && *at == '(') {
        const char *close = memchr(at, ')', (size_t)(end - at));
        if (!close)
            return NULL;
        d->name = at + 1;
        d->name_n = (size_t)(close - at - 1);
        at = close + 1;
    }
    while (at < end && *at && strchr("-+ 0#", *at) && n < 5)
        d->flags[n++] = *at++;
    at = read_number(at, end, &d->width);
    if (at < end && *at == '.')
        at = read_number(at + 1, end, &d->precision);
    if (at == end || d->width > 999 || d->precision > 99)
        return NULL;
    d->letter = *at;
    return at + 1;
}

static enum sw_status put_padded(struct sw_jinja_run *r, const struct directive *d,
                                 const struct sw_value *v, struct sw_strbuf *buf)
{
    struct sw_strbuf own = {0};
    struct sw_value text, part;
    size_t n;
    if (d->letter == 's')
        SW_TRY(sw_value_to_text(r, v, &text));
    else
        SW_TRY(format_finish(r, sw_value_repr(r, v, &own), &own, &text));
    const struct sw_value parts[3] = {{0}, sw_value_int(d->precision), {0}};
    if (d->precision >= 0) {
        SW_TRY(sw_jinja_slice(r, &text, parts, &part));
        text = part;
    }
    sw_value_length(&text, &n);
    const bool left = strchr(d->flags, '-') != NULL;
    for (size_t i = n; !left && i < (size_t)d->width; i++)
        sw_jinja_put(r, buf, " ", 1);
    sw_jinja_put(r, buf, text.text, text.length);
    for (size_t i = n; left && i < (size_t)d->width; i++)
        sw_jinja_put(r, buf, " ", 1);
    return SW_OK;
}

static enum sw_status format_number(struct sw_jinja_run *r, const struct directive *d,
                                    const struct sw_value *v, struct sw_strbuf *buf)
{
    char how[40];
    const bool real = strchr("fFeEgG", d->letter) != NULL;
    if (!sw_value_is_number(v))
        return sw_jinja_fail(r, "format: %%%c wants a number, got a %s", d->letter,
                             sw_value_kind_name(v));
    int64_t i;
    if (real) {
        snprintf(how, sizeof how, "%%%s%d.%d%c", d->flags, d->width,
                 d->precision < 0 ? 6 : d->precision, d->letter);
        if (d->width == 0)
            snprintf(how, sizeof how, "%%%s.%d%c", d->flags, d->precision < 0 ? 6 : d->precision,
                     d->letter);
    } else {
        const char letter = strchr("iu", d->letter) ? 'd' : d->letter;
        snprintf(how, sizeof how, d->width ? "%%%s%dll%c" : "%%%s%.0dll%c", d->flags, d->width,
                 letter);
    }
    if (!sw_value_integer(v, &i)) {
        const double x = sw_value_double(v);
        if (!real && !(fabs(x) < 9e18))
            return sw_jinja_fail(r, "format: %%%c of a number beyond 64 bits", d->letter);
        i = real ? 0 : (int64_t)x;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (real)
        sw_strbuf_printf(buf, how, sw_value_double(v));
    else
        sw_strbuf_printf(buf, how, (long long)i);
#pragma GCC diagnostic pop
    return SW_OK;
}

static enum sw_status format_percents(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                      struct sw_strbuf *buf)
{
    const char *at = call->self.text, *end = at + call->self.length;
    size_t next = 0;
    while (at < end) {
        struct directive d;
        struct sw_value value;
        if (*at != '%') {
            sw_jinja_put(r, buf, at++, 1);
            continue;
        }
        at = directive(at + 1, end, &d);
        if (!at || !d.letter || !strchr("sradiufFeEgGxXo%", d.letter))
            return sw_jinja_fail(r, "format: a directive after %% that is not supported");
        if (d.letter == '%') {
            sw_jinja_put(r, buf, "%", 1);
            continue;
        }
        if (!d.name && next >= call->n)
            return sw_jinja_fail(r, "format: wants more than %zu arguments", call->n);
        if (d.name)
            SW_TRY(format_field(r, call, d.name, d.name_n, &next, &value));
        else
            value = call->args[next++];
        SW_TRY(sw_jinja_charge(r, 1 + (size_t)d.width / 16));
        SW_TRY((strchr("sra", d.letter) ? put_padded : format_number)(r, &d, &value, buf));
    }
    if (call->n_named == 0 && next < call->n)
        return sw_jinja_fail(r, "format: %zu arguments for %zu directives", call->n, next);
    return SW_OK;
}

enum sw_status sw_text_percent(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_jinja_call with_text = *call;
    SW_TRY(sw_value_to_text(r, &call->self, &with_text.self));
    return format_finish(r, format_percents(r, &with_text, &buf), &buf, out);
}
