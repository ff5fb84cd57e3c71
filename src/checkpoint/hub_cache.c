/* Owns finding models in the cache of the Hugging Face hub. */
#include "checkpoint/hub_cache.h"

#include "base/file.h"
#include "base/similar.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 200     /* bytes of a hub id with its revision */
#define COMMIT_MAX 128 /* bytes of a file in refs/ */

/* Where the cache is by the environment: the variable, and what follows its value. */
static const struct cache_row {
    const char *variable, *more;
} caches[] = {{"HF_HUB_CACHE", ""},
              {"HUGGINGFACE_HUB_CACHE", ""},
              {"HF_HOME", "/hub"},
              {"XDG_CACHE_HOME", "/huggingface/hub"},
              {"HOME", "/.cache/huggingface/hub"}};

static bool hub_cache_path(char *out, size_t cap, const char **variable)
{
    for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++) {
        const char *value = getenv(caches[i].variable);
        if (!value || !*value)
            continue;
        *variable = caches[i].variable;
        return (size_t)snprintf(out, cap, "%s%s", value, caches[i].more) < cap;
    }
    return false;
}

/* Length of a part of an id at `text`; 0: it is none. */
static size_t hub_part(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("-_.", text[n])))
        n++;
    return text[0] == '.' || text[0] == '-' ? 0 : n;
}

bool sw_hub_is_id(const char *name)
{
    size_t n = hub_part(name);
    if (n > 0 && name[n] == '/') {
        const size_t more = hub_part(name + n + 1);
        n = more > 0 ? n + 1 + more : 0;
    }
    const char *revision = name + n + 1;
    if (n == 0 || strlen(name) > ID_MAX || (name[n] && name[n] != '@'))
        return false;
    /* a revision such as refs/pr/1 may have slashes, but must stay in refs/ */
    return !name[n] || (hub_part(revision) > 0 && !strstr(revision, "..") &&
                        revision[strspn(revision, "-_./abcdefghijklmnopqrstuvwxyz"
                                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] == 0);
}

/* "models--ORG--NAME" of an id. */
static void hub_folder_name(const char *id, char *out, size_t cap)
{
    const char *at = strchr(id, '@'), *slash = strchr(id, '/');
    const int n = at ? (int)(at - id) : (int)strlen(id);
    if (slash && slash < id + n)
        snprintf(out, cap, "models--%.*s--%.*s", (int)(slash - id), id, (int)(n - 1 - (slash - id)),
                 slash + 1);
    else
        snprintf(out, cap, "models--%.*s", n, id);
}

/* Adds the cache's models, by their ids. */
static void hub_list(const char *cache, struct sw_similar *similar)
{
    DIR *folder = opendir(cache);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        char id[256];
        if (strncmp(e->d_name, "models--", 8) != 0)
            continue;
        snprintf(id, sizeof id, "%s", e->d_name + 8);
        char *dashes = strstr(id, "--");
        if (dashes) {
            *dashes = '/';
            memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
        }
        sw_similar_add(similar, id);
    }
    if (folder)
        closedir(folder);
}

/* The name of the only snapshot whose name begins with `begin`; false: there are none or several.
 */
static bool hub_only_snapshot(const char *snapshots, const char *begin, char *out, size_t cap)
{
    int n = 0;
    DIR *folder = opendir(snapshots);
    for (const struct dirent *e; folder && (e = readdir(folder));)
        if (e->d_name[0] != '.' && strncmp(e->d_name, begin, strlen(begin)) == 0) {
            snprintf(out, cap, "%s", e->d_name);
            n++;
        }
    if (folder)
        closedir(folder);
    return n == 1;
}

/* The commit in refs/`revision`; "": there is no such file. */
static enum sw_status hub_read_ref(const char *model, const char *revision, char commit[COMMIT_MAX])
{
    char path[4096];
    char *bytes = NULL;
    size_t n;
    commit[0] = '\0';
    snprintf(path, sizeof path, "%s/refs/%s", model, revision);
    SW_TRY(sw_file_read_optional(path, COMMIT_MAX - 1, &bytes, &n));
    if (!bytes)
        return SW_OK;
    const size_t length = hub_part(bytes);
    const bool ok = length > 0 && bytes[length + strspn(bytes + length, "\r\n ")] == '\0';
    if (ok)
        snprintf(commit, COMMIT_MAX, "%.*s", (int)length, bytes);
    free(bytes);
    return ok ? SW_OK
              : sw_fail(SW_EINPUT, "%s: does not name a commit; download the model again", path);
}

static enum sw_status hub_fail_revision(const char *id, const char *snapshots, const char *wanted)
{
    struct sw_similar similar = {.wanted = wanted};
    struct sw_strbuf names = {0};
    DIR *folder = opendir(snapshots);
    for (const struct dirent *e; folder && (e = readdir(folder));)
        if (e->d_name[0] != '.')
            sw_similar_add(&similar, e->d_name);
    if (folder)
        closedir(folder);
    sw_similar_describe(&similar, &names);
    const enum sw_status status =
        sw_fail(SW_EINPUT,
                "%s: the Hugging Face cache has the model, but not this revision (%s), in %s%s; "
                "download it, or give NAME@COMMIT of a snapshot that is there",
                id, wanted, snapshots, names.text ? names.text : "");
    sw_strbuf_free(&names);
    return status;
}

/* The snapshot of a model that the cache has. */
static enum sw_status hub_find_snapshot(const char *id, const char *model, char **folder)
{
    const char *at = strchr(id, '@');
    const char *revision = at ? at + 1 : "main";
    char commit[COMMIT_MAX], name[256], path[4096], snapshots[4096];
    enum sw_file_kind kind;
    snprintf(snapshots, sizeof snapshots, "%.3000s/snapshots", model);
    SW_TRY(hub_read_ref(model, revision, commit));
    const bool known = commit[0] != '\0';
    if (!known && hub_only_snapshot(snapshots, at ? revision : "", name, sizeof name))
        snprintf(commit, sizeof commit, "%.127s", name);
    if (!commit[0])
        return hub_fail_revision(id, snapshots, revision);
    snprintf(path, sizeof path, "%.3500s/%s", snapshots, commit);
    SW_TRY(sw_file_find(path, &kind));
    if (kind != SW_FILE_DIRECTORY)
        return hub_fail_revision(id, snapshots, commit);
    *folder = strdup(path);
    return *folder ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a path");
}

enum sw_status sw_hub_find(const char *id, char **folder, struct sw_strbuf *why)
{
    char cache[2048], name[ID_MAX + 16], model[2400], plain[ID_MAX + 1];
    const char *variable;
    enum sw_file_kind kind;
    *folder = NULL;
    if (!hub_cache_path(cache, sizeof cache, &variable)) {
        sw_strbuf_puts(why, "the Hugging Face cache (neither HF_HOME nor HOME is set)");
        return SW_OK;
    }
    hub_folder_name(id, name, sizeof name);
    snprintf(model, sizeof model, "%s/%s", cache, name);
    SW_TRY(sw_file_find(model, &kind));
    if (kind == SW_FILE_DIRECTORY)
        return hub_find_snapshot(id, model, folder);
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(id, "@"), id);
    struct sw_similar similar = {.wanted = plain};
    hub_list(cache, &similar);
    sw_strbuf_printf(why, "the Hugging Face cache %s (by %s)", cache, variable);
    sw_similar_describe(&similar, why);
    return SW_OK;
}
