/* Owns the way from a JSON text to jansson's values. */
#include "base/json.h"

#include "base/file.h"
#include "base/json_number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *begin, *at, *end;
    unsigned rules;
    int depth;
    struct sw_strbuf text; /* the string or number that was read last */
    enum sw_status status; /* of the first error */
};

static json_t *json_read_value(struct reader *r);

static json_t *json_read_no_memory(struct reader *r)
{
    r->status = sw_fail(SW_ENOMEM, "no memory for %zu bytes of JSON", (size_t)(r->end - r->begin));
    return NULL;
}

/* Fills `out` with what is at r->at, made safe for a message. */
static void json_read_show_found(const struct reader *r, char out[24])
{
    size_t n = (size_t)(r->end - r->at), kept = 0;
    for (n = n < 16 ? n : 16; kept < n; kept++) {
        const unsigned char c = (unsigned char)r->at[kept];
        out[kept] = c < 0x20 || c >= 0x7f ? '.' : (char)c;
    }
    out[kept] = '\0';
}

/* Fails with what was expected at r->at; lines count from 1, columns from 1 in characters. */
static json_t *json_read_fault(struct reader *r, const char *expected)
{
    char found[24], place[64];
    unsigned long line = 1, column = 1;
    for (const char *c = r->begin; c < r->at; c++) {
        column += ((unsigned char)*c & 0xC0) != 0x80;
        if (*c == '\n') {
            line++;
            column = 1;
        }
    }
    if (r->rules & SW_JSON_ONE_LINE)
        snprintf(place, sizeof place, "column %lu", column);
    else
        snprintf(place, sizeof place, "line %lu, column %lu", line, column);
    json_read_show_found(r, found);
    const char *quote = r->at < r->end ? "\"" : "";
    r->status = sw_fail(r->rules & SW_JSON_USERS ? SW_EINPUT : SW_EMODEL,
                        "not JSON: %s: expected %s, found %s%s%s", place, expected, quote,
                        r->at < r->end ? found : "the end", quote);
    return NULL;
}

static char json_read_peek(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    return r->at < r->end ? *r->at : '\0';
}

