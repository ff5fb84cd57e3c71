/* Owns the filter tojson: json.dumps with ensure_ascii off, as transformers sets it up. */
#include "base/utf8.h"
#include "jinja/jinja_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    struct sw_jinja_run *r;
    struct sw_strbuf *out;
    struct sw_value indent;      /* a text; SW_V_NONE: all on one line */
    struct sw_value item, colon; /* ", " and ": " */
    bool ascii, sort;
    int level;
};

static enum sw_status dump_value(struct dump *d, const struct sw_value *v);

static void dump_character(struct dump *d, uint32_t c, const char *text, int length)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *simple = c && c < 0x80 ? strchr(from, (int)c) : NULL;
    if (simple)
        sw_strbuf_printf(d->out, "\\%c", to[simple - from]);
    else if (c >= 0x10000 && d->ascii)
        sw_strbuf_printf(d->out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((c - 0x10000) >> 10),
                         0xdc00 + ((c - 0x10000) & 0x3ff));
    else if (c < 0x20 || (d->ascii && c > 0x7e))
        sw_strbuf_printf(d->out, "\\u%04" PRIx32, c);
    else
        sw_jinja_put(d->r, d->out, text, (size_t)length);
}

static enum sw_status dump_text(struct dump *d, const struct sw_value *v)
{
    int length;
    SW_TRY(sw_jinja_charge(d->r, v->length / 8));
    sw_strbuf_puts(d->out, "\"");
    for (size_t at = 0; at < v->length; at += (size_t)length) {
        const uint32_t c = sw_utf8_decode(v->text + at, &length);
        dump_character(d, c, v->text + at, length);
    }
    sw_strbuf_puts(d->out, "\"");
    return SW_OK;
}

static enum sw_status dump_scalar(struct dump *d, const struct sw_value *v)
{
    switch (v->kind) {
    case SW_V_NONE:
        sw_strbuf_puts(d->out, "null");
        return SW_OK;
    case SW_V_BOOL:
        sw_strbuf_puts(d->out, v->boolean ? "true" : "false");
        return SW_OK;
    case SW_V_INT:
        sw_strbuf_printf(d->out, "%" PRId64, v->integer);
        return SW_OK;
    case SW_V_FLOAT:
        if (isnan(v->real) || isinf(v->real))
            sw_strbuf_puts(d->out, isnan(v->real) ? "NaN" : v->real < 0 ? "-Infinity" : "Infinity");
        else
            sw_value_print_real(v->real, d->out);
        return SW_OK;
    case SW_V_STRING:
        return dump_text(d, v);
    default:
        SW_TRY(sw_jinja_defined(d->r, v));
        return sw_jinja_fail(d->r, "tojson: a %s has no JSON form", sw_value_kind_name(v));
    }
}

static void dump_new_line(struct dump *d)
{
    if (d->indent.kind != SW_V_STRING)
        return;
    sw_strbuf_puts(d->out, "\n");
    for (int i = 0; i < d->level && !d->out->failed; i++)
        sw_jinja_put(d->r, d->out, d->indent.text, d->indent.length);
}

static enum sw_status dump_list(struct dump *d, const struct sw_value *v)
{
    sw_strbuf_puts(d->out, "[");
    d->level++;
    for (size_t i = 0; i < v->list->count; i++) {
        if (i)
            sw_jinja_put(d->r, d->out, d->item.text, d->item.length);
        dump_new_line(d);
        SW_TRY(dump_value(d, &v->list->items[i]));
    }
    d->level--;
    if (v->list->count)
        dump_new_line(d);
    sw_strbuf_puts(d->out, "]");
    return SW_OK;
}

static enum sw_status dump_key(struct dump *d, const struct sw_value *key)
{
    if (key->kind == SW_V_STRING)
        return dump_text(d, key);
    if (key->kind == SW_V_TUPLE)
        return sw_jinja_fail(d->r, "tojson: a tuple cannot be a JSON name");
    sw_strbuf_puts(d->out, "\"");
    SW_TRY(dump_scalar(d, key));
    sw_strbuf_puts(d->out, "\"");
    return SW_OK;
}

