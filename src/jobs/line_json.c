/* Owns building those members of a line that are read. */
#include "jobs/line_json.h"

#include "base/json.h"
#include "jobs/json_check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct line_reader {
    bool (*known)(const char *name);
    struct sw_line_json *out;
    size_t values;
};

/* The scanner's status and message are for files of a model; make them fit a line. */
static enum sw_status line_fault(enum sw_status status)
{
    char message[256];
    if (status == SW_OK || status == SW_ENOMEM || status == SW_EINPUT)
        return status;
    snprintf(message, sizeof message, "%s", sw_error_message());
    return sw_fail(SW_EINPUT, "not a JSON object: %s", message);
}

static bool is_id_list(const struct sw_json_range *range)
{
    size_t at = 1;
    while (at < range->length && strchr(" \t\r\n", range->bytes[at]))
        at++;
    return range->bytes[0] == '[' && at < range->length &&
           (isdigit((unsigned char)range->bytes[at]) || range->bytes[at] == '-');
}

/* An upper bound of the values in the text: commas inside of strings count, too. */
static size_t count_values(const struct sw_json_range *range)
{
    size_t n = 1;
    for (size_t i = 0; i < range->length; i++)
        n += range->bytes[i] == ',' || range->bytes[i] == '[' || range->bytes[i] == '{';
    return n;
}

static enum sw_status line_json_build(struct line_reader *r, const char *name,
                                      const struct sw_json_range *range, json_t **value)
{
    if (range->bytes[0] == '[' || range->bytes[0] == '{') {
        r->values += count_values(range);
        if (r->values > SW_LINE_VALUES_MAX)
            return sw_fail(SW_EINPUT, "\"%.200s\": the line has more than %u values", name,
                           SW_LINE_VALUES_MAX);
    }
    const enum sw_status status = sw_json_read(range->bytes, range->length, SW_JSON_LINE, value);
    if (status != SW_OK)
        sw_error_context("\"%.200s\"", name);
    return status;
}

/* Checks a value that is not read, and gives the value that stands for it. */
static enum sw_status line_json_check_unread(const char *name, const struct sw_json_range *range,
                                             json_t **value)
{
    if (!sw_json_check(range->bytes, range->length, true))
        return sw_fail(SW_EINPUT, "not JSON: the value of \"%.200s\" is not valid", name);
    *value = range->bytes[0] == '"'   ? json_string("")
             : range->bytes[0] == '[' ? json_array()
             : range->bytes[0] == 'n' ? json_null()
                                      : json_true();
    return SW_OK;
}

static enum sw_status line_json_members(struct line_reader *r, struct sw_json_scan *scan,
                                        bool inside, json_t *object);

static enum sw_status line_json_value(struct line_reader *r, const char *name, bool inside,
                                      const struct sw_json_range *range, json_t **value)
{
    if (!inside && strcmp(name, "body") == 0 && range->bytes[0] == '{') {
        struct sw_json_scan scan;
        sw_json_scan_begin(&scan, range->bytes, range->length);
        *value = json_object();
        const enum sw_status status = line_json_members(r, &scan, true, *value);
        sw_json_scan_free(&scan);
        return status;
    }
    if (strcmp(name, "prompt") == 0 && is_id_list(range)) {
        r->out->ids = *range;
        *value = json_pack("[i]", 0);
        return SW_OK;
    }
    return r->known(name) ? line_json_build(r, name, range, value)
                          : line_json_check_unread(name, range, value);
}

static enum sw_status line_json_members(struct line_reader *r, struct sw_json_scan *scan,
                                        bool inside, json_t *object)
{
    SW_TRY(line_fault(sw_json_scan_enter(scan, '{')));
    for (;;) {
        const char *name;
        size_t n;
        bool more;
        struct sw_json_range range;
        json_t *value = NULL;
        SW_TRY(line_fault(sw_json_scan_next(scan, '{', &more)));
        if (!more)
            return line_fault(sw_json_scan_end(scan));
        SW_TRY(line_fault(sw_json_scan_key(scan, &name, &n)));
        if (strlen(name) != n)
            return sw_fail(SW_EINPUT, "a member's name has a NUL character");
        SW_TRY(line_fault(sw_json_scan_skip(scan, &range)));
        if (json_object_get(object, name))
            return sw_fail(SW_EINPUT,
                           "\"%.200s\" is a duplicate: an object must have a member once", name);
        const enum sw_status status = line_json_value(r, name, inside, &range, &value);
        if (status != SW_OK) {
            json_decref(value);
            return status;
        }
        if (json_object_set_new(object, name, value) != 0)
            return sw_fail(SW_ENOMEM, "no memory for \"%.200s\"", name);
    }
}

enum sw_status sw_line_json_read(const char *bytes, size_t n, bool (*known)(const char *name),
                                 struct sw_line_json *out)
{
    struct line_reader r = {.known = known, .out = out};
    struct sw_json_scan scan;
    *out = (struct sw_line_json){.root = json_object()};
    sw_json_scan_begin(&scan, bytes, n);
    const enum sw_status status = out->root ? line_json_members(&r, &scan, false, out->root)
                                            : sw_fail(SW_ENOMEM, "no memory for a line");
    sw_json_scan_free(&scan);
    if (status == SW_OK)
        return SW_OK;
    json_decref(out->root);
    *out = (struct sw_line_json){0};
    return status;
}
