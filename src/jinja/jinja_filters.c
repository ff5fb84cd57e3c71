/* Owns the filters of texts and of single values. Those of lists are in jinja_lists.c. */
#include "base/utf8.h"
#include "jinja/jinja_chars.h"
#include "jinja/jinja_run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum sw_status filter_text(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    return sw_value_to_text(r, &call->self, out);
}

/* Capitals after white space and opening brackets. */
static enum sw_status filter_title(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_value self;
    bool first = true;
    int length;
    SW_TRY(filter_text(r, call, &self));
    SW_TRY(sw_jinja_charge(r, self.length / 8));
    for (size_t at = 0; at < self.length; at += (size_t)length) {
        const uint32_t c = sw_utf8_decode(self.text + at, &length);
        sw_char_put(first ? SW_CASE_UPPER : SW_CASE_LOWER, c, &buf);
        first = sw_char_is_space(c) || (c < 0x80 && c && strchr("-({[<", (int)c));
    }
    return sw_jinja_text(r, &buf, out);
}

static enum sw_status read_indentation(struct sw_jinja_run *r, const struct sw_value *width,
                                       struct sw_value *out)
{
    int64_t n = 4;
    const struct sw_value space = sw_value_text(" ", 1);
    *out = *width;
    if (width->kind == SW_V_STRING)
        return SW_OK;
    SW_TRY(sw_jinja_want_integer(r, width, "indent(width)", &n));
    const struct sw_value times = sw_value_int(n);
    return sw_jinja_binary(r, '*', &space, &times, out);
}

/* width first blank */
static enum sw_status filter_indent(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    static const struct sw_value newline = {.kind = SW_V_STRING, .text = "\n", .length = 1};
    struct sw_strbuf buf = {0};
    struct sw_value space, self, lines;
    const struct sw_value no = sw_value_bool(false);
    SW_TRY(sw_jinja_want_text(r, &call->self, "indent"));
    SW_TRY(read_indentation(r, &call->args[0], &space));
    SW_TRY(sw_jinja_binary(r, '+', &call->self, &newline, &self));
    const struct sw_jinja_call split = {.self = self, .args = &no, .n = 1};
    SW_TRY(sw_text_splitlines(r, &split, &lines));
    for (size_t i = 0; i < lines.list->count && !buf.failed; i++) {
        const struct sw_value *line = &lines.list->items[i];
        const bool wanted =
            i == 0 ? sw_value_true(&call->args[1]) : line->length || sw_value_true(&call->args[2]);
        sw_jinja_put(r, &buf, "\n", i > 0);
        sw_jinja_put(r, &buf, space.text, wanted ? space.length : 0);
        sw_jinja_put(r, &buf, line->text, line->length);
    }
    return sw_jinja_text(r, &buf, out);
}

/* s[from:to] */
static enum sw_status text_part(struct sw_jinja_run *r, const struct sw_value *s, int64_t from,
                                int64_t to, struct sw_value *out)
{
    const struct sw_value bounds[3] = {sw_value_int(from), sw_value_int(to), {0}};
    return sw_jinja_slice(r, s, bounds, out);
}

/* length killwords end leeway */
static enum sw_status filter_truncate(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                      struct sw_value *out)
{
    int64_t most = 255, leeway = 5;
    struct sw_value end = sw_value_text("...", 3), kept;
    size_t n, end_n;
    SW_TRY(sw_jinja_want_text(r, &call->self, "truncate"));
    SW_TRY(sw_jinja_want_integer(r, &call->args[0], "truncate(length)", &most));
    if (call->args[2].kind != SW_V_ABSENT)
        end = call->args[2];
    SW_TRY(sw_jinja_want_text(r, &end, "truncate(end)"));
    if (call->args[3].kind != SW_V_NONE)
        SW_TRY(sw_jinja_want_integer(r, &call->args[3], "truncate(leeway)", &leeway));
    sw_value_length(&call->self, &n);
    sw_value_length(&end, &end_n);
    if (most < (int64_t)end_n || leeway < 0 || most > INT32_MAX || leeway > INT32_MAX)
        return sw_jinja_fail(r, "truncate: a length of %lld is too small", (long long)most);
    if ((int64_t)n <= most + leeway) {
        *out = call->self;
        return SW_OK;
    }
    SW_TRY(text_part(r, &call->self, 0, most - (int64_t)end_n, &kept));
    if (!sw_value_true(&call->args[1])) {
        size_t space = kept.length;
        while (space > 0 && kept.text[space - 1] != ' ')
            space--;
        kept.length = space > 0 ? space - 1 : kept.length;
    }
    return sw_jinja_binary(r, '+', &kept, &end, out);
}

static enum sw_status filter_wordcount(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                       struct sw_value *out)
{
    struct sw_value self;
    bool inside = false;
    int64_t n = 0;
    int length;
    SW_TRY(filter_text(r, call, &self));
    for (size_t at = 0; at < self.length; at += (size_t)length) {
        const bool word = sw_utf8_is_word(sw_utf8_decode(self.text + at, &length));
        n += word && !inside;
        inside = word;
    }
    *out = sw_value_int(n);
    return SW_OK;
}

