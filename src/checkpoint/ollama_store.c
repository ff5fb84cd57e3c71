/* Owns finding models in Ollama's store: its names, and the layers that it has for them. */
#include "checkpoint/ollama_store.h"

#include "base/file.h"
#include "base/json.h"
#include "base/similar.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST_MAX ((size_t)1 << 20)
#define PARAMS_MAX ((size_t)64 << 10)
#define PART_MAX 96 /* bytes of a part of a name */
#define HOST "registry.ollama.ai"
#define NAMESPACE "library"

/* A name in its parts: the folders from manifests/ on. */
struct ollama_name {
    char host[PART_MAX], space[PART_MAX], model[PART_MAX], tag[PART_MAX];
};

static enum sw_status ollama_fail_store(const char *name, const char *what, const char *path)
{
    return sw_fail(SW_EINPUT, "%s: %s %s; run 'ollama pull %s' again", name, what, path,
                   name + strlen(SW_OLLAMA_PREFIX));
}

/* ---- names */

static bool ollama_take_part(const char *text, size_t n, char out[PART_MAX])
{
    if (n == 0 || n >= PART_MAX || text[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.:", text[i]))
            return false;
    memcpy(out, text, n);
    out[n] = '\0';
    return true;
}

/* "[[HOST/]NAMESPACE/]MODEL[:TAG]" */
static bool ollama_parse_name(const char *text, struct ollama_name *out)
{
    struct ollama_name name = {HOST, NAMESPACE, "", "latest"};
    const char *last = strrchr(text, '/');
    const char *model = last ? last + 1 : text, *colon = strchr(model, ':');
    const size_t n = colon ? (size_t)(colon - model) : strlen(model);
    bool ok = ollama_take_part(model, n, name.model);
    if (colon)
        ok = ok && !strchr(colon + 1, ':') &&
             ollama_take_part(colon + 1, strlen(colon + 1), name.tag);
    if (last) {
        const char *first = memchr(text, '/', (size_t)(last - text));
        const char *space = first ? first + 1 : text;
        ok = ok && ollama_take_part(space, (size_t)(last - space), name.space) &&
             !strchr(name.space, ':');
        if (first)
            ok = ok && ollama_take_part(text, (size_t)(first - text), name.host);
    }
    *out = name;
    return ok;
}

/* ---- manifests */

/* "sha256:" or "sha256-" and 64 hexadecimal digits, as the name of a file. */
static bool ollama_take_digest(const char *digest, char out[SW_OLLAMA_DIGEST])
{
    static const char algorithm[] = "sha256";
    const size_t n = sizeof algorithm - 1;
    if (!digest || strlen(digest) != SW_OLLAMA_DIGEST - 1 || strncmp(digest, algorithm, n) != 0 ||
        (digest[n] != ':' && digest[n] != '-') || strspn(digest + n + 1, "0123456789abcdef") != 64)
        return false;
    snprintf(out, SW_OLLAMA_DIGEST, "%s-%s", algorithm, digest + n + 1);
    return true;
}

static enum sw_status ollama_take_layer(const json_t *layer, struct sw_ollama_manifest *out)
{
    static const char prefix[] = "application/vnd.ollama.image.";
    const char *type = json_string_value(json_object_get(layer, "mediaType"));
    struct sw_ollama_layer taken = {0};
    int64_t size = 0;
    if (!type || strncmp(type, prefix, sizeof prefix - 1) != 0)
        return SW_OK; /* licences and whatever else */
    type += sizeof prefix - 1;
    out->n_adapters += strcmp(type, "adapter") == 0;
    out->n_projectors += strcmp(type, "projector") == 0;
    out->has_template = out->has_template || strcmp(type, "template") == 0;
    out->has_system = out->has_system || strcmp(type, "system") == 0;
    const bool is_model = strcmp(type, "model") == 0, is_params = strcmp(type, "params") == 0;
    if (!is_model && !is_params)
        return SW_OK;
    if (!ollama_take_digest(json_string_value(json_object_get(layer, "digest")), taken.blob))
        return sw_fail(SW_EMODEL, "the digest of its layer '%s' is no SHA-256", type);
    if (!sw_json_integer(json_object_get(layer, "size"), 0, INT64_MAX, &size))
        return sw_fail(SW_EMODEL, "its layer '%s' has no size", type);
    if (is_model && out->model.blob[0])
        return sw_fail(SW_EMODEL, "it has several layers of weights; one is supported");
    taken.size = (uint64_t)size;
    *(is_model ? &out->model : &out->params) = taken;
    return SW_OK;
}

enum sw_status sw_ollama_manifest_read(const char *bytes, size_t n, struct sw_ollama_manifest *out)
{
    json_t *root;
    size_t i;
    const json_t *layer;
    enum sw_status status = SW_OK;
    *out = (struct sw_ollama_manifest){0};
    SW_TRY(sw_json_read(bytes, n, SW_JSON_MODEL, &root));
    const json_t *layers = json_object_get(root, "layers");
    if (!json_is_array(layers))
        status = sw_fail(SW_EMODEL, "it is no JSON object with a list \"layers\"");
    json_array_foreach(layers, i, layer)
    {
        if (status == SW_OK)
            status = ollama_take_layer(layer, out);
    }
    if (status == SW_OK && !out->model.blob[0])
        status = sw_fail(SW_EMODEL, "it has no layer of weights in a GGUF file (mediaType "
                                    "application/vnd.ollama.image.model)");
    json_decref(root);
    return status;
}

/* ---- notes */

/* The stop texts of a params layer: {"stop": […], …}. */
static void ollama_note_stops(const char *store, const struct sw_ollama_layer *params,
                              struct sw_strbuf *notes)
{
    char path[4096], shown[256];
    char *bytes = NULL;
    size_t n = 0;
    json_t *root = NULL;
    snprintf(path, sizeof path, "%.3900s/blobs/%s", store, params->blob);
    if (sw_file_read_optional(path, PARAMS_MAX, &bytes, &n) == SW_OK && bytes &&
        sw_json_read(bytes, n, SW_JSON_MODEL, &root) == SW_OK) {
        const json_t *stop = json_object_get(root, "stop");
        if (json_array_size(stop) > 0)
            sw_strbuf_printf(notes,
                             "its parameters have stop texts, %s; give them by --stop where the "
                             "model's own end tokens are not enough\n",
                             sw_json_show(stop, shown, sizeof shown));
    }
    sw_error_clear(); /* it is a note only */
    json_decref(root);
    free(bytes);
}

static void ollama_note(const char *store, const struct sw_ollama_manifest *m,
                        struct sw_strbuf *notes)
{
    if (m->n_adapters > 0)
        sw_strbuf_puts(notes, "its adapter (LoRA) is not applied: answers are those of the base\n");
    if (m->n_projectors > 0)
        sw_strbuf_puts(notes, "its projector is not used: the model takes text only\n");
    if (m->has_system)
        sw_strbuf_puts(notes, "its system message is not used; give one by --system\n");
    if (m->params.blob[0])
        ollama_note_stops(store, &m->params, notes);
}

/* ---- the store */

/* A name as people give it: without the host and the namespace that are the default. */
static const char *ollama_short_name(const char *name)
{
    static const char host[] = HOST "/", space[] = NAMESPACE "/";
    if (strncmp(name, host, sizeof host - 1) != 0)
        return name;
    name += sizeof host - 1;
    return strncmp(name, space, sizeof space - 1) == 0 ? name + sizeof space - 1 : name;
}

/* Adds the names in dir, `depth` folders above the tags, to those that are similar. */
static void ollama_list(const char *dir, const char *name, int depth, struct sw_similar *similar)
{
    DIR *folder = opendir(dir);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        char path[2048], longer[512];
        if (e->d_name[0] == '.' || strlen(dir) + strlen(e->d_name) + 2 > sizeof path)
            continue;
        snprintf(path, sizeof path, "%.1700s/%s", dir, e->d_name);
        snprintf(longer, sizeof longer, "%.200s%s%s", name,
                 !*name      ? ""
                 : depth > 0 ? "/"
                             : ":",
                 e->d_name);
        if (depth > 0)
            ollama_list(path, longer, depth - 1, similar);
        else
            sw_similar_add(similar, ollama_short_name(longer));
    }
    if (folder)
        closedir(folder);
}

/* Checks that the weights are there whole. */
static enum sw_status ollama_check_blob(const char *name, const char *path, uint64_t expected)
{
    uint64_t size;
    int fd;
    char partial[4096];
    enum sw_file_kind kind;
    SW_TRY(sw_file_open_optional(path, &fd, &size));
    if (fd < 0) {
        snprintf(partial, sizeof partial, "%.4000s-partial", path);
        const bool begun = sw_file_find(partial, &kind) == SW_OK && kind != SW_FILE_ABSENT;
        sw_error_clear();
        return ollama_fail_store(
            name, begun ? "its download is not finished:" : "its weights are not there:", path);
    }
    (void)close(fd);
    if (size == expected)
        return SW_OK;
    (void)sw_fail(SW_EINPUT, "%s: has %llu bytes, but the manifest says %llu", path,
                  (unsigned long long)size, (unsigned long long)expected);
    sw_error_context("%s", name);
    return SW_EINPUT;
}

/* *path stays NULL when this store does not have the name. */
static enum sw_status ollama_find_in(const char *store, const char *name,
                                     const struct ollama_name *parts, char **path,
                                     struct sw_strbuf *notes)
{
    struct sw_ollama_manifest manifest;
    char file[4096], blob[4096];
    char *bytes;
    size_t n;
    snprintf(file, sizeof file, "%.3000s/manifests/%s/%s/%s/%s", store, parts->host, parts->space,
             parts->model, parts->tag);
    SW_TRY(sw_file_read_optional(file, MANIFEST_MAX, &bytes, &n));
    if (!bytes)
        return SW_OK;
    enum sw_status status = sw_ollama_manifest_read(bytes, n, &manifest);
    free(bytes);
    if (status != SW_OK) {
        sw_error_context("%s", file);
        return status;
    }
    snprintf(blob, sizeof blob, "%.3000s/blobs/%s", store, manifest.model.blob);
    SW_TRY(ollama_check_blob(name, blob, manifest.model.size));
    ollama_note(store, &manifest, notes);
    *path = strdup(blob);
    return *path ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a path");
}

/* The i-th store by the environment; false past the last. */
static bool ollama_store(int i, char *out, size_t cap)
{
    const char *own = getenv("OLLAMA_MODELS"), *home = getenv("HOME");
    if (own && *own)
        return snprintf(out, cap, "%s", i == 0 ? own : "") > 0;
    if (i == 0 && home && *home)
        return snprintf(out, cap, "%s/.ollama/models", home) > 0;
    const int system = home && *home ? 1 : 0;
    return snprintf(out, cap, "%s", i == system ? "/usr/share/ollama/.ollama/models" : "") > 0;
}

enum sw_status sw_ollama_find(const char *name, char **path, struct sw_strbuf *notes)
{
    char store[2048], manifests[2100];
    const char *plain = name + strlen(SW_OLLAMA_PREFIX);
    struct sw_similar similar = {.wanted = plain};
    struct sw_strbuf looked = {0};
    struct ollama_name parts;
    *path = NULL;
    if (!ollama_parse_name(plain, &parts))
        return sw_fail(SW_EINPUT,
                       "%s: is no name of Ollama's; expected ollama:NAME or "
                       "ollama:NAME:TAG, as 'ollama list' prints them",
                       name);
    enum sw_status status = SW_OK;
    for (int i = 0; status == SW_OK && !*path && ollama_store(i, store, sizeof store); i++) {
        status = ollama_find_in(store, name, &parts, path, notes);
        sw_strbuf_printf(&looked, "%s%s", i ? " and " : "", store);
        snprintf(manifests, sizeof manifests, "%s/manifests", store);
        ollama_list(manifests, "", 3, &similar);
    }
    if (status == SW_OK && !*path) {
        sw_similar_describe(&similar, &looked);
        status = sw_fail(SW_EINPUT, "%s: Ollama's store has no %s/%s/%s:%s; looked in %s", name,
                         parts.host, parts.space, parts.model, parts.tag,
                         looked.text ? looked.text : "(HOME is not set)");
    }
    sw_strbuf_free(&looked);
    return status;
}
