/* Owns ids and the outer form of lines. */
#include "jobs/record.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/json_scan.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void sw_json_quote(struct sw_strbuf *out, const char *text, size_t n)
{
    size_t plain = 0;
    sw_strbuf_append(out, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        sw_strbuf_append(out, text + plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\')
            sw_strbuf_printf(out, "\\%c", c);
        else if (c == '\n')
            sw_strbuf_puts(out, "\\n");
        else
            sw_strbuf_printf(out, "\\u%04x", c);
    }
    sw_strbuf_append(out, text + plain, n - plain);
    sw_strbuf_append(out, "\"", 1);
}

const char *sw_json_type(const json_t *value)
{
    static const char *const names[] = {"an object", "a list", "a text", "a whole number",
                                        "a number",  "true",   "false",  "null"};
    if (sw_json_is_number(value))
        return names[sw_json_is_integer(value) ? JSON_INTEGER : JSON_REAL];
    return value ? names[json_typeof(value)] : "absent";
}

bool sw_json_absent(const json_t *value)
{
    return !value || json_is_null(value);
}

static size_t record_digits(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && isdigit((unsigned char)text[i]))
        i++;
    return i;
}

/* The grammar of JSON's numbers. */
static bool is_number(const char *text, size_t n)
{
    size_t i = n > 0 && text[0] == '-';
    size_t d = record_digits(text + i, n - i);
    if (d == 0 || (d > 1 && text[i] == '0'))
        return false;
    i += d;
    if (i < n && text[i] == '.') {
        d = record_digits(text + i + 1, n - i - 1);
        if (d == 0)
            return false;
        i += 1 + d;
    }
    if (i < n && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        i += i < n && (text[i] == '+' || text[i] == '-');
        d = record_digits(text + i, n - i);
        if (d == 0)
            return false;
        i += d;
    }
    return i == n;
}

/* The values of the members that are read; bytes NULL: absent. */
struct members {
    struct sw_json_range id, custom_id, url, body, error, response, text, logprob, best, shard;
};

static bool range_is(const struct sw_json_range *range, const char *text)
{
    return range->bytes && range->length == strlen(text) &&
           memcmp(range->bytes, text, range->length) == 0;
}

static enum sw_status record_find_members(struct sw_json_scan *scan, struct members *m)
{
    const struct {
        const char *name;
        struct sw_json_range *range;
    } wanted[] = {{"id", &m->id},      {"custom_id", &m->custom_id}, {"url", &m->url},
                  {"body", &m->body},  {"error", &m->error},         {"response", &m->response},
                  {"text", &m->text},  {"logprob", &m->logprob},     {"best", &m->best},
                  {"shard", &m->shard}};
    SW_TRY(sw_json_scan_enter(scan, '{'));
    for (;;) {
        const char *name;
        size_t n;
        bool more;
        struct sw_json_range range;
        SW_TRY(sw_json_scan_next(scan, '{', &more));
        if (!more)
            return sw_json_scan_end(scan);
        SW_TRY(sw_json_scan_key(scan, &name, &n));
        struct sw_json_range *found = NULL;
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strlen(wanted[i].name) == n && memcmp(wanted[i].name, name, n) == 0)
                found = wanted[i].range;
        SW_TRY(sw_json_scan_skip(scan, &range));
        if (found)
            *found = range;
    }
}

static enum sw_status record_read_key(const struct sw_json_range *id, const char *name,
                                      struct sw_strbuf *key)
{
    struct sw_json_scan scan;
    const char *text;
    size_t n;
    if (is_number(id->bytes, id->length)) {
        sw_strbuf_append(key, id->bytes, id->length);
    } else if (id->bytes[0] == '"') {
        sw_json_scan_begin(&scan, id->bytes, id->length);
        const enum sw_status status = sw_json_scan_string(&scan, &text, &n);
        if (status == SW_OK)
            sw_json_quote(key, text, n);
        sw_json_scan_free(&scan);
        if (status == SW_ENOMEM)
            return status;
        if (status != SW_OK)
            return sw_fail(SW_EINPUT, "\"%s\" is not valid text", name);
    } else {
        return sw_fail(SW_EINPUT, "\"%s\" is neither a text nor a number", name);
    }
    if (key->length > SW_ID_MAX) {
        key->length = 0;
        return sw_fail(SW_EINPUT, "\"%s\" is longer than %d bytes", name, SW_ID_MAX);
    }
    return SW_OK;
}

