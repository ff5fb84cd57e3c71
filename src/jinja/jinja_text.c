/* Owns the methods of strings, many of which are filters too. */
#include "base/utf8.h"
#include "jinja/jinja_chars.h"
#include "jinja/jinja_run.h"

#include <string.h>

static enum sw_status change_case(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  enum sw_char_case first, enum sw_char_case rest,
                                  struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_value self, head;
    int length = 0;
    SW_TRY(sw_value_to_text(r, &call->self, &self));
    SW_TRY(sw_jinja_charge(r, self.length / 8));
    if (self.length)
        sw_utf8_decode(self.text, &length);
    head = sw_value_text(self.text, (size_t)length);
    self = sw_value_text(self.text + length, self.length - (size_t)length);
    sw_text_put(first, &head, &buf);
    sw_text_put(rest, &self, &buf);
    return sw_jinja_text(r, &buf, out);
}

enum sw_status sw_text_upper(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                             struct sw_value *out)
{
    return change_case(r, call, SW_CASE_UPPER, SW_CASE_UPPER, out);
}

enum sw_status sw_text_lower(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                             struct sw_value *out)
{
    return change_case(r, call, SW_CASE_LOWER, SW_CASE_LOWER, out);
}

enum sw_status sw_text_capitalize(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                  struct sw_value *out)
{
    return change_case(r, call, SW_CASE_TITLE, SW_CASE_LOWER, out);
}

/* Every letter that follows no letter becomes a capital. */
static enum sw_status text_title(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    bool inside = false;
    int length;
    for (size_t at = 0; at < call->self.length; at += (size_t)length) {
        const uint32_t c = sw_utf8_decode(call->self.text + at, &length);
        sw_char_put(inside ? SW_CASE_LOWER : SW_CASE_TITLE, c, &buf);
        inside = sw_char_is_upper(c) || sw_char_is_lower(c);
    }
    return sw_jinja_text(r, &buf, out);
}

static enum sw_status text_swapcase(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    int length;
    for (size_t at = 0; at < call->self.length; at += (size_t)length) {
        const uint32_t c = sw_utf8_decode(call->self.text + at, &length);
        sw_char_put(sw_char_is_upper(c) ? SW_CASE_LOWER : SW_CASE_UPPER, c, &buf);
    }
    return sw_jinja_text(r, &buf, out);
}

/* Whether strip takes the character away: white space, or one of `chars`. */
static bool is_stripped(const char *at, int length, const struct sw_value *chars)
{
    int n;
    if (chars->kind != SW_V_STRING)
        return sw_char_is_space(sw_utf8_decode(at, &n));
    for (size_t i = 0; i < chars->length; i += (size_t)n) {
        sw_utf8_decode(chars->text + i, &n);
        if (n == length && memcmp(chars->text + i, at, (size_t)n) == 0)
            return true;
    }
    return false;
}

static enum sw_status strip_ends(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 bool left, bool right, struct sw_value *out)
{
    struct sw_value self, chars = call->args[0];
    int length;
    SW_TRY(sw_value_to_text(r, &call->self, &self));
    if (chars.kind != SW_V_ABSENT && chars.kind != SW_V_NONE)
        SW_TRY(sw_jinja_want_text(r, &chars, "strip"));
    SW_TRY(sw_jinja_charge(r, (chars.kind == SW_V_STRING ? chars.length : 1) *
                                  (self.length / 64 + 1)));
    const char *begin = self.text, *end = begin + self.length;
    for (; left && begin < end; begin += length) {
        sw_utf8_decode(begin, &length);
        if (!is_stripped(begin, length, &chars))
            break;
    }
    while (right && end > begin) {
        const char *last = end - 1;
        while (((unsigned char)*last & 0xc0) == 0x80)
            last--;
        if (!is_stripped(last, (int)(end - last), &chars))
            break;
        end = last;
    }
    *out = sw_value_text(begin, (size_t)(end - begin));
    out->safe = self.safe;
    return SW_OK;
}

enum sw_status sw_text_strip(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                             struct sw_value *out)
{
    return strip_ends(r, call, true, true, out);
}

enum sw_status sw_text_lstrip(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    return strip_ends(r, call, true, false, out);
}

enum sw_status sw_text_rstrip(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    return strip_ends(r, call, false, true, out);
}