enum sw_status sw_jinja_escape(struct sw_jinja_run *r, const struct sw_value *v,
                               struct sw_value *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    struct sw_strbuf buf = {0};
    struct sw_value self;
    SW_TRY(sw_value_to_text(r, v, &self));
    if (self.safe) {
        *out = self;
        return SW_OK;
    }
    for (size_t i = 0; i < self.length; i++) {
        const char *special = self.text[i] ? strchr(from, self.text[i]) : NULL;
        if (special)
            sw_jinja_put(r, &buf, to[special - from], strlen(to[special - from]));
        else
            sw_jinja_put(r, &buf, self.text + i, 1);
    }
    SW_TRY(sw_jinja_text(r, &buf, out));
    out->safe = true;
    return SW_OK;
}

static enum sw_status filter_escape(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    return sw_jinja_escape(r, &call->self, out);
}

static enum sw_status filter_forceescape(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                         struct sw_value *out)
{
    struct sw_value self;
    SW_TRY(filter_text(r, call, &self));
    self.safe = false;
    return sw_jinja_escape(r, &self, out);
}

static enum sw_status filter_safe(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    SW_TRY(filter_text(r, call, out));
    out->safe = true;
    return SW_OK;
}

static enum sw_status filter_urlencode(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                       struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_value self;
    SW_TRY(filter_text(r, call, &self));
    for (size_t i = 0; i < self.length; i++) {
        const unsigned char c = (unsigned char)self.text[i];
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            (c && strchr("_.-~/", c)))
            sw_jinja_put(r, &buf, self.text + i, 1);
        else
            sw_strbuf_printf(&buf, "%%%02X", c);
    }
    return sw_jinja_text(r, &buf, out);
}

