/* Owns the manifest: the file next to an output that names its job. */
#include "jobs/manifest.h"

#include "base/file.h"
#include "base/file_replace.h"
#include "base/json.h"
#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MANIFEST_MAX (1u << 20)

/* OUT and a suffix; the caller frees it. */
static char *manifest_path(const char *out, const char *suffix)
{
    struct sw_strbuf path = {0};
    sw_strbuf_printf(&path, "%s%s", out, suffix);
    if (path.failed)
        sw_strbuf_free(&path);
    return path.text;
}

enum sw_status sw_manifest_read(const char *out, json_t **manifest)
{
    char *text = NULL;
    char why[256] = "it is not a JSON object";
    size_t n = 0;
    enum sw_status status = SW_OK;
    char *path = manifest_path(out, ".job");
    *manifest = NULL;
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    status = sw_file_read_optional(path, MANIFEST_MAX, &text, &n);
    if (status == SW_OK && text &&
        (status = sw_json_read(text, n, SW_JSON_INPUT, manifest)) != SW_OK)
        snprintf(why, sizeof why, "%s", sw_error_message());
    if (text && (status == SW_EINPUT || (status == SW_OK && !json_is_object(*manifest)))) {
        json_decref(*manifest);
        *manifest = NULL;
        status = sw_fail(SW_EINPUT,
                         "%s: %s; this file names the job of %s: correct it, or start over with "
                         "--fresh, or keep the results and continue with --force",
                         path, why, out);
    }
    free(text);
    free(path);
    return status;
}

enum sw_status sw_manifest_write(const char *out, const json_t *manifest)
{
    char *path = manifest_path(out, ".job");
    char *text = json_dumps(manifest, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    const enum sw_status status = path && text
                                      ? sw_file_replace(path, text)
                                      : sw_fail(SW_ENOMEM, "%s: no memory for its manifest", out);
    free(text);
    free(path);
    return status;
}

static const char *manifest_text(const json_t *object, const char *a, const char *b)
{
    const char *text = json_string_value(json_object_get(json_object_get(object, a), b));
    return text ? text : "?";
}

/* "temperature is 0, was 0.7" for each option that differs. */
static void manifest_compare_options(const json_t *past, const json_t *mine, struct sw_strbuf *text)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)mine, name, value)
    {
        const json_t *then = json_object_get(past, name);
        if (then ? json_equal(then, value) : json_is_null(value)) /* null: as before it was there */
            continue;
        char *was = json_dumps(then, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        char *is = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        sw_strbuf_printf(text, "%s%s is %s, was %s", text->length ? "; " : "", name, is ? is : "?",
                         was ? was : "not known");
        free(was);
        free(is);
    }
}

bool sw_manifest_is_former(const json_t *manifest)
{
    return manifest && !json_object_get(json_object_get(manifest, "model"), "version");
}

void sw_manifest_carry(const json_t *manifest, json_t *mine)
{
    json_t *model = json_object_get(mine, "model");
    json_t *hashes = json_object_get(json_object_get(manifest, "model"), "hashes");
    if (json_string_length(hashes) > 0 && json_string_length(json_object_get(model, "hashes")) == 0)
        (void)json_object_set(model, "hashes", hashes);
    (void)json_object_del(model, "former");
}

/* Appends what differs between the models, if anything. */
static void manifest_compare_models(const json_t *past, const json_t *mine, struct sw_strbuf *text)
{
    const json_t *was = json_object_get(past, "model"), *is = json_object_get(mine, "model");
    const bool former = sw_manifest_is_former(past) && json_object_get(is, "former");
    const char *hashes[2] = {json_string_value(json_object_get(was, "hashes")),
                             json_string_value(json_object_get(is, "hashes"))};
    const bool known = hashes[0] && hashes[0][0] && hashes[1] && hashes[1][0];
    if (!sw_manifest_is_former(past) &&
        !json_equal(json_object_get(was, "version"), json_object_get(is, "version")))
        sw_strbuf_puts(text, "it was begun by another version of spillway, which identifies models "
                             "differently; that version can continue it");
    else if (strcmp(manifest_text(past, "model", "digest"),
                    manifest_text(mine, "model", former ? "former" : "digest")) != 0 ||
             (known && strcmp(hashes[0], hashes[1]) != 0))
        sw_strbuf_printf(text, "it was made with another model (%s, now %s)",
                         manifest_text(past, "model", "name"),
                         manifest_text(mine, "model", "name"));
}

static void manifest_compare_inputs(const json_t *past, const json_t *mine, const char *begin,
                                    struct sw_strbuf *text)
{
    if (strcmp(manifest_text(past, "input", "digest"), begin) != 0)
        sw_strbuf_printf(text, "it answers another input (then %s, now %s)",
                         manifest_text(past, "input", "path"),
                         manifest_text(mine, "input", "path"));
}

const char *sw_manifest_remedy(const json_t *mine)
{
    const char *verb = json_string_value(json_object_get(mine, "verb"));
    return verb && strcmp(verb, "trace") == 0 /* values of other shapes cannot follow in a shard */
               ? "start over with --fresh"
               : "start over with --fresh, or keep the results and continue with --force";
}

enum sw_status sw_manifest_check(const char *out, const json_t *manifest, const json_t *mine,
                                 const char *begin)
{
    struct sw_strbuf text = {0};
    const char *was = json_string_value(json_object_get(manifest, "verb"));
    const char *is = json_string_value(json_object_get(mine, "verb"));
    if (!was || strcmp(was, is) != 0)
        sw_strbuf_printf(&text, "it was made by '%s', not '%s'", was ? was : "?", is);
    if (text.length == 0)
        manifest_compare_models(manifest, mine, &text);
    if (text.length == 0)
        manifest_compare_inputs(manifest, mine, begin, &text);
    if (text.length == 0)
        manifest_compare_options(json_object_get(manifest, "options"),
                                 json_object_get(mine, "options"), &text);
    if (text.length == 0)
        return SW_OK;
    const enum sw_status status =
        sw_fail(SW_EINPUT, "%s: belongs to another job: %s. Name another output, or %s", out,
                text.text ? text.text : "", sw_manifest_remedy(mine));
    sw_strbuf_free(&text);
    return status;
}

json_t *sw_manifest_writer(void)
{
    char host[256] = "?", since[32];
    const time_t now = time(NULL);
    struct tm local;
    gethostname(host, sizeof host - 1);
    strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
    return json_pack("{s:s, s:i, s:s}", "host", host, "pid", (int)getpid(), "since", since);
}

void sw_manifest_describe_writer(const json_t *manifest, char *out, size_t cap)
{
    const json_t *writer = json_object_get(manifest, "writer");
    snprintf(out, cap, "process %lld on host %s, since %s",
             (long long)json_integer_value(json_object_get(writer, "pid")),
             manifest_text(manifest, "writer", "host"), manifest_text(manifest, "writer", "since"));
}