enum sw_status sw_text_replace(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_value self, old, new;
    int64_t times = -1;
    SW_TRY(sw_value_to_text(r, &call->self, &self));
    SW_TRY(sw_value_to_text(r, &call->args[0], &old));
    SW_TRY(sw_value_to_text(r, &call->args[1], &new));
    if (call->args[2].kind != SW_V_NONE)
        SW_TRY(sw_jinja_want_integer(r, &call->args[2], "replace(count)", &times));
    SW_TRY(sw_jinja_charge(r, self.length / 8));
    const char *at = self.text, *end = at + self.length;
    for (; times != 0 && !buf.failed; times -= times > 0) {
        /* An empty `old` stands before every character and at the end. */
        const char *hit = old.length ? memmem(at, (size_t)(end - at), old.text, old.length) : at;
        int length = 0;
        if (!hit)
            break;
        sw_jinja_put(r, &buf, at, (size_t)(hit - at));
        sw_jinja_put(r, &buf, new.text, new.length);
        at = hit + old.length;
        if (old.length)
            continue;
        if (at == end)
            break;
        sw_utf8_decode(at, &length);
        sw_jinja_put(r, &buf, at, (size_t)length);
        at += length;
    }
    sw_jinja_put(r, &buf, at, (size_t)(end - at));
    return sw_jinja_text(r, &buf, out);
}

/* One prefix or suffix, or any of a tuple's. */
static enum sw_status has_affix(struct sw_jinja_run *r, const struct sw_jinja_call *call, bool end,
                                struct sw_value *out)
{
    const struct sw_value *self = &call->self, *wanted = call->args;
    const bool many = wanted->kind == SW_V_TUPLE;
    const size_t n = many ? wanted->list->count : 1;
    *out = sw_value_bool(false);
    SW_TRY(sw_jinja_charge(r, n));
    for (size_t i = 0; i < n; i++) {
        const struct sw_value *affix = many ? &wanted->list->items[i] : wanted;
        SW_TRY(sw_jinja_want_text(r, affix, end ? "endswith" : "startswith"));
        const char *at = end ? self->text + self->length - affix->length : self->text;
        if (affix->length <= self->length && memcmp(at, affix->text, affix->length) == 0)
            *out = sw_value_bool(true);
    }
    return SW_OK;
}

static enum sw_status text_startswith(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                      struct sw_value *out)
{
    return has_affix(r, call, false, out);
}

static enum sw_status text_endswith(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                    struct sw_value *out)
{
    return has_affix(r, call, true, out);
}

static enum sw_status text_removeprefix(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                        struct sw_value *out)
{
    struct sw_value has;
    SW_TRY(has_affix(r, call, false, &has));
    const size_t n = has.boolean ? call->args[0].length : 0;
    *out = sw_value_text(call->self.text + n, call->self.length - n);
    return SW_OK;
}

static enum sw_status text_removesuffix(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                        struct sw_value *out)
{
    struct sw_value has;
    SW_TRY(has_affix(r, call, true, &has));
    *out = sw_value_text(call->self.text,
                         call->self.length - (has.boolean ? call->args[0].length : 0));
    return SW_OK;
}

/* Characters before the first (last) place of args[0], -1 when it is not there. */
static enum sw_status find_text(struct sw_jinja_run *r, const struct sw_jinja_call *call, bool last,
                                int64_t *out)
{
    const struct sw_value *self = &call->self, *wanted = call->args;
    const char *hit = NULL, *end = self->text + self->length;
    size_t n;
    SW_TRY(sw_jinja_want_text(r, wanted, "find"));
    if (wanted->length == 0) {
        hit = last ? end : self->text;
    } else if (!last) {
        hit = memmem(self->text, self->length, wanted->text, wanted->length);
    } else {
        SW_TRY(sw_jinja_charge(r, self->length / 16));
        for (const char *at = self->text, *next;
             (next = memmem(at, (size_t)(end - at), wanted->text, wanted->length)); at = next + 1)
            hit = next;
    }
    if (hit) {
        const struct sw_value before = sw_value_text(self->text, (size_t)(hit - self->text));
        sw_value_length(&before, &n);
    }
    *out = hit ? (int64_t)n : -1;
    return SW_OK;
}

static enum sw_status text_find(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    int64_t i;
    SW_TRY(find_text(r, call, false, &i));
    *out = sw_value_int(i);
    return SW_OK;
}

static enum sw_status text_rfind(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    int64_t i;
    SW_TRY(find_text(r, call, true, &i));
    *out = sw_value_int(i);
    return SW_OK;
}