/* default_value boolean */
static enum sw_status filter_default(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     struct sw_value *out)
{
    (void)r;
    const bool missing = call->self.kind == SW_V_UNDEFINED ||
                         (sw_value_true(&call->args[1]) && !sw_value_true(&call->self));
    *out = missing ? call->args[0] : call->self;
    if (out->kind == SW_V_ABSENT)
        *out = sw_value_text("", 0);
    return SW_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What of a text Python reads as a number: without spaces around it, without underscores, ending in
 * a zero. False when that is nothing, holds a zero, or takes `room` bytes or more. */
static bool number_text(const struct sw_value *v, size_t room, char *digits)
{
    size_t n = 0;
    const char *at = v->text, *stop = at + v->length;
    while (at < stop && is_space(*at))
        at++;
    while (at < stop && is_space(stop[-1]))
        stop--;
    for (; at < stop && n < room - 1; at++)
        if (*at != '_')
            digits[n++] = *at;
    digits[n] = '\0';
    return n > 0 && at == stop && strlen(digits) == n;
}

/* Python's float(text); false when it is not one. */
static bool read_real(const struct sw_value *v, double *out)
{
    char digits[400], *end;
    if (!number_text(v, sizeof digits, digits) || strpbrk(digits, "xXpP("))
        return false;
    *out = strtod(digits, &end);
    return end != digits && *end == '\0';
}

/* Python's int(text, base). */
static bool read_integer(const struct sw_value *v, int base, int64_t *out)
{
    char digits[80], *end;
    if (!number_text(v, sizeof digits, digits))
        return false;
    char *prefix = digits + strspn(digits, "+-");
    const char marker = base == 2 ? 'b' : base == 8 ? 'o' : '\0';
    if (marker && prefix[0] == '0' && (prefix[1] | 32) == marker)
        memmove(prefix, prefix + 2, strlen(prefix + 2) + 1);
    if (prefix > digits + 1 || is_space(*prefix))
        return false;
    errno = 0;
    *out = strtoll(digits, &end, base);
    return *end == '\0' && end != digits && errno == 0;
}

/* default base */
static enum sw_status filter_int(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    int64_t i, base = 10;
    double d;
    const struct sw_value *self = &call->self;
    SW_TRY(sw_jinja_want_integer(r, &call->args[1], "int(base)", &base));
    *out = call->args[0].kind == SW_V_ABSENT ? sw_value_int(0) : call->args[0];
    if (base < 2 || base > 36)
        return sw_jinja_fail(r, "int(base) wants 2 to 36, got %lld", (long long)base);
    SW_TRY(self->kind == SW_V_UNDEFINED ? sw_jinja_defined(r, self) : SW_OK);
    if (sw_value_integer(self, &i) ||
        (self->kind == SW_V_STRING && read_integer(self, (int)base, &i))) {
        *out = sw_value_int(i);
        return SW_OK;
    }
    if (self->kind == SW_V_FLOAT)
        d = self->real;
    else if (self->kind != SW_V_STRING || !read_real(self, &d))
        return SW_OK;
    if (fabs(d) < 9.2e18)
        *out = sw_value_int((int64_t)d);
    else if (isfinite(d))
        return sw_jinja_fail(r, "int: %g goes beyond 64 bits", d);
    return SW_OK;
}

static enum sw_status filter_float(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    double d = sw_value_double(&call->self);
    SW_TRY(sw_jinja_defined(r, &call->self));
    *out = call->args[0].kind == SW_V_ABSENT ? sw_value_real(0) : call->args[0];
    if (sw_value_is_number(&call->self) ||
        (call->self.kind == SW_V_STRING && read_real(&call->self, &d)))
        *out = sw_value_real(d);
    return SW_OK;
}

static enum sw_status filter_abs(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    int64_t i;
    if (call->self.kind == SW_V_FLOAT) {
        *out = sw_value_real(fabs(call->self.real));
        return SW_OK;
    }
    SW_TRY(sw_jinja_want_integer(r, &call->self, "abs", &i));
    return sw_jinja_unary(r, i < 0 ? '-' : '+', &call->self, out);
}

/* Half to even, decided on the exact decimal value as Python does. */
static double round_half_even(double x, int digits)
{
    char number[400];
    if (digits < 0)
        return nearbyint(x / pow(10, -digits)) * pow(10, -digits);
    snprintf(number, sizeof number, "%.*f", digits, x);
    return strtod(number, NULL);
}

/* precision method */
static enum sw_status filter_round(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    int64_t digits = 0;
    const struct sw_value *method = &call->args[1];
    SW_TRY(sw_jinja_want_integer(r, &call->args[0], "round(precision)", &digits));
    SW_TRY(sw_jinja_defined(r, &call->self));
    if (!sw_value_is_number(&call->self))
        return sw_jinja_fail(r, "round wants a number, got a %s", sw_value_kind_name(&call->self));
    if (digits < -20 || digits > 40)
        return sw_jinja_fail(r, "round(precision) wants -20 to 40, got %lld", (long long)digits);
    const double x = sw_value_double(&call->self), scale = pow(10, (double)digits);
    if (method->kind == SW_V_ABSENT || sw_value_is_text(method, "common")) {
        if (call->self.kind != SW_V_FLOAT && digits >= 0)
            return sw_jinja_unary(r, '+', &call->self, out); /* an integer stays one */
        *out = sw_value_real(isfinite(x) ? round_half_even(x, (int)digits) : x);
        if (call->self.kind != SW_V_FLOAT && fabs(out->real) < 9e18)
            *out = sw_value_int((int64_t)out->real);
    } else if (sw_value_is_text(method, "ceil") || sw_value_is_text(method, "floor")) {
        *out = sw_value_real((method->text[0] == 'c' ? ceil : floor)(x * scale) / scale);
    } else {
        return sw_jinja_fail(r, "round(method) wants common, ceil or floor");
    }
    return SW_OK;
}

/* What a.name finds without looking among a dict's keys. */
static enum sw_status filter_attr(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    SW_TRY(sw_jinja_want_text(r, &call->args[0], "attr"));
    SW_TRY(sw_jinja_attribute(r, &call->self, &call->args[0], out));
    if (call->self.kind == SW_V_DICT && out->kind != SW_V_METHOD)
        *out = sw_value_undefined(call->args[0].text, call->args[0].length);
    return SW_OK;
}

const struct sw_builtin sw_jinja_text_filters[] = {
    {"trim", "chars", 0, sw_text_strip},
    {"upper", "", 0, sw_text_upper},
    {"lower", "", 0, sw_text_lower},
    {"capitalize", "", 0, sw_text_capitalize},
    {"title", "", 0, filter_title},
    {"replace", "old new count", 2, sw_text_replace},
    {"indent", "width first blank", 0, filter_indent},
    {"center", "width", 0, sw_text_center},
    {"truncate", "length killwords end leeway", 0, filter_truncate},
    {"wordcount", "", 0, filter_wordcount},
    {"format", NULL, 0, sw_text_percent},
    {"string", "", 0, filter_text},
    {"safe", "", 0, filter_safe},
    {"e", "", 0, filter_escape},
    {"escape", "", 0, filter_escape},
    {"forceescape", "", 0, filter_forceescape},
    {"urlencode", "", 0, filter_urlencode},
};
const size_t sw_jinja_n_text_filters =
    sizeof sw_jinja_text_filters / sizeof sw_jinja_text_filters[0];

const struct sw_builtin sw_jinja_other_filters[] = {
    {"tojson", "ensure_ascii indent separators sort_keys", 0, sw_jinja_tojson},
    {"default", "default_value boolean", 0, filter_default},
    {"d", "default_value boolean", 0, filter_default},
    {"int", "default base", 0, filter_int},
    {"float", "default", 0, filter_float},
    {"abs", "", 0, filter_abs},
    {"round", "precision method", 0, filter_round},
    {"attr", "name", 1, filter_attr},
};
const size_t sw_jinja_n_other_filters =
    sizeof sw_jinja_other_filters / sizeof sw_jinja_other_filters[0];
