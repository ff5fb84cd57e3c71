/* Owns a rendering: its limits, its memory, its variables, and the way in. */
#include "jinja/jinja_run.h"

#include <stdlib.h>
#include <string.h>

struct sw_jinja_limits sw_jinja_limits_default(void)
{
    return (struct sw_jinja_limits){
        .steps = 20u << 20, .memory = (size_t)512 << 20, .output = (size_t)64 << 20, .depth = 600};
}

enum sw_status sw_jinja_charge(struct sw_jinja_run *r, size_t n)
{
    if (n <= r->steps) {
        r->steps -= n;
        return SW_OK;
    }
    r->steps = 0;
    return sw_jinja_fail(r, "the template takes more than %llu steps: it may never end",
                         (unsigned long long)r->limits.steps);
}

enum sw_status sw_jinja_take(struct sw_jinja_run *r, size_t bytes, void **out)
{
    *out = sw_arena_take(&r->arena, bytes);
    if (*out)
        return SW_OK;
    return sw_jinja_fail(r, "the template's values take more than %zu MiB, or memory is short",
                         r->limits.memory >> 20);
}

enum sw_status sw_jinja_deeper(struct sw_jinja_run *r)
{
    if (r->depth++ < r->limits.depth)
        return SW_OK;
    return sw_jinja_fail(r, "the template or a value nests deeper than %d", r->limits.depth);
}

void sw_jinja_put(struct sw_jinja_run *r, struct sw_strbuf *buf, const char *bytes, size_t n)
{
    if (n > r->limits.memory || buf->length > r->limits.memory - n)
        buf->failed = true;
    sw_strbuf_append(buf, bytes, n);
}

enum sw_status sw_jinja_text(struct sw_jinja_run *r, struct sw_strbuf *buf, struct sw_value *out)
{
    void *text;
    enum sw_status status;
    if (buf->failed)
        status = sw_jinja_fail(r, "a text is longer than %zu MiB, or memory is short",
                               r->limits.memory >> 20);
    else
        status = sw_jinja_take(r, buf->length + 1, &text);
    if (status == SW_OK) {
        if (buf->length)
            memcpy(text, buf->text, buf->length);
        *out = sw_value_text(text, buf->length);
        status = sw_jinja_charge(r, buf->length / 64);
    }
    sw_strbuf_free(buf);
    return status;
}

enum sw_status sw_jinja_defined(struct sw_jinja_run *r, const struct sw_value *v)
{
    if (v->kind != SW_V_UNDEFINED)
        return SW_OK;
    const int n = v->length > 100 ? 100 : (int)v->length;
    return v->refused ? sw_jinja_fail(r, "'%.*s' would change a value, which templates must not do",
                                      n, v->text)
                      : sw_jinja_fail(r, "'%.*s' is undefined", n, v->text);
}

enum sw_status sw_jinja_want_text(struct sw_jinja_run *r, const struct sw_value *v,
                                  const char *name)
{
    if (v->kind == SW_V_STRING)
        return SW_OK;
    SW_TRY(sw_jinja_defined(r, v));
    return sw_jinja_fail(r, "%s wants a string, got a %s", name, sw_value_kind_name(v));
}

enum sw_status sw_jinja_want_integer(struct sw_jinja_run *r, const struct sw_value *v,
                                     const char *name, int64_t *out)
{
    if (v->kind == SW_V_ABSENT || sw_value_integer(v, out))
        return SW_OK;
    SW_TRY(sw_jinja_defined(r, v));
    return sw_jinja_fail(r, "%s wants an integer, got a %s", name, sw_value_kind_name(v));
}

enum sw_status sw_scope_push(struct sw_jinja_run *r, struct sw_scope *outer)
{
    void *scope;
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_scope), &scope));
    r->scope = scope;
    r->scope->outer = outer;
    return SW_OK;
}

enum sw_status sw_scope_put(struct sw_jinja_run *r, const struct sw_value *name,
                            const struct sw_value *value)
{
    size_t passed = 0;
    for (struct sw_scope_name *n = r->scope->names; n; n = n->next, passed++)
        if (sw_value_same_text(&n->name, name)) {
            n->value = *value;
            return SW_OK;
        }
    void *taken;
    SW_TRY(sw_jinja_charge(r, passed / 16));
    SW_TRY(sw_jinja_take(r, sizeof(struct sw_scope_name), &taken));
    struct sw_scope_name *made = taken;
    *made = (struct sw_scope_name){*name, *value, r->scope->names};
    r->scope->names = made;
    return SW_OK;
}

static enum sw_status define_variables(struct sw_jinja_run *r, const json_t *variables)
{
    const char *name;
    size_t n;
    json_t *json;
    json_object_keylen_foreach((json_t *)(uintptr_t)variables, name, n, json)
    {
        const struct sw_value key = sw_value_text(name, n);
        struct sw_value value;
        SW_TRY(sw_value_from_json(r, json, &value));
        SW_TRY(sw_scope_put(r, &key, &value));
    }
    return SW_OK;
}

enum sw_status sw_jinja_render(const struct sw_jinja *template, const json_t *variables,
                               const struct sw_jinja_limits *limits, struct sw_strbuf *out)
{
    struct sw_strbuf text = {0};
    struct sw_jinja_run r = {.limits = *limits,
                             .arena = {.limit = limits->memory},
                             .steps = limits->steps,
                             .line = 1,
                             .out = &text};
    enum sw_status status = sw_scope_push(&r, NULL);
    if (status == SW_OK)
        status = define_variables(&r, variables);
    if (status == SW_OK)
        status = sw_jinja_exec(&r, template->body);
    if (status == SW_OK && !text.failed)
        sw_strbuf_append(out, text.text, text.length);
    if (status == SW_OK && (text.failed || out->failed))
        status = sw_fail(SW_ENOMEM, "no memory for the text");
    sw_strbuf_free(&text);
    sw_arena_free(&r.arena);
    return status;
}