static bool json_read_take_word(struct reader *r, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

/* A text into r->text; r->at is its opening quote. */
static bool json_read_text(struct reader *r)
{
    const char *start = r->at++;
    r->text.length = 0;
    const char *expected = sw_json_decode_text(&r->at, r->end, r->rules, &r->text);
    if (r->text.failed) {
        json_read_no_memory(r);
    } else if (expected) {
        if (r->at == r->end) /* where it began says more */
            r->at = start;
        json_read_fault(r, expected);
    }
    return r->status == SW_OK;
}

/* The reason why jansson made no string: not UTF-8, or no memory. */
static json_t *json_read_text_fault(struct reader *r, const char *start, const char *text, size_t n)
{
    json_t *any = json_stringn_nocheck(text, n);
    json_decref(any); /* whose memory the next try finds */
    json_t *good = any ? json_stringn(text, n) : NULL;
    json_decref(good);
    if (!any || good)
        return json_read_no_memory(r);
    r->at = start;
    return json_read_fault(r, "a text in UTF-8");
}

static json_t *json_read_string(struct reader *r)
{
    const char *start = r->at;
    if (!json_read_text(r))
        return NULL;
    json_t *value = json_stringn(r->text.text, r->text.length);
    return value ? value : json_read_text_fault(r, start, r->text.text, r->text.length);
}

static bool json_read_take_digits(struct reader *r)
{
    const char *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > start;
}

static json_t *json_read_make_integer(const char *text, size_t n)
{
    char digits[24];
    if (n >= sizeof digits)
        return sw_json_spelled_new(text, n);
    memcpy(digits, text, n);
    digits[n] = '\0';
    errno = 0;
    const long long value = strtoll(digits, NULL, 10);
    return errno == ERANGE ? sw_json_spelled_new(text, n) : json_integer(value);
}

static json_t *json_read_make_real(struct reader *r, const char *text, size_t n)
{
    r->text.length = 0;
    sw_strbuf_append(&r->text, text, n);
    if (r->text.failed)
        return NULL;
    const double value = strtod(r->text.text, NULL);
    return isfinite(value) ? json_real(value) : sw_json_spelled_new(text, n);
}

static json_t *json_read_number(struct reader *r)
{
    const char *start = r->at;
    bool real = false;
    json_t *value;
    if (json_read_take_word(r, "NaN") || json_read_take_word(r, "Infinity") ||
        json_read_take_word(r, "-Infinity")) {
        value = sw_json_spelled_new(start, (size_t)(r->at - start));
        return value ? value : json_read_no_memory(r);
    }
    r->at += *r->at == '-';
    if (r->at < r->end && *r->at == '0')
        r->at++; /* and no digit behind it */
    else if (!json_read_take_digits(r))
        return json_read_fault(r, r->at > start ? "a digit" : "a value");
    if (r->at < r->end && *r->at == '.') {
        real = true;
        r->at++;
        if (!json_read_take_digits(r))
            return json_read_fault(r, "a digit");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        real = true;
        r->at++;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        if (!json_read_take_digits(r))
            return json_read_fault(r, "a digit");
    }
    const size_t n = (size_t)(r->at - start);
    value = real ? json_read_make_real(r, start, n) : json_read_make_integer(start, n);
    return value ? value : json_read_no_memory(r);
}

/* Moves past ',' or `close`; *more false: it was `close`. */
static bool json_read_next_item(struct reader *r, char close, bool first, bool *more)
{
    const char c = json_read_peek(r);
    *more = c != close || r->at == r->end;
    if (!*more) {
        r->at++;
        return true;
    }
    if (first)
        return true;
    if (c != ',') {
        json_read_fault(r, close == '}' ? "',' or '}'" : "',' or ']'");
        return false;
    }
    r->at++;
    return true;
}

static json_t *json_read_array(struct reader *r)
{
    json_t *array = json_array();
    bool more;
    if (!array)
        return json_read_no_memory(r);
    for (bool first = true; json_read_next_item(r, ']', first, &more) && more; first = false) {
        json_t *item = json_read_value(r);
        if (!item)
            break;
        if (json_array_append_new(array, item) != 0) {
            json_read_no_memory(r);
            break;
        }
    }
    return array;
}

/* Reads one member from its name on. */
static bool json_read_member(struct reader *r, json_t *object)
{
    if (json_read_peek(r) != '"')
        return json_read_fault(r, "a member's name in quotes");
    const char *start = r->at;
    if (!json_read_text(r))
        return false;
    if (r->rules & SW_JSON_UNIQUE && json_object_get(object, r->text.text)) {
        r->at = start;
        return json_read_fault(r, "no duplicate of a member");
    }
    /* jansson has no such names; nothing here asks for one, so what is a model's may have them. */
    const bool nul = memchr(r->text.text, '\0', r->text.length);
    if (nul && r->rules & SW_JSON_USERS) {
        r->at = start;
        return json_read_fault(r, "a name without a NUL");
    }
    char *name = strdup(r->text.text);
    if (!name)
        return json_read_no_memory(r);
    json_t *value =
        json_read_peek(r) == ':' && r->at++ ? json_read_value(r) : json_read_fault(r, "':'");
    if (value && nul)
        json_decref(value);
    else if (value && json_object_set_new(object, name, value) != 0)
        json_read_text_fault(r, start, name, strlen(name));
    free(name);
    return r->status == SW_OK;
}

static json_t *json_read_object(struct reader *r)
{
    json_t *object = json_object();
    bool more;
    if (!object)
        return json_read_no_memory(r);
    for (bool first = true; json_read_next_item(r, '}', first, &more) && more; first = false)
        if (!json_read_member(r, object))
            break;
    return object;
}

static json_t *json_read_nested(struct reader *r, json_t *(*read)(struct reader *))
{
    if (r->depth == SW_JSON_DEPTH_MAX)
        return json_read_fault(r, "nesting of at most 1000 levels");
    r->depth++;
    r->at++;
    json_t *value = read(r);
    r->depth--;
    if (r->status == SW_OK)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *json_read_value(struct reader *r)
{
    const char c = json_read_peek(r);
    if (c == '{')
        return json_read_nested(r, json_read_object);
    if (c == '[')
        return json_read_nested(r, json_read_array);
    if (c == '"')
        return json_read_string(r);
    if (r->at == r->end)
        return json_read_fault(r, "a value");
    if (json_read_take_word(r, "true"))
        return json_true();
    if (json_read_take_word(r, "false"))
        return json_false();
    if (json_read_take_word(r, "null"))
        return json_null();
    return json_read_number(r);
}

enum sw_status sw_json_read(const char *bytes, size_t n, unsigned rules, json_t **out)
{
    struct reader r = {.begin = bytes, .at = bytes, .end = bytes + n, .rules = rules};
    /* Python refuses the mark in a str, but accepts it in bytes: some editors write it. */
    if (json_read_take_word(&r, "\xEF\xBB\xBF"))
        r.begin = r.at;
    *out = json_read_value(&r);
    if (*out && (json_read_peek(&r), r.at < r.end)) {
        json_read_fault(&r, "the end");
        json_decref(*out);
        *out = NULL;
    }
    sw_strbuf_free(&r.text);
    return r.status;
}

enum sw_status sw_json_read_file_in(const char *dir, const char *name, size_t limit, unsigned rules,
                                    json_t **out)
{
    char *bytes;
    size_t n;
    *out = NULL;
    SW_TRY(sw_file_read_in(dir, name, limit, &bytes, &n));
    const enum sw_status status = bytes ? sw_json_read(bytes, n, rules, out) : SW_OK;
    if (status != SW_OK)
        sw_error_context("%s/%s", dir, name);
    free(bytes);
    return status;
}

/* Reads one member from its name on and passes it to `take`. */
static bool json_read_pass_member(struct reader *r, sw_json_member *take, void *context, bool *took)
{
    if (json_read_peek(r) != '"')
        return json_read_fault(r, "a member's name in quotes");
    const char *start = r->at;
    json_t *name = json_read_string(r);
    if (name && strlen(json_string_value(name)) != json_string_length(name)) {
        r->at = start;
        json_read_fault(r, "a name without a NUL");
    }
    json_t *value = NULL;
    if (r->status == SW_OK)
        value =
            json_read_peek(r) == ':' && r->at++ ? json_read_value(r) : json_read_fault(r, "':'");
    if (value && r->status == SW_OK) {
        r->status = take(context, json_string_value(name), value);
        *took = r->status != SW_OK;
    }
    json_decref(value);
    json_decref(name);
    return r->status == SW_OK;
}

enum sw_status sw_json_each(const char *bytes, size_t n, unsigned rules, sw_json_member *take,
                            void *context, bool *took)
{
    struct reader r = {.begin = bytes, .at = bytes, .end = bytes + n, .rules = rules, .depth = 1};
    bool more;
    *took = false;
    if (json_read_peek(&r) != '{')
        json_read_fault(&r, "an object");
    else
        r.at++;
    for (bool first = true; r.status == SW_OK && json_read_next_item(&r, '}', first, &more) && more;
         first = false)
        if (!json_read_pass_member(&r, take, context, took))
            break;
    if (r.status == SW_OK && (json_read_peek(&r), r.at < r.end))
        json_read_fault(&r, "the end");
    sw_strbuf_free(&r.text);
    return r.status;
}