static enum sw_status text_index(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    SW_TRY(text_find(r, call, out));
    return out->integer >= 0 ? SW_OK : sw_jinja_fail(r, "index: the string is not there");
}

static enum sw_status text_count(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    const struct sw_value *self = &call->self, *wanted = call->args;
    const char *at = self->text, *end = at + self->length;
    size_t n = 0;
    SW_TRY(sw_jinja_want_text(r, wanted, "count"));
    if (wanted->length == 0) {
        sw_value_length(self, &n);
        n++;
    } else {
        while ((at = memmem(at, (size_t)(end - at), wanted->text, wanted->length))) {
            at += wanted->length;
            n++;
        }
    }
    *out = sw_value_int((int64_t)n);
    return SW_OK;
}

/* sep.join(items) */
static enum sw_status text_join(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_value items;
    SW_TRY(sw_value_items(r, &call->args[0], &items));
    for (size_t i = 0; i < items.list->count; i++)
        SW_TRY(sw_jinja_want_text(r, &items.list->items[i], "join"));
    for (size_t i = 0; i < items.list->count && !buf.failed; i++) {
        sw_jinja_put(r, &buf, call->self.text, i ? call->self.length : 0);
        sw_jinja_put(r, &buf, items.list->items[i].text, items.list->items[i].length);
    }
    return sw_jinja_text(r, &buf, out);
}

/* Puts args[1] (a space) around the text until it has args[0] characters. */
static enum sw_status pad_text(struct sw_jinja_run *r, const struct sw_jinja_call *call, int side,
                               struct sw_value *out)
{
    struct sw_strbuf buf = {0};
    struct sw_value self, fill = sw_value_text(" ", 1);
    int64_t width = 80;
    size_t n;
    SW_TRY(sw_value_to_text(r, &call->self, &self));
    SW_TRY(sw_jinja_want_integer(r, &call->args[0], "the width", &width));
    if (call->n > 1 && call->args[1].kind == SW_V_STRING)
        fill = call->args[1];
    sw_value_length(&self, &n);
    const int64_t more = width > (int64_t)n ? width - (int64_t)n : 0;
    if (more > (1 << 20))
        return sw_jinja_fail(r, "a width of %lld is too large", (long long)width);
    SW_TRY(sw_jinja_charge(r, (size_t)more));
    /* Python's centre: the odd one goes left when the width is odd. */
    const int64_t left = side < 0 ? 0 : side > 0 ? more : more / 2 + (more & width & 1);
    for (int64_t i = 0; i < left; i++)
        sw_jinja_put(r, &buf, fill.text, fill.length);
    sw_jinja_put(r, &buf, self.text, self.length);
    for (int64_t i = left; i < more; i++)
        sw_jinja_put(r, &buf, fill.text, fill.length);
    return sw_jinja_text(r, &buf, out);
}

enum sw_status sw_text_center(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                              struct sw_value *out)
{
    return pad_text(r, call, 0, out);
}

static enum sw_status text_ljust(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    return pad_text(r, call, -1, out);
}

static enum sw_status text_rjust(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    return pad_text(r, call, 1, out);
}

static enum sw_status text_zfill(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                 struct sw_value *out)
{
    const struct sw_value *self = &call->self;
    const size_t sign = self->length && (self->text[0] == '-' || self->text[0] == '+');
    const struct sw_value args[2] = {call->args[0], sw_value_text("0", 1)};
    struct sw_jinja_call inner = {.self = *self, .args = args, .n = 2};
    int64_t width;
    SW_TRY(sw_jinja_want_integer(r, &args[0], "zfill", &width));
    if (!sign)
        return pad_text(r, &inner, 1, out);
    const struct sw_value less[2] = {sw_value_int(width > 0 ? width - 1 : 0), args[1]};
    inner.self = sw_value_text(self->text + 1, self->length - 1);
    inner.args = less;
    SW_TRY(pad_text(r, &inner, 1, out));
    const struct sw_value lead = sw_value_text(self->text, 1), rest = *out;
    return sw_jinja_binary(r, '+', &lead, &rest, out);
}

/* Whether the text is not empty and all its characters are of a kind. */
static enum sw_status all_characters(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     bool (*is)(uint32_t c), struct sw_value *out)
{
    int length;
    bool result = call->self.length > 0;
    SW_TRY(sw_jinja_charge(r, call->self.length / 8));
    for (size_t at = 0; result && at < call->self.length; at += (size_t)length)
        result = is(sw_utf8_decode(call->self.text + at, &length));
    *out = sw_value_bool(result);
    return SW_OK;
}

