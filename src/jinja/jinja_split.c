/* Owns the cutting of strings into lists. */
#include "base/utf8.h"
#include "jinja/jinja_chars.h"
#include "jinja/jinja_run.h"

#include <string.h>

static enum sw_status add_part(struct sw_jinja_run *r, struct sw_value *list, const char *from,
                               const char *to)
{
    const struct sw_value piece = sw_value_text(from, (size_t)(to - from));
    SW_TRY(sw_jinja_charge(r, 1));
    return sw_value_list_add(r, list, &piece);
}

static void reverse_list(struct sw_value *list)
{
    struct sw_value *items = list->list->items;
    for (size_t i = 0, j = list->list->count; i + 1 < j; i++) {
        const struct sw_value item = items[i];
        items[i] = items[--j];
        items[j] = item;
    }
}

/* The white-space character that ends before `end`, or NULL. */
static const char *space_before(const char *begin, const char *end)
{
    int length;
    if (end == begin)
        return NULL;
    do
        end--;
    while (((unsigned char)*end & 0xc0) == 0x80);
    return sw_char_is_space(sw_utf8_decode(end, &length)) ? end : NULL;
}

static const char *space_after(const char *at, const char *end)
{
    int length;
    if (at == end || !sw_char_is_space(sw_utf8_decode(at, &length)))
        return NULL;
    return at + length;
}

static const char *skip_character(const char *at)
{
    int length;
    sw_utf8_decode(at, &length);
    return at + length;
}

/* Runs of white space, from the left. */
static enum sw_status split_spaces(struct sw_jinja_run *r, const struct sw_value *self,
                                   int64_t most, struct sw_value *out)
{
    const char *at = self->text, *end = at + self->length, *next;
    for (;;) {
        while ((next = space_after(at, end)))
            at = next;
        if (at == end)
            return SW_OK;
        if (most-- == 0)
            return add_part(r, out, at, end);
        const char *word = at;
        while (at < end && !space_after(at, end))
            at = skip_character(at);
        SW_TRY(add_part(r, out, word, at));
    }
}

static enum sw_status rsplit_spaces(struct sw_jinja_run *r, const struct sw_value *self,
                                    int64_t most, struct sw_value *out)
{
    const char *begin = self->text, *end = begin + self->length, *next;
    for (;;) {
        while ((next = space_before(begin, end)))
            end = next;
        if (end == begin)
            return SW_OK;
        if (most-- == 0)
            return add_part(r, out, begin, end);
        const char *word = end;
        while (end > begin && !space_before(begin, end))
            end--;
        /* a step back may land inside a character: the loop passes it, for it is no space */
        SW_TRY(add_part(r, out, end, word));
    }
}

static const char *find_last(const char *begin, const char *end, const struct sw_value *sep)
{
    for (const char *at = end - sep->length; at >= begin; at--)
        if (memcmp(at, sep->text, sep->length) == 0)
            return at;
    return NULL;
}

static enum sw_status split_at(struct sw_jinja_run *r, const struct sw_value *self,
                               const struct sw_value *sep, int64_t most, struct sw_value *out)
{
    const char *at = self->text, *end = at + self->length, *hit;
    while (most-- != 0 && (hit = memmem(at, (size_t)(end - at), sep->text, sep->length))) {
        SW_TRY(add_part(r, out, at, hit));
        at = hit + sep->length;
    }
    return add_part(r, out, at, end);
}

static enum sw_status rsplit_at(struct sw_jinja_run *r, const struct sw_value *self,
                                const struct sw_value *sep, int64_t most, struct sw_value *out)
{
    const char *begin = self->text, *end = begin + self->length, *hit;
    while (most-- != 0 && (size_t)(end - begin) >= sep->length &&
           (hit = find_last(begin, end, sep))) {
        SW_TRY(add_part(r, out, hit + sep->length, end));
        end = hit;
    }
    return add_part(r, out, begin, end);
}

static enum sw_status want_separator(struct sw_jinja_run *r, const struct sw_value *v,
                                     const char *name)
{
    SW_TRY(sw_jinja_want_text(r, v, name));
    return v->length > 0 ? SW_OK : sw_jinja_fail(r, "%s wants a separator that is not empty", name);
}

static enum sw_status split_text(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 bool right, struct sw_value *out)
{
    const struct sw_value *self = &call->self, *sep = &call->args[0];
    int64_t most = -1;
    SW_TRY(sw_jinja_want_integer(r, &call->args[1], "split(maxsplit)", &most));
    SW_TRY(sw_jinja_charge(r, self->length / 16));
    SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, out));
    if (sep->kind == SW_V_ABSENT || sep->kind == SW_V_NONE) {
        SW_TRY((right ? rsplit_spaces : split_spaces)(r, self, most, out));
    } else {
        SW_TRY(want_separator(r, sep, "split"));
        SW_TRY((right ? rsplit_at : split_at)(r, self, sep, most, out));
    }
    if (right)
        reverse_list(out);
    return SW_OK;
}

enum sw_status sw_text_split(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                             struct sw_value *out)
{
    return split_text(r, call, false, out);
}

enum sw_status sw_text_rsplit(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    return split_text(r, call, true, out);
}

enum sw_status sw_text_splitlines(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    const char *at = call->self.text, *end = at + call->self.length, *line = at;
    const bool keep = sw_value_true(&call->args[0]);
    int length;
    SW_TRY(sw_value_list_new(r, SW_V_LIST, 0, out));
    while (at < end) {
        const char *next = at;
        if (!sw_char_is_line_end(sw_utf8_decode(at, &length))) {
            at += length;
            continue;
        }
        next += length + (*at == '\r' && at + 1 < end && at[1] == '\n');
        SW_TRY(add_part(r, out, line, keep ? next : at));
        line = at = next;
    }
    return line < end ? add_part(r, out, line, end) : SW_OK;
}

static enum sw_status partition_text(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     bool right, struct sw_value *out)
{
    const struct sw_value *self = &call->self, *sep = &call->args[0];
    const char *begin = self->text, *end = begin + self->length, *hit = NULL;
    SW_TRY(want_separator(r, sep, "partition"));
    SW_TRY(sw_value_list_new(r, SW_V_TUPLE, 3, out));
    if (self->length >= sep->length)
        hit = right ? find_last(begin, end, sep)
                    : memmem(begin, self->length, sep->text, sep->length);
    /* Not there: the whole text comes first, or last from the right. */
    const char *cut = hit ? hit : right ? begin : end, *rest = hit ? hit + sep->length : cut;
    SW_TRY(add_part(r, out, begin, cut));
    SW_TRY(add_part(r, out, cut, rest));
    return add_part(r, out, rest, end);
}

enum sw_status sw_text_partition(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    return partition_text(r, call, false, out);
}

enum sw_status sw_text_rpartition(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    return partition_text(r, call, true, out);
}
