/* Owns how values print: Python's str() and repr(). */
#include "base/utf8.h"
#include "jinja/jinja_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void sw_value_print_real(double d, struct sw_strbuf *out)
{
    char digits[40];
    if (isnan(d) || isinf(d)) {
        sw_strbuf_puts(out, isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0; /* the fewest digits that give the same number back */
    do
        snprintf(digits, sizeof digits, "%.*e", precision, d);
    while (strtod(digits, NULL) != d && ++precision < 17);
    const int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        sw_strbuf_puts(out, digits); /* C and Python agree on exponents of two digits or more */
        return;
    }
    const int decimals = precision > exponent ? precision - exponent : 1;
    sw_strbuf_printf(out, "%.*f", decimals, d);
}

/* What Python's repr writes as it is. */
static bool printable(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return true;
    }
}

static void escape_character(uint32_t c, char quote, struct sw_strbuf *out)
{
    char text[4];
    if (c == (unsigned char)quote || c == '\\')
        sw_strbuf_printf(out, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        sw_strbuf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    else if (printable(c))
        sw_strbuf_append(out, text, (size_t)sw_utf8_encode(c, text));
    else if (c < 0x100)
        sw_strbuf_printf(out, "\\x%02" PRIx32, c);
    else if (c < 0x10000)
        sw_strbuf_printf(out, "\\u%04" PRIx32, c);
    else
        sw_strbuf_printf(out, "\\U%08" PRIx32, c);
}

static enum sw_status repr_text(struct sw_jinja_run *r, const struct sw_value *v,
                                struct sw_strbuf *out)
{
    const bool single = memchr(v->text, '\'', v->length) != NULL;
    const bool both = single && memchr(v->text, '"', v->length) != NULL;
    const char quote = single && !both ? '"' : '\'';
    int length;
    SW_TRY(sw_jinja_charge(r, v->length / 8));
    sw_jinja_put(r, out, &quote, 1);
    for (size_t at = 0; at < v->length; at += (size_t)length)
        escape_character(sw_utf8_decode(v->text + at, &length), quote, out);
    sw_jinja_put(r, out, &quote, 1);
    return SW_OK;
}

static enum sw_status repr_list(struct sw_jinja_run *r, const struct sw_value *v,
                                struct sw_strbuf *out)
{
    const bool tuple = v->kind == SW_V_TUPLE, view = v->kind == SW_V_VIEW;
    if (view)
        sw_strbuf_printf(out, "%s(", v->list->name);
    sw_strbuf_puts(out, tuple ? "(" : "[");
    for (size_t i = 0; i < v->list->count; i++) {
        sw_jinja_put(r, out, ", ", i ? 2 : 0);
        SW_TRY(sw_value_repr(r, &v->list->items[i], out));
    }
    sw_strbuf_puts(out, tuple ? v->list->count == 1 ? ",)" : ")" : "]");
    if (view)
        sw_strbuf_puts(out, ")");
    return SW_OK;
}

static enum sw_status repr_dict(struct sw_jinja_run *r, const struct sw_value *v,
                                struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "{");
    for (size_t i = 0; i < v->dict->count; i++) {
        sw_jinja_put(r, out, ", ", i ? 2 : 0);
        SW_TRY(sw_value_repr(r, &v->dict->pairs[i].key, out));
        sw_strbuf_puts(out, ": ");
        SW_TRY(sw_value_repr(r, &v->dict->pairs[i].value, out));
    }
    sw_strbuf_puts(out, "}");
    return SW_OK;
}

static void repr_range(const struct sw_value_range *range, struct sw_strbuf *out)
{
    sw_strbuf_printf(out, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (range->step != 1)
        sw_strbuf_printf(out, ", %" PRId64, range->step);
    sw_strbuf_puts(out, ")");
}

static enum sw_status repr_simple(struct sw_jinja_run *r, const struct sw_value *v,
                                  struct sw_strbuf *out)
{
    switch (v->kind) {
    case SW_V_UNDEFINED:
        sw_strbuf_puts(out, "Undefined");
        return SW_OK;
    case SW_V_NONE:
        sw_strbuf_puts(out, "None");
        return SW_OK;
    case SW_V_BOOL:
        sw_strbuf_puts(out, v->boolean ? "True" : "False");
        return SW_OK;
    case SW_V_INT:
        sw_strbuf_printf(out, "%" PRId64, v->integer);
        return SW_OK;
    case SW_V_FLOAT:
        sw_value_print_real(v->real, out);
        return SW_OK;
    case SW_V_STRING:
        return repr_text(r, v, out);
    case SW_V_RANGE:
        repr_range(v->range, out);
        return SW_OK;
    default:
        sw_strbuf_printf(out, "<%s>", sw_value_kind_name(v));
        return SW_OK;
    }
}

enum sw_status sw_value_repr(struct sw_jinja_run *r, const struct sw_value *v,
                             struct sw_strbuf *out)
{
    SW_TRY(sw_jinja_charge(r, 1));
    SW_TRY(sw_jinja_deeper(r));
    if (v->kind == SW_V_LIST || v->kind == SW_V_TUPLE || v->kind == SW_V_VIEW)
        SW_TRY(repr_list(r, v, out));
    else if (v->kind == SW_V_DICT)
        SW_TRY(repr_dict(r, v, out));
    else if (v->kind == SW_V_NAMESPACE) {
        sw_strbuf_puts(out, "<Namespace ");
        SW_TRY(repr_dict(r, v, out));
        sw_strbuf_puts(out, ">");
    } else {
        SW_TRY(repr_simple(r, v, out));
    }
    r->depth--;
    return SW_OK;
}

enum sw_status sw_value_print(struct sw_jinja_run *r, const struct sw_value *v,
                              struct sw_strbuf *out)
{
    if (v->kind == SW_V_UNDEFINED)
        return v->refused ? sw_jinja_defined(r, v) : SW_OK;
    if (v->kind != SW_V_STRING)
        return sw_value_repr(r, v, out);
    SW_TRY(sw_jinja_charge(r, v->length / 64));
    sw_jinja_put(r, out, v->text, v->length);
    return SW_OK;
}

enum sw_status sw_value_to_text(struct sw_jinja_run *r, const struct sw_value *v,
                                struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    if (v->kind == SW_V_STRING) {
        *out = *v;
        return SW_OK;
    }
    const enum sw_status status = sw_value_print(r, v, &buf);
    if (status == SW_OK)
        return sw_jinja_text(r, &buf, out);
    sw_strbuf_free(&buf);
    return status;
}