static bool is_alnum(uint32_t c)
{
    return sw_char_is_alpha(c) || sw_utf8_is_numeric(c);
}

static bool is_ascii(uint32_t c)
{
    return c < 0x80;
}

static enum sw_status text_isdigit(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return all_characters(r, call, sw_char_is_digit, out);
}

static enum sw_status text_isnumeric(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                     struct sw_value *out)
{
    return all_characters(r, call, sw_utf8_is_numeric, out);
}

static enum sw_status text_isalpha(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return all_characters(r, call, sw_char_is_alpha, out);
}

static enum sw_status text_isalnum(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return all_characters(r, call, is_alnum, out);
}

static enum sw_status text_isspace(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return all_characters(r, call, sw_char_is_space, out);
}

static enum sw_status text_isascii(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    if (call->self.length == 0) {
        *out = sw_value_bool(true);
        return SW_OK;
    }
    return all_characters(r, call, is_ascii, out);
}

/* All letters with case are of one case, and there is one. */
static enum sw_status has_case(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                               bool (*wanted)(uint32_t c), bool (*other)(uint32_t c),
                               struct sw_value *out)
{
    int length;
    bool some = false, none = true;
    SW_TRY(sw_jinja_charge(r, call->self.length / 8));
    for (size_t at = 0; at < call->self.length; at += (size_t)length) {
        const uint32_t c = sw_utf8_decode(call->self.text + at, &length);
        some = some || wanted(c);
        none = none && !other(c);
    }
    *out = sw_value_bool(some && none);
    return SW_OK;
}

static enum sw_status text_isupper(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return has_case(r, call, sw_char_is_upper, sw_char_is_lower, out);
}

static enum sw_status text_islower(struct sw_jinja_run *r, const struct sw_jinja_call *call,
                                   struct sw_value *out)
{
    return has_case(r, call, sw_char_is_lower, sw_char_is_upper, out);
}

const struct sw_builtin sw_jinja_text_methods[] = {
    {"upper", "", 0, sw_text_upper},
    {"lower", "", 0, sw_text_lower},
    {"casefold", "", 0, sw_text_lower},
    {"capitalize", "", 0, sw_text_capitalize},
    {"title", "", 0, text_title},
    {"swapcase", "", 0, text_swapcase},
    {"strip", "chars", 0, sw_text_strip},
    {"lstrip", "chars", 0, sw_text_lstrip},
    {"rstrip", "chars", 0, sw_text_rstrip},
    {"split", "sep maxsplit", 0, sw_text_split},
    {"rsplit", "sep maxsplit", 0, sw_text_rsplit},
    {"splitlines", "keepends", 0, sw_text_splitlines},
    {"partition", "sep", 1, sw_text_partition},
    {"rpartition", "sep", 1, sw_text_rpartition},
    {"replace", "old new count", 2, sw_text_replace},
    {"startswith", "prefix", 1, text_startswith},
    {"endswith", "suffix", 1, text_endswith},
    {"removeprefix", "prefix", 1, text_removeprefix},
    {"removesuffix", "suffix", 1, text_removesuffix},
    {"find", "sub", 1, text_find},
    {"rfind", "sub", 1, text_rfind},
    {"index", "sub", 1, text_index},
    {"count", "sub", 1, text_count},
    {"join", "items", 1, text_join},
    {"center", "width fill", 1, sw_text_center},
    {"ljust", "width fill", 1, text_ljust},
    {"rjust", "width fill", 1, text_rjust},
    {"zfill", "width", 1, text_zfill},
    {"format", NULL, 0, sw_text_format},
    {"isdigit", "", 0, text_isdigit},
    {"isdecimal", "", 0, text_isdigit},
    {"isnumeric", "", 0, text_isnumeric},
    {"isalpha", "", 0, text_isalpha},
    {"isalnum", "", 0, text_isalnum},
    {"isspace", "", 0, text_isspace},
    {"isascii", "", 0, text_isascii},
    {"isupper", "", 0, text_isupper},
    {"islower", "", 0, text_islower},
};
const size_t sw_jinja_n_text_methods =
    sizeof sw_jinja_text_methods / sizeof sw_jinja_text_methods[0];
