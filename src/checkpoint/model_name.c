/* Owns what a model's name means. */
#include "checkpoint/model_name.h"

#include "base/file.h"
#include "checkpoint/hub_cache.h"
#include "checkpoint/ollama_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPLIT_END "-00001-of-00001.gguf" /* the form of the end of a split file's name */
#define NAMES_SHOWN 8

/* The GGUF models in a folder, by the name of the file to open: the first one of a split model. */
struct gguf_listing {
    char **names; /* (n) */
    size_t n;
};

/* Whether the name ends as that of a split file, "-00002-of-00003.gguf". */
static bool gguf_name_is_split(const char *name)
{
    const size_t n = strlen(name), end = sizeof SPLIT_END - 1;
    for (size_t i = 0; i < end && n > end; i++) {
        const char form = SPLIT_END[i], c = name[n - end + i];
        if (form == '0' || form == '1' ? c < '0' || c > '9' : c != form)
            return false;
    }
    return n > end;
}

/* Adds a file; a further file of a model that is listed adds nothing. */
static enum sw_status gguf_listing_add(struct gguf_listing *l, const char *file)
{
    char *name = strdup(file);
    char **grown = name ? realloc(l->names, (l->n + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(name);
        return sw_fail(SW_ENOMEM, "no memory for a name");
    }
    l->names = grown;
    if (gguf_name_is_split(name))
        memcpy(name + strlen(name) - (sizeof SPLIT_END - 1), SPLIT_END, sizeof "-00001" - 1);
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->names[i], name) == 0) {
            free(name);
            return SW_OK;
        }
    l->names[l->n++] = name;
    return SW_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum sw_status gguf_list_folder(const char *dir, struct gguf_listing *l)
{
    enum sw_status status = SW_OK;
    DIR *folder = opendir(dir);
    if (!folder && !sw_file_is_absence(errno))
        return sw_file_fail(dir, "searched for GGUF files", errno);
    for (const struct dirent *e; folder && status == SW_OK && (e = readdir(folder));) {
        const size_t n = strlen(e->d_name);
        if (n > 5 && e->d_name[0] != '.' && strcmp(e->d_name + n - 5, ".gguf") == 0)
            status = gguf_listing_add(l, e->d_name);
    }
    if (folder)
        closedir(folder);
    return status;
}

static enum sw_status model_name_several(const char *dir, const struct gguf_listing *l)
{
    struct sw_strbuf names = {0};
    qsort(l->names, l->n, sizeof *l->names, compare_names);
    for (size_t i = 0; i < l->n && i < NAMES_SHOWN; i++)
        sw_strbuf_printf(&names, "%s%s", i ? ", " : "", l->names[i]);
    const enum sw_status status =
        sw_fail(SW_EINPUT, "%s: has several models in GGUF files; give the path of one: %s%s", dir,
                names.text ? names.text : "", l->n > NAMES_SHOWN ? ", …" : "");
    sw_strbuf_free(&names);
    return status;
}

/* A folder: itself, or the GGUF model that is all it has. */
static enum sw_status model_name_folder(const char *dir, char **path)
{
    struct gguf_listing l = {0};
    enum sw_file_kind kind;
    SW_TRY(sw_file_find_in(dir, "config.json", &kind));
    enum sw_status status = kind == SW_FILE_ABSENT ? gguf_list_folder(dir, &l) : SW_OK;
    if (status == SW_OK && l.n > 1)
        status = model_name_several(dir, &l);
    if (status == SW_OK) {
        *path = l.n == 1 ? sw_path_join(dir, l.names[0]) : strdup(dir);
        status = *path ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a path");
    }
    for (size_t i = 0; i < l.n; i++)
        free(l.names[i]);
    free(l.names);
    return status;
}

static enum sw_status model_name_absent(const char *name, const char *looked)
{
    return sw_fail(SW_EINPUT,
                   "%s: no such folder or file%s%s; MODEL is a folder as the hub publishes it, a "
                   "GGUF file, ollama:NAME, or the id of a model in the hub's local cache",
                   name, *looked ? ", and no such model in " : "", looked);
}

enum sw_status sw_model_name_find(const char *name, char **path, struct sw_strbuf *notes)
{
    enum sw_file_kind kind;
    struct sw_strbuf looked = {0};
    char *snapshot = NULL;
    *path = NULL;
    SW_TRY(sw_file_find(name, &kind));
    if (kind == SW_FILE_DIRECTORY)
        return model_name_folder(name, path);
    if (kind != SW_FILE_ABSENT) {
        *path = strdup(name);
        return *path ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a path");
    }
    if (strncmp(name, SW_OLLAMA_PREFIX, strlen(SW_OLLAMA_PREFIX)) == 0)
        return sw_ollama_find(name, path, notes);
    enum sw_status status = sw_hub_is_id(name) ? sw_hub_find(name, &snapshot, &looked) : SW_OK;
    if (status == SW_OK)
        status = snapshot ? model_name_folder(snapshot, path)
                          : model_name_absent(name, looked.text ? looked.text : "");
    free(snapshot);
    sw_strbuf_free(&looked);
    return status;
}