enum sw_status sw_record_scan(const char *line, size_t n, struct sw_strbuf *key,
                              struct sw_record *out)
{
    struct sw_json_scan scan;
    struct members m = {0};
    *out = (struct sw_record){0};
    key->length = 0;
    sw_json_scan_begin(&scan, line, n);
    const enum sw_status status = record_find_members(&scan, &m);
    sw_json_scan_free(&scan);
    out->batch_form = m.custom_id.bytes || (m.url.bytes && m.body.bytes);
    if (status == SW_ENOMEM)
        return status;
    if (status != SW_OK) { /* the scanner's status is for files of a model */
        char message[256];
        snprintf(message, sizeof message, "%s", sw_error_message());
        return sw_fail(SW_EINPUT, "not a JSON object: %s", message);
    }
    static const char good[] = "{\"status_code\":200,"; /* as sw_record_wrap writes it */
    out->failed = (m.error.bytes && !range_is(&m.error, "null")) ||
                  (m.response.bytes && (m.response.length < sizeof good - 1 ||
                                        memcmp(m.response.bytes, good, sizeof good - 1) != 0));
    out->is_result = out->batch_form ? m.response.bytes != NULL
                                     : m.error.bytes || m.text.bytes || m.logprob.bytes ||
                                           m.best.bytes || m.shard.bytes;
    const struct sw_json_range *id = out->batch_form ? &m.custom_id : &m.id;
    if (!id->bytes || range_is(id, "null"))
        return SW_OK;
    SW_TRY(record_read_key(id, out->batch_form ? "custom_id" : "id", key));
    out->has_id = true;
    return key->failed ? sw_fail(SW_ENOMEM, "no memory for an id") : SW_OK;
}

void sw_record_line_key(int64_t number, struct sw_strbuf *key)
{
    key->length = 0;
    sw_strbuf_printf(key, "\"line-%lld\"", (long long)number);
}

const char *sw_record_digits(const struct sw_strbuf *key, char out[33])
{
    static const uint64_t known[2] = {0x5370696c6c776179, 0x7265636f726473};
    sw_digest_text(sw_hash_of(known, key->text, key->length), out);
    out[24] = '\0';
    return out;
}

void sw_record_wrap(const struct sw_strbuf *key, int status_code, const char *body, size_t n,
                    struct sw_strbuf *out)
{
    char name[33];
    sw_record_digits(key, name);
    sw_strbuf_printf(out, "{\"id\":\"batch_req_%s\",\"custom_id\":", name);
    sw_strbuf_append(out, key->text, key->length);
    sw_strbuf_printf(out, ",\"response\":{\"status_code\":%d,\"request_id\":\"%s\",\"body\":",
                     status_code, name);
    sw_strbuf_append(out, body, n);
    sw_strbuf_puts(out, "},\"error\":null}\n");
}

void sw_record_error(const struct sw_strbuf *key, bool batch_form, enum sw_status fault,
                     const char *message, const char *param, struct sw_strbuf *out)
{
    const bool is_lines = fault == SW_EINPUT || fault == SW_EUSAGE;
    struct sw_strbuf clean = {0}, body = {0};
    sw_utf8_lossy(message, strlen(message), &clean);
    if (batch_form) {
        sw_strbuf_puts(&body, "{\"error\":{\"message\":");
        sw_json_quote(&body, clean.text ? clean.text : "", clean.length);
        sw_strbuf_printf(&body, ",\"type\":\"%s\",\"param\":",
                         is_lines ? "invalid_request_error" : "server_error");
        if (param)
            sw_json_quote(&body, param, strlen(param));
        else
            sw_strbuf_puts(&body, "null");
        sw_strbuf_puts(&body, ",\"code\":null}}");
        sw_record_wrap(key, is_lines ? 400 : 500, body.text ? body.text : "", body.length, out);
    } else {
        sw_strbuf_puts(out, "{\"id\":");
        sw_strbuf_append(out, key->text, key->length);
        sw_strbuf_puts(out, ",\"error\":");
        sw_json_quote(out, clean.text ? clean.text : "", clean.length);
        sw_strbuf_puts(out, "}\n");
    }
    out->failed = out->failed || clean.failed || body.failed;
    sw_strbuf_free(&clean);
    sw_strbuf_free(&body);
}