/* Insertion sort: objects are small, and each comparison is charged for. */
static enum sw_status sort_pairs(struct sw_jinja_run *r, const struct sw_value_dict *dict,
                                 struct sw_value_pair *pairs)
{
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        int order = 0;
        for (; at > 0; at--) {
            SW_TRY(sw_value_compare(r, &pairs[at - 1].key, &dict->pairs[i].key, &order));
            if (order <= 0)
                break;
            pairs[at] = pairs[at - 1];
        }
        pairs[at] = dict->pairs[i];
    }
    return SW_OK;
}

static enum sw_status dump_dict(struct dump *d, const struct sw_value *v)
{
    const struct sw_value_pair *pairs = v->dict->pairs;
    if (d->sort && v->dict->count) {
        void *sorted;
        SW_TRY(sw_jinja_take(d->r, v->dict->count * sizeof *pairs, &sorted));
        SW_TRY(sort_pairs(d->r, v->dict, sorted));
        pairs = sorted;
    }
    sw_strbuf_puts(d->out, "{");
    d->level++;
    for (size_t i = 0; i < v->dict->count; i++) {
        if (i)
            sw_jinja_put(d->r, d->out, d->item.text, d->item.length);
        dump_new_line(d);
        SW_TRY(dump_key(d, &pairs[i].key));
        sw_jinja_put(d->r, d->out, d->colon.text, d->colon.length);
        SW_TRY(dump_value(d, &pairs[i].value));
    }
    d->level--;
    if (v->dict->count)
        dump_new_line(d);
    sw_strbuf_puts(d->out, "}");
    return SW_OK;
}

static enum sw_status dump_value(struct dump *d, const struct sw_value *v)
{
    SW_TRY(sw_jinja_charge(d->r, 1));
    SW_TRY(sw_jinja_deeper(d->r));
    if (v->kind == SW_V_LIST || v->kind == SW_V_TUPLE)
        SW_TRY(dump_list(d, v));
    else if (v->kind == SW_V_DICT)
        SW_TRY(dump_dict(d, v));
    else
        SW_TRY(dump_scalar(d, v));
    d->r->depth--;
    return d->out->failed ? sw_jinja_fail(d->r, "tojson: the text is too long") : SW_OK;
}

/* indent: a number of spaces or a text. */
static enum sw_status set_indent(struct dump *d, const struct sw_value *indent)
{
    int64_t n;
    void *spaces;
    d->indent = *indent;
    if (indent->kind == SW_V_ABSENT || indent->kind == SW_V_NONE || indent->kind == SW_V_STRING)
        return SW_OK;
    SW_TRY(sw_jinja_want_integer(d->r, indent, "tojson(indent)", &n));
    n = n < 0 ? 0 : n > 1000 ? 1000 : n;
    SW_TRY(sw_jinja_take(d->r, (size_t)n + 1, &spaces));
    d->indent = sw_value_text(memset(spaces, ' ', (size_t)n), (size_t)n);
    return SW_OK;
}

enum sw_status sw_jinja_tojson(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    const struct sw_value *args = call->args; /* ensure_ascii indent separators sort_keys */
    struct dump d = {.r = r,
                     .out = &buf,
                     .ascii = sw_value_true(&args[0]),
                     .sort = sw_value_true(&args[3]),
                     .item = sw_value_text(", ", 2),
                     .colon = sw_value_text(": ", 2)};
    SW_TRY(set_indent(&d, &args[1]));
    if (d.indent.kind == SW_V_STRING)
        d.item.length = 1;
    if (args[2].kind == SW_V_LIST || args[2].kind == SW_V_TUPLE) {
        const struct sw_value_list *separators = args[2].list;
        if (separators->count != 2)
            return sw_jinja_fail(r, "tojson(separators) wants two texts, got %zu",
                                 separators->count);
        SW_TRY(sw_jinja_want_text(r, &separators->items[0], "tojson(separators)"));
        SW_TRY(sw_jinja_want_text(r, &separators->items[1], "tojson(separators)"));
        d.item = separators->items[0];
        d.colon = separators->items[1];
    }
    const enum sw_status status = dump_value(&d, &call->self);
    if (status == SW_OK)
        return sw_jinja_text(r, &buf, out);
    sw_strbuf_free(&buf);
    return status;
}
